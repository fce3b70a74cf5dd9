"""Trial runs and `torch.compile`: what is compiled in eager code is compiled afterwards, and in no trial run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lazify import lazify, materialize

#: torch's own, when it compiles
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
X = torch.randn(4, 2, 3)
graphs: list[Any] = []


def counting(graph: Any, inputs: Any) -> Any:
    graphs.append(graph)
    return graph.forward


@torch.compile(backend=counting)
def shifted(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1


@torch.compile(backend=counting, fullgraph=True)
def shifted_in_one_graph(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1


class Calls(nn.Module):
    def __init__(self, count: int, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(count, 6), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.linear(x.flatten(1)))


class Holds(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.linear = nn.Linear(count, 6)
        self.head: Any = torch.compile(nn.Linear(6, 6), backend=counting)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.linear(x.flatten(1)))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    graphs.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("first", ["call", "parameters", "materialize"])
@pytest.mark.parametrize("function", [shifted, shifted_in_one_graph, None])
def test_what_eager_code_compiles_is_compiled(function: Callable[..., Any] | None, first: str) -> None:
    given = () if function is None else (function,)
    lazy = lazify(Holds if function is None else Calls, exclude=["count"])(*given)
    if first == "parameters":
        list(lazy.parameters())
    if first == "materialize":
        materialize(lazy, X)
    assert graphs == []
    for _ in range(3):
        lazy(X)
    assert len(graphs) == 1


def test_operators_that_compile_work_after_a_search() -> None:
    """`torch.cond` compiles, also in eager code, where Dynamo has not noted that it is not to."""
    if not hasattr(TorchDispatchMode, "supports_higher_order_operators"):
        pytest.skip("this torch lets no mode see torch.cond")

    def branching(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,))

    try:
        branching(torch.ones(2, requires_grad=True))
    except RuntimeError as error:
        pytest.skip(f"this torch cannot do it in eager code: {error}")
    torch._dynamo.reset()
    lazify(Calls, exclude=["count"])(branching)(X)
    assert torch.equal(branching(torch.ones(2, requires_grad=True)), torch.full((2,), 2.0))
