"""Errors of trial runs: where they come from, what cannot be tried, and calls that fakes cannot follow."""

from __future__ import annotations

import asyncio
import traceback
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.modules import Searched, searched
from lazify import InferenceError, is_lazy, lazify, materialize


def test_the_traceback_of_an_error_leads_into_the_forward() -> None:
    class Failing(Searched):
        def forward(self, x: Tensor) -> Tensor:
            kept = self.fc
            raise KeyError(f"missing in {kept.weight.dim()} dimensions")

    module = searched(Failing)
    with pytest.raises(KeyError, match="missing") as caught:
        module(torch.ones(2, 5))
    frames = list(traceback.walk_tb(caught.value.__traceback__))
    assert frames[-1][0].f_code is Failing.forward.__code__
    assert not frames[-1][0].f_locals  # the module of the trial run is gone
    assert not any(frame.f_globals["__name__"].startswith("lazify._isolation") for frame, _ in frames)


def test_the_error_of_a_wrong_guess_is_that_of_the_run_that_came_furthest() -> None:
    class Two(nn.Module):
        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(in_channels, 7, 3), nn.Conv2d(8, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))  # type: ignore[no-any-return]

    with pytest.raises(RuntimeError, match=r"weight of size \[3, 8, 3, 3\]") as caught:
        lazify(Two)()(torch.ones(2, 3, 9, 9))
    assert Two.forward.__code__ in [frame.f_code for frame, _ in traceback.walk_tb(caught.value.__traceback__)]


def test_a_wrong_size_inside_fails_as_in_an_eager_call() -> None:
    class Wrong(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(in_features, 8), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))  # type: ignore[no-any-return]

    def shown(error: BaseException) -> list[Any]:
        codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
        return codes[codes.index(Wrong.forward.__code__) :]

    with pytest.raises(RuntimeError) as eager:
        Wrong(5)(torch.ones(2, 5))
    with pytest.raises(RuntimeError) as lazy:
        lazify(Wrong)()(torch.ones(2, 5))
    assert str(lazy.value) == str(eager.value)
    assert shown(lazy.value) == shown(eager.value)
    assert isinstance(lazy.value.__cause__, InferenceError)
    assert lazy.value.__cause__.__traceback__ is None


def test_an_interrupted_search_leaves_everything_alone() -> None:
    calls: list[int] = []

    class Interrupted(Searched):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(1)
            raise KeyboardInterrupt

    module, filters = searched(Interrupted), list(warnings.filters)
    with pytest.raises(KeyboardInterrupt):
        module(torch.ones(2, 5))
    assert is_lazy(module)
    assert calls == []
    assert list(warnings.filters) == filters


@pytest.mark.parametrize("kind", ["future", "queue"])
def test_a_forward_that_awaits_others_says_so(kind: str) -> None:
    class Awaiting(Searched):
        async def forward(self, x: Tensor, other: Any) -> Tensor:  # type: ignore[override]
            return self.fc(x) * await (other if kind == "future" else other.get())  # type: ignore[no-any-return]

    async def call(module: Any) -> Any:
        other: Any = asyncio.get_running_loop().create_future() if kind == "future" else asyncio.Queue()
        asyncio.get_running_loop().call_soon(other.set_result if kind == "future" else other.put_nowait, 2)
        return await module(torch.ones(2, 5), other)

    with pytest.raises(InferenceError, match="cannot await"):
        asyncio.run(call(searched(Awaiting)))
    assert asyncio.run(call(lazify(Awaiting, exclude=["zzz"])(zzz=5))).shape == (2, 4)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_arguments(layout: torch.layout) -> None:
    class Sparse(Searched):
        def forward(self, x: Tensor, adjacency: Any = None) -> Tensor:
            return self.fc(torch.sparse.mm(adjacency, x))  # type: ignore[no-any-return]

    adjacency = torch.eye(5).to_sparse(layout=layout)
    assert searched(Sparse)(torch.ones(5, 6), adjacency).shape == (5, 4)


def test_packed_sequences() -> None:
    class Padding(Searched):
        def forward(self, x: Any) -> Tensor:
            return self.fc(nn.utils.rnn.pad_packed_sequence(x, batch_first=True)[0])  # type: ignore[no-any-return]

    class Recurrent(nn.Module):
        def __init__(self, zzz: int) -> None:
            super().__init__()
            self.rnn = nn.GRU(zzz, 4)

        def forward(self, x: Any) -> Tensor:
            return self.rnn(x)[0].data  # type: ignore[no-any-return]

    for cls in (Padding, Recurrent):
        packed = nn.utils.rnn.pack_sequence([torch.ones(3, 5), torch.ones(2, 5)])
        assert searched(cls)(packed).shape[-1] == 4


def test_forwards_that_use_gradients_and_transforms() -> None:
    class Gradient(Searched):
        def forward(self, x: Tensor) -> Tensor:
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.fc(x).tanh().sum(), x, create_graph=True)[0]

    class Mapped(Searched):
        def forward(self, x: Tensor) -> Tensor:
            return torch.func.vmap(self.fc)(x)  # type: ignore[no-any-return]

    class Backward(Searched):
        def forward(self, x: Tensor) -> Tensor:
            y = self.fc(x)
            y.sum().backward(retain_graph=True)
            self.zero_grad()
            return y  # type: ignore[no-any-return]

    for cls in (Gradient, Mapped, Backward):
        x = torch.ones(2, 5, requires_grad=True)
        searched(cls)(x)
        materialize(searched(cls), torch.ones(2, 5))
        assert cls is not Backward or (x.grad is not None and float(x.grad.abs().sum()) > 0)
    for transform in (torch.func.vmap, torch.func.jacrev):
        module = searched()
        transform(module)(torch.ones(3, 5))
        assert type(module.fc.weight) is nn.Parameter
