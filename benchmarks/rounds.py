"""Times as paired ratios: in every round each contender runs once and is divided by eager's time in that round."""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

__all__ = ["EAGER", "MAY_FAIL", "Row", "Spread", "alone", "compared", "interleaved", "paired", "spread", "timed"]

ROOT = Path(__file__).parent.parent
EAGER = "eager"
#: Contenders that are not asked to manage everything: where one raises, its cell says so.
MAY_FAIL = frozenset({"torchlayers"})


@dataclass(frozen=True)
class Spread:
    """The median and the quartiles over the rounds."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Attributes:
        group: what it belongs to, for the plots.
        measured: in words.
        ratios: contender -> its ratio to eager; None where it fails.
        base: eager's own seconds (or bytes), in which the ratios are.
        unit: "s" or "B".
        target: what lazify aims at.
        absolute: whether the table shows lazify's seconds or bytes, too.
        modules: how many there were, where that is the point.
    """

    group: str
    measured: str
    ratios: Mapping[str, Spread | None]
    base: Spread | None = None
    unit: str = "s"
    target: str = ""
    absolute: bool = False
    modules: int | None = None


def spread(values: Sequence[float]) -> Spread:
    """
    >>> spread([4.0, 1.0, 2.0, 3.0, 5.0])
    Spread(median=3.0, low=2.0, high=4.0, rounds=5)
    """
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Spread(middle, low, high, len(values))


def paired(values: Sequence[float], eager: Sequence[float]) -> Spread:
    """The ratios of each round."""
    return spread([value / base for value, base in zip(values, eager, strict=True)])


def timed(run: Callable[[], object]) -> float:
    """Seconds of this thread's CPU time, what becomes of the result included."""
    begin = time.thread_time()
    run()
    return time.thread_time() - begin


def interleaved(
    runs: Mapping[str, Callable[[], object]], rounds: int, warmed: bool = False
) -> dict[str, list[float] | None]:
    """Seconds of each run in each round, in an order that changes from round to round; None for one that fails.

    If `warmed`, before each run that counts comes one that does not: the processor's caches then hold
    what it needs itself, not what another one left there.
    """
    works = {name: _works(name, run) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs if works[name]}
    order, shuffled = list(seconds), random.Random(0)
    for _ in range(rounds):
        shuffled.shuffle(order)
        gc.collect()
        gc.disable()
        for name in order:
            if warmed:
                runs[name]()
            seconds[name].append(timed(runs[name]))
        gc.enable()
    return {name: seconds.get(name) for name in runs}


def _works(name: str, run: Callable[[], object]) -> bool:
    """One run to warm up."""
    try:
        run()
    except Exception:
        if name not in MAY_FAIL:
            raise
        return False
    return True


def compared(group: str, measured: str, seconds: Mapping[str, Sequence[float] | None], **more: Any) -> Row:
    """A row from what each contender took in each round, eager among them."""
    eager = seconds[EAGER]
    assert eager is not None
    others = {name: values for name, values in seconds.items() if name != EAGER}
    ratios = {name: None if values is None else paired(values, eager) for name, values in others.items()}
    return Row(group, measured, ratios, spread(eager), **more)


def alone(*arguments: object) -> dict[str, float]:
    """What Python prints as JSON, run with these arguments in a process of its own."""
    # with bytecode, as installed: whoever writes none measures the compiler
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *map(str, arguments)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    measured: dict[str, float] = json.loads(ran.stdout)
    return measured
