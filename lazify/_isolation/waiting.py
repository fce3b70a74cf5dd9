"""What a trial run would wait for: coroutines run on an event loop of its own, threads in the thread of the run."""

from __future__ import annotations

import asyncio
import inspect
import selectors
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["UncopyableError", "call_to_the_end", "own_threads"]

#: How many values are drawn from a forward that is a generator, before it counts as endless.
MOST_YIELDED = 1000


class UncopyableError(TypeError):
    """What a trial run would consume, or wait for, can be used only once."""


def call_to_the_end(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function; run a generator or a coroutine that it returns to its end: only then is it known to pass."""

    async def call() -> Any:
        return await _ended(function(*args, **kwargs))

    if asyncio._get_running_loop() is not None:  # tasks that the function makes are not for that loop
        return _run(call())
    result = function(*args, **kwargs)
    return _run(_ended(result)) if inspect.iscoroutine(result) or inspect.isasyncgen(result) else _drawn(result)


async def _ended(result: Any) -> Any:
    if inspect.iscoroutine(result):
        await result
    elif inspect.isasyncgen(result):
        left = MOST_YIELDED
        async for _ in result:
            left -= 1
            if not left:
                break
    return _drawn(result)


def _drawn(result: Any) -> Any:
    if inspect.isgenerator(result):
        for _, _ in zip(range(MOST_YIELDED), result, strict=False):
            pass
        result.close()
    return result


# ---------------------------------------------------------------------------------------------
# An event loop that never waits


class _Selector(selectors.SelectSelector):
    """Where a loop would sleep, its time moves on instead; where it would wait for others, it is refused."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise UncopyableError("a trial run cannot await what another task or thread will do")
        self.skipped += timeout or 0
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._own_selector = _Selector()
        super().__init__(self._own_selector)

    def time(self) -> float:
        return super().time() + self._own_selector.skipped

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: Any) -> None:
        """Nobody hears of tasks that a trial run leaves behind."""


def _run(coroutine: Any) -> Any:
    """Run a coroutine to its end, in the place of the event loop that runs in this thread, if one does."""
    around = asyncio._get_running_loop()
    task = None if around is None else asyncio.current_task(around)
    if around is not None and task is not None:
        asyncio.tasks._leave_task(around, task)
    asyncio._set_running_loop(None)
    loop = _Loop()
    try:
        try:
            return loop.run_until_complete(coroutine)
        finally:
            left = asyncio.all_tasks(loop)
            for each in left:
                each.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True) if left else asyncio.sleep(0))
            loop.run_until_complete(loop.shutdown_asyncgens())
    except RuntimeError as error:
        if "different loop" in str(error) or "different event loop" in str(error):
            raise UncopyableError("a trial run cannot await what belongs to another event loop") from error
        raise
    finally:
        coroutine.close()
        loop.close()
        asyncio._set_running_loop(around)
        if around is not None and task is not None:
            asyncio.tasks._enter_task(around, task)


# ---------------------------------------------------------------------------------------------
# Threads


def own_threads(started: Callable[[], dict[int, threading.Thread]]) -> Iterator[tuple[type, str, Callable[..., Any]]]:
    """Methods of threads and of executors in a trial run: (class, name, what it does there).

    The thread of the run does the work of the others, when it would wait for their end: it alone is in the run.

    Args:
        started: gives the threads that have been started in this run and have not done anything yet, by their ids.
    """
    join, is_alive = threading.Thread.join, threading.Thread.is_alive

    def work(thread: threading.Thread) -> bool:
        if started().pop(id(thread), None) is not None:
            thread.run()
            return True
        return False

    def start_later(thread: threading.Thread) -> None:
        started()[id(thread)] = thread

    def join_here(thread: threading.Thread, timeout: float | None = None) -> None:
        if not work(thread) and is_alive(thread):
            join(thread, timeout)

    def is_alive_here(thread: threading.Thread) -> bool:
        return not work(thread) and is_alive(thread)

    def submit_here(_: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    yield threading.Thread, "start", start_later
    yield threading.Thread, "join", join_here
    yield threading.Thread, "is_alive", is_alive_here
    yield ThreadPoolExecutor, "submit", submit_here
