"""How single things are brought back: each function takes what may have changed and how it was.

Everything is compared by identity: no `__eq__` or `__hash__` of a user's class runs where nothing has changed, and
nothing is written where nothing has changed, so that other threads find their own changes.
"""

from __future__ import annotations

import abc
import array
import io
import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from operator import setitem
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, TypeAlias

import torch
from torch.nn.parameter import is_lazy

from lazify._torch import is_transformed, set_versions

__all__ = ["MISSING", "SavedItem", "content_of_slot", "opaque_state", "pairs", "tensor_facts"]

#: What brings something back, the thing, how it was.
SavedItem: TypeAlias = "tuple[Callable[[Any, Any], None], Any, Any]"
MISSING: Any = object()
#: Contents of arrays and buffers larger than this, in bytes, are not copied.
LARGEST = 2**28

_abc: Any = abc
_set_class = vars(object)["__class__"].__set__


# ---------------------------------------------------------------------------------------------
# Containers


def pairs(target: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """The items of a dict, also where a finalizer changes it meanwhile: to make the list may collect garbage."""
    base: Any = OrderedDict if isinstance(target, OrderedDict) else dict
    while True:
        with suppress(RuntimeError):
            return list(base.items(target))


def restore_dict(target: dict[Any, Any], before: list[tuple[Any, Any]]) -> None:
    base: Any = OrderedDict if isinstance(target, OrderedDict) else dict
    now = pairs(target)
    if _same_pairs(now, before):
        return
    kept = {id(key) for key, _ in before}
    for key, _ in now:
        if id(key) not in kept:
            base.__delitem__(target, key)
    for key, value in before:
        if dict.get(target, key, MISSING) is not value:
            base.__setitem__(target, key, value)
    if not _same_pairs(pairs(target), before):  # in another order
        base.clear(target)
        for key, value in before:
            base.__setitem__(target, key, value)


def _same_pairs(now: list[tuple[Any, Any]], before: list[tuple[Any, Any]]) -> bool:
    return len(now) == len(before) and all(a is c and b is d for (a, b), (c, d) in zip(now, before, strict=True))


def restore_list(target: Any, before: list[Any]) -> None:
    """Bring back a list or a deque."""
    base: Any = deque if isinstance(target, deque) else list
    if _same_items(list(base.__iter__(target)), before):
        return
    base.clear(target)
    base.extend(target, before)


def restore_set(target: set[Any], before: list[Any]) -> None:
    now = list(set.__iter__(target))
    if len(now) != len(before) or {id(each) for each in now} != {id(each) for each in before}:
        set.clear(target)
        set.update(target, before)


def _same_items(now: list[Any], before: list[Any]) -> bool:
    return len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True))


# ---------------------------------------------------------------------------------------------
# Objects, functions, classes


def by_identity(read: Callable[[Any], Any], write: Callable[[Any, Any], Any]) -> Callable[[Any, Any], None]:
    """What brings back a place that holds another object now."""

    def restore(target: Any, before: Any) -> None:
        if read(target) is not before:
            write(target, before)

    return restore


def by_value(read: Callable[[Any], Any], write: Callable[[Any, Any], Any]) -> Callable[[Any, Any], None]:
    """What brings back a state that does not equal the one from before."""

    def restore(target: Any, before: Any) -> None:
        if read(target) != before:
            write(target, before)

    return restore


def content_of_slot(target: tuple[Any, MemberDescriptorType]) -> Any:
    owner, slot = target
    try:
        return slot.__get__(owner, type(owner))
    except AttributeError:
        return MISSING


def _fill_slot(target: tuple[Any, MemberDescriptorType], value: Any) -> None:
    owner, slot = target
    slot.__delete__(owner) if value is MISSING else slot.__set__(owner, value)


def content_of_cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return MISSING


def _fill_cell(cell: Any, value: Any) -> None:
    if value is MISSING:
        del cell.cell_contents
    else:
        cell.cell_contents = value


def _bind(target: tuple[dict[str, Any], str], value: Any) -> None:
    namespace, name = target
    if value is MISSING:
        namespace.pop(name, None)
    else:
        namespace[name] = value


