"""A snapshot of everything that a trial run can reach, and how it is brought back.

values and classes -> walk: containers, objects, modules, functions with their globals, closures and defaults
                   -> one record for each thing that can change -> `restore` writes back what is no longer the same
"""

from __future__ import annotations

import abc
import contextvars
import functools
import gc
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import torch
from torch import nn

from lazify._isolation import snapshot_items
from lazify._isolation.copies import trial_copy
from lazify._isolation.process_settings import saved_settings
from lazify._isolation.reachable_names import is_looked_into, is_users, names_in, namespaces_of, stored_in
from lazify._isolation.snapshot_items import MISSING, SavedItem
from lazify._isolation.stand_ins import CACHED, StandIn, kept_results, stand_in
from lazify._module_tree import STATE_KEY
from lazify._torch import COMPILED_CALL, FakeTensor, is_transformed

__all__ = ["Snapshot"]

#: More objects than this are not looked at, and not more functions and classes: those that are nearest come first.
MOST_OBJECTS, MOST_CODE = 1_000_000, 10_000

_ATOMS = frozenset(
    {int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device, torch.Size, range, slice, ModuleType}
)

#: Names by which code has something run when an object goes.
_FINALIZING = frozenset({"__del__", "finalize", "ref", "proxy", "WeakMethod"})


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
        self._saved: list[SavedItem] = []
        self._replaceable: list[tuple[Callable[[Any, Any, Any], object], Any, Any, Any]] = []
        self._todo: list[Any] = []  # keeps what was reached alive, so that ids stay taken
        self._bindings: set[tuple[int, str]] = set()
        self._assigned: set[str] = set()  # attributes that reachable code assigns
        self._library_holders: dict[int, Any] = {}  # classes, functions and built-in objects that it names
        self._at = self._code = 0
        self.add(*roots)
        self._settings = [*saved_settings(self.names), *self._of_libraries()]

    def add(self, *roots: Any) -> None:
        """Take in what more values can reach."""
        self._add_all(roots)
        while self._at < len(self._todo) and self._at < MOST_OBJECTS:
            self._expand(self._todo[self._at])
            self._at += 1

    def put_stand_ins(self) -> None:
        """Let stand-ins take the places of caches, iterators and locks, until `restore`."""
        for put, holder, key, made in self._replaceable:
            put(holder, key, made)

    def restore(self) -> None:
        """Write back what has changed since, and only that."""
        passes = 1 if _FINALIZING.isdisjoint(self.names) else 2  # the first lets objects go, whose finalizers run
        for restore, target, before in (*reversed(self._saved), *self._settings) * passes:
            try:  # noqa: SIM105  (`suppress` takes as long as all the rest)
                restore(target, before)
            except (AttributeError, TypeError):  # it became read-only meanwhile
                pass

    # the walk

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            if type(value) not in _ATOMS and id(value) not in self.seen:
                self.seen.add(id(value))
                self._todo.append(value)

    def _expand(self, value: Any) -> None:
        kind = type(value)
        if kind is FunctionType or isinstance(value, type):
            self._code += 1
            if self._code > MOST_CODE:
                return
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
            elif is_looked_into(kind.__module__):
                self._library_object(value)
            if isinstance(value, BaseException):
                self._library_object(value)
                self._add_all(value.args)
            self._state(value)

    def _dict(self, value: dict[Any, Any]) -> None:
        items = snapshot_items.pairs(value)
        self._saved.append((snapshot_items.restore_dict, value, items))
        for key, each in items:
            if type(each) not in _ATOMS or type(key) not in _ATOMS:
                self._add_all((key, each))
                self._replace(dict.__setitem__, value, key, each)

    def _list(self, value: Any) -> None:
        base: Any = deque if isinstance(value, deque) else list
        items = list(base.__iter__(value))
        self._saved.append((snapshot_items.restore_list, value, items))
        for at, each in enumerate(items):
            if type(each) not in _ATOMS:
                self._add_all((each,))
                self._replace(base.__setitem__, value, at, each)

    def _set(self, value: set[Any]) -> None:
        items = list(set.__iter__(value))
        self._saved.append((snapshot_items.restore_set, value, items))
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
            before = snapshot_items.content_of_slot((value, slot))
            self._saved.append((snapshot_items.restore_slot, (value, slot), before))
            self._add_all((before,))
            self._replace(_set_slot, value, slot, before)

    def _library_object(self, value: Any) -> None:
        """An object of a library's class: its `__dict__` and what containers in it hold, not the library's objects."""
        state = getattr(value, "__dict__", None)
        if state is None:
            self._library_holders[id(value)] = value
        if type(state) is dict and id(state) not in self.seen:
            self.seen.add(id(state))
            self._todo.append(state)
            items = list(state.items())
            self._saved.append((snapshot_items.restore_dict, state, items))
            self._add_all(each for _, each in items if type(each) in _EXPAND or _is_own(each))
            for key, each in items:
                self._replace(dict.__setitem__, state, key, each)

    def _module(self, module: nn.Module) -> None:
        """A module, except a lazy one and one that is becoming real: these take care of themselves."""
        state = _DICT.__get__(module)
        gate = state.get(COMPILED_CALL)
        if STATE_KEY not in state and (gate is None or getattr(gate, "has_passed", False)):
            self._saved.append((snapshot_items.restore_class, module, type(module)))
            self._object(module)

    def _tensor(self, tensor: torch.Tensor) -> None:
        if type(tensor) is not FakeTensor and not is_transformed(tensor):
            facts = snapshot_items.tensor_facts(tensor)
            self._saved.append((snapshot_items.restore_tensor, tensor, facts))
            self._add_all((facts[2], facts[5], *snapshot_items.attributes_of(tensor)))  # gradient, hooks

    # code

    def _function(self, function: FunctionType) -> None:
        if not is_users(function.__module__) and not is_users(function.__globals__.get("__name__")):
            return
        before = (function.__defaults__, function.__kwdefaults__)
        self._saved.append((snapshot_items.restore_attribute, (function, "__defaults__"), before[0]))
        self._saved.append((snapshot_items.restore_attribute, (function, "__kwdefaults__"), before[1]))
        self._add_all((*before, function.__dict__, *(function.__closure__ or ())))
        defaults = tuple(_or_itself(each) for each in before[0] or ())
        if any(one is not other for one, other in zip(defaults, before[0] or (), strict=True)):
            self._replaceable.append((setattr, function, "__defaults__", defaults))
        names, stored = names_in(function.__code__), stored_in(function.__code__)
        self.names.update(names)
        self._assigned.update(stored)
        own, libraries = namespaces_of(function)
        for namespace in own:
            for name in names:
                self._binding(namespace, name)
        for namespace in libraries:
            for name in names:
                self._library_binding(namespace, name, name in stored)
        if "globals" in names:
            self._add_all((function.__globals__,))
        if not {"__dict__", "vars"}.isdisjoint(names):
            self._add_all(each for each in own if each is not function.__globals__)

    def _binding(self, namespace: dict[str, Any], name: str) -> None:
        if (id(namespace), name) in self._bindings:
            return
        self._bindings.add((id(namespace), name))
        value = namespace.get(name, MISSING)
        self._saved.append((snapshot_items.restore_binding, (namespace, name), value))
        if type(value) is ModuleType:
            self.names.add(value.__name__.partition(".")[0])
        elif value is not MISSING:
            self._add_all((value,))
            self._replace(dict.__setitem__, namespace, name, value)

    def _library_binding(self, namespace: dict[str, Any], name: str, stored: bool) -> None:
        """What code assigns in a library's module, and containers there (`sys.path`), not what they hold."""
        if stored and (id(namespace), name) not in self._bindings:
            self._bindings.add((id(namespace), name))
            self._saved.append((snapshot_items.restore_binding, (namespace, name), namespace.get(name, MISSING)))
        value = namespace.get(name)
        if isinstance(value, (type, FunctionType)):
            self._library_holders[id(value)] = value
        if type(value) in (list, dict, set) and id(value) not in self.seen and value is not sys.modules:
            self.seen.add(id(value))
            self._saved.append(_shallow(value))

    def _cell(self, cell: CellType) -> None:
        content = snapshot_items.content_of_cell(cell)
        self._saved.append((snapshot_items.restore_cell, cell, content))
        if content is not MISSING:
            self._add_all((content,))
            self._replace(setattr, cell, "cell_contents", content)

    def _class(self, cls: type) -> None:
        if is_users(cls.__module__):
            items = list(vars(cls).items())
            self._saved.append((snapshot_items.restore_class_attributes, cls, items))
            self._add_all(value for _, value in items)
            self._add_all((*cls.__mro__, type(cls)))
            self.names.update(_FINALIZING & vars(cls).keys())
            for name, value in items:
                self._replace(type.__setattr__, cls, name, value)
            if isinstance(cls, abc.ABCMeta):
                self._saved.append((snapshot_items.restore_registered, cls, snapshot_items.registered_with(cls)))
        else:
            self._library_holders[id(cls)] = cls

    def _of_libraries(self) -> Iterator[SavedItem]:
        """What code assigns to classes and functions of libraries (`nn.Linear.forward = ...`), and registrations."""
        for holder in self._library_holders.values():
            before = snapshot_items.attributes_among(holder, self._assigned)
            if before or isinstance(holder, (type, FunctionType)):
                yield snapshot_items.restore_attributes, holder, (self._assigned, before)
            if isinstance(holder, abc.ABCMeta) and "register" in self.names:
                yield snapshot_items.restore_registered, holder, snapshot_items.registered_with(holder)

    def _replace(self, put: Callable[[Any, Any, Any], None], holder: Any, key: Any, value: Any) -> None:
        """Note that a stand-in is to take the place of a value, if there is one for it."""
        kind = type(value)
        if kind in (staticmethod, classmethod):
            if (made := stand_in(value.__func__, trial_copy)) is not None:
                self._replaceable.append((put, holder, key, kind(made)))
        elif (made := stand_in(value, trial_copy)) is not None:
            self._replaceable.append((put, holder, key, made))

    def _cache(self, cached: Any) -> None:
        self._saved.append((snapshot_items.restore_cache, cached, cached.cache_info()))
        self._add_all((cached.__wrapped__, *kept_results(cached)[0].values()))

    def _state(self, value: Any) -> None:
        if (state := snapshot_items.opaque_state(value)) is not None:
            self._saved.append((state[0], value, state[1]))
            self._add_all(snapshot_items.objects_in(value))


