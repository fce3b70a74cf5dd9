"""Nested arguments: the one walk over lists, tuples, mappings and dataclasses, and what is read with it."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch.nn.parameter import is_lazy

from lazify._module_tree import walk

__all__ = ["PLAIN", "SameObject", "all_plain", "cache_key", "children", "describe", "keep", "tensor_paths", "tensors"]

V = TypeVar("V")

_PLAIN = (int, float, bool, str, type(None), type, torch.dtype, torch.device)
#: Types of values that hold nothing else and do not change.
PLAIN: frozenset[type] = frozenset(_PLAIN)


def children(value: Any) -> list[tuple[Any, Any]] | None:
    """What a container holds, each item with its index, key or field name; None of what is no container.

    >>> children({"a": 1}), children([2, 3]), children("ab")
    ([('a', 1)], [(0, 2), (1, 3)], None)
    """
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if isinstance(value, Mapping):
        return list(value.items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f.name, getattr(value, f.name, None)) for f in dataclasses.fields(value)]
    return None


def tensors(value: Any, outer: tuple[int, ...] = ()) -> Iterator[torch.Tensor]:
    """The tensors in a nested argument, in order; a container inside itself is passed over.

    >>> [t.shape[0] for t in tensors([torch.empty(2), {"a": (torch.empty(3), None)}])]
    [2, 3]
    """
    if isinstance(value, torch.Tensor):
        yield value
    elif id(value) not in outer:
        for _, child in children(value) or ():
            yield from tensors(child, (*outer, id(value)))


def tensor_paths(value: Any, path: str, outer: tuple[int, ...] = ()) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in a nested argument, each with the expression that reads it.

    >>> [path for path, _ in tensor_paths({"a": (torch.empty(3), None)}, "batch")]
    ["batch['a'][0]"]
    """
    if isinstance(value, torch.Tensor):
        yield path, value
    elif id(value) not in outer:
        is_indexed = isinstance(value, (list, tuple, Mapping))
        for key, child in children(value) or ():
            yield from tensor_paths(child, f"{path}[{key!r}]" if is_indexed else f"{path}.{key}", (*outer, id(value)))


def describe(value: Any, outer: tuple[int, ...] = ()) -> str:
    """An argument as an error shows it: shapes, never values.

    >>> describe({"a": torch.empty(2, 3), "b": [1, None]})
    "{'a': (2, 3) float32, 'b': [int, None]}"
    """
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if id(value) in outer:
        return "..."
    inside = [(key, describe(child, (*outer, id(value)))) for key, child in children(value) or ()]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {child}" for key, child in inside) + "}"
    if isinstance(value, (list, tuple)):
        items = ", ".join(child for _, child in inside)
        return f"[{items}]" if isinstance(value, list) else f"({items})"
    if inside:
        return f"{type(value).__name__}({', '.join(f'{key}={child}' for key, child in inside)})"
    return "None" if value is None else type(value).__name__


def all_plain(values: Iterable[Any]) -> bool:
    """Whether these do not change, and hold nothing that does: numbers, texts and the like, and tuples of them."""
    return PLAIN.issuperset(map(type, values)) or all(
        type(each) in PLAIN or (type(each) is tuple and all_plain(each)) for each in values
    )


# ---------------------------------------------------------------------------------------------
# Keys of caches


class SameObject(weakref.ref[Any]):
    """A key for one object as long as it lives, whether or not it has a hash or compares to one truth."""

    __slots__ = ("_hash",)
    _hash: int

    def __new__(cls, value: Any) -> SameObject:
        made = super().__new__(cls, value)
        made._hash = id(value)
        return made

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        value = self()
        return isinstance(other, SameObject) and value is not None and value is other()


def cache_key(value: Any, outer: tuple[int, ...] = ()) -> Any:
    """A hashable description of arguments that keeps nothing of them alive: shapes, types, plain values."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, torch.Tensor):
        return (type(value),) if is_lazy(value) else (tuple(value.shape), value.dtype)
    if id(value) in outer:
        return outer.index(id(value))  # inside itself
    if isinstance(value, torch.nn.Module):
        return tuple(_module_key(path, each, (*outer, id(value))) for path, each in walk(value))
    if (inside := children(value)) is not None:
        outer = (*outer, id(value))
        return (type(value), *((cache_key(key), cache_key(child, outer)) for key, child in inside))
    try:
        return SameObject(value)  # a function, say
    except TypeError:
        return object()  # an object that cannot be referred to weakly: equal to no other


def keep(cache: dict[Any, V], key: Any, value: V, most: int) -> V:
    """Put a value into a cache of at most this many; if it is full, what was kept first goes."""
    if len(cache) >= most:
        cache.pop(next(iter(cache)), None)
    cache[key] = value
    return value


def _module_key(path: str, module: torch.nn.Module, outer: tuple[int, ...]) -> Any:
    """What tells a module apart from others of its class: its attributes, the shapes of its tensors."""
    if "_parameters" not in vars(module):
        return (path, SameObject(module))  # a lazy instance
    attributes = [(name, cache_key(each, outer)) for name, each in list(vars(module).items()) if name != "_modules"]
    return (path, type(module), *attributes)