restore_slot = by_identity(content_of_slot, _fill_slot)
restore_cell = by_identity(content_of_cell, _fill_cell)
restore_binding = by_identity(lambda target: target[0].get(target[1], MISSING), _bind)
restore_attribute = by_identity(lambda at: getattr(at[0], at[1]), lambda at, value: setattr(at[0], at[1], value))
restore_class = by_identity(type, _set_class)


def restore_class_attributes(target: type, before: list[tuple[str, Any]]) -> None:
    now = dict(vars(target))
    names = {name for name, _ in before}
    for name in now.keys() - names:
        type.__delattr__(target, name)
    for name, value in before:
        if now.get(name, MISSING) is not value and name not in ("__dict__", "__weakref__"):
            type.__setattr__(target, name, value)


def attributes_among(holder: Any, names: set[str]) -> dict[str, Any]:
    """Attributes of these names that a class, a function or an object without a `__dict__` has."""
    if isinstance(holder, (type, FunctionType)):
        state = vars(holder)
        return {name: state[name] for name in state.keys() & names}
    built_in = vars(type(holder))
    settable = [n for n in built_in.keys() & names if type(built_in[n]) in (GetSetDescriptorType, MemberDescriptorType)]
    return {name: getattr(holder, name) for name in settable if hasattr(holder, name)}


def restore_attributes(target: Any, before: tuple[set[str], dict[str, Any]]) -> None:
    """Bring back the attributes of certain names, of which others may have come."""
    put, remove = (type.__setattr__, type.__delattr__) if isinstance(target, type) else (setattr, delattr)
    names, had = before
    now = attributes_among(target, names)
    for name in now.keys() - had.keys():
        remove(target, name)
    for name, value in had.items():
        if now.get(name, MISSING) is not value:
            put(target, name, value)


def registered_with(cls: abc.ABCMeta) -> set[type]:
    """The classes that an abstract class has been told are subclasses of it."""
    references: Any = _abc._get_dump(cls)[0]
    return {found for each in references if (found := each()) is not None}


def restore_registered(target: abc.ABCMeta, before: set[type]) -> None:
    if registered_with(target) != before:
        _abc._reset_registry(target)
        _abc._reset_caches(target)
        for each in before:
            target.register(each)


# ---------------------------------------------------------------------------------------------
# Tensors


def tensor_facts(tensor: torch.Tensor) -> tuple[Any, ...]:
    """What may become of a tensor without a write to its values."""
    grad = tensor.grad if tensor.is_leaf else None
    if is_lazy(tensor):
        return (type(tensor), tensor.requires_grad, grad, None, 0, None)
    data = tensor.data if tensor.layout is torch.strided and not is_transformed(tensor) else None
    version = 0 if tensor.is_inference() else tensor._version
    return (type(tensor), tensor.requires_grad, grad, data, version, tensor._backward_hooks)


def attributes_of(tensor: torch.Tensor) -> list[Any]:
    """The `__dict__` of a tensor, if it has one that holds anything or may be given something."""
    state = getattr(tensor, "__dict__", None)
    return [state] if isinstance(state, dict) else []


def restore_tensor(target: torch.Tensor, before: tuple[Any, ...]) -> None:
    cls, requires_grad, grad, data, version, hooks = before
    if type(target) is not cls:
        _set_class(target, cls)
    if is_lazy(target):
        return
    if data is not None and not _same_memory(target, data):
        target.data = data
    if target.is_leaf or not requires_grad:
        if target.requires_grad != requires_grad:
            target.detach_().requires_grad_(requires_grad)
        if target.grad is not grad:
            target.grad = grad
    if target._backward_hooks is not hooks:
        target._backward_hooks = hooks
    if not target.is_inference() and target._version != version:
        set_versions((target,), (version,))


def _same_memory(tensor: torch.Tensor, data: torch.Tensor) -> bool:
    if tensor.layout is not torch.strided or tensor.shape != data.shape or tensor.dtype != data.dtype:
        return False
    return tensor.stride() == data.stride() and (tensor.is_meta or _address(tensor) == _address(data))


def _address(tensor: torch.Tensor) -> int:
    try:
        return tensor.data_ptr()
    except RuntimeError:  # without storage
        return 0


