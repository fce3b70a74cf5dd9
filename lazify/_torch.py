"""Every private name of torch that lazify touches, and every difference between versions of torch, in one place.

A test looks at each of them. The versions in the comments are the first that have a name, or do what is said.
"""

from __future__ import annotations

import functools
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint
from typing_extensions import Self

from lazify.errors import UnsupportedTorchError, compose

F = TypeVar("F", bound="Callable[..., Any]")

#: The oldest torch that lazify supports, and the newest that its tests have run with.
OLDEST_SUPPORTED, NEWEST_TESTED = "2.4.1", "2.15.0"


# ---------------------------------------------------------------------------------------------
# Private names, which any release of torch may move


class _Missing:
    """Stands for a private name that the installed torch does not have. Its first use is an error that says so."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        version = sys.modules["lazify"].__version__
        raise UnsupportedTorchError(
            compose(
                f"torch has no {self._name}, which lazify uses here",
                [
                    ("torch", torch.__version__),
                    ("lazify", f"{version}, tested with torch {OLDEST_SUPPORTED} to {NEWEST_TESTED}"),
                ],
                f"pip install --upgrade torch-lazify  # or: pip install torch=={NEWEST_TESTED}",
            )
        )

    __call__ = __bool__ = __iter__ = __contains__ = __instancecheck__ = __getattr__ = _refuse

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (type("Missing", (), {"__init__": self._refuse}),)


def _private(name: str) -> Any:
    """What the dotted name stands for in the installed torch."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return _Missing(name)


if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensor as FakeTensor
    from torch._subclasses.fake_tensor import FakeTensorMode
else:
    FakeTensor = _private("torch._subclasses.fake_tensor.FakeTensor")
    FakeTensorMode = _private("torch._subclasses.fake_tensor.FakeTensorMode")

unset_fake_mode = _private("torch._subclasses.fake_tensor.unset_fake_temporarily")
#: () -> the mode that makes fakes of tensors made now, or None.
active_fake_mode = _private("torch._guards.active_fake_mode")
no_dispatch = _private("torch.utils._mode_utils.no_dispatch")
without_dispatch_modes = _private("torch.utils._python_dispatch._disable_current_modes")
tree_map_only = _private("torch.utils._pytree.tree_map_only")

#: () -> the innermost of `torch.func.grad`, `vmap`, ... that is under way, or None.
inside_transform = _private("torch._C._functorch.peek_interpreter_stack")
outside_transforms = _private("torch._functorch.pyfunctorch.temporarily_clear_interpreter_stack")
is_transformed = _private("torch._C._functorch.is_functorch_wrapped_tensor")


class FakeMode(FakeTensorMode):
    """Operations on fake tensors: shapes and types without values.

    In such a mode a parameter is a fake tensor, too, and `copy.deepcopy` of one copies its `__dict__`, the mode
    included: torch then frees memory that is still in use. A mode that is its own copy keeps that from happening.
    """

    @property
    def avoid_device_init(self) -> bool:
        """False: else torch registers a device for absent CUDA, for good, and a fork cannot run backward any more."""
        return False

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        # `Module.to` swaps the fakes of parameters, which torch refuses where there are weak references to them
        converter: Any = self.fake_tensor_converter
        converter.meta_converter.tensor_memo = {}
        converter.set_tensor_memo = lambda tensor, fake: None
        converter.add_constant_storage_mapping = self._keep_constant

    def _keep_constant(self, fake: Any) -> None:
        mapping: Any = self.fake_tensor_converter.constant_storage_mapping
        mapping.setdefault(StorageWeakRef(fake.constant._typed_storage()), []).append(lambda: fake)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


#: `nn.Module.__call__` goes through this attribute of the instance where it is set (`Module.compile` does).
COMPILED_CALL = "_compiled_call_impl"

