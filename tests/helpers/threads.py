"""Functions that run in threads of their own at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

#: A deadlock is told by this; nothing else waits so long.
LONG = 60.0


def together(*functions: Callable[[], Any]) -> None:
    """Run each function in a thread; raise the first error of one."""
    failures: list[BaseException] = []

    def run(function: Callable[[], Any]) -> None:
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(each,), daemon=True) for each in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]
