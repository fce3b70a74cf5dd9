"""Every private name of torch that lazify touches, in one place; a test looks at each of them."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules import module as _module

__all__ = ["DYNAMO_HOOK", "GATE", "any_autocast", "has_global_pre_hooks", "is_default_device"]

#: `nn.Module.__call__` goes through this attribute of the instance where it is set (`Module.compile` does).
GATE = "_compiled_call_impl"

#: Dynamo takes a module with this attribute for lazy, and calls its `_infer_parameters` before tracing it.
DYNAMO_HOOK = "_initialize_hook"

#: () -> bool, over all device types at once.
any_autocast: Any = torch._C._is_any_autocast_enabled


def is_default_device(device: torch.device) -> bool:
    """Whether tensors are made on `device` where nothing else is said.

    A default device is a function mode: without modes it is the CPU. (`torch.get_default_device()` alone
    would say the same in microseconds instead of a fraction of one.)
    """
    if torch._C._len_torch_function_stack() == 0:
        return device.type == "cpu"
    return device == torch.get_default_device()


def has_global_pre_hooks() -> bool:
    """Whether `register_module_forward_pre_hook` is in force: such hooks may change the arguments."""
    return bool(_module._global_forward_pre_hooks)
