"""What laziness costs: construction and first call, later calls, memory, and the making of a lazy class.

    python benchmarks [--quick]

prints one table. Times are this thread's CPU time on one thread, as paired ratios: in every round each
contender runs once, in rotating order, and is divided by the eager time of the same round; shown is the
median over the rounds. torch's own `Lazy*` classes run beside. Nothing is asserted: times depend on the machine.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from statistics import median

import torch
from torch import nn

from lazify import LazifyError, __version__, lazify

LazyConv2d = lazify(nn.Conv2d)
LazyLinear = lazify(nn.Linear)

EAGER, LAZIFY, TORCH = CONTENDERS = ("eager", "lazify", "torch")
#: Eager modules in the order of work that laziness imposes: each constructed right before its first call.
IN_TURN = "eager in turn"
CONTROL = (
    "eager: each layer constructed right before its call, as laziness must; at the cost per module, its own growth"
)


@dataclass(frozen=True)
class Size:
    """How much of everything: `rounds` of the small chains, and so on."""

    rounds: int
    call_rounds: int
    calls: int
    chains: tuple[int, ...]
    chain_rounds: int
    features: int
    memory_rounds: int
    class_rounds: int
    import_rounds: int


FULL = Size(
    rounds=150,
    call_rounds=60,
    calls=300,
    chains=(200, 800, 3200, 6400),
    chain_rounds=9,
    features=10_000,
    memory_rounds=5,
    class_rounds=9,
    import_rounds=11,
)
QUICK = Size(
    rounds=5,
    call_rounds=3,
    calls=20,
    chains=(50, 100),
    chain_rounds=2,
    features=4_000,
    memory_rounds=1,
    class_rounds=1,
    import_rounds=1,
)


@dataclass(frozen=True)
class Row:
    measured: str
    lazify: str
    torch: str
    target: str
    eager: str = ""


# ---------------------------------------------------------------------------------------------
# Timing


def interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of CPU time of each run in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for run in runs.values():
        run()  # warm up
    for _ in range(rounds):
        order.append(order.pop(0))
        gc.collect()
        gc.disable()
        for name in order:
            begin = time.thread_time()
            runs[name]()
            seconds[name].append(time.thread_time() - begin)
        gc.enable()
    return seconds


def ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Median over the rounds of the ratio to eager in the same round."""
    eager = seconds[EAGER]
    return {name: median(t / e for t, e in zip(times, eager, strict=True)) for name, times in seconds.items()}


def ratio_row(measured: str, runs: dict[str, Callable[[], object]], rounds: int, target: str) -> Row:
    result = ratios(interleaved(runs, rounds))
    control = f"{result[IN_TURN]:.2f}" if IN_TURN in result else ""
    return Row(measured, f"{result[LAZIFY]:.2f}", f"{result[TORCH]:.2f}", target, control)


# ---------------------------------------------------------------------------------------------
# Construction and first call


def conv_chain(contender: str) -> Iterator[nn.Module]:
    """50 convolutions on 3 channels; all but the first are Conv2d(16, 16, 3, padding=1)."""
    lazy = LazyConv2d if contender == LAZIFY else nn.LazyConv2d
    for at in range(50):
        if contender in (EAGER, IN_TURN):
            yield nn.Conv2d(16 if at else 3, 16, 3, padding=1)
        else:
            yield lazy(16, 3, padding=1)


def linear_chain(contender: str, length: int, width: int, activation: bool) -> Iterator[nn.Module]:
    lazy = LazyLinear if contender == LAZIFY else nn.LazyLinear
    for _ in range(length):
        yield nn.Linear(width, width) if contender in (EAGER, IN_TURN) else lazy(width)
        if activation:
            yield nn.ReLU()


def construct_and_call(contender: str, layers: Iterable[nn.Module], x: torch.Tensor) -> nn.Module:
    if contender == IN_TURN:
        called = []
        for layer in layers:
            x = layer(x)
            called.append(layer)
        return nn.Sequential(*called)
    network = nn.Sequential(*layers)
    network(x)
    return network


def first_calls(size: Size) -> Iterator[Row]:
    image, vector = torch.randn(1, 3, 16, 16), torch.randn(1, 64)

    def convs(contender: str) -> Callable[[], object]:
        return lambda: construct_and_call(contender, conv_chain(contender), image)

    def linears(contender: str) -> Callable[[], object]:
        return lambda: construct_and_call(contender, linear_chain(contender, 100, 64, activation=True), vector)

    for name, run in (
        ("construct + first call, 50 x Conv2d(16, 16, 3, padding=1)", convs),
        ("construct + first call, 100 x Linear(64, 64) + ReLU", linears),
    ):
        yield ratio_row(name, {c: run(c) for c in (*CONTENDERS, IN_TURN)}, size.rounds, "<= 1.15")


def later_calls(size: Size) -> Iterator[Row]:
    """One layer, used again and again."""
    image, vector = torch.randn(1, 16, 8, 8), torch.randn(1, 64)
    linear = {EAGER: nn.Linear(64, 64), LAZIFY: LazyLinear(64), TORCH: nn.LazyLinear(64)}
    conv = {
        EAGER: nn.Conv2d(16, 16, 3, padding=1),
        LAZIFY: LazyConv2d(16, 3, padding=1),
        TORCH: nn.LazyConv2d(16, 3, padding=1),
    }

    def calling(module: nn.Module, x: torch.Tensor) -> Callable[[], object]:
        module(x)

        def run() -> None:
            for _ in range(size.calls):
                module(x)

        return run

    for name, modules, x in (("Linear", linear, vector), ("Conv2d", conv, image)):
        runs = {contender: calling(module, x) for contender, module in modules.items()}
        yield ratio_row(f"a later call, {name}", runs, size.call_rounds, "1.00")