#: Dynamo takes a module with this attribute for lazy, and calls its `_infer_parameters` before tracing it. (From 2.14
#: only where the attribute is not None.)
DYNAMO_HOOK = "_initialize_hook"
#: What `register_module_forward_pre_hook` fills: hooks that may change the arguments of any call.
GLOBAL_PRE_HOOKS: dict[int, Any] = _private("torch.nn.modules.module._global_forward_pre_hooks")
#: The dicts of hooks that see every module of the process.
GLOBAL_HOOKS: tuple[dict[int, Any], ...] = tuple(
    _private(f"torch.nn.modules.module._global_{kind}_hooks")
    for kind in """forward_pre forward backward_pre backward
        buffer_registration module_registration parameter_registration""".split()
)

#: The code of `torch.jit.trace` that reads the parameters of a module.
_traced_module = _private("torch.jit._trace.TracedModule.__init__")
JIT_TRACES = None if isinstance(_traced_module, _Missing) else inspect.unwrap(_traced_module).__code__
#: `nn.Module.__call__`, while nothing has exchanged it.
MODULE_CALL = torch.nn.Module.__call__


def methods_of_modules(names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """Name -> method of `nn.Module`, of the names that the installed torch has there.

    From 2.5: `mtia`, `set_submodule`, `register_state_dict_post_hook`, `register_load_state_dict_pre_hook`.
    """
    return {name: getattr(torch.nn.Module, name) for name in names if hasattr(torch.nn.Module, name)}


#: () -> bool, over all device types at once.
any_autocast = _private("torch._C._is_any_autocast_enabled")
#: () -> how many function modes there are; a default device is one.
function_modes = _private("torch._C._len_torch_function_stack")


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
    names = """cublas_allow_tf32 cudnn_allow_tf32 cudnn_benchmark cudnn_deterministic cudnn_enabled mkldnn_enabled
        mkldnn_deterministic nnpack_enabled float32_matmul_precision"""
    for name in names.split():
        if hasattr(torch._C, f"_get_{name}"):  # `mkldnn_deterministic` from 2.5 or later
            yield getattr(torch._C, f"_get_{name}"), getattr(torch._C, f"_set_{name}")
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        yield getattr(torch._C, f"_get_{name}_sdp_enabled"), getattr(torch._C, f"_set_sdp_use_{name}")


#: What `torch.backends` and functions beside it set: (getter, setter) of each.
BACKEND_SETTINGS = tuple(_pairs())
#: What `torch.set_printoptions` changes.
PRINT_OPTIONS = _private("torch._tensor_str.PRINT_OPTS")
#: How modules are converted; a public module.
FUTURE = torch.__future__
#: Take the innermost function mode off this thread's stack, and put one on.
pop_function_mode = _private("torch._C._pop_torch_function_stack")
push_function_mode = _private("torch._C._push_on_torch_function_stack")
#: () -> a context in which neither function modes nor tensor subclasses are asked.
no_torch_function = _private("torch._C.DisableTorchFunction")


class FunctionMode(TorchFunctionMode):
    """A function mode that comes off the stack at its end, also where code inside has set a default device.

    (That is a function mode, too. Before 2.5 it lies above this one, since then below.)
    """

    def __exit__(self, *raised: object) -> None:
        while pop_function_mode() is not self:
            pass


_device = _private("torch.utils._device")
_device_context = _private("torch._GLOBAL_DEVICE_CONTEXT")
_function_mode_stack = _private("torch.overrides._get_current_function_mode_stack")


def default_device() -> torch.device:
    """Where a tensor is made of which nothing else is said.

    (`torch.get_default_device()` sees `with torch.device(...)` from 2.9, and works after `set_default_device(None)`
    from 2.10.)
    """
    modes = (mode for mode in reversed(_function_mode_stack()) if isinstance(mode, _device.DeviceContext))
    context = next(modes, None) or getattr(_device_context, "device_context", None)
    if context is None:
        return torch.device("cpu")
    device: torch.device = context.device
    if device.index is not None or device.type in ("cpu", "meta"):
        return device
    with no_torch_function(), without_dispatch_modes():
        return torch.empty(0, device=device).device  # with the index of the current one


@contextmanager
def without_default_device() -> Iterator[None]:
    """This thread has no `set_default_device` inside, and the one that it had after."""
    before, current = dict(vars(_device_context)), _device.CURRENT_DEVICE
    vars(_device_context).clear()  # None in its place is an error of `torch.get_default_device` before 2.10
    try:
        yield
    finally:
        vars(_device_context).clear()
        vars(_device_context).update(before)
        if _device.CURRENT_DEVICE is not current:
            _device.CURRENT_DEVICE = current


def _hooks_on_without_showing(ignore_is_tracing: bool) -> tuple[()] | None:
    """Before 2.8: an empty tuple in place of a pair. Hooks cannot be disallowed where there are some."""
    try:
        with torch.autograd.graph.disable_saved_tensors_hooks("lazify asks whether there are any"):
            return None
    except RuntimeError:
        return ()


_of_autograd = getattr(torch._C, "_autograd", None)
HigherOrderOperator = _private("torch._ops.HigherOrderOperator")
#: (True) -> the innermost pair of `saved_tensors_hooks` of this thread, or None.
saved_tensors_hooks_on: Any = getattr(_of_autograd, "_top_saved_tensors_default_hooks", _hooks_on_without_showing)

#: The code of activation checkpointing: of the kind that runs without gradients first, and of the function for both
#: kinds, as the other is known by its hooks on saved tensors only where torch tells of them.
_CHECKPOINTING = (
    _private("torch.utils.checkpoint.CheckpointFunction.forward.__code__"),
    inspect.unwrap(checkpoint).__code__,
)


def recomputed_later() -> bool:
    """Whether activation checkpointing is going to run this code again, with the random numbers of this time."""
    if hooks := saved_tensors_hooks_on(True):
        return getattr(hooks[0], "__module__", None) == checkpoint.__module__
    if hooks is None and torch.is_grad_enabled():
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code not in _CHECKPOINTING:
        frame = frame.f_back
    return frame is not None


_set_versions = _private("torch._C._autograd._unsafe_set_version_counter")


def set_versions(tensors: tuple[torch.Tensor, ...], versions: tuple[int, ...]) -> None:
    """Set how often each tensor is said to have been changed in place."""
    try:
        _set_versions(tensors, versions)
    except TypeError:  # before 2.7 one tensor at a time
        for tensor, version in zip(tensors, versions, strict=True):
            _set_versions(tensor, version)


def is_fx_tracing(*arguments: Any) -> bool:
    """Whether torch.fx traces this call: it has exchanged `nn.Module.__call__`, and hands proxies in."""
    return torch.nn.Module.__call__ is not MODULE_CALL and any(isinstance(each, torch.fx.Proxy) for each in arguments)


#: Read and set the graph that `torch.jit.trace`, and what builds on it, writes in this thread; None for none.
tracing_state, set_tracing_state = _private("torch._C._get_tracing_state"), _private("torch._C._set_tracing_state")
#: () -> how many dispatch modes there are. (What traces before autograd, as `make_fx` can, is a function mode, too.)
dispatch_modes = _private("torch._C._len_torch_dispatch_stack")
_mode, _early_mode = _private("torch._C._get_dispatch_mode"), _private("torch._ops._get_dispatch_mode_pre_dispatch")
_PROXY = _private("torch._C._TorchDispatchModeKey.PROXY")


def graph_tracer() -> str:
    """The tracer of torch that writes into a graph what this thread does; empty if there is none."""
    if tracing_state() is not None:
        return "torch.jit.trace"
    return "" if _mode(_PROXY) is None and _early_mode(_PROXY) is None else "make_fx"


def is_made_here(tensor: torch.Tensor) -> bool:
    """Whether a tensor made now, with nothing said, would be on the device of this one (without modes, the CPU)."""
    return tensor.device == default_device() if function_modes() else tensor.is_cpu


#: Loggers that report every failed operation on fake tensors as an error.
FAKE_LOGGERS = ("torch._subclasses.fake_tensor",)

#: What torch does to uninitialized tensors: changes of dtype and device.
ALLOWED_ON_UNINITIALIZED = _private("torch.nn.UninitializedParameter._allowed_methods")
#: () -> a context in which tensor subclasses are handled as plain tensors.
without_torch_function = _private("torch._C.DisableTorchFunctionSubclass")


def forget_hooks(tensor: torch.Tensor) -> None:
    """Remove all hooks of a tensor, and the dicts that hold them: else torch takes the next ones for registered."""
    with without_torch_function():
        for name in ("_backward_hooks", "_post_accumulate_grad_hooks"):
            if (hooks := getattr(tensor, name)) is not None:
                hooks.clear()  # torch may still hold it
                setattr(tensor, name, None)


def without_symbolic_sizes(tensor: torch.Tensor) -> torch.Tensor:
    """Of a compiler's fake tensor, whose sizes may be symbols, a fake with sizes that are numbers."""
    if not isinstance(tensor, FakeTensor):
        return tensor
    with FakeMode():
        return torch.empty([int(size) for size in tensor.shape], dtype=tensor.dtype, device=tensor.device)


@contextmanager
def without_compiling() -> Iterator[None]:
    """Functions that `torch.compile` made run as they were written, and Dynamo takes note of no code.

    (Else it notes, for good, that code which ran in a dispatch mode is not to be compiled.)
    """
    dynamo = _private("torch._dynamo.eval_frame")
    if hasattr(dynamo, "_stance"):
        name, made = "_stance", dynamo.DynamoStance("force_eager")
    else:  # before 2.6
        name, made = (
            "set_eval_frame",
            functools.partial(lambda function, callback: function(None), dynamo.set_eval_frame),
        )
    before = getattr(dynamo, name)
    setattr(dynamo, name, made)
    try:
        yield
    finally:
        if getattr(dynamo, name) is made:  # else another thread has set it
            setattr(dynamo, name, before)


_eval_frame = _private("torch._C._dynamo.eval_frame")


def skip_dynamo(function: F) -> F:
    """Run this function, and what it calls, as plain Python where Dynamo would compile the frame, or trace into it."""
    try:  # not `torch.compiler.disable`: it takes microseconds a call, and a second to import
        skipped = _with_frames_skipped(function)
    except (AttributeError, UnsupportedTorchError):
        return cast("F", torch.compiler.disable(function))
    for each in {function, skipped}:
        setattr(each, "_torchdynamo_disable", True)
    return skipped


def _with_frames_skipped(function: F) -> F:
    if not hasattr(_eval_frame, "skip_code"):  # from 2.7 on
        skip = _eval_frame._FrameAction.SKIP
        _eval_frame.set_code_exec_strategy(cast("Any", function).__code__, _eval_frame._FrameExecStrategy(skip, skip))
        return function

    @functools.wraps(function)
    def without_dynamo(*args: Any, **kwargs: Any) -> Any:
        callback = _eval_frame.set_eval_frame(None)
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # shown with one frame of lazify, this one
            raise error.with_traceback(cast("Any", error.__traceback__).tb_next.tb_next)  # noqa: B904
        finally:
            _eval_frame.set_eval_frame(callback)

    for each in (function, without_dynamo):
        _eval_frame.skip_code(cast("Any", each).__code__)
    return cast("F", without_dynamo)


_use_count = _private("torch.Tensor._use_count")


def is_shared_with_autograd(tensor: torch.Tensor) -> bool:
    """Whether a graph that is still alive ends in this tensor (then `swap_tensors` would poison it)."""
    return int(_use_count(tensor)) > 1
