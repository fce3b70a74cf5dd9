"""The preview of modules that share, replace, tie and nest other modules."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from helpers.modules import D, LazyLinear, LazyNested, LazyNet, LazyWrapper, Net, Wrapper, flags
from lazify import lazify

ROWS = torch.linspace(-1, 1, 4 * 8).reshape(4, 8)


# ---------------------------------------------------------------------------------------------
# What several constructions share


class Parametrized(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.a = nn.utils.parametrizations.weight_norm(nn.Linear(d, 7))
        self.b = nn.utils.parametrizations.spectral_norm(nn.Linear(7, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


def test_parametrizations_in_the_constructor() -> None:
    lazy = lazify(Parametrized, exclude=D)()
    placeholders = dict(lazy.named_parameters())
    assert list(placeholders) == [name for name, _ in Parametrized(8).named_parameters()]
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    lazy(ROWS).square().sum().backward()
    optimizer.step()
    lazy(ROWS)
    assert all(parameter is placeholders[name] for name, parameter in lazy.named_parameters())
    assert all(parameter.grad is not None for parameter in placeholders.values())


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "make", [lambda: LazyLinear(5), lambda: nn.Sequential(LazyLinear(5)), lambda: nn.LazyLinear(5)]
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_lazy_module_as_a_constructor_argument(make: Any, asked: bool) -> None:
    inner = make()
    if asked:
        list(inner.parameters())
    lazy = LazyWrapper(inner)
    placeholders = list(lazy.parameters())
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    lazy(ROWS).sum().backward()
    optimizer.step()
    assert lazy.inner is inner
    assert all(a is b for a, b in zip(lazy.parameters(), placeholders, strict=True))
    loaded = LazyWrapper(make())
    if not isinstance(inner, nn.Sequential):
        loaded.load_state_dict(Wrapper(8, nn.Linear(5, 5)).state_dict())
        assert loaded.linear.in_features == 8


@pytest.mark.parametrize("make", [lambda: nn.BatchNorm1d(5), lambda: lazify(nn.BatchNorm1d)()])
def test_flags_of_a_module_given_to_the_constructor(make: Any) -> None:
    inner = make()
    lazy = LazyWrapper(inner)
    lazy.eval()
    lazy.requires_grad_(False)
    assert not inner.training
    assert flags(inner) == [False, False]
    inner.train()
    inner.requires_grad_(True)
    twin = copy.deepcopy(lazy)
    for each in (twin, lazy):
        each(ROWS)
        assert (each.training, each.inner.training) == (False, True)
        assert flags(each) == [False, False, True, True]
    assert lazy.inner is inner


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_torchs_own_lazy_layers_inside() -> None:
    class Mixed(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.a = nn.Linear(d, 5)
            self.b = nn.LazyLinear(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    lazy = lazify(Mixed, exclude=D)()
    placeholders = list(lazy.parameters())
    lazy(ROWS)
    assert all(a is b for a, b in zip(lazy.parameters(), placeholders, strict=True))


# ---------------------------------------------------------------------------------------------
# Replaced submodules and tied weights


def test_a_replaced_submodule_is_trained() -> None:
    for where in ("instance", "part"):
        lazy = LazyNet()
        new = nn.Linear(8, 3)
        weight = new.weight
        if where == "instance":
            lazy.b = new
        else:
            lazy = nn.Sequential(nn.ReLU(), lazify(Deep, exclude=D)())
            for module in list(lazy.modules()):
                if hasattr(module, "mark"):
                    module.b = new
        optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
        before = weight.detach().clone()
        lazy(ROWS).square().sum().backward()
        optimizer.step()
        assert any(each is weight for each in lazy.parameters())
        assert new.weight is weight
        assert not torch.equal(before, weight)


class Deep(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.net = Net(d)
        self.net.mark = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def test_weights_tied_before() -> None:
    lazy = LazyNet()
    lazy.get_submodule("b").weight = lazy.get_submodule("a").weight
    eager = Net(8)
    eager.b.weight = eager.a.weight
    assert [name for name, _ in lazy.named_parameters()] == [name for name, _ in eager.named_parameters()]
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    lazy(ROWS)
    assert lazy.a.weight is lazy.b.weight is optimizer.param_groups[0]["params"][0]
    assert [name for name, _ in lazy.named_parameters()] == [name for name, _ in eager.named_parameters()]


def test_wrapped_forwards() -> None:
    lazy, eager = LazyLinear(3), nn.Linear(8, 3)

    def twice(module: nn.Module) -> None:
        forward = module.forward
        module.forward = lambda x: forward(x) * 2

    for module in (lazy, eager):
        twice(module)
    torch.manual_seed(0)
    out = lazy(ROWS)
    eager.load_state_dict(lazy.state_dict())
    assert torch.equal(out, eager(ROWS))
    deep = LazyNet()
    for module in list(deep.modules()):
        if isinstance(module, nn.Linear):
            twice(module)
    out = deep(ROWS)
    eager_deep = Net(8)
    eager_deep.load_state_dict(deep.state_dict())
    twice(eager_deep.a)
    twice(eager_deep.b)
    assert torch.equal(out, eager_deep(ROWS))


def test_values_written_into_placeholders_are_refused() -> None:
    lazy = LazyLinear(3)
    with pytest.raises(ValueError, match="no values yet"):
        lazy.bias.data.fill_(7.0)


# ---------------------------------------------------------------------------------------------
# Lazy modules inside lazy modules


def test_flags_and_dtypes_reach_placeholders_inside() -> None:
    lazy = LazyNested()
    assert flags(lazy.requires_grad_(False)) == [False] * 4
    assert {p.dtype for p in lazy.half().parameters()} == {torch.float16}
    for name, parameter in lazy.named_parameters():
        if name.startswith("b"):
            parameter.requires_grad = True
    assert flags(lazy) == [False, False, True, True]
    for twin in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy)), lazy):
        assert flags(twin.float()) == [False, False, True, True]
        twin(ROWS)
        assert flags(twin) == [False, False, True, True]
    again = LazyNested()
    for parameter in again.parameters():
        parameter.requires_grad = False
    assert flags(again.requires_grad_(True)) == [True] * 4
    again(ROWS)
    assert flags(again) == [True] * 4


def test_a_search_with_a_lazy_module_inside_and_another_dtype() -> None:
    class Odd(nn.Module):
        def __init__(self, zz: int) -> None:
            super().__init__()
            self.i = nn.Linear(zz, 6)
            self.b = LazyLinear(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.i(x))

    lazy = lazify(Odd, exclude=["zz"])().double()
    assert lazy(ROWS.double()).dtype is torch.float64
    assert lazy.i.in_features == 8
