"""Trial runs in several threads, and beside threads that do other things meanwhile."""

from __future__ import annotations

import collections
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from helpers.threads import LONG, together
from lazify import lazify


class Searched(nn.Module):
    def __init__(self, zzz: int, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.fc, self.inner = nn.Linear(zzz, 4), inner

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


def searched(*args: Any, cls: type[nn.Module] = Searched) -> nn.Module:
    return lazify(cls, exclude=["zzz"])(*args)


def test_two_threads_draw_different_weights() -> None:
    for width in range(5, 15):
        a, b, barrier = searched(), searched(), threading.Barrier(2)

        def go(module: nn.Module, barrier: threading.Barrier = barrier, width: int = width) -> None:
            barrier.wait(LONG)
            module(torch.ones(2, width))

        together(lambda a=a: go(a), lambda b=b: go(b))
        assert not torch.equal(a.fc.weight, b.fc.weight)


def test_settings_of_the_process() -> None:
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, disabled, filters = list(warnings.filters), logger.disabled, list(logger.filters)

    def work(thread: int) -> None:
        for k in range(6):
            searched()(torch.ones(2, 5 + 20 * thread + k))

    together(*(lambda i=i: work(i) for i in range(4)))
    assert list(warnings.filters) == before
    assert logger.disabled == disabled
    assert logger.filters == filters


def _until(done: threading.Event, step: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        while not done.is_set():
            step()
            done.wait(0.0005)

    return run


def _search(done: threading.Event) -> Callable[[], None]:
    def run() -> None:
        try:
            for width in range(5, 20):
                searched()(torch.ones(2, width))
        finally:
            done.set()

    return run


def test_nobodys_number_is_drawn_twice() -> None:
    drawn: list[float] = []
    done = threading.Event()
    together(_until(done, lambda: drawn.append(torch.rand(1, dtype=torch.float64).item())), _search(done))
    assert max(collections.Counter(drawn).values()) == 1


def test_a_constructor_that_seeds_rewinds_no_number_of_another_thread() -> None:
    class Seeding(Searched):
        def __init__(self, zzz: int, width: int) -> None:
            torch.manual_seed(7)
            with torch.random.fork_rng():
                torch.seed()
            super().__init__(zzz)

    drawn: list[float] = []
    done = threading.Event()

    def look() -> None:
        try:
            for width in range(15):
                assert list(searched(width, cls=Seeding).parameters())
        finally:
            done.set()

    together(_until(done, lambda: drawn.append(torch.rand(1, dtype=torch.float64).item())), look)
    assert max(collections.Counter(drawn).values()) == 1


def test_warnings_and_lines_of_others_are_heard() -> None:
    said = 0
    lines: list[str] = []
    logger = logging.getLogger("torch._subclasses.fake_tensor")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    def speak() -> None:
        nonlocal said
        said += 1
        warnings.warn(f"number {said}", UserWarning, stacklevel=1)
        logger.error("line %d", said)

    handler, done = Handler(), threading.Event()
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            together(_until(done, speak), _search(done))
    finally:
        logger.removeHandler(handler)
    assert len([each for each in heard if str(each.message).startswith("number")]) == said
    assert len([each for each in lines if each.startswith("line")]) == said


def test_hooks_of_the_process_see_other_threads() -> None:
    calls, seen = 0, 0
    other = nn.ReLU()

    def hook(module: nn.Module, args: Any, out: Any) -> None:
        nonlocal seen
        seen += module is other

    def call() -> None:
        nonlocal calls
        calls += 1
        other(torch.ones(1))

    done = threading.Event()
    handle = torch.nn.modules.module.register_module_forward_hook(hook)
    try:
        together(_until(done, call), _search(done))
    finally:
        handle.remove()
    assert seen == calls
    assert not torch.nn.modules.module._global_forward_hooks


def test_a_lock_in_a_forward_is_no_deadlock() -> None:
    class Locking(Searched):
        def forward(self, x: Tensor) -> Tensor:
            with _LOCK:
                assert self.inner is not None
                return self.inner(self.fc(x))  # type: ignore[no-any-return]

    modules = [searched(searched(), cls=Locking) for _ in range(3)]
    together(*(lambda i=i, m=m: m(torch.ones(2, 5 + i)) for i, m in enumerate(modules)))


_LOCK = threading.Lock()


def test_counters_that_other_threads_count_on() -> None:
    """What a trial run does not change is not written back."""
    counted = {"n": 0}
    done = threading.Event()

    class Counting(Searched):
        def forward(self, x: Tensor) -> Tensor:
            assert counted["n"] >= 0
            return super().forward(x)

    def count() -> None:
        counted["n"] += 1

    def search() -> None:
        try:
            searched(cls=Counting)(torch.ones(2, 5))
        finally:
            done.set()

    together(_until(done, lambda: None), search)
    count()
    assert counted["n"] == 1
