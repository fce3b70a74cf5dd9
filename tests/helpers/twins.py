"""One comparison: is a materialized module the same as its eager twin, in everything but identity?"""

from __future__ import annotations

import functools
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import _WrappedHook
from torch.utils.hooks import RemovableHandle

__all__ = ["assert_twins"]

Differences = Iterator[str]


def assert_twins(module: nn.Module, twin: nn.Module) -> None:
    """Fail, listing every difference, unless `module` is to the last attribute what `twin` is.

    Compared: the exact type; the keys of `__dict__` and the types and contents of their values; slots;
    hook containers (type, hooks, order, which take keywords and which are always called); parameters and
    buffers bit by bit with dtype, device, layout, strides, `requires_grad`, `is_leaf`, `is_inference` and
    gradient; which tensors and modules are shared; training flags; the tree of submodules, in order.
    """
    found = list(_Comparison().values(module, twin, type(twin).__name__))
    assert not found, f"{len(found)} difference(s) from the eager twin:\n" + "\n".join(found)


class _Comparison:
    def __init__(self) -> None:
        self.twin_of: dict[int, Any] = {}
        self.kept: list[Any] = []  # so that no id is used twice

    def _met(self, mine: Any, twins: Any, path: str) -> Iterator[str | None]:
        """Yield None if the two were compared before; a text if they were compared with others."""
        partner, back = self.twin_of.get(id(mine)), self.twin_of.get(id(twins))
        if partner is None and back is None:
            self.twin_of[id(mine)], self.twin_of[id(twins)] = twins, mine
            self.kept += [mine, twins]
        else:
            yield None if partner is twins else f"{path}: shared here, and not in the same way in the twin"

    def values(self, mine: Any, twins: Any, path: str) -> Differences:
        if mine is twins:
            return
        if type(mine) is not type(twins) and not _same_parametrized(type(mine), type(twins)):
            yield f"{path}: {type(mine)} instead of {type(twins)}"
            return
        if isinstance(mine, (nn.Module, torch.Tensor)):
            for met in self._met(mine, twins, path):
                if met is not None:
                    yield met
                return
        compare: Callable[[Any, Any, str], Differences]
        if isinstance(mine, nn.Module):
            compare = self.modules
        elif isinstance(mine, torch.Tensor):
            compare = self.tensors
        elif isinstance(mine, Mapping):
            compare = self.mappings
        elif isinstance(mine, (list, tuple)):
            compare = self.sequences
        elif isinstance(mine, (types.FunctionType, types.MethodType, functools.partial)):
            compare = self.callables
        elif isinstance(mine, weakref.ref):
            mine, twins, compare = mine(), twins(), self.values
        elif isinstance(mine, np.ndarray):
            compare = self.arrays
        elif isinstance(mine, RemovableHandle):
            compare = self.handles
        elif isinstance(mine, _WrappedHook):
            compare = self.wrapped_hooks
        elif hasattr(mine, "__dict__") and not isinstance(mine, type):
            compare = self.objects
        else:
            compare = self.plain
        yield from compare(mine, twins, path)

    # modules

    def modules(self, mine: nn.Module, twins: nn.Module, path: str) -> Differences:
        ours, theirs = vars(mine), vars(twins)
        for name in ours.keys() - theirs.keys():
            yield f"{path}.__dict__[{name!r}]: left over, {ours[name]!r}"
        for name in theirs.keys() - ours.keys():
            yield f"{path}.__dict__[{name!r}]: missing, {theirs[name]!r}"
        for name in [name for name in theirs if name in ours]:
            where = f"{path}.{name}"
            if name.endswith("_hooks"):
                yield from self.hooks(mine, twins, name, where)
            elif name in ("_parameters", "_buffers", "_modules"):
                yield from self.mappings(ours[name], theirs[name], path)
            else:
                yield from self.values(ours[name], theirs[name], where)
        for name in _slots(type(twins)):
            if hasattr(mine, name) != hasattr(twins, name):
                yield f"{path}.{name}: slot filled in one only"
            elif hasattr(twins, name):
                yield from self.values(getattr(mine, name), getattr(twins, name), f"{path}.{name}")

    def hooks(self, mine: nn.Module, twins: nn.Module, name: str, path: str) -> Differences:
        ours, theirs = vars(mine)[name], vars(twins)[name]
        if type(ours) is not type(theirs):
            yield f"{path}: {type(ours)} instead of {type(theirs)}"
        if not isinstance(theirs, Mapping):  # `_is_full_backward_hook` and the like
            yield from self.values(ours, theirs, path)
            return
        if len(ours) != len(theirs):
            yield f"{path}: {list(ours.values())} instead of {list(theirs.values())}"
            return
        for at, (hook, twin) in enumerate(zip(ours.values(), theirs.values(), strict=True)):
            yield from self.values(hook, twin, f"{path}[{at}]")
        for flag in ("with_kwargs", "always_called"):
            flagged = [
                [at for at, key in enumerate(vars(each)[name]) if key in vars(each).get(f"{name}_{flag}", ())]
                for each in (mine, twins)
            ]
            if flagged[0] != flagged[1]:
                yield f"{path}_{flag}: hooks {flagged[0]} instead of {flagged[1]}"

    # tensors

    def tensors(self, mine: torch.Tensor, twins: torch.Tensor, path: str) -> Differences:
        for name in ("shape", "dtype", "device", "layout", "requires_grad", "is_leaf"):
            if getattr(mine, name) != getattr(twins, name):
                yield f"{path}.{name}: {getattr(mine, name)} instead of {getattr(twins, name)}"
                return
        if mine.is_inference() != twins.is_inference():
            yield f"{path}.is_inference(): {mine.is_inference()}"
            return
        if mine.layout is torch.strided and mine.stride() != twins.stride():
            yield f"{path}.stride(): {mine.stride()} instead of {twins.stride()}"
        if not _same_bits(mine, twins):
            yield f"{path}: other values"
        if mine.is_leaf:
            yield from self.values(mine.grad, twins.grad, f"{path}.grad")

    # all else

    def mappings(self, mine: Mapping[Any, Any], twins: Mapping[Any, Any], path: str) -> Differences:
        if type(mine) is not type(twins):
            yield f"{path}: {type(mine)} instead of {type(twins)}"
        if path.endswith(("_with_kwargs", "_always_called")):  # by id of a hook: compared with the hooks
            if len(mine) != len(twins):
                yield f"{path}: {len(mine)} entries instead of {len(twins)}"
            return
        ordered = isinstance(mine, (dict, OrderedDict))
        if (list(mine) if ordered else set(mine)) != (list(twins) if ordered else set(twins)):
            yield f"{path}: names {list(mine)} instead of {list(twins)}"
            return
        for key in twins:
            yield from self.values(mine[key], twins[key], f"{path}[{key!r}]")

    def sequences(self, mine: Any, twins: Any, path: str) -> Differences:
        if len(mine) != len(twins):
            yield f"{path}: {mine!r} instead of {twins!r}"
            return
        for at, (one, other) in enumerate(zip(mine, twins, strict=True)):
            yield from self.values(one, other, f"{path}[{at}]")

    def callables(self, mine: Any, twins: Any, path: str) -> Differences:
        if isinstance(mine, types.MethodType):
            yield from self.values(mine.__func__, twins.__func__, f"{path}.__func__")
            yield from self.values(mine.__self__, twins.__self__, f"{path}.__self__")
        elif isinstance(mine, functools.partial):
            ours, theirs = ((each.func, each.args, each.keywords) for each in (mine, twins))
            yield from self.sequences(ours, theirs, path)
        elif mine.__code__ is not twins.__code__:
            yield f"{path}: {mine!r} instead of {twins!r}"
        else:  # closures of one factory: compared by the plain values they hold
            held = [[c.cell_contents for c in each.__closure__ or () if _is_plain(c)] for each in (mine, twins)]
            if held[0] != held[1]:
                yield f"{path}: closes over {held[0]} instead of {held[1]}"

    def arrays(self, mine: Any, twins: Any, path: str) -> Differences:
        if not np.array_equal(mine, twins):
            yield f"{path}: other values"

    def objects(self, mine: Any, twins: Any, path: str) -> Differences:
        for met in self._met(mine, twins, path):
            if met is not None:
                yield met
            return
        yield from self.mappings(vars(mine), vars(twins), f"{path}.__dict__")

    def handles(self, mine: RemovableHandle, twins: RemovableHandle, path: str) -> Differences:
        live = [each.id in (each.hooks_dict_ref() or ()) for each in (mine, twins)]
        if live[0] != live[1]:
            yield f"{path}: the handle {'holds' if live[0] else 'lost'} its hook, unlike the twin's"

    def wrapped_hooks(self, mine: _WrappedHook, twins: _WrappedHook, path: str) -> Differences:
        """torch's own wrapper: what else is in its `__dict__` depends on whether it was copied."""
        yield from self.values(mine.hook, twins.hook, path)
        yield from self.plain(mine.with_module, twins.with_module, f"{path}.with_module")
        if mine.with_module and twins.with_module:
            yield from self.values(mine.module, twins.module, f"{path}.module")

    def plain(self, mine: Any, twins: Any, path: str) -> Differences:
        if type(mine).__eq__ is not object.__eq__ and mine != twins:
            yield f"{path}: {mine!r} instead of {twins!r}"


def _same_parametrized(mine: type, twins: type) -> bool:
    """torch's parametrizations make a class for each instance."""
    about = [(cls.__module__, cls.__qualname__, cls.__bases__) for cls in (mine, twins)]
    return about[0] == about[1] and mine.__module__ == "torch.nn.utils.parametrize"


def _is_plain(cell: Any) -> bool:
    return isinstance(cell.cell_contents, (str, int, float, bool))


def _same_bits(mine: torch.Tensor, twins: torch.Tensor) -> bool:
    if mine.device.type == "meta":
        return True
    with torch.no_grad():
        if mine.layout is not torch.strided:
            mine, twins = mine.to_dense(), twins.to_dense()
        ours, theirs = (each.detach().contiguous().reshape(-1) for each in (mine, twins))
        return torch.equal(ours.view(torch.uint8), theirs.view(torch.uint8))


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                yield name if not name.startswith("__") else f"_{base.__name__.lstrip('_')}{name}"
