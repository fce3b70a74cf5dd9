"""Forwards that wait: for an event loop, for threads that they start, for executors. Nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.modules import Searched, searched
from lazify import lazify, materialize

X = torch.arange(10.0).view(2, 5)


class WronglyGuessed(nn.Module):
    """The convention for its parameter is axis(1)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, 4)


def test_coroutines_that_sleep_and_start_tasks() -> None:
    ended: list[str] = []

    class Awaiting(WronglyGuessed):
        async def part(self, x: Tensor) -> Tensor:
            await asyncio.sleep(0)
            return self.fc(x)  # type: ignore[no-any-return]

        async def background(self) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append("background")

        async def forward(self, x: Tensor) -> Tensor:
            self.task = asyncio.create_task(self.background())
            parts = await asyncio.gather(*(self.part(each) for each in x.split(1)))
            first = await asyncio.wait_for(asyncio.to_thread(self.fc, x), 3600)
            with contextlib.suppress(asyncio.TimeoutError):  # in a trial run no time passes
                await asyncio.wait_for(asyncio.sleep(0), 3600)
            return torch.cat([first, *parts])

    async def call(module: Any) -> Any:
        task = asyncio.current_task()
        result = await module(X[None])
        assert asyncio.current_task() is task
        assert not ended
        assert asyncio.all_tasks() == {task, module.task}
        return result

    module = lazify(Awaiting)()
    assert asyncio.run(call(module)).shape == (2, 2, 4)
    assert module.fc.in_features == 5
    assert ended == ["background"]


def test_streams_that_sleep() -> None:
    class Streaming(Searched):
        async def forward(self, x: Tensor) -> AsyncIterator[Tensor]:  # type: ignore[override]
            for chunk in x.split(1):
                await asyncio.sleep(0)
                yield self.fc(chunk)

    async def collect(module: Any) -> list[Tensor]:
        return [each async for each in module(X)]

    assert len(asyncio.run(collect(searched(Streaming)))) == 2


def test_tasks_of_a_call_that_is_no_coroutine() -> None:
    done: list[int] = []

    class Scheduling(Searched):
        def forward(self, x: Tensor) -> Tensor:
            asyncio.get_running_loop().call_soon(done.append, 1)
            return self.fc(x)

    async def call() -> None:
        searched(Scheduling)(X)
        await asyncio.sleep(0)

    asyncio.run(call())
    assert done == [1]


def test_materialize_a_coroutine() -> None:
    class Awaiting(Searched):
        async def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            await asyncio.sleep(0)
            return self.fc(x)

    async def call(module: Any) -> Any:
        return await materialize(module, X)(X)

    assert asyncio.run(call(searched(Awaiting))).shape == (2, 4)


def in_threads(work: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    found: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda at=at, each=each: found.__setitem__(at, work(each)))
        for at, each in enumerate(x.split(1))
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not any(each.is_alive() for each in threads)
    return torch.cat([found[at] for at in range(len(threads))])


def in_an_executor(work: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with ThreadPoolExecutor(2) as pool:
        futures = {pool.submit(work, each): at for at, each in enumerate(x.split(1))}
        found = {futures[each]: each.result() for each in as_completed(futures)}
    return torch.cat([found[at] for at in range(len(found))])


@pytest.mark.parametrize("how", [in_threads, in_an_executor])
@pytest.mark.parametrize("way", ["call", "materialize"])
def test_threads_of_a_forward(how: Any, way: str) -> None:
    class Parallel(Searched):
        def forward(self, x: Tensor) -> Tensor:
            return how(self.fc, x)  # type: ignore[no-any-return]

    module = searched(Parallel)
    if way == "materialize":
        materialize(module, X)
    assert torch.equal(module(X), how(module.fc, X))
    assert module.fc.in_features == 5


def test_a_thread_that_nobody_waits_for_is_started_once() -> None:
    stop, started = threading.Event(), []

    class Prefetching(Searched):
        def forward(self, x: Tensor) -> Tensor:
            self.thread = threading.Thread(target=lambda: (started.append(1), stop.wait()), daemon=True)
            self.thread.start()
            return self.fc(x)

    module: Any = searched(Prefetching)
    module(X)
    assert module.thread.is_alive()
    stop.set()
    module.thread.join()
    assert started == [1]


def test_an_executor_of_the_user_works_for_others_and_after() -> None:
    class Parallel(nn.Module):
        def __init__(self, zzz: int, pool: Any) -> None:
            super().__init__()
            self.fc, self.pool = nn.Linear(zzz, 4), pool

        def forward(self, x: Tensor) -> Tensor:
            return self.pool.submit(self.fc, x).result()  # type: ignore[no-any-return]

    with ThreadPoolExecutor(1) as pool:
        module: Any = lazify(Parallel, exclude=["zzz"])(pool)
        assert module(X).shape == (2, 4)
        assert pool.submit(lambda: threading.current_thread() is threading.main_thread()).result() is False
