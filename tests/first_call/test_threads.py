"""First calls in many threads at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X, at_once
from helpers.modules import LazyLinear, Outer, Trouble
from helpers.pairs import in_form
from lazify import axis, lazify

ROWS = torch.linspace(-1, 1, 4 * 8).reshape(4, 8)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("variant", ["plain", "hooked", "own-call", "nested", "failing"])
def test_concurrent_first_calls_materialize_once(variant: str) -> None:
    built: list[int] = []
    ran: list[int] = []
    hooked: list[Any] = []
    fail = [0]

    class Counting(nn.Module):
        def __init__(self, in_features: int, inner: nn.Module | None = None) -> None:
            super().__init__()
            built.append(1)
            self.linear = nn.Linear(in_features, 4)
            self.inner = inner
            if fail[0] > 0:
                fail[0] -= 1
                raise Trouble

        def forward(self, x: Tensor) -> Tensor:
            ran.append(1)
            x = self.linear(x)
            return x if self.inner is None else self.inner(x)

    class OwnCall(Counting):
        def __call__(self, x: Tensor) -> Any:
            return super().__call__(x * 2)

    cls: type[nn.Module] = OwnCall if variant == "own-call" else Counting
    threads, rounds = 32, 30
    with ThreadPoolExecutor(threads) as workers:
        for _ in range(rounds):
            del built[:], ran[:], hooked[:]
            fail[0] = 3 if variant == "failing" else 0
            inner = lazify(nn.Linear)(2) if variant == "nested" else None
            module = in_form("function", cls)[0](inner=inner)
            if variant == "hooked":
                module.register_forward_pre_hook(lambda m, args: hooked.append(1))
            results = at_once(workers, threads, module)
            passed = [each for each in results if isinstance(each, Tensor)]
            failed = threads - len(passed)
            assert failed == (3 if variant == "failing" else 0)
            assert len(built) == 1 + failed
            assert len(ran) == threads - failed
            assert len(hooked) == (threads if variant == "hooked" else 0)
            assert type(module) is cls
            assert all(torch.equal(each, passed[0]) for each in passed)
            assert torch.equal(module(X), passed[0])
            assert not {name for name in vars(module) if "lazify" in name or "compiled" in name}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("exclude", [{"in_features": axis(-1)}, ["in_features"], None], ids=["ruled", "named", "auto"])
def test_a_lazy_shared_by_models_in_many_threads(exclude: Any) -> None:
    threads = 16
    with ThreadPoolExecutor(threads) as workers:
        for _ in range(20):
            shared = lazify(nn.Linear)(5)
            models = [lazify(Outer, exclude=exclude)(inner=shared) for _ in range(4)]
            results = at_once(workers, threads, *models)
            assert all(isinstance(each, Tensor) for each in results)
            assert type(shared) is nn.Linear
            assert all(each.inner is shared for each in models)


def test_asking_while_another_thread_calls() -> None:
    for _ in range(20):
        lazy = LazyLinear(3)
        barrier = threading.Barrier(2)
        placeholders: list[list[nn.Parameter]] = []

        def ask(lazy: nn.Module = lazy, barrier: Any = barrier, placeholders: Any = placeholders) -> None:
            barrier.wait()
            try:
                placeholders.append(list(lazy.parameters()))
            except AttributeError:  # a module that is being constructed has none yet
                placeholders.append([])

        thread = threading.Thread(target=ask)
        thread.start()
        barrier.wait()
        lazy(ROWS)
        thread.join()
        assert all(a is b for a, b in zip(placeholders[0], lazy.parameters(), strict=False))
