"""Lazy modules inside lazy modules, and in containers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X, pair_of
from helpers.hooks import HOOKS
from helpers.modules import Block, LazyLinear, Outer
from helpers.pairs import in_form
from helpers.twins import assert_twins
from lazify import is_lazy, lazify


def test_containers_materialize_in_one_call_with_the_eager_parameters() -> None:
    model = nn.Sequential(lazify(nn.Linear)(7), nn.ReLU(), lazify(nn.Linear)(3), lazify(nn.BatchNorm1d)())
    torch.manual_seed(1)
    twin = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.BatchNorm1d(3))
    torch.manual_seed(1)
    assert torch.equal(model(X), twin(X))
    assert_twins(model, twin)


def test_lists_and_dicts_of_lazies() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ModuleList(lazify(nn.Linear)(width) for width in (7, 3))
            self.heads = nn.ModuleDict({"a": lazify(nn.Linear)(2), "b": nn.ReLU()})

        def forward(self, x: Tensor) -> Tensor:
            for step in self.steps:
                x = step(x)
            return self.heads["b"](self.heads["a"](x))

    model = Model()
    assert model(X).shape == (4, 2)
    assert not [m for m in model.modules() if is_lazy(m)]
    assert [(m.in_features, m.out_features) for m in model.steps] == [(5, 7), (7, 3)]


def test_a_shared_lazy_is_built_once() -> None:
    shared = lazify(nn.Linear)(5)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    model(X)
    assert model[0] is model[2] is shared
    assert len(list(model.parameters())) == 2


def test_a_shared_lazy_refuses_a_second_size_in_torchs_words() -> None:
    shared = lazify(nn.Linear)(7)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        nn.Sequential(shared, shared)(X)
    assert shared.in_features == 5


def test_lazies_all_the_way_down_run_once_each(form: str) -> None:
    runs: list[int] = []

    class Nest(nn.Module):
        def __init__(self, in_features: int, depth: int = 0) -> None:
            super().__init__()
            runs.append(-depth)
            self.linear = nn.Linear(in_features, in_features)
            self.inner = lazy_cls(depth=depth - 1) if depth else None
            self.depth = depth

        def forward(self, x: Tensor) -> Tensor:
            runs.append(self.depth)
            x = self.linear(x)
            return x if self.inner is None else self.inner(x)

    lazy_cls, cls = in_form(form, Nest)
    module = lazy_cls(depth=6)
    module(X)
    assert sorted(runs) == sorted([*range(7), *range(0, -7, -1)])
    assert {type(m) for m in module.modules()} == {cls, nn.Linear}


def test_lazies_given_and_made_inside(form: str) -> None:
    inner = lazify(Block)(6)
    module = in_form(form, Outer)[0](inner=inner)
    assert is_lazy(inner)
    module(X)
    assert module.inner is inner
    assert [is_lazy(m) for m in module.modules()] == [False] * len(list(module.modules()))
    assert module.also_made_here.in_features == 6


def test_a_lazy_instance_as_an_attribute_set_before(form: str) -> None:
    class Uses(Block):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(super().forward(x))
            return out

    module = in_form(form, Uses)[0](7)
    module.head = LazyLinear(2)
    assert is_lazy(module.head)
    assert module(X).shape == (4, 2)
    assert type(module.head) is nn.Linear
    assert module.head.in_features == 7


class ProbesInside(nn.Module):
    """Its constructor runs what it made, to learn a size."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(LazyLinear(6), nn.ReLU())
        with torch.no_grad():
            width = self.body(torch.zeros(1, in_features)).shape[1]
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def test_lazies_called_by_the_constructor_are_as_trainable(form: str) -> None:
    module = in_form(form, ProbesInside)[0]()
    with torch.inference_mode():
        module(X)
    module(X).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert len(list(module.parameters())) == 4


def test_a_forward_that_calls_its_own_module(form: str) -> None:
    class Recursive(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, in_features)

        def forward(self, x: Tensor, depth: int = 3) -> Tensor:
            x = self.linear(x)
            return self(x, depth - 1) if depth else x

    pair = pair_of(form, Recursive)
    pair.do(HOOKS["pre"])
    pair.do(HOOKS["post"])
    pair.call(X)
    assert len(pair.logs[0]) == 8
    pair.check()
