"""Copies made before the first call start with the values of their original, whichever is called first."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from helpers.modules import LazyConvBlock, LazyLinear, LazyNested
from lazify import is_lazy, lazify, materialize

ROWS = torch.linspace(-1, 1, 4 * 8).reshape(4, 8)
IMAGES = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)


class Mixed(nn.Module):
    """A lazy layer inside, and one that the constructor draws."""

    def __init__(self, width: int, depth: int = 3) -> None:
        super().__init__()
        self.inner = LazyLinear(depth)
        self.own = nn.Linear(width, depth)
        self.more = nn.ModuleList(copy.deepcopy(self.inner) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.inner(x) + self.own(x)
        for layer in self.more:
            y = y + layer(x)
        return y


LazyMixed = lazify(Mixed, exclude=["width"])

MODELS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "flat": (lambda: LazyLinear(3), ROWS),
    "block": (lambda: LazyConvBlock(4), IMAGES),
    "sequential": (lambda: nn.Sequential(LazyLinear(8), nn.ReLU(), LazyLinear(3)), ROWS),
    "nested": (LazyNested, ROWS),
    "mixed": (LazyMixed, ROWS),
}


def same_values(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def by_call(module: nn.Module, x: torch.Tensor) -> None:
    module(x)


WAYS: list[Callable[[nn.Module, torch.Tensor], object]] = [by_call, materialize]


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("copy_first", [False, True])
def test_copies_start_in_step(name: str, copied: Any, first: Any, second: Any, copy_first: bool) -> None:
    make, x = MODELS[name]
    if copied is copy.copy and name == "sequential":
        pytest.skip("a shallow copy of a container holds the same layers")
    original = make()
    pair = [copied(original), original] if copy_first else [original, copied(original)]
    first(pair[0], x)
    torch.rand(5)
    before = torch.get_rng_state()
    second(pair[1], x)
    assert torch.equal(before, torch.get_rng_state())
    assert same_values(*pair)


@pytest.mark.parametrize("name", MODELS)
def test_copies_do_not_change_what_a_seed_gives(name: str) -> None:
    make, x = MODELS[name]
    torch.manual_seed(0)
    alone = make()
    alone(x)
    after = torch.rand(3)
    torch.manual_seed(0)
    original = make()
    twin = copy.deepcopy(original)
    original(x)
    assert torch.equal(after, torch.rand(3))
    twin(x)
    assert same_values(alone, original)


def test_a_copy_of_a_copy_and_an_initialisation() -> None:
    lazy = LazyLinear(3)
    lazy.apply(lambda module: nn.init.uniform_(module.weight))  # type: ignore[arg-type]
    one = copy.deepcopy(lazy)
    two = copy.deepcopy(one)
    for module in (two, lazy, one):
        module(ROWS)
    assert same_values(lazy, one)
    assert same_values(lazy, two)


def test_layers_that_torch_copies() -> None:
    lazy = lazify(nn.Linear)(8)
    stack = nn.Sequential(*nn.modules.transformer._get_clones(lazy, 3))
    stack(ROWS)
    assert same_values(stack[0], stack[1])
    assert same_values(stack[0], stack[2])


def test_a_failed_call_is_not_the_first() -> None:
    class Refuses(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.layer = nn.Linear(in_features, 2)

        def forward(self, x: torch.Tensor) -> Any:
            if x.sum() > 1:
                raise RuntimeError("too large")
            return self.layer(x)

    lazy = lazify(Refuses, exclude=["in_features"])()
    twin = copy.deepcopy(lazy)
    torch.manual_seed(1)
    with pytest.raises(RuntimeError, match="too large"):
        lazy(torch.ones(2, 4))
    torch.manual_seed(0)
    twin(torch.zeros(2, 4))
    lazy(torch.zeros(2, 4))
    torch.manual_seed(0)
    assert same_values(twin, Refuses(4))
    assert same_values(twin, lazy)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("target_first", [False, True])
def test_a_lazy_state_dict_brings_the_values_of_its_module(name: str, target_first: bool) -> None:
    make, x = MODELS[name]
    online, target = make(), make()
    target.load_state_dict(online.state_dict())
    for module in (target, online) if target_first else (online, target):
        module(x)
    assert same_values(online, target)


def test_a_module_that_loads_its_own_state_stays_alone() -> None:
    lazy = LazyLinear(3)
    lazy.load_state_dict(lazy.state_dict())
    assert is_lazy(lazy)
    lazy(ROWS)
    assert lazy.in_features == 8


@pytest.mark.parametrize(
    "average",
    [
        lambda p, q: p.data.mul_(0.5).add_(q.data, alpha=0.5),
        lambda p, q: p.mul_(0.5).add_(q, alpha=0.5),
        lambda p, q: p.lerp_(q, 0.5),
        lambda p, q: p.data.copy_(q.data),
    ],
)
def test_averages_by_hand_start_with_the_values_of_the_model(average: Any) -> None:
    online = nn.Sequential(LazyLinear(4), LazyLinear(2))
    target = copy.deepcopy(online)
    online(ROWS)
    start = copy.deepcopy(online.state_dict())
    with torch.no_grad():
        for p, q in zip(target.parameters(), online.parameters(), strict=True):
            average(p, q)
    assert all(torch.allclose(start[name], each) for name, each in target.state_dict().items())