def _or_itself(value: Any) -> Any:
    made = stand_in(value, trial_copy)
    return value if made is None else made


def _set_slot(owner: Any, slot: MemberDescriptorType, value: Any) -> None:
    slot.__set__(owner, value)


def _is_own(value: Any) -> bool:
    """Whether a value that an object of a library's holds is a container, a tensor, or of the user's."""
    return isinstance(value, (torch.Tensor, nn.Module, dict, list, deque, set)) or is_users(type(value).__module__)


def _shallow(value: Any) -> SavedItem:
    if isinstance(value, dict):
        return snapshot_items.restore_dict, value, list(value.items())
    return (snapshot_items.restore_list if isinstance(value, list) else snapshot_items.restore_set), value, list(value)


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


def _nothing(snapshot: Snapshot, value: Any) -> None:
    """Of a run around this one."""


def _referents(snapshot: Snapshot, value: Any) -> None:
    snapshot._add_all(gc.get_referents(value))


def _target_of_proxy(snapshot: Snapshot, value: Any) -> None:
    with suppress(ReferenceError):
        snapshot._add_all([value.__repr__.__self__])


def _target(snapshot: Snapshot, reference: Any) -> None:
    snapshot._add_all((reference(),))


def _content(snapshot: Snapshot, variable: contextvars.ContextVar[Any]) -> None:
    snapshot._add_all((variable.get(None),))


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
    **dict.fromkeys((BuiltinMethodType, MethodWrapperType), _parts("__self__")),  # `results.append`
    functools.partial: _parts("func", "args", "keywords"),
    staticmethod: _parts("__func__"),
    classmethod: _parts("__func__"),
    property: _parts("fget", "fset", "fdel"),
    functools.cached_property: _parts("func"),
    CACHED: Snapshot._cache,
    StandIn: _nothing,
    MappingProxyType: _referents,
    SimpleNamespace: _parts("__dict__"),
    weakref.ref: _target,
    **dict.fromkeys(weakref.ProxyTypes, _target_of_proxy),
    contextvars.ContextVar: _content,
}
_EXPAND_INSTANCES: tuple[tuple[Any, Callable[[Snapshot, Any], None]], ...] = (
    (dict, Snapshot._dict),
    ((list, deque), Snapshot._list),
    (set, Snapshot._set),
    ((tuple, frozenset), Snapshot._fixed),
    (functools.partial, _parts("func", "args", "keywords")),
    (weakref.ref, _target),
)
