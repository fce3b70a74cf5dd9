"""How single things are brought back: each function takes what may have changed and how it was.

Everything is compared by identity: no `__eq__` or `__hash__` of a user's class runs where nothing has changed, and
nothing is written where nothing has changed, so that other threads find their own changes.
"""

from __future__ import annotations

import array
import io
import random
import sys
import threading
import warnings
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from types import MemberDescriptorType
from typing import Any, TypeAlias

import torch
from torch.nn.parameter import is_lazy

from lazify._torch import is_transformed, set_versions

__all__ = ["MISSING", "Record", "Settings", "content_of_slot", "opaque_state", "tensor_facts"]

#: What brings something back, the thing, how it was.
Record: TypeAlias = "tuple[Callable[[Any, Any], None], Any, Any]"
MISSING: Any = object()
#: Contents larger than this, in bytes, are not copied.
LARGEST = 16 * 2**20

_set_class = vars(object)["__class__"].__set__


# ---------------------------------------------------------------------------------------------
# Containers


def restore_dict(target: dict[Any, Any], before: list[tuple[Any, Any]]) -> None:
    base: Any = OrderedDict if isinstance(target, OrderedDict) else dict
    now = list(base.items(target))
    if _same_pairs(now, before):
        return
    kept = {id(key) for key, _ in before}
    for key, _ in now:
        if id(key) not in kept:
            base.__delitem__(target, key)
    for key, value in before:
        if dict.get(target, key, MISSING) is not value:
            base.__setitem__(target, key, value)
    if not _same_pairs(list(base.items(target)), before):  # in another order
        base.clear(target)
        for key, value in before:
            base.__setitem__(target, key, value)


def _same_pairs(now: list[tuple[Any, Any]], before: list[tuple[Any, Any]]) -> bool:
    return len(now) == len(before) and all(a is c and b is d for (a, b), (c, d) in zip(now, before, strict=True))


def restore_list(target: Any, before: list[Any]) -> None:
    if not _same_items(list(list.__iter__(target)), before):
        list.__setitem__(target, slice(None), before)


def restore_deque(target: deque[Any], before: list[Any]) -> None:
    if not _same_items(list(deque.__iter__(target)), before):
        deque.clear(target)
        deque.extend(target, before)


def restore_set(target: set[Any], before: list[Any]) -> None:
    now = list(set.__iter__(target))
    if len(now) != len(before) or {id(each) for each in now} != {id(each) for each in before}:
        set.clear(target)
        set.update(target, before)


def _same_items(now: list[Any], before: list[Any]) -> bool:
    return len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True))


# ---------------------------------------------------------------------------------------------
# Objects, functions, classes


def content_of_slot(owner: Any, slot: MemberDescriptorType) -> Any:
    try:
        return slot.__get__(owner, type(owner))
    except AttributeError:
        return MISSING


def restore_slot(target: tuple[Any, MemberDescriptorType], before: Any) -> None:
    owner, slot = target
    if content_of_slot(owner, slot) is before:
        return
    if before is MISSING:
        slot.__delete__(owner)
    else:
        slot.__set__(owner, before)


def restore_class(target: Any, before: type) -> None:
    if type(target) is not before:
        _set_class(target, before)


def restore_class_attributes(target: type, before: list[tuple[str, Any]]) -> None:
    now = dict(vars(target))
    names = {name for name, _ in before}
    for name in now.keys() - names:
        if not name.startswith("__"):
            type.__delattr__(target, name)
    for name, value in before:
        if now.get(name, MISSING) is not value and name not in ("__dict__", "__weakref__"):
            type.__setattr__(target, name, value)


def restore_binding(target: tuple[dict[str, Any], str], before: Any) -> None:
    namespace, name = target
    if namespace.get(name, MISSING) is before:
        return
    if before is MISSING:
        namespace.pop(name, None)
    else:
        namespace[name] = before


def restore_cell(target: Any, before: Any) -> None:
    if before is MISSING:
        if content_of_cell(target) is not MISSING:
            del target.cell_contents
    elif content_of_cell(target) is not before:
        target.cell_contents = before