# ---------------------------------------------------------------------------------------------
# Objects whose state is not in attributes


def restore_cache(cached: Any, before: Any) -> None:
    """Empty a cache that has been written to, past the function that stood for it: it may hold a fake tensor."""
    if cached.cache_info()[1:] != before[1:]:
        cached.cache_clear()


def opaque_state(value: Any) -> tuple[Callable[[Any, Any], None], Any] | None:
    """What brings it back and how it is, of a generator, an array, a file or a buffer; None of anything else."""
    for kind, restore, read in _OPAQUE:
        if isinstance(value, kind):
            return None if (state := read(value)) is None else (restore, state)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return _array_state(value, numpy)
        if isinstance(value, (numpy.random.Generator, numpy.random.RandomState, numpy.random.BitGenerator)):
            return _restore_numpy_generator, _numpy_state(value)
    return None


def restore_torch_generator(target: torch.Generator, before: torch.Tensor) -> None:
    if not torch.equal(target.get_state(), before):
        target.set_state(before)


def _small_buffer(value: Any) -> bytes | None:
    return bytes(value) if len(value) < LARGEST else None


def _small_view(value: memoryview) -> bytes | None:
    return bytes(value) if not value.readonly and value.c_contiguous and value.nbytes < LARGEST else None


def _refill_array(target: Any, before: bytes) -> None:
    del target[:]
    target.frombytes(before)


def _of_memory_file(value: Any) -> Any:
    return None if value.closed else (value.getvalue(), value.tell())


def _rewrite(target: Any, before: tuple[Any, int]) -> None:
    if not target.closed:
        target.seek(0)
        target.truncate()
        target.write(before[0])
        target.seek(before[1])


def _position(value: Any) -> int | None:
    return None if value.closed or not value.seekable() else value.tell()


def _move(target: Any, before: int) -> None:
    if not target.closed:
        target.seek(before)


#: Classes, what brings their instances back, how they are read: None of what is not brought back.
_OPAQUE: tuple[tuple[Any, Callable[[Any, Any], None], Callable[[Any], Any]], ...] = (
    (torch.Generator, restore_torch_generator, torch.Generator.get_state),
    (random.Random, by_value(random.Random.getstate, random.Random.setstate), random.Random.getstate),
    (bytearray, by_value(bytes, lambda target, before: setitem(target, slice(None), before)), _small_buffer),
    (array.array, by_value(bytes, _refill_array), _small_buffer),
    (memoryview, by_value(bytes, lambda target, before: setitem(target.cast("B"), slice(None), before)), _small_view),
    ((io.StringIO, io.BytesIO), by_value(_of_memory_file, _rewrite), _of_memory_file),
    (io.IOBase, by_value(_position, _move), _position),
)


#: Where `Generator` and `RandomState` have what holds their state; anything else holds it itself.
_BITS = ("bit_generator", "_bit_generator")


def _numpy_state(generator: Any) -> str:
    bits = next((each for name in _BITS if (each := getattr(generator, name, None)) is not None), generator)
    return bits, repr(bits.state), bits.state  # type: ignore[return-value]


def _restore_numpy_generator(target: Any, before: Any) -> None:
    bits, text, state = before
    if repr(bits.state) != text:
        bits.state = state


def _array_state(array: Any, numpy: Any) -> tuple[Callable[[Any, Any], None], Any] | None:
    """A copy of an array's values; None of one that nobody can write to, that is a file's, or very large."""
    if isinstance(array, numpy.memmap) or not array.flags.writeable or array.nbytes >= LARGEST:
        return None
    return _restore_array, (array.shape, array.copy())


def objects_in(value: Any) -> list[Any]:
    """What an array of objects holds."""
    dtype = getattr(value, "dtype", None)
    return list(value.flat) if dtype is not None and getattr(dtype, "hasobject", False) else []


def _restore_array(target: Any, before: Any) -> None:
    shape, values = before
    if target.shape != shape:
        target.shape = shape
    if target.dtype.hasobject:
        for at, value in enumerate(values.flat):
            if target.flat[at] is not value:
                target.flat[at] = value
    elif target.tobytes() != values.tobytes():
        target[...] = values
