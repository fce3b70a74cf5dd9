"""Limits of a search: how many trial runs, how much processor time, how much memory; one search at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lazify._isolation.observers import observers_off
from lazify._lock import InstanceLock
from lazify._torch import load_fakes

__all__ = ["Budget", "TrialMemoryError", "memory_limit", "one_at_a_time", "wait_for_trials"]

#: What a trial run on real tensors may take in any case, in bytes.
LEAST_MEMORY = 256 * 2**20
#: It may also take this many times what inputs, given modules and the module itself take.
MEMORY_FACTOR = 4


class TrialMemoryError(RuntimeError):
    """A trial run on real tensors was refused before it took more memory than it may."""


def memory_limit(size: int) -> int:
    """How many bytes a trial run on real tensors may take, where inputs and modules take `size`."""
    return max(LEAST_MEMORY, MEMORY_FACTOR * size)


# ---------------------------------------------------------------------------------------------
# Runs and processor time


class Budget:
    """How much of a search is left: runs, and processor time of this thread. A clock on the wall is never asked.

    Waiting (for a file, for other processes) costs nothing, so that the outcome does not depend on the machine.

    Args:
        runs: the number of runs.
        seconds: the processor time.
        whole: what is left of all that this is a part of.

    >>> budget = Budget(runs=2, seconds=4.0)
    >>> budget.count(), budget.exceeded, budget.count(), budget.exceeded
    (None, '', None, '2 runs')
    """

    def __init__(self, runs: int, seconds: float, whole: Budget | None = None) -> None:
        with observers_off():
            load_fakes()
        self.runs, self.seconds, self.whole = runs, seconds, whole
        self.done = 0
        self.started = time.thread_time()

    def count(self) -> None:
        """One more run."""
        self.done += 1
        if self.whole:
            self.whole.count()

    @property
    def exceeded(self) -> str:
        """The limit that is reached, in words for an error; empty while there is none."""
        if self.done >= self.runs:
            return f"{self.runs} runs"
        if time.thread_time() - self.started >= self.seconds:
            return f"{self.seconds:g} s of processor time"
        return self.whole.exceeded if self.whole else ""


# ---------------------------------------------------------------------------------------------
# One at a time

#: In the place of a lazy state: what a thread holds while it is in a trial run.
_TRIALS = object()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Trial runs of different threads one after the other, each seeing shared objects as they really are.

    Held for one run only, and never while a real call runs. A thread that would wait for itself in this way (over a
    lazy module that another materializes, say) runs beside the other instead.
    """
    with InstanceLock(_TRIALS):
        yield


def wait_for_trials() -> bool:
    """Wait until no other thread is in a trial run; False if the one that is waits for this thread."""
    with InstanceLock(_TRIALS) as is_free:
        return is_free