def content_of_cell(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return MISSING


def restore_defaults(target: Any, before: tuple[Any, Any]) -> None:
    if target.__defaults__ is not before[0]:
        target.__defaults__ = before[0]
    if target.__kwdefaults__ is not before[1]:
        target.__kwdefaults__ = before[1]


# ---------------------------------------------------------------------------------------------
# Tensors


def tensor_facts(tensor: torch.Tensor) -> tuple[Any, ...]:
    """What may become of a tensor without a write to its values."""
    grad = tensor.grad if tensor.is_leaf else None
    if is_lazy(tensor):
        return (type(tensor), tensor.requires_grad, grad, None, 0)
    data = tensor.data if tensor.layout is torch.strided and not is_transformed(tensor) else None
    return (type(tensor), tensor.requires_grad, grad, data, 0 if tensor.is_inference() else tensor._version)


def restore_tensor(target: torch.Tensor, before: tuple[Any, ...]) -> None:
    cls, requires_grad, grad, data, version = before
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


def opaque_state(value: Any) -> tuple[Callable[[Any, Any], None], Any] | None:
    """What brings it back and how it is, of a generator, an array, a file or a buffer; None of anything else."""
    if isinstance(value, torch.Generator):
        return _restore_torch_generator, value.get_state()
    if isinstance(value, random.Random):
        return _restore_python_generator, value.getstate()
    if isinstance(value, (bytearray, array.array)):
        return (_restore_buffer, bytes(value)) if len(value) < LARGEST else None
    if isinstance(value, (io.StringIO, io.BytesIO)):
        return None if value.closed else (_restore_memory_file, (value.getvalue(), value.tell()))
    if isinstance(value, io.IOBase):
        return None if value.closed or not value.seekable() else (_restore_position, value.tell())
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return (_restore_array, value.copy()) if value.nbytes < LARGEST else None
        if isinstance(value, (numpy.random.Generator, numpy.random.RandomState)):
            return _restore_numpy_generator, _numpy_state(value)
    return None


def _restore_torch_generator(target: torch.Generator, before: torch.Tensor) -> None:
    if not torch.equal(target.get_state(), before):
        target.set_state(before)


def _restore_python_generator(target: random.Random, before: Any) -> None:
    if target.getstate() != before:
        target.setstate(before)


def _numpy_state(generator: Any) -> str:
    bits = getattr(generator, "bit_generator", None) or generator._bit_generator
    return bits, repr(bits.state), bits.state  # type: ignore[return-value]


def _restore_numpy_generator(target: Any, before: Any) -> None:
    bits, text, state = before
    if repr(bits.state) != text:
        bits.state = state


def _restore_array(target: Any, before: Any) -> None:
    if target.shape == before.shape and target.tobytes() != before.tobytes():
        target[...] = before


def _restore_buffer(target: Any, before: bytes) -> None:
    if bytes(target) != before:
        if isinstance(target, bytearray):
            target[:] = before
        else:
            del target[:]
            target.frombytes(before)


def _restore_memory_file(target: Any, before: tuple[Any, int]) -> None:
    content, position = before
    if not target.closed and (target.getvalue() != content or target.tell() != position):
        target.seek(0)
        target.truncate()
        target.write(content)
        target.seek(position)


def _restore_position(target: io.IOBase, before: int) -> None:
    if not target.closed and target.tell() != before:
        target.seek(before)


# ---------------------------------------------------------------------------------------------
# Settings of the process


#: Names by which code changes settings of the process, or draws from its random states.
_BY_NAME = {
    "torch": frozenset("manual_seed seed set_rng_state seed_everything set_seed fork_rng default_generator".split()),
    "random": frozenset({"random"}),
    "numpy": frozenset({"numpy", "np", "scipy", "sklearn"}),
    "dtype": frozenset({"set_default_dtype", "set_default_tensor_type"}),
    "threads": frozenset({"set_num_threads"}),
    "precision": frozenset({"set_float32_matmul_precision"}),
    "deterministic": frozenset({"use_deterministic_algorithms"}),
    "filters": frozenset("simplefilter filterwarnings resetwarnings catch_warnings filters".split()),
    "finalizers": frozenset({"finalize"}),
}


class Settings:
    """Settings of the process that a run may have changed: all of them while there is no other thread, else those
    that its code names. What other threads do to the others is not taken back.
    """

    def __init__(self, names: set[str]) -> None:
        alone = threading.active_count() == 1
        self._records: list[Record] = []
        for kind, by in _BY_NAME.items():
            if alone or not by.isdisjoint(names):
                self._records += _setting(kind)

    def restore(self) -> None:
        for restore, target, before in self._records:
            restore(target, before)


def _setting(kind: str) -> Iterator[Record]:
    if kind == "torch":
        generators = [torch.default_generator]
        if torch.cuda.is_initialized():
            generators += torch.cuda.default_generators
        for generator in generators:
            yield _restore_torch_generator, generator, generator.get_state()
    elif kind == "random":
        yield _restore_global_random, random, random.getstate()
    elif kind == "numpy":
        if (numpy := sys.modules.get("numpy")) is not None:
            state = numpy.random.get_state()
            yield _restore_global_numpy, numpy, (state, state[1].tobytes(), state[2:])
    elif kind == "filters":
        yield restore_list, warnings.filters, list(warnings.filters)
    elif kind == "finalizers":
        registry = getattr(weakref.finalize, "_registry", {})
        yield restore_dict, registry, list(registry.items())
    else:
        getter, setter = _FUNCTIONS[kind]
        yield _restore_setting, (getter, setter), getter()


_FUNCTIONS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "deterministic": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
}


def _restore_setting(target: tuple[Callable[[], Any], Callable[[Any], Any]], before: Any) -> None:
    getter, setter = target
    if getter() != before:
        setter(before)


def _restore_global_random(target: Any, before: Any) -> None:
    if target.getstate() != before:
        target.setstate(before)


def _restore_global_numpy(target: Any, before: Any) -> None:
    now = target.random.get_state()
    if now[1].tobytes() != before[1] or now[2:] != before[2]:
        target.random.set_state(before[0])
