"""A search ends, takes no memory, leaves memory alone, and takes arguments of every kind."""

from __future__ import annotations

import gc
import itertools
import time
from array import array
from collections import deque
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lazify import InferenceError, lazify
from lazify._isolation import Budget


class Halves(nn.Module):
    """Nothing says what `zzz` is: a search finds it."""

    def __init__(self, zzz: int, given: Any = None) -> None:
        super().__init__()
        self.linear = nn.Linear(zzz, 4)

    def forward(self, x: Tensor, more: Any = None) -> Tensor:
        return self.linear(x)


def odd_arguments() -> list[Any]:
    return [{1}, deque([1]), array("i", [1]), np.ones(2), [np.ones(2)]]


@pytest.mark.parametrize("at", range(len(odd_arguments())))
def test_arguments_without_a_hash_or_with_elementwise_equality(at: int) -> None:
    odd = odd_arguments()[at]
    assert lazify(Halves, exclude=["zzz"])()(torch.ones(2, 5), odd).shape == (2, 4)
    module = lazify(Halves, exclude=["zzz"])(odd)
    assert len(list(module.parameters())) == 2
    assert module(torch.ones(2, 5)).shape == (2, 4)


def test_a_search_is_limited_by_its_own_time_not_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert lazify(Halves, exclude=["zzz"])()(torch.ones(2, 5)).shape == (2, 4)


def test_all_that_a_search_tries_has_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazify._inference.search.ALL_RUNS", 30)
    budgets: list[Budget] = []
    monkeypatch.setattr(
        "lazify._inference.search.Budget", lambda *limits: budgets.append(Budget(*limits)) or budgets[-1]
    )

    class Pyramid(nn.Module):
        def __init__(self, sizes: list[int], zzz: int = 7) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(size, zzz) for size in sizes)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            raise ValueError(f"{len(self.layers)} layers lead to {x.shape[-1]}")

    with pytest.raises(InferenceError):
        lazify(Pyramid, exclude=["sizes", "zzz"])()(torch.ones(2, 5))
    (whole,) = budgets
    assert 20 < whole.done <= 31


def test_a_constructor_that_refuses_sizes_is_not_repeated_on_real_memory() -> None:
    kinds = set()

    class Refusing(nn.Module):
        def __init__(self, dim: int, heads: int) -> None:
            super().__init__()
            self.qkv = nn.Linear(dim, 3 * dim)
            kinds.add(type(self.qkv.weight))
            if dim % heads:
                raise ValueError("dim must be divisible by heads")

        def forward(self, x: Tensor) -> Tensor:
            return self.qkv(x)

    list(lazify(Refusing)(heads=7).parameters())
    assert nn.Parameter not in kinds


def test_a_constructor_that_copies_layers_leaves_memory_alone() -> None:
    class Copying(nn.Module):
        def __init__(self, zzz: int, hidden: int = 16) -> None:
            super().__init__()
            self.stem = nn.Linear(zzz, hidden)
            layer = nn.TransformerEncoderLayer(hidden, 2, 32)
            self.layers = nn.ModuleList(deepcopy(layer) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for layer in self.layers:
                x = layer(x)
            return x

    for size in (5, 6, 7):
        module = lazify(Copying, exclude=["zzz"])()
        assert module(torch.ones(2, 3, size)).shape == (2, 3, 16)
        gc.collect()
    for _ in range(4):
        assert Copying(5)(torch.ones(2, 3, 5)).isfinite().all()
