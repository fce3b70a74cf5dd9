"""Lazy modules that several threads share, while one of them searches, materializes or fails."""

from __future__ import annotations

import _thread
import collections
import copy
import queue
import random
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.threads import LONG, together
from lazify import axis, is_lazy, lazify, materialize
from lazify import nn as lnn
from lazify._lock import InstanceLock
from lazify._torch import FakeTensor

X = torch.ones(2, 5)


class Passing(nn.Module):
    """Waits for the others, and hands its result on."""

    def __init__(self, zzz: int, out: int) -> None:
        super().__init__()
        self.fc = nn.Linear(zzz, out)

    def forward(self, x: Tensor, then: Any = None, barrier: Any = None) -> Tensor:
        if barrier is not None:
            barrier.wait(LONG)
        return self.fc(x) if then is None else then(self.fc(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("exclude", [["zzz"], {"zzz": axis(-1)}])
def test_modules_that_call_each_other(exclude: Any, threads: int) -> None:
    modules = [lazify(Passing, exclude=exclude)(5) for _ in range(threads)]
    barrier = threading.Barrier(threads)
    together(*(lambda i=i: modules[i](X, modules[(i + 1) % threads], barrier) for i in range(threads)))
    assert not any(map(is_lazy, modules))
    assert barrier.n_waiting == 0


def test_a_search_waits_for_an_argument_that_another_thread_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    is_building, is_awaited = threading.Event(), threading.Event()
    wait_released = InstanceLock.wait_released

    class Slow(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            is_building.set()
            assert is_awaited.wait(LONG)
            self.fc = nn.Linear(in_features, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)  # type: ignore[no-any-return]

    def waits(lock: InstanceLock, or_ready: bool = False) -> bool:
        is_awaited.set()
        return wait_released(lock, or_ready)

    monkeypatch.setattr(InstanceLock, "wait_released", waits)
    slow, searched = lazify(Slow, exclude={"in_features": axis(-1)})(), lazify(Passing, exclude=["zzz"])(5)

    def search() -> None:
        assert is_building.wait(LONG)
        searched(X, slow)

    together(lambda: slow(X), search)
    assert not is_lazy(searched)


def _failing(inner: nn.Module, before: Callable[[], Any]) -> nn.Module:
    class Failing(nn.Module):
        def __init__(self, zzz: int) -> None:
            super().__init__()
            self.fc = nn.Linear(zzz, 4)

        def forward(self, x: Tensor) -> Tensor:
            inner(self.fc(x))
            before()
            raise RuntimeError("fails")

    return lazify(Failing, exclude={"zzz": axis(-1)})()


def test_what_another_thread_has_used_stays() -> None:
    inner, passed, used = lnn.LazyLinear(3), threading.Event(), threading.Event()
    outputs: list[Tensor] = []

    def wait() -> None:
        passed.set()
        assert used.wait(LONG)

    outer = _failing(inner, wait)

    def fail() -> None:
        with pytest.raises(RuntimeError, match="fails"):
            outer(X)

    def use() -> None:
        assert passed.wait(LONG)
        outputs.append(inner(torch.ones(2, 4)))
        used.set()

    together(fail, use)
    assert is_lazy(outer)
    assert not is_lazy(inner)
    assert torch.equal(inner(torch.ones(2, 4)), outputs[0])
    assert set(vars(inner)) == set(vars(nn.Linear(4, 3)))


def test_what_nobody_else_has_used_goes_back() -> None:
    inner = lnn.LazyLinear(3)
    with pytest.raises(RuntimeError, match="fails"):
        _failing(inner, lambda: None)(X)
    assert is_lazy(inner)
    assert inner(torch.ones(2, 7)).shape == (2, 3)


def test_a_module_that_has_passed_can_be_copied_before_all_has() -> None:
    class Averaged(nn.Module):
        def __init__(self, zzz: int) -> None:
            super().__init__()
            self.fc, self.inner, self.average = nn.Linear(zzz, 4), lnn.LazyLinear(3), None

        def forward(self, x: Tensor) -> Tensor:
            y = self.inner(self.fc(x))
            if self.average is None:
                self.average = copy.deepcopy(self.inner)
            return y + self.average(self.fc(x))  # type: ignore[no-any-return,misc]

    module = lazify(Averaged, exclude=["zzz"])()
    module(X)
    for each in (module.inner, module.average):
        assert set(vars(each)) == set(vars(nn.Linear(4, 3)))


def test_a_call_beside_materialize() -> None:
    for _ in range(4):
        model = nn.Sequential(*(lnn.LazyLinear(8) for _ in range(4)))
        outputs: list[Tensor] = []
        barrier = threading.Barrier(2)

        def call(model: nn.Module = model, barrier: Any = barrier, outputs: list[Tensor] = outputs) -> None:
            barrier.wait(LONG)
            outputs.append(model(X))

        def make(model: nn.Module = model, barrier: Any = barrier) -> None:
            barrier.wait(LONG)
            materialize(model, X)

        together(call, make)
        assert torch.equal(model(X), outputs[0])


class _Other:
    """A call from another thread, made in the middle of the first run; no run takes this back."""

    @classmethod
    def call(cls, module: nn.Module) -> None:
        name = "".join(["lazify", "_tests", "_thread"])  # kept where no walk finds it
        if not hasattr(threading, name):
            done = _thread.allocate_lock()  # not a `threading.Thread`: of these a run has its own
            done.acquire()
            setattr(threading, name, other := SimpleNamespace(done=done))
            _thread.start_new_thread(lambda: (setattr(other, "result", module(X)), done.release()), ())
            done.acquire(timeout=0.1)


def test_a_call_in_the_middle_of_a_trial_run_waits_for_its_end() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.out = lnn.LazyLinear(4), lnn.LazyLinear(2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.inner(x)
            _Other.call(self.inner)
            return self.out(y)  # type: ignore[no-any-return]

    model = materialize(Model(), X)
    thread: Any = threading.__dict__.pop("".join(["lazify", "_tests", "_thread"]))
    assert thread.done.acquire(timeout=LONG) or hasattr(thread, "result")
    assert not isinstance(thread.result, FakeTensor)
    assert torch.equal(thread.result, model.inner(X))


def test_numbers_of_python_and_numpy_are_drawn_once() -> None:
    class Drawn(nn.Module):
        def __init__(self, zzz: int) -> None:
            super().__init__()
            self.fc, self.number = nn.Linear(zzz, 2), (np.random.random(), random.random())

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)  # type: ignore[no-any-return]

    drawn: list[Any] = []
    done = threading.Event()

    def search() -> None:
        try:
            for width in range(5, 10):
                module = lazify(Drawn, exclude=["zzz"])()
                module(torch.ones(2, width))
                drawn.extend(module.number)
        finally:
            done.set()

    def draw() -> None:
        while not done.is_set():
            drawn.extend((np.random.random(), random.random()))
            done.wait(0.0005)

    together(search, draw)
    assert max(collections.Counter(drawn).values()) == 1


def test_a_forward_that_waits_for_another_thread_is_not_tried() -> None:
    asked: Any = queue.Queue()
    answers: Any = queue.Queue()

    class Asking(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.fc = nn.Linear(in_features, 2)

        def forward(self, x: Tensor) -> Tensor:
            asked.put(x)
            return self.fc(x) * answers.get()  # type: ignore[no-any-return]

    module = lazify(Asking)()
    together(lambda: module(X), lambda: answers.put(asked.get().sum()))
    assert asked.empty()
    assert module.fc.in_features == 5
