"""What an operation does to a lazy instance at once, besides being recorded.

conversion (`to`, `half`)           ->  tried on an empty module, to see errors and whether it chooses a device
flag, hook, registration (`train`)  ->  done on `History.attached_to`, and flags also on modules of the user
other operations (`apply`)          ->  nothing
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from lazify._deferred.operations import CONVERTING, FLAGGING, HOOKING, IMMEDIATE, Operation
from lazify._deferred.placeholders import Placeholder
from lazify._deferred.state import LazyState
from lazify._lazy_class.attributes import state_of
from lazify._module_tree import walk
from lazify.errors import NotMaterializedError, compose

__all__ = ["apply_now"]


def apply_now(module: nn.Module, operation: Operation) -> Any:
    """Do at once what can be done before materialization.

    Args:
        module: the lazy instance.
        operation: not in the history yet. `Operation.applied_to` is set here.

    Returns:
        What the method of `nn.Module` returns: the instance itself, or a handle on a hook.
    """
    state = state_of(module)
    if operation.method in CONVERTING:
        _refuse_sharing(operation)
        state.writable_history().device_is_explicit |= selects_device(operation)
    elif operation.method in (*IMMEDIATE, *HOOKING, "requires_grad_"):
        if operation.method == "register_parameter":
            refuse_reregistration(operation, state)
        if operation.method in FLAGGING:
            operation.applied_to = tuple(_submodules_of_user(module, state))
        for submodule in operation.applied_to:
            getattr(submodule, operation.method)(*operation.args, **operation.kwargs)
        attached_to = state.attached()
        result = getattr(nn.Module, operation.method)(attached_to, *operation.args, **operation.kwargs)
        if "training" in vars(module):
            vars(module)["training"] = attached_to.training
        return module if result is attached_to else result
    return module


def _submodules_of_user(module: nn.Module, state: LazyState) -> Iterator[nn.Module]:
    """Modules that are constructor arguments and will be submodules, as far as a preview can show that."""
    modules = [value for value in state.given.values() if isinstance(value, nn.Module)]
    if modules:
        with suppress(NotMaterializedError):
            preview = state.preview_for(module)
            root = None if preview is None else preview.module
            inside = set() if root is None else {id(each) for _, each in walk(root)}
            yield from (each for each in modules if id(each) in inside)


def selects_device(operation: Operation) -> bool:
    """Whether a conversion chooses a device: it moves an empty tensor, or cannot copy it off the meta device."""

    def device_after(device: str) -> str:
        probe = nn.Module()
        probe.probe = nn.Parameter(torch.empty(0, device=device))
        getattr(nn.Module, operation.method)(probe, *operation.args, **operation.kwargs)
        return probe.probe.device.type

    if device_after("cpu") != "cpu":
        return True
    try:
        return device_after("meta") != "meta"
    except NotImplementedError:  # torch's "Cannot copy out of meta tensor": the conversion moves to the CPU
        return True


def _refuse_sharing(operation: Operation) -> None:
    """Raise the error of torch for a conversion that never works on uninitialized tensors: `share_memory`.

    A `ValueError` or `NotImplementedError` only means that the conversion needs the real tensor.
    """
    probe = nn.Module()
    probe.probe = nn.UninitializedParameter()
    with suppress(ValueError, NotImplementedError):
        getattr(nn.Module, operation.method)(probe, *operation.args, **operation.kwargs)


def refuse_reregistration(operation: Operation, state: LazyState) -> None:
    """Refuse to register a placeholder of the instance under another name.

    Pruning and similar tools begin like this, and then compute with values that the placeholder does not have.

    Raises:
        NotMaterializedError: if an argument of the operation is a placeholder of the instance.
    """
    preview = state.history.preview
    placeholders = () if preview is None else preview.placeholders.values()
    if any(isinstance(each, Placeholder) and any(each is p for p in placeholders) for each in operation.args):
        raise NotMaterializedError(
            compose(
                f"{operation.args[0]!r} cannot be made of a parameter that has no values yet",
                fix="module.apply(lambda m: ...)  # what waits for the real module: pruning and the like",
            )
        )
