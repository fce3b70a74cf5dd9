"""Every private name of torch that lazify touches, in one place; a test looks at each of them."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import torch
from torch import _tensor_str
from torch._C import _autograd
from torch._C._dynamo import eval_frame as _eval_frame

# () -> the innermost of `torch.func.grad`, `vmap`, ... that is under way, or None
from torch._C._functorch import is_functorch_wrapped_tensor as is_transformed
from torch._C._functorch import peek_interpreter_stack as inside_transform
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack as outside_transforms
from torch._guards import active_fake_mode
from torch._subclasses import fake_tensor as _fake
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.fake_tensor import unset_fake_temporarily as unset_fake_mode
from torch.jit._trace import TracedModule
from torch.nn.modules import module as _module
from torch.nn.utils._named_member_accessor import NamedMemberAccessor
from torch.utils import _device
from torch.utils import checkpoint as _checkpoint
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import _disable_current_modes as without_dispatch_modes
from torch.utils._pytree import tree_map_only
from typing_extensions import Self

__all__ = [
    "ALLOWED_ON_UNINITIALIZED",
    "BACKEND_SETTINGS",
    "COMPILED_CALL",
    "DYNAMO_HOOK",
    "FAKE_LOGGERS",
    "FOLLOWING_PATHS",
    "GLOBAL_HOOKS",
    "GLOBAL_PRE_HOOKS",
    "JIT_TRACES",
    "MODULE_CALL",
    "PRINT_OPTIONS",
    "FakeMode",
    "FakeTensor",
    "active_fake_mode",
    "any_autocast",
    "fakes_cannot_follow",
    "function_modes",
    "in_fake_mode",
    "inside_transform",
    "is_fx_tracing",
    "is_made_here",
    "is_shared_with_autograd",
    "is_transformed",
    "load_fakes",
    "no_dispatch",
    "no_torch_function",
    "outside_transforms",
    "pop_function_mode",
    "push_function_mode",
    "recomputed_later",
    "saved_tensors_hooks_on",
    "set_versions",
    "skip_dynamo",
    "tree_map_only",
    "unset_fake_mode",
    "without_default_device",
    "without_dispatch_modes",
    "without_symbolic_sizes",
    "without_torch_function",
]

F = TypeVar("F", bound="Callable[..., Any]")


class FakeMode(_fake.FakeTensorMode):
    """Operations on fake tensors: shapes and types without values.

    In such a mode a parameter is a fake tensor, too, and `copy.deepcopy` of one copies its `__dict__`, the mode
    included: torch then frees memory that is still in use. A mode that is its own copy keeps that from happening.
    """

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


#: `nn.Module.__call__` goes through this attribute of the instance where it is set (`Module.compile` does).
COMPILED_CALL = "_compiled_call_impl"

#: Dynamo takes a module with this attribute for lazy, and calls its `_infer_parameters` before tracing it.
DYNAMO_HOOK = "_initialize_hook"

#: What `register_module_forward_pre_hook` fills: hooks that may change the arguments of any call.
GLOBAL_PRE_HOOKS = _module._global_forward_pre_hooks

#: The dicts of hooks that see every module of the process.
GLOBAL_HOOKS: tuple[dict[int, Any], ...] = (
    _module._global_forward_pre_hooks,
    _module._global_forward_hooks,
    _module._global_backward_pre_hooks,
    _module._global_backward_hooks,
    _module._global_buffer_registration_hooks,
    _module._global_module_registration_hooks,
    _module._global_parameter_registration_hooks,
)

#: The code of what follows dotted paths to submodules.
FOLLOWING_PATHS = frozenset({torch.nn.Module.get_submodule.__code__, NamedMemberAccessor.get_submodule.__code__})

#: The code of `torch.jit.trace` that reads the parameters of a module.
JIT_TRACES = inspect.unwrap(TracedModule.__init__).__code__

#: `nn.Module.__call__`, while nothing has exchanged it.
MODULE_CALL = torch.nn.Module.__call__

#: () -> bool, over all device types at once.
any_autocast: Any = torch._C._is_any_autocast_enabled


#: () -> how many function modes there are; a default device is one.
function_modes: Any = torch._C._len_torch_function_stack


@functools.cache
def load_fakes() -> None:
    """Let torch load what it needs for fake tensors: a second's worth, once a process.

    No mode of the caller sees it, and the warning filters that other packages set when they are imported do not stay.
    """
    before = {id(entry) for entry in warnings.filters}
    with without_dispatch_modes(), FakeMode(), suppress(RuntimeError):
        torch.nn.functional.linear(torch.empty(1, 2), torch.empty(3, 2))
        torch.mm(torch.empty(1, 2), torch.empty(3, 2))  # what words its refusal with is loaded only then
    entries: list[Any] = warnings.filters  # type: ignore[assignment]
    entries[:] = [entry for entry in entries if id(entry) in before]


def _pairs() -> Iterator[tuple[Callable[[], Any], Callable[[Any], None]]]:
    names = """
        cublas_allow_tf32 cudnn_allow_tf32 cudnn_benchmark cudnn_deterministic cudnn_enabled mkldnn_enabled
        mkldnn_deterministic nnpack_enabled float32_matmul_precision
    """
    for name in names.split():
        yield getattr(torch._C, f"_get_{name}"), getattr(torch._C, f"_set_{name}")
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        yield getattr(torch._C, f"_get_{name}_sdp_enabled"), getattr(torch._C, f"_set_sdp_use_{name}")


#: What `torch.backends` and functions beside it set: (getter, setter) of each.
BACKEND_SETTINGS = tuple(_pairs())

#: What `torch.set_printoptions` changes.
PRINT_OPTIONS = _tensor_str.PRINT_OPTS

#: Take the innermost function mode off this thread's stack, and put one on.
pop_function_mode: Any = torch._C._pop_torch_function_stack
push_function_mode: Any = torch._C._push_on_torch_function_stack

#: () -> a context in which neither function modes nor tensor subclasses are asked.
no_torch_function: Any = torch._C.DisableTorchFunction


@contextmanager
def without_default_device() -> Iterator[None]:
    """This thread has no `set_default_device` inside, and the one that it had after."""
    context = torch._GLOBAL_DEVICE_CONTEXT
    before, current = getattr(context, "device_context", None), _device.CURRENT_DEVICE
    context.device_context = None
    try:
        yield
    finally:
        context.device_context = before
        if _device.CURRENT_DEVICE is not current:
            _device.CURRENT_DEVICE = current


def recomputed_later() -> bool:
    """Whether activation checkpointing is going to run this code again, with the random numbers of this time."""
    if (hooks := saved_tensors_hooks_on(True)) is not None:
        return getattr(hooks[0], "__module__", None) == _checkpoint.__name__
    if torch.is_grad_enabled():
        return False
    frame = sys._getframe(1)  # the other kind of checkpointing runs it without gradients first
    while frame is not None and frame.f_code is not _checkpoint.CheckpointFunction.forward.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


#: (True) -> the innermost pair of `saved_tensors_hooks` of this thread, or None.
saved_tensors_hooks_on: Any = _autograd._top_saved_tensors_default_hooks

#: (tensors, numbers): set how often each is said to have been changed in place.
set_versions: Any = _autograd._unsafe_set_version_counter


def is_fx_tracing(*arguments: Any) -> bool:
    """Whether torch.fx traces this call: it has exchanged `nn.Module.__call__`, and hands proxies in."""
    if torch.nn.Module.__call__ is MODULE_CALL:
        return False
    return any(isinstance(each, torch.fx.Proxy) for each in arguments)


def in_fake_mode() -> bool:
    """Whether a tensor made now would be a fake."""
    return active_fake_mode() is not None


def is_made_here(tensor: torch.Tensor) -> bool:
    """Whether a tensor made now, with nothing said, would be on the device of this one.

    A default device is a function mode: without modes it is the CPU. (`torch.get_default_device()` alone
    would say the same in microseconds instead of a fraction of one.)
    """
    if not function_modes():
        return tensor.is_cpu
    return tensor.device == torch.get_default_device()


#: Loggers that report every failed operation on fake tensors as an error.
FAKE_LOGGERS = ("torch._subclasses.fake_tensor",)

_NEEDS_VALUES = (
    _fake.DataDependentOutputException,
    _fake.DynamicOutputShapeException,
    _fake.UnsupportedFakeTensorException,
    _fake.UnsupportedOperatorException,
    RecursionError,  # operations on sparse fakes call each other
)


#: Of errors that have no class of their own.
_WORDS = (
    "fake tensor",
    "FakeTensor",
    "Cannot access data pointer",
    "its data is not allocated yet",
    "no fake impl",
    "Could not run '",
    "is not supported for tensor subclasses",  # `numpy()`
)


def fakes_cannot_follow(error: BaseException) -> bool:
    """Whether a run on fake tensors failed only because values, not shapes, decide how it goes on."""
    if isinstance(error, _NEEDS_VALUES) or type(error).__name__ == "GuardOnDataDependentSymNode":
        return True
    return any(words in str(error) for words in _WORDS)


#: What torch does to uninitialized tensors: changes of dtype and device.
ALLOWED_ON_UNINITIALIZED = frozenset(torch.nn.UninitializedParameter._allowed_methods)  # type: ignore[attr-defined]

#: () -> a context in which tensor subclasses are handled as plain tensors.
without_torch_function: Any = torch._C.DisableTorchFunctionSubclass


def without_symbolic_sizes(tensor: torch.Tensor) -> torch.Tensor:
    """Of a compiler's fake tensor, whose sizes may be symbols, a fake with sizes that are numbers."""
    if not isinstance(tensor, _fake.FakeTensor):
        return tensor
    with FakeMode():
        return torch.empty([int(size) for size in tensor.shape], dtype=tensor.dtype, device=tensor.device)


def skip_dynamo(function: F) -> F:
    """Run this function, and what it calls, as plain Python where Dynamo would compile the frame, or trace into it.

    (`torch.compiler.disable` says the same in microseconds a call, after a second's import.)
    """
    skip = _eval_frame._FrameAction.SKIP
    _eval_frame.set_code_exec_strategy(cast("Any", function).__code__, _eval_frame._FrameExecStrategy(skip, skip))
    setattr(function, "_torchdynamo_disable", True)
    return function


def is_shared_with_autograd(tensor: torch.Tensor) -> bool:
    """Whether a graph that is still alive ends in this tensor (then `swap_tensors` would poison it)."""
    return int(tensor._use_count()) > 1  # type: ignore[attr-defined]
