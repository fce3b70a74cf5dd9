"""Forwards and constructors that fail on fake tensors because they are fakes do what they do in eager code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lazify import lazify, materialize

#: torch's own, of what it does with sparse and nested tensors, and when it compiles
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
X = torch.randn(4, 2, 3)


def sparse(y: torch.Tensor) -> torch.Tensor:
    rows = torch.sparse_coo_tensor(torch.tensor([[0, 1], [1, 2]]), torch.ones(2), (4, 4))
    return torch.sparse.mm(rows, y)


def compressed(y: torch.Tensor) -> torch.Tensor:
    return torch.eye(4).to_sparse_csr() @ y


def jagged(y: torch.Tensor) -> torch.Tensor:
    rows = torch.nested.as_nested_tensor([y[:1], y[1:]], layout=torch.jagged)
    return rows.values()


def branching(y: torch.Tensor) -> torch.Tensor:
    return torch.cond(y.sum() > 0, lambda z: z + 1, lambda z: z - 1, (y,))


def with_an_address(y: torch.Tensor) -> torch.Tensor:
    assert y.data_ptr() != 0
    return y


def exactly_a_tensor(y: torch.Tensor) -> torch.Tensor:
    if type(y) is not torch.Tensor:
        raise TypeError(f"expected a tensor, got {type(y)}")
    return y


FUNCTIONS = [sparse, compressed, jagged, branching, with_an_address, exactly_a_tensor]


class Projected(nn.Module):
    def __init__(self, count: int, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(count, 6)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.linear(x.flatten(1)))


class OnlyParameters(nn.Module):
    """Looks at the exact class of its parameters, which on fakes is another one."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.linear = nn.Linear(count, 6)
        if any(type(each) is not nn.Parameter for each in self.parameters()):
            raise TypeError("only parameters")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


def call(module: nn.Module) -> Any:
    return module(X)


def preview_and_call(module: nn.Module) -> Any:
    list(module.parameters())
    return module(X)


def materialize_and_call(module: nn.Module) -> Any:
    return materialize(module, X)(X)


WAYS = [call, preview_and_call, materialize_and_call]


def compare(eager: Callable[[], nn.Module], lazy: Callable[[], nn.Module], way: Callable[[nn.Module], Any]) -> None:
    torch.manual_seed(0)
    try:
        expected = eager()(X)
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        pytest.skip(f"this torch cannot do it in eager code: {error}")
    torch.manual_seed(0)
    assert torch.equal(way(lazy()), expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_forwards_that_fakes_cannot_run(function: Callable[..., Any], way: Callable[..., Any]) -> None:
    if function is branching and not hasattr(TorchDispatchMode, "supports_higher_order_operators"):
        pytest.skip("this torch lets no mode see torch.cond")
    if function is with_an_address and way is materialize_and_call:
        pytest.skip("a search within `materialize` has no addresses")
    lazy = lazify(Projected, exclude=["count"])
    compare(lambda: Projected(6, function), lambda: lazy(function), way)


@pytest.mark.parametrize("way", [call, materialize_and_call])
def test_constructors_that_fakes_cannot_run(way: Callable[..., Any]) -> None:
    compare(lambda: OnlyParameters(6), lazify(OnlyParameters, exclude=["count"]), way)


def test_modules_beside_lazy_ones_that_fakes_cannot_run() -> None:
    class Checked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return exactly_a_tensor(x)

    model = nn.Sequential(Checked(), nn.Flatten(), lazify(nn.Linear)(3))
    assert materialize(model, X)[2].in_features == 6


def test_a_failing_model_fails_alike_on_real_tensors() -> None:
    model = nn.Sequential(nn.Flatten(), lazify(nn.Linear)(3), nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        materialize(model, X)


def test_a_failing_model_takes_little_memory() -> None:
    """A run on real tensors would take 4 GB before the last layer fails: the error is that of the run on fakes."""
    big = nn.Sequential(nn.Flatten(), lazify(nn.Linear)(2**15), lazify(nn.Linear)(2**15), nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match=r"reduction dim|shapes cannot be multiplied"):
        materialize(big, X)
