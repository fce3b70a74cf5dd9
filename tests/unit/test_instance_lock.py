"""The instance lock: one thread materializes, others wait, and no lock is left behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X, at_once
from helpers.modules import LazyLinear, Trouble
from lazify import axis, is_lazy, lazify
from lazify._deferred.state import STATE_KEY
from lazify._lock import InstanceLock, lock_holders


class Failing(nn.Module):
    """Its first calls fail, in the constructor or in `forward`; one rule is all there is to it."""

    where = "forward"
    left = 0

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.fail("constructor")
        self.weight = nn.Parameter(torch.ones(in_features))

    def fail(self, where: str) -> None:
        if where == Failing.where and Failing.left > 0:
            Failing.left -= 1
            raise Trouble

    def forward(self, x: Tensor) -> Tensor:
        self.fail("forward")
        return x * self.weight


LazyFailing = lazify(Failing, exclude={"in_features": axis(-1)})


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("where", ["constructor", "forward"])
@pytest.mark.parametrize("failures", [0, 3, 8])
def test_concurrent_first_calls_of_the_simplest_kind(where: str, failures: int) -> None:
    threads = 8
    with ThreadPoolExecutor(threads) as workers:
        for _ in range(60):
            Failing.where, Failing.left = where, failures
            module = LazyFailing()
            results = at_once(workers, threads, module)
            passed = [each for each in results if isinstance(each, Tensor)]
            assert len(passed) == threads - failures
            if not passed:  # as before the calls
                assert is_lazy(module)
                assert list(vars(module)) == [STATE_KEY]
            assert torch.equal(module(X), X)
            assert type(module) is Failing
            assert not {name for name in vars(module) if "lazify" in name or "compiled" in name}
            assert not lock_holders


def test_a_call_of_forward_itself_waits_for_the_thread_that_builds() -> None:
    is_building, is_awaited = threading.Event(), threading.Event()

    class Slow(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            is_building.set()
            assert is_awaited.wait(60)
            self.fc = nn.Linear(in_features, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)  # type: ignore[no-any-return]

    module = lazify(Slow, exclude={"in_features": axis(-1)})()
    forward, state = module.forward, vars(module)[STATE_KEY]

    def second() -> Tensor:
        assert is_building.wait(60)
        return forward(X)  # type: ignore[no-any-return]

    with ThreadPoolExecutor(2) as workers:
        one, two = workers.submit(module, X), workers.submit(second)
        assert is_building.wait(60)
        while lock_holders[state].release_event is None and not two.done():  # until it waits
            threading.Event().wait(0.001)
        is_awaited.set()
        assert torch.equal(one.result(), two.result())


def test_an_instance_lock_may_be_acquired_again_inside_and_others_wait() -> None:
    state = vars(LazyLinear(3))[STATE_KEY]
    order: list[str] = []

    def other() -> None:
        order.append("waits")
        with InstanceLock(state):
            order.append("other")

    thread = threading.Thread(target=other)
    with InstanceLock(state):
        with InstanceLock(state):
            pass
        thread.start()
        while lock_holders[state].release_event is None:  # until it waits
            thread.join(0.001)
        order.append("first")
    thread.join(60)
    assert order == ["waits", "first", "other"]
    assert not lock_holders


def test_a_rule_that_makes_the_first_call_itself_is_not_waited_for() -> None:
    """The inner call materializes the module; the outer call then finds the real module."""
    made: list[nn.Module] = []

    def width(input: Tensor) -> int:
        if is_lazy(made[0]) and len(made) == 1:
            made.append(made[0])
            made[0](input)
        return input.shape[-1]

    made.append(lazify(nn.Linear, exclude={"in_features": width})(2))
    assert made[0](X).shape == (*X.shape[:-1], 2)
    assert not lock_holders
