"""Operations: methods called on a lazy instance, recorded so that they can be replayed on the real module.

lazy.eval()  ->  Operation("eval", (), {}) in the history  ->  first call: real.eval()

What each kind of operation does, and when, stands in `operation_table`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

import torch
from torch import nn

from lazify._module_tree import own_tensors, walk

__all__ = ["Operation", "attached", "conversion_from_closure", "converted", "getter_codes", "has_setter"]


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

    def call_on(self, target: nn.Module) -> Any:
        """Call the method of the target's own class."""
        return getattr(target, self.method)(*self.args, **self.kwargs)

    def call_base_on(self, target: nn.Module) -> Any:
        """Call the method of `nn.Module`, which runs no code of the target's class."""
        return getattr(nn.Module, self.method)(target, *self.args, **self.kwargs)


def has_setter(cls: type, name: str) -> bool:
    """Whether setting an attribute runs code of the class: a property's setter, or that of another descriptor."""
    found = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    return hasattr(type(found), "__set__") and not isinstance(found, (GetSetDescriptorType, MemberDescriptorType))


def getter_codes(cls: type) -> set[CodeType]:
    """The code of the getters of a class's properties."""
    properties = [each for base in cls.__mro__ for each in vars(base).values() if isinstance(each, property)]
    return {code for each in properties if (code := getattr(each.fget, "__code__", None)) is not None}


def converted(conversion: Operation, tensor: Any) -> Any:
    """A parameter or buffer after a conversion of a module that holds it alone."""
    holder = nn.Module()
    if isinstance(tensor, nn.Parameter):
        holder.tensor = tensor
    else:
        holder.register_buffer("tensor", tensor)
    conversion.call_on(holder)
    return holder.tensor


def conversion_from_closure(function: Any) -> Operation | None:
    """The conversion that an outer module passes on to its submodules; None if `function` is not one of torch's.

    `model.to(...)` and the like call `_apply` of each submodule with a local function, which cannot be pickled. Its
    qualified name says which conversion it is, and its closure holds the arguments.
    """
    if getattr(function, "__module__", None) != nn.Module.__module__:
        return None
    _, name, *_ = function.__qualname__.split(".")
    closure = dict(inspect.getclosurevars(function).nonlocals)
    if "convert_to_format" in closure:
        closure["memory_format"] = closure.pop("convert_to_format")
    return Operation(name, (), {key: value for key, value in closure.items() if value is not None})


def attached(operations: Iterable[Operation]) -> Iterator[Any]:
    """Modules and tensors of the user in operations, with the modules and tensors inside them.

    They are arguments of an operation, or constructor arguments on which it was performed at once.
    """
    for operation in operations:
        for value in (*operation.args, *operation.kwargs.values(), *operation.applied_to):
            if isinstance(value, torch.Tensor):
                yield value
            elif isinstance(value, nn.Module):
                for _, module in walk(value):
                    yield module
                    yield from own_tensors(module)
