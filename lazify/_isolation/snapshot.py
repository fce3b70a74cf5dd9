"""A snapshot of everything that a trial run can reach, and how it is brought back.

values and classes -> walk: containers, objects, modules, functions with their globals, closures and defaults
                   -> one record for each thing that can change -> `restore` writes back what is no longer the same
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from lazify._isolation import records
from lazify._isolation.quiet import uncached_here
from lazify._isolation.reach import is_users, names_in, namespaces_of
from lazify._isolation.records import MISSING, Record, Settings
from lazify._module_tree import STATE_KEY
from lazify._torch import COMPILED_CALL, FakeTensor, is_transformed

__all__ = ["Snapshot"]

#: More than this is not looked at.
MOST_OBJECTS = 30_000

_ATOMS = frozenset(
    {int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device, torch.Size, range, slice, ModuleType}
)
#: In the `__dict__` of a lazy instance, and of one whose first call is under way: these take care of themselves.
_LAZY_KEYS = (STATE_KEY, COMPILED_CALL)
_LRU = type(functools.lru_cache(is_users))


class Snapshot:
    """What values and classes can reach, as it is now.

    Args:
        roots: arguments, modules, hooks, functions, classes.

    Attributes:
        names: every name that reachable code of the user's looks up.
        seen: ids of everything that was reached.
    """

    def __init__(self, *roots: Any) -> None:
        self.names: set[str] = set()
        self.seen: set[int] = set()
        self._records: list[Record] = []
        self._cached: list[tuple[Callable[[Any], None], Any]] = []
        self._todo: list[Any] = []  # keeps what was reached alive, so that ids stay taken
        self._bindings: set[tuple[int, str]] = set()
        self._add_all(roots)
        at = 0
        while at < len(self._todo) and at < MOST_OBJECTS:
            self._expand(self._todo[at])
            at += 1
        self._settings = Settings(self.names)

    def bypass_caches(self) -> None:
        """Let cached functions compute anew in a trial run, until `restore`: no fake gets into a cache."""
        for put, cached in self._cached:
            put(uncached_here(cached))

    def restore(self) -> None:
        """Write back what has changed since, and only that."""
        for restore, target, before in reversed(self._records):
            with suppress(AttributeError, TypeError):  # what became read-only meanwhile
                restore(target, before)
        self._settings.restore()

    # the walk

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            if type(value) not in _ATOMS and id(value) not in self.seen:
                self.seen.add(id(value))
                self._todo.append(value)

    def _expand(self, value: Any) -> None:
        kind = type(value)
        if (expand := _EXPAND.get(kind)) is not None:
            expand(self, value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, torch.Tensor):
            self._tensor(value)
        elif isinstance(value, nn.Module):
            self._module(value)
        else:
            for base, expand in _EXPAND_INSTANCES:
                if isinstance(value, base):
                    expand(self, value)
            if is_users(kind.__module__) or isinstance(value, threading.local):
                self._object(value)
            self._state(value)

    def _dict(self, value: dict[Any, Any]) -> None:
        items = list(OrderedDict.items(value) if isinstance(value, OrderedDict) else dict.items(value))
        self._records.append((records.restore_dict, value, items))
        for key, each in items:
            if type(each) not in _ATOMS or type(key) not in _ATOMS:
                self._add_all((key, each))
        self._find_cached(items, functools.partial(dict.__setitem__, value))

    def _list(self, value: list[Any]) -> None:
        items = list(list.__iter__(value))
        self._records.append((records.restore_list, value, items))
        self._add_all(items)

    def _deque(self, value: deque[Any]) -> None:
        items = list(deque.__iter__(value))
        self._records.append((records.restore_deque, value, items))
        self._add_all(items)

    def _set(self, value: set[Any]) -> None:
        items = list(set.__iter__(value))
        self._records.append((records.restore_set, value, items))
        self._add_all(items)

    def _fixed(self, value: Any) -> None:
        self._add_all(tuple.__iter__(value) if isinstance(value, tuple) else frozenset.__iter__(value))

    def _object(self, value: Any) -> None:
        """An object of a class of the user's: its `__dict__`, slots and class."""
        kind = type(value)
        self._add_all((kind,))
        state = _DICT.__get__(value) if isinstance(value, nn.Module) else getattr(value, "__dict__", None)
        if isinstance(state, dict):
            self._add_all((state,))
        for slot in _slots(kind):
            before = records.content_of_slot(value, slot)
            self._records.append((records.restore_slot, (value, slot), before))
            self._add_all((before,))

    def _module(self, module: nn.Module) -> None:
        state = _DICT.__get__(module)
        if not any(key in state for key in _LAZY_KEYS):
            self._records.append((records.restore_class, module, type(module)))
            self._object(module)

    def _tensor(self, tensor: torch.Tensor) -> None:
        if type(tensor) is not FakeTensor and not is_transformed(tensor):
            facts = records.tensor_facts(tensor)
            self._records.append((records.restore_tensor, tensor, facts))
            self._add_all(facts[2:3])  # its gradient

    # code

    def _function(self, function: FunctionType) -> None:
        if not is_users(function.__module__) and not is_users(function.__globals__.get("__name__")):
            return
        before = (function.__defaults__, function.__kwdefaults__)
        self._records.append((records.restore_defaults, function, before))
        self._add_all((*before, function.__dict__, *(function.__closure__ or ())))
        names = names_in(function.__code__)
        self.names.update(names)
        for namespace in namespaces_of(function):
            for name in names:
                self._binding(namespace, name)

    def _binding(self, namespace: dict[str, Any], name: str) -> None:
        if (id(namespace), name) in self._bindings:
            return
        self._bindings.add((id(namespace), name))
        value = namespace.get(name, MISSING)
        self._records.append((records.restore_binding, (namespace, name), value))
        if type(value) is ModuleType:
            self.names.add(value.__name__.partition(".")[0])
        elif value is not MISSING:
            self._add_all((value,))
            self._find_cached(((name, value),), functools.partial(dict.__setitem__, namespace))

    def _cell(self, cell: CellType) -> None:
        content = records.content_of_cell(cell)
        self._records.append((records.restore_cell, cell, content))
        if content is not MISSING:
            self._add_all((content,))
            self._find_cached((("cell_contents", content),), functools.partial(setattr, cell))

    def _class(self, cls: type) -> None:
        if is_users(cls.__module__):
            items = list(vars(cls).items())
            self._records.append((records.restore_class_attributes, cls, items))
            self._add_all(value for _, value in items)
            self._add_all((*cls.__mro__, type(cls)))
            self._find_cached(items, functools.partial(type.__setattr__, cls))

    def _find_cached(self, items: Iterable[tuple[Any, Any]], put: Callable[[Any, Any], None]) -> None:
        for name, value in items:
            kind = type(value)
            if kind is _LRU:
                self._cached.append((functools.partial(put, name), value))
            elif kind in (staticmethod, classmethod) and type(value.__func__) is _LRU:
                self._cached.append((_wrapped(put, name, kind), value.__func__))

    def _state(self, value: Any) -> None:
        if (state := records.opaque_state(value)) is not None:
            self._records.append((state[0], value, state[1]))


