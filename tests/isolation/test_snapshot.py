"""A snapshot brings back what can be reached, by identity, and touches nothing else."""

from __future__ import annotations

import collections
import functools
import gc
import random
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lazify._isolation import Snapshot
from lazify._isolation.reachable_names import LARGE_PACKAGE
from lazify._isolation.snapshot_items import pairs


class Hostile:
    """Compares elementwise and has no hash."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.inside = [1]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")


def test_containers_however_nested() -> None:
    inner: dict[str, Any] = {"a": [1, {2}]}
    value = ([inner], collections.deque([3], maxlen=2), collections.OrderedDict(x=1, y=2))
    cyclic: list[Any] = [value]
    cyclic.append(cyclic)
    snapshot = Snapshot(cyclic)
    inner["a"][1].add(5)
    inner["a"].append(6)
    inner["b"] = 7
    value[1].append(8)
    value[1].append(9)
    value[2].move_to_end("x")
    cyclic.clear()
    snapshot.restore()
    assert inner == {"a": [1, {2}]}
    assert list(value[1]) == [3]
    assert list(value[2]) == ["x", "y"]
    assert cyclic[0] is value
    assert cyclic[1] is cyclic


def test_no_code_of_the_users_runs() -> None:
    hostile = Hostile()
    holder = {"h": hostile, "t": torch.zeros(2)}
    before = hostile.inside
    snapshot = Snapshot(holder)
    holder["h"] = Hostile()
    hostile.inside = [2]
    before.append(3)
    snapshot.restore()
    assert holder["h"] is hostile
    assert hostile.inside is before
    assert before == [1]


def test_what_is_unchanged_is_not_written() -> None:
    """Other threads may be reading, or have changed something else in the meantime."""

    class Watched(dict[str, int]):
        def __setitem__(self, key: str, value: int) -> None:
            raise AssertionError("written")

        def clear(self) -> None:
            raise AssertionError("cleared")

    watched, other = Watched(a=1), {"b": 1}
    snapshot = Snapshot(watched, other)
    other["b"] = 2
    snapshot.restore()
    assert watched == {"a": 1}
    assert other == {"b": 1}


def test_modules_and_tensors() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = module[0].weight
    grad = weight.grad = torch.ones(2, 2)
    data = weight.data_ptr()
    snapshot = Snapshot(module)
    module.eval()
    module.double()
    module[0].bias = None
    module[0].register_forward_hook(print)
    module.append(nn.ReLU())
    weight.requires_grad_(False)
    weight.grad = None
    snapshot.restore()
    assert module.training
    assert len(module) == 2
    assert module[0].weight is weight
    assert weight.dtype == torch.float32
    assert weight.data_ptr() == data
    assert weight.grad is grad
    assert weight.requires_grad
    assert module[0].bias is not None
    assert not module[0]._forward_hooks


def test_a_buffer_that_was_drawn_into_a_graph() -> None:
    buffer, x = torch.zeros(2), torch.ones(2, requires_grad=True)
    snapshot = Snapshot(buffer)
    version = buffer._version
    buffer.add_(x * 0)
    snapshot.restore()
    assert not buffer.requires_grad
    assert buffer.is_leaf
    assert buffer._version == version


def test_torchs_own_lazy_layer() -> None:
    layer = nn.LazyLinear(2)
    snapshot = Snapshot(layer)
    layer(torch.ones(1, 3))
    snapshot.restore()
    assert type(layer) is nn.LazyLinear
    assert layer.has_uninitialized_params()
    assert layer(torch.ones(1, 4)).shape == (1, 2)


def test_functions() -> None:
    seen: list[int] = []
    calls = 0

    def function(x: int, kept: list[int] = [], *, more: dict[str, int] = {}) -> None:  # noqa: B006
        nonlocal calls
        calls += 1
        seen.append(x)
        kept.append(x)
        more["x"] = x

    snapshot = Snapshot(functools.partial(function, 1))
    function(1)
    function.note = 1  # type: ignore[attr-defined]
    snapshot.restore()
    assert (seen, calls, function.__defaults__, function.__kwdefaults__) == ([], 0, ([],), {"more": {}})
    assert not hasattr(function, "note")


def test_modules_of_the_users_by_the_names_that_functions_use(monkeypatch: pytest.MonkeyPatch) -> None:
    package, inside = types.ModuleType("userpackage"), types.ModuleType("userpackage.inside")
    package.inside, inside.CACHE, inside.count = inside, {}, 0  # type: ignore[attr-defined]
    monkeypatch.setitem(globals(), "userpackage", package)
    snapshot = Snapshot(_uses_userpackage)
    _uses_userpackage()
    assert inside.count == 1
    snapshot.restore()
    assert (inside.count, inside.CACHE) == (0, {})


def _uses_userpackage() -> None:
    userpackage.inside.CACHE["x"] = 1  # type: ignore[name-defined]  # noqa: F821
    userpackage.inside.count += 1  # type: ignore[name-defined]  # noqa: F821


def test_classes() -> None:
    class Base:
        count = 0
        kept: list[int] = []

    class Child(Base):
        __slots__ = ("x",)

    child = Child()
    snapshot = Snapshot(child)
    Base.count += 1
    Base.kept.append(1)
    Base.added = 1  # type: ignore[attr-defined]
    child.x = 2  # type: ignore[misc]
    snapshot.restore()
    assert (Base.count, Base.kept, hasattr(Base, "added"), hasattr(child, "x")) == (0, [], False, False)


def test_generators_arrays_and_buffers() -> None:
    torchs, numpys, pythons = torch.Generator(), np.random.default_rng(0), random.Random(0)
    array, buffer = np.zeros(3), bytearray(b"ab")
    snapshot = Snapshot(torchs, numpys, pythons, array, buffer)
    first = (torch.rand(1, generator=torchs), numpys.random(), pythons.random())
    array += 1
    buffer.append(1)
    snapshot.restore()
    assert (torch.rand(1, generator=torchs), numpys.random(), pythons.random()) == first
    assert (array.sum(), buffer) == (0, b"ab")


def test_caches_are_bypassed_and_come_back() -> None:
    @functools.cache
    def cached(n: int) -> list[int]:
        return [n]

    def uses() -> list[int]:
        return cached(1)

    original = cached
    snapshot = Snapshot(uses)
    snapshot.put_stand_ins()
    assert cached is not original
    assert uses() is uses()  # not in a trial run: as for any other thread
    snapshot.restore()
    assert cached is original


def test_state_of_libraries_is_their_own() -> None:
    assert not {"torch", "collections"} & {cls.__module__ for cls in _classes_in(Snapshot(nn.Linear(1, 1)))}


def _classes_in(snapshot: Snapshot) -> list[type]:
    return [target for restore, target, _ in snapshot._saved if isinstance(target, type)]


@pytest.mark.parametrize(
    ("place", "has_torch", "more", "is_followed"),
    [("site-packages", False, 0, False), ("site-packages", True, 1, True), ("projects", False, 2, True)],
)
def test_code_of_large_installed_packages_without_torch_is_not_followed(
    place: str, has_torch: bool, more: int, is_followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class may name a plotting library: what that can reach takes a second to look at."""
    for number in range(LARGE_PACKAGE + more):
        name = f"plots.part{number}" if number else "plots"
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["plots"], "__path__", [f"/usr/lib/{place}/plots"], raising=False)
    monkeypatch.setattr(sys.modules["plots.part1"], "styles", figures := {"a": [1]}, raising=False)
    if has_torch:
        monkeypatch.setattr(sys.modules["plots.part2"], "torch", torch, raising=False)

    namespace = vars(sys.modules["plots.part1"])
    exec("def draw():\n    return styles", namespace)
    snapshot = Snapshot(namespace["draw"])
    figures["a"].append(2)
    snapshot.restore()
    assert figures == ({"a": [1]} if is_followed else {"a": [1, 2]})


def test_a_dict_that_a_garbage_collection_changes() -> None:
    registry: dict[Any, int] = dict.fromkeys(range(5000), 1)

    def change(phase: str, info: dict[str, int]) -> None:
        if len(registry) < 5003:
            registry[object()] = 2

    threshold = gc.get_threshold()
    gc.set_threshold(100)
    gc.callbacks.append(change)
    try:
        found = pairs(registry)
    finally:
        gc.callbacks.remove(change)
        gc.set_threshold(*threshold)
    assert found[:5000] == [(i, 1) for i in range(5000)]


def test_methods_of_containers() -> None:
    """`results.append`, given as what is to be called with each result."""
    results: list[int] = []
    counts: dict[str, int] = {}
    snapshot = Snapshot((results.append, counts.__setitem__))
    results.append(1)
    counts["a"] = 1
    snapshot.restore()
    assert (results, counts) == ([], {})
