"""The journal: what is done to a module that does not exist yet, to be done again to the real one.

lazy.eval()  ->  done at once, where that shows  ->  Entry("eval", (), {})  ->  first call: real.eval()
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

#: Set flags: what is the user's own gets them at once.
FLAGGING = ("train", "eval", "requires_grad_")
#: Wait for the real module altogether.
DEFERRED = ("apply", "compile", "requires_grad_", "zero_grad")
#: Likewise, where the class itself has them: a name that torch and its trainers call on any module.
OWN = ("reset_parameters",)
#: Likewise, but tried at once on an empty module: errors surface, and whether a device was chosen.
CONVERTING = """
    _apply to to_empty cpu cuda ipu xpu mtia type float double half bfloat16 share_memory
""".split()
#: Done at once to what stands in for the real module (so that the instance shows it), and recorded.
IMMEDIATE = """
    train eval register_buffer register_parameter add_module register_module set_submodule
""".split()
#: As those, with a handle that must go on working.
HOOKING = """
    register_forward_pre_hook register_forward_hook register_full_backward_pre_hook register_full_backward_hook
    register_backward_hook register_state_dict_post_hook register_state_dict_pre_hook _register_state_dict_hook
    _register_load_state_dict_pre_hook register_load_state_dict_pre_hook register_load_state_dict_post_hook
""".split()


@dataclass(eq=False)
class Operation:
    """One thing done to a module that does not exist yet."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    hook_id: int | None = None  # id of the hook that it registered
    path: str = ""  # of the submodule that it was done to
    hook_removed: bool = False  # that hook
    applied_to: tuple[nn.Module, ...] = ()  # constructor arguments to which it was done at once


class RecordsOperations:
    """A module that does not exist yet: what is done to it goes into a journal."""

    # no __slots__ here: with a __dict__ of its own this base has the layout of nn.Module,
    # without which Python refuses to assign __class__

    #: Whether something that was recorded is being done right now: its inner steps are not recorded again.
    _recording_paused: bool = False

    def _lazify_apply_now(self, operation: Operation) -> Any:
        """Do it at once, as far as possible, and return what the method of `nn.Module` would."""
        raise NotImplementedError

    def _hook_handles(self) -> dict[int, RemovableHandle]:
        """Where the handles on its hooks are kept."""
        raise NotImplementedError

    def _apply_from_parent(self, operation: Operation, live: bool) -> None:
        """Take note of what was done to a module around."""
        raise NotImplementedError

    def _lazify_record(self, operation: Operation, handle: RemovableHandle | None = None) -> None:
        raise NotImplementedError

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """As the class does it; what has no values yet is not detached, which might be taken for their use."""
        before = set(destination)
        super()._save_to_state_dict(destination, prefix, keep_vars=True)  # type: ignore[misc]
        for name in destination.keys() - before if not keep_vars else ():
            value = destination[name]
            if isinstance(value, torch.Tensor) and not is_lazy(value):
                destination[name] = value.detach()


_signature = functools.cache(inspect.signature)


def _recorded(original: Callable[..., Any]) -> Callable[..., Any]:
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
        return None if name in ("compile", "zero_grad", *OWN) else result

    return method


def conversion_from_closure(function: Any) -> Operation | None:
    """What a conversion of the model around looks like here: `_apply` with a local function, which cannot be pickled.

    `model.to(...)` and the like hand such a function to every module inside; its name and what it holds tell which.
    """
    if getattr(function, "__module__", None) != nn.Module.__module__:
        return None
    _, name, *_ = function.__qualname__.split(".")
    held = dict(inspect.getclosurevars(function).nonlocals)
    if "convert_to_format" in held:
        held["memory_format"] = held.pop("convert_to_format")
    applied_to = {key: value for key, value in held.items() if value is not None}
    return Operation(name, (), applied_to) if name in CONVERTING else None


for _name in (*DEFERRED, *CONVERTING, *IMMEDIATE, *HOOKING):
    setattr(RecordsOperations, _name, _recorded(getattr(nn.Module, _name)))


def own_methods(cls: type[nn.Module]) -> dict[str, Callable[..., Any]]:
    """What a class has of such methods itself, recorded."""
    return {name: _recorded(getattr(cls, name)) for name in OWN if inspect.isfunction(getattr(cls, name, None))}


def attached(operations: Iterable[Operation]) -> Iterator[Any]:
    """The modules and tensors of the user's own to which things are done at once, and what is inside."""
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
