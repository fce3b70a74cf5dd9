"""Attributes that trial constructions agree on: they are known before the first call, whatever will be inferred.

modules built with several values of what is open  ->  Agreement: path -> attributes with the same value in all of them
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from lazify._isolation import CopySources
from lazify._module_tree import is_deferred, walk
from lazify._recipe.construction import slot_values
from lazify._torch import COMPILED_CALL, FakeTensor

__all__ = ["STRUCTURE", "Agreement", "fresh"]

#: Attributes that every module has: its tensors, submodules and hooks, the training flag.
STRUCTURE = frozenset({*vars(nn.Module()), COMPILED_CALL})

_DICTS, _SETS, _SEQUENCES = (dict, OrderedDict), (set, frozenset), (list, tuple, torch.Size)
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, range, slice)
_DIFFERENT: Any = object()


class Agreement:
    """What modules that were built one after the other have in common.

    Args:
        module: the first of them.
        sources: of the copies in it, what they are copies of.

    Attributes:
        known: path of a submodule -> its attributes with the same value in all modules. Where these values are copies
            of the user's objects, the objects stand here.
        containers: path of a submodule -> those of its lists, dicts and the like that have equal contents in all. They
            belong to the modules: the real one will have others.
        open: path of a submodule -> the names of its other attributes.
    """

    def __init__(self, module: nn.Module, sources: CopySources) -> None:
        self._first = {path: dict(_own_attributes(each)) for path, each in walk(module)}
        self._sources = sources
        self.known = {path: dict(attributes) for path, attributes in self._first.items()}
        self.containers: dict[str, dict[str, Any]] = {path: {} for path in self._first}
        self.open: dict[str, set[str]] = {path: set() for path in self._first}

    def compare(self, other: nn.Module, sources: CopySources) -> None:
        """Take in another module, with submodules at the same paths."""
        found = {path: dict(_own_attributes(each)) for path, each in walk(other)}
        for path, attributes in self._first.items():
            theirs = found.get(path, {})
            for name in (attributes.keys() | theirs.keys()) - self.open[path]:
                one, two = attributes.get(name, _DIFFERENT), theirs.get(name, _DIFFERENT)
                self._note(path, name, one, _agreed(one, two, self._sources, sources))

    def forget(self) -> None:
        """Take nothing for known: there was no module to prove it."""
        for path, attributes in self._first.items():
            for name, value in attributes.items():
                self._note(path, name, value, _DIFFERENT)

    def _note(self, path: str, name: str, one: Any, agreed: Any) -> None:
        self.known[path].pop(name, None)
        self.containers[path].pop(name, None)
        if agreed is _DIFFERENT:
            self.open[path].add(name)
        elif _is_mutable(agreed) and agreed is not _source(one, self._sources):
            self.containers[path][name] = agreed
        else:
            self.known[path][name] = agreed


def _own_attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and values of the attributes of a module itself, in its `__dict__` and in slots."""
    if not is_deferred(module):
        yield from ((name, value) for name, value in vars(module).items() if name not in STRUCTURE)
        yield from slot_values(module).items()


def _source(value: Any, sources: CopySources) -> Any:
    """What a value is a copy of; else the value itself."""
    return sources.get(id(value), (value,))[0]


def _agreed(one: Any, other: Any, sources: CopySources, other_sources: CopySources) -> Any:
    """The value that two attributes have in common.

    They have if they are one object, which then belongs to neither module alone, or copies of one; or if they are plain
    values of one type that are equal, or containers of such. A device is never known, as an object or by its name:
    trial constructions are not on the device of the real one.
    """
    one, other = _source(one, sources), _source(other, other_sources)
    kind = type(one)
    is_device = kind is torch.device or (kind is str and one.partition(":")[0] in ("cpu", "meta"))
    if one is _DIFFERENT or other is _DIFFERENT or kind is not type(other) or is_device or isinstance(one, FakeTensor):
        return _DIFFERENT
    if one is other or (kind in _PLAIN and one == other):
        return one
    if kind in _DICTS and list(one) == list(other):
        values = _agreed_items(one.values(), other.values(), sources, other_sources)
        return _DIFFERENT if values is None else kind(zip(one, values, strict=True))
    if kind in _SETS and one == other and all(type(each) in _PLAIN for each in one):
        return kind(one)
    if kind in _SEQUENCES or (isinstance(one, tuple) and hasattr(one, "_make")):
        items = _agreed_items(one, other, sources, other_sources)
        make: Any = getattr(one, "_make", kind)
        return _DIFFERENT if items is None else make(items)
    return _DIFFERENT


def _agreed_items(one: Any, other: Any, sources: CopySources, other_sources: CopySources) -> list[Any] | None:
    """The items that two containers have in common; None if any differ, or are the user's own containers."""
    if len(one) != len(other):
        return None
    items = [_agreed(a, b, sources, other_sources) for a, b in zip(one, other, strict=True)]
    users = [each for a, each in zip(one, items, strict=True) if _is_mutable(each) and each is _source(a, sources)]
    return None if users or any(each is _DIFFERENT for each in items) else items


def _is_mutable(value: Any) -> bool:
    """Whether a value is a list, dict or set, or a tuple that holds one."""
    return type(value) in (*_DICTS, set, list) or (isinstance(value, tuple) and any(map(_is_mutable, value)))


def fresh(value: Any) -> Any:
    """A copy of a container and of the containers in it, which holds the same other objects."""
    kind = type(value)
    if kind in _DICTS:
        return kind((key, fresh(each)) for key, each in value.items())
    if kind in (list, set):
        return kind(map(fresh, value))
    if isinstance(value, tuple) and _is_mutable(value):
        return getattr(kind, "_make", kind)(map(fresh, value))
    return value
