"""Operations: methods called on a lazy instance, recorded so that they can be replayed on the real module.

lazy.eval()  ->  applied to the preview  ->  Operation("eval", (), {}) in the history  ->  first call: real.eval()
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from lazify._module_tree import own_tensors, walk
from lazify._torch import methods_of_modules

__all__ = [
    "CONVERTING",
    "FLAGGING",
    "HOOKING",
    "IMMEDIATE",
    "Operation",
    "RecordsOperations",
    "attached",
    "own_methods",
]

#: Methods that set flags. Modules that the user passed to the constructor get the flag at once.
FLAGGING = ("train", "eval", "requires_grad_")
#: Methods that are only recorded, and run on the real module.
DEFERRED = ("apply", "compile", "requires_grad_", "zero_grad")
#: Methods that are only recorded, of classes that define them: torch and trainers call these names on any module.
CLASS_DEFINED = ("reset_parameters",)
#: Methods that convert tensors. They are recorded, and run at once on an empty module: to raise errors early, and to
#: see whether a device was chosen.
CONVERTING = """
    _apply to to_empty cpu cuda ipu xpu mtia type float double half bfloat16 share_memory
""".split()
#: Methods that are recorded, and run at once on `History.attached_to`, so that the lazy instance shows the change.
IMMEDIATE = """
    train eval register_buffer register_parameter add_module register_module set_submodule
""".split()
#: Methods that do the same and return a handle, which must work on the real module, too.
HOOKING = """
    register_forward_pre_hook register_forward_hook register_full_backward_pre_hook register_full_backward_hook
    register_backward_hook register_state_dict_post_hook register_state_dict_pre_hook _register_state_dict_hook
    _register_load_state_dict_pre_hook register_load_state_dict_pre_hook register_load_state_dict_post_hook
""".split()


@dataclass(eq=False)
class Operation:
    """One method call, on a lazy instance or on a submodule of its preview.

    Attributes:
        method: the name of the method.
        args, kwargs: its arguments.
        hook_id: id of the hook that the method registered; None if it registers none.
        path: path of the submodule; empty for the lazy instance itself.
        hook_removed: whether the hook was removed since.
        applied_to: constructor arguments on which the method was called at once.
    """

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    hook_id: int | None = None
    path: str = ""
    hook_removed: bool = False
    applied_to: tuple[nn.Module, ...] = ()


class RecordsOperations:
    """Base of lazy instances and of submodules of a preview: operations are recorded, to be replayed later."""

    # No `__slots__` here. Python assigns `__class__` only between classes of the same layout, and `nn.Module` has a
    # `__dict__`.

    #: Whether an operation is being applied: methods that it calls are not recorded.
    _recording_paused: bool = False

    def _lazify_apply_now(self, operation: Operation) -> Any:
        """Apply an operation to the preview as far as possible; returns what the method of `nn.Module` returns."""
        raise NotImplementedError

    def _hook_handles(self) -> dict[int, RemovableHandle]:
        """Hook id -> the user's handle."""
        raise NotImplementedError

    def _apply_from_parent(self, operation: Operation, live: bool) -> None:
        """Record an operation performed on an outer module. For `live`, see `Preview.apply`."""
        raise NotImplementedError

    def _lazify_record(self, operation: Operation, handle: RemovableHandle | None = None) -> None:
        """Add an operation to the history; `handle` is the user's handle on the hook that it registered."""
        raise NotImplementedError

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Save as the class does, without detaching placeholders: `detach` may count as a use of their values."""
        before = set(destination)
        super()._save_to_state_dict(destination, prefix, keep_vars=True)  # type: ignore[misc]
        for name in destination.keys() - before if not keep_vars else ():
            value = destination[name]
            if isinstance(value, torch.Tensor) and not is_lazy(value):
                destination[name] = value.detach()


_signature = functools.cache(inspect.signature)


def _recorded(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that records calls of `original`, a method of `nn.Module` or of a class derived from it."""
    name = original.__name__

    @functools.wraps(original)
    def method(self: RecordsOperations, *args: Any, **kwargs: Any) -> Any:
        if self._recording_paused:
            return original(self, *args, **kwargs)
        _signature(original).bind(self, *args, **kwargs)
        operation = (conversion_from_closure(args[0]) if name == "_apply" and args else None) or Operation(
            name, args, kwargs
        )
        result = self._lazify_apply_now(operation)
        handle = result if name in HOOKING else None
        if handle is not None:
            operation.hook_id = handle.id
        self._lazify_record(operation, handle)
        return None if name in ("compile", "zero_grad", *CLASS_DEFINED) else result

    return method


def conversion_from_closure(function: Any) -> Operation | None:
    """The conversion that an outer module passes on to its submodules; None if `function` is no conversion.

    `model.to(...)` and the like call `_apply` of each submodule with a local function, which cannot be pickled. Its
    qualified name says which conversion it is, and its closure holds the arguments.
    """
    if getattr(function, "__module__", None) != nn.Module.__module__:
        return None
    _, name, *_ = function.__qualname__.split(".")
    closure = dict(inspect.getclosurevars(function).nonlocals)
    if "convert_to_format" in closure:
        closure["memory_format"] = closure.pop("convert_to_format")
    kwargs = {key: value for key, value in closure.items() if value is not None}
    return Operation(name, (), kwargs) if name in CONVERTING else None


for _name, _method in methods_of_modules((*DEFERRED, *CONVERTING, *IMMEDIATE, *HOOKING)).items():
    setattr(RecordsOperations, _name, _recorded(_method))


def own_methods(cls: type[nn.Module]) -> dict[str, Callable[..., Any]]:
    """Recording versions of the methods in `CLASS_DEFINED` that a class has."""
    defined = [name for name in CLASS_DEFINED if inspect.isfunction(getattr(cls, name, None))]
    return {name: _recorded(getattr(cls, name)) for name in defined}


def attached(operations: Iterable[Operation]) -> Iterator[Any]:
    """Modules and tensors of the user in operations, with the modules and tensors inside them.

    They are arguments of an operation, or constructor arguments on which it was performed at once.
    """
    for value in (
        value
        for operation in operations
        for value in (*operation.args, *operation.kwargs.values(), *operation.applied_to)
    ):
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, nn.Module):
            for _, module in walk(value):
                yield module
                yield from own_tensors(module)