def growth(size: Size) -> Iterator[Row]:
    """Cost per module of construction and first call, in chains of different lengths."""
    x = torch.randn(1, 8)
    per_module: dict[int, dict[str, float]] = {}
    for length in size.chains:

        def run(contender: str, length: int = length) -> Callable[[], object]:
            return lambda: construct_and_call(contender, linear_chain(contender, length, 8, activation=False), x)

        seconds = interleaved({c: run(c) for c in CONTENDERS}, size.chain_rounds)
        per_module[length] = {c: median(times) / length for c, times in seconds.items()}
        result = ratios(seconds)
        yield Row(
            f"construct + first call, {length:,} x Linear(8, 8)",
            f"{result[LAZIFY]:.2f}",
            f"{result[TORCH]:.2f}",
            "flat",
        )
    shortest, longest = size.chains[0], size.chains[-1]
    grown = {c: per_module[longest][c] / per_module[shortest][c] for c in CONTENDERS}
    yield Row(
        f"cost per module, {longest:,} against {shortest:,} modules",
        f"{grown[LAZIFY]:.2f}",
        f"{grown[TORCH]:.2f}",
        "flat",
        f"{grown[EAGER]:.2f}",
    )


# ---------------------------------------------------------------------------------------------
# Memory


def peak_memory(contender: str, features: int) -> int:
    """Growth of this process's peak memory by one layer and its first call. Run in a process of its own."""
    makers: dict[str, Callable[[int], nn.Module]] = {
        EAGER: lambda n: nn.Linear(n, n),
        LAZIFY: LazyLinear,
        TORCH: nn.LazyLinear,
    }
    make = makers[contender]
    make(8)(torch.randn(1, 8))  # whatever the first use of anything allocates
    x = torch.randn(1, features)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    make(features)(x)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def memory(size: Size) -> Iterator[Row]:
    peaks: dict[str, list[int]] = {c: [] for c in CONTENDERS}
    for _ in range(size.memory_rounds):
        for contender in CONTENDERS:
            peaks[contender].append(int(_in_new_process(__file__, "--peak", contender, str(size.features))))
    peak = {c: median(values) for c, values in peaks.items()}
    megabytes = size.features**2 * 4 / 1e6
    yield Row(
        f"peak memory of a {megabytes:.0f} MB layer's first call",
        f"{peak[LAZIFY] / peak[EAGER]:.2f}",
        f"{peak[TORCH] / peak[EAGER]:.2f}",
        "1.00",
    )


def _in_new_process(*arguments: str) -> str:
    # with bytecode, as installed: whoever writes none measures the compiler
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


# ---------------------------------------------------------------------------------------------
# Making lazy classes, importing


def acceptable() -> list[type[nn.Module]]:
    """The classes of torch.nn that `lazify` takes without being told anything."""
    found = []
    for cls in vars(nn).values():
        if isinstance(cls, type) and issubclass(cls, nn.Module):
            try:
                lazify(cls)
            except LazifyError:
                continue
            found.append(cls)
    return found


def definitions(size: Size) -> Iterator[Row]:
    classes = acceptable()
    per_class = {cls: median(seconds_to_define(cls) for _ in range(size.class_rounds)) * 1e6 for cls in classes}
    slowest = max(classes, key=per_class.__getitem__)
    yield Row(
        f"lazify(cls), median of {len(classes)} classes of torch.nn",
        f"{median(per_class.values()):.0f} us",
        "",
        "< 400 us",
    )
    yield Row(f"lazify(cls), the slowest: {slowest.__name__}", f"{per_class[slowest]:.0f} us", "", "< 400 us")


def seconds_to_define(cls: type[nn.Module]) -> float:
    """One `lazify` of a class that it has not seen: a bare subclass, since a lazy class is kept while in use."""
    unseen = type(cls.__name__, (cls,), {})
    gc.collect()
    gc.disable()
    begin = time.thread_time()
    lazify(unseen)
    seconds = time.thread_time() - begin
    gc.enable()
    return seconds


def importing(size: Size) -> Iterator[Row]:
    code = "import time, torch; t = time.perf_counter(); import lazify; print(time.perf_counter() - t)"
    seconds = median(float(_in_new_process("-c", code)) for _ in range(size.import_rounds))
    yield Row("import lazify, after torch", f"{seconds * 1e3:.0f} ms", "", "< 60 ms")


# ---------------------------------------------------------------------------------------------
# The table


def table(rows: list[Row]) -> str:
    header = Row("measured (a plain number: ratio to eager)", "lazify", "torch's `Lazy*`", "target", "eager")
    cells = [(r.measured, r.lazify, r.torch, r.eager, r.target) for r in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks", description="What laziness costs.")
    parser.add_argument("--quick", action="store_true", help="few and small rounds: does it run at all?")
    parser.add_argument("--peak", nargs=2, metavar=("CONTENDER", "FEATURES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="Lazy modules are a new feature")  # torch's own
    torch.set_num_threads(1)
    if arguments.peak:
        print(peak_memory(arguments.peak[0], int(arguments.peak[1])))
        return
    gc.collect()
    gc.freeze()  # what the imports made stays: the collections between rounds need not look at it
    size = QUICK if arguments.quick else FULL
    rows: list[Row] = []
    for measure in (first_calls, later_calls, memory, definitions, growth, importing):
        rows += measure(size)
    versions = f"lazify {__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    print(f"{date.today()}, {versions}, {platform.system()} {platform.machine()}, one thread\n")
    print(table(rows))
    print(f"\n{CONTROL}")


if __name__ == "__main__":
    main()