def _wrapped(put: Callable[[Any, Any], None], name: Any, kind: Any) -> Callable[[Any], None]:
    return lambda function: put(name, kind(function))


_slots_of: weakref.WeakKeyDictionary[type, tuple[MemberDescriptorType, ...]] = weakref.WeakKeyDictionary()


def _slots(kind: type) -> tuple[MemberDescriptorType, ...]:
    if (found := _slots_of.get(kind)) is None:
        users = (cls for cls in kind.__mro__ if is_users(cls.__module__) and "__slots__" in vars(cls))
        members = (each for cls in users for each in vars(cls).values())
        found = _slots_of[kind] = tuple(each for each in members if type(each) is MemberDescriptorType)
    return found


def _parts(*names: str) -> Callable[[Snapshot, Any], None]:
    def expand(snapshot: Snapshot, value: Any) -> None:
        snapshot._add_all(getattr(value, name, None) for name in names)

    return expand


def _target(snapshot: Snapshot, reference: Any) -> None:
    snapshot._add_all((reference(),))


#: Past every `__getattribute__` of a class.
_DICT: Any = vars(nn.Module)["__dict__"]

_EXPAND: dict[type, Callable[[Snapshot, Any], None]] = {
    dict: Snapshot._dict,
    list: Snapshot._list,
    tuple: Snapshot._fixed,
    set: Snapshot._set,
    frozenset: Snapshot._fixed,
    FunctionType: Snapshot._function,
    CellType: Snapshot._cell,
    MethodType: _parts("__func__", "__self__"),
    functools.partial: _parts("func", "args", "keywords"),
    staticmethod: _parts("__func__"),
    classmethod: _parts("__func__"),
    property: _parts("fget", "fset", "fdel"),
    functools.cached_property: _parts("func"),
    _LRU: _parts("__wrapped__"),
    SimpleNamespace: _parts("__dict__"),
    weakref.ref: _target,
}
_EXPAND_INSTANCES: tuple[tuple[Any, Callable[[Snapshot, Any], None]], ...] = (
    (dict, Snapshot._dict),
    (list, Snapshot._list),
    (deque, Snapshot._deque),
    (set, Snapshot._set),
    ((tuple, frozenset), Snapshot._fixed),
    (functools.partial, _parts("func", "args", "keywords")),
    (weakref.ref, _target),
)
