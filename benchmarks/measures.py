"""What is measured: each function yields rows. Nothing is asserted, as times depend on the machine."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks.contenders import CONTROL, LAZIFY, TORCHLAYERS, Contender
from benchmarks.models import (
    PROBLEMS,
    ConvBlock,
    LazyConvBlock,
    Problem,
    constructed_and_called,
    convs,
    linears,
    vgg,
)
from benchmarks.rounds import EAGER, MAY_FAIL, Row, alone, compared, interleaved, paired, spread, timed
from lazify import LazifyError, lazify

__all__ = ["FULL", "MEASURES", "QUICK", "Size"]

Contenders = Sequence[Contender]


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        rounds: of the first calls; `call_rounds` of `calls` later ones each.
        chains: numbers of modules; `chain_rounds` each.
        features: of the layer whose memory is measured; `memory_rounds` processes each.
        vgg_rounds: of materializing a VGG for a batch of `images`.
        layers: of the large model; `large_rounds` processes each.
        search_rounds: of searches; `first_searches` processes each.
        class_rounds: of making each lazy class.
        import_rounds: processes that import.
    """

    rounds: int
    call_rounds: int
    calls: int
    chains: tuple[int, ...]
    chain_rounds: int
    features: int
    memory_rounds: int
    vgg_rounds: int
    images: int
    layers: int
    large_rounds: int
    search_rounds: int
    first_searches: int
    class_rounds: int
    import_rounds: int


FULL = Size(
    rounds=150,
    call_rounds=60,
    calls=300,
    chains=(100, 400, 1600, 6400),
    chain_rounds=9,
    features=10_000,
    memory_rounds=5,
    vgg_rounds=9,
    images=8,
    layers=80,
    large_rounds=3,
    search_rounds=15,
    first_searches=5,
    class_rounds=25,
    import_rounds=11,
)
QUICK = Size(
    rounds=3,
    call_rounds=3,
    calls=20,
    chains=(50, 100),
    chain_rounds=2,
    features=4_000,
    memory_rounds=1,
    vgg_rounds=1,
    images=1,
    layers=2,
    large_rounds=1,
    search_rounds=1,
    first_searches=1,
    class_rounds=1,
    import_rounds=1,
)


def without(contenders: Contenders, *names: str) -> list[Contender]:
    return [each for each in contenders if each.name not in names]


def first_calls(size: Size, contenders: Contenders) -> Iterator[Row]:
    image, vector = torch.randn(1, 3, 16, 16), torch.randn(1, 64)
    for name, layers, x in (
        ("50 x Conv2d(16, 16, 3, padding=1)", partial(convs, length=50), image),
        ("100 x Linear(64, 64) + ReLU", partial(linears, length=100, width=64, activation=True), vector),
    ):
        runs = {c.name: lambda c=c, layers=layers, x=x: constructed_and_called(c, layers(c), x) for c in contenders}
        warmed = interleaved(runs, size.rounds, warmed=True)
        yield compared("first call", f"construct + first call, {name}", warmed, target="<= 1.15")
        cold = interleaved(runs, size.rounds)
        yield compared("first call, cold", f"  right after another: {name}", cold)


def before_the_first_call(size: Size, contenders: Contenders) -> Iterator[Row]:
    """An optimizer before the first call, and what else asks for parameters and modules before they exist."""
    contenders = without(contenders, CONTROL, TORCHLAYERS)  # one has no lazy parameters
    for name, layers, x in (
        ("50 x Conv2d(16, 16, 3, padding=1)", partial(convs, length=50), torch.randn(1, 3, 16, 16)),
        ("100 x Linear(64, 64)", partial(linears, length=100, width=64), torch.randn(1, 64)),
    ):

        def trained(contender: Contender, layers: Any = layers, x: torch.Tensor = x) -> object:
            network = nn.Sequential(*layers(contender))
            torch.optim.SGD(network.parameters(), lr=0.1)
            return network(x)

        seconds = interleaved({c.name: partial(trained, c) for c in contenders}, size.rounds // 3, warmed=True)
        yield compared("before", f"construct + SGD + first call, {name}", seconds, target="<= 1.5 x torch's")
    for name, ask in (
        ("state_dict()", lambda network: network.state_dict()),
        ("zero_grad()", lambda network: network.zero_grad()),
        ("named_modules()", lambda network: list(network.named_modules())),
    ):
        runs = {c.name: lambda c=c, ask=ask: ask(nn.Sequential(*convs(c, 50))) for c in contenders}
        what = f"construct + {name}, 50 x Conv2d(16, 16, 3, padding=1)"
        yield compared("before", what, interleaved(runs, size.rounds // 3, warmed=True), target="<= 1.5 x torch's")
    shape = torch.empty(1, 8, device="meta")
    runs = {c.name: lambda c=c: c.made_real(nn.Sequential(*linears(c, 400, 8)), shape) for c in contenders}
    yield compared("before", "materialize, 400 x Linear(8, 8)", interleaved(runs, size.chain_rounds), target="<= 5")
    runs = {name: partial(blocks, name == LAZIFY) for name in (EAGER, LAZIFY)}
    what = "construct + parameters(), 60 blocks of an own class, from the second on"
    yield compared("before", what, interleaved(runs, size.rounds // 3, warmed=True), target="<= 2")


def blocks(lazy: bool) -> list[nn.Parameter]:
    """The parameters of 60 blocks."""
    network = nn.Sequential(*(LazyConvBlock(16) if lazy else ConvBlock(16, 16) for _ in range(60)))
    return list(network.parameters())


def later_calls(size: Size, contenders: Contenders) -> Iterator[Row]:
    """One layer, used again and again."""

    def calling(module: nn.Module, x: torch.Tensor) -> Callable[[], None]:
        module(x)

        def run() -> None:
            for _ in range(size.calls):
                module(x)

        return run

    contenders = without(contenders, CONTROL)
    for name, runs in (
        ("Linear(64, 64)", {c.name: calling(c.linear(64, 64), torch.randn(1, 64)) for c in contenders}),
        (
            "Conv2d(16, 16, 3, padding=1)",
            {c.name: calling(c.conv(16, 16), torch.randn(1, 16, 8, 8)) for c in contenders},
        ),
    ):
        seconds = interleaved(runs, size.call_rounds)
        per_call = {n: t and [each / size.calls for each in t] for n, t in seconds.items()}
        yield compared("later call", f"a later call, {name}", per_call, target="1.00")


def memory(size: Size, contenders: Contenders) -> Iterator[Row]:
    measured: dict[str, list[float] | None] = {c.name: [] for c in without(contenders, CONTROL)}
    for _ in range(size.memory_rounds):
        for name, values in measured.items():
            try:
                if values is not None:
                    values.append(alone("-m", "benchmarks.alone", "layer", name, size.features)["bytes"])
            except Exception:
                if name not in MAY_FAIL:
                    raise
                measured[name] = None
    what = f"peak memory of the first call of a {size.features**2 * 4 / 1e6:.0f} MB layer"
    yield compared("memory", what, measured, unit="B", target="1.00")


def materializing(size: Size, contenders: Contenders) -> Iterator[Row]:
    """Beside constructing the eager model, which is all that it needs."""
    contenders = without(contenders, CONTROL)
    images = torch.empty(size.images, 3, 112, 112, device="meta")
    runs = {c.name: lambda c=c: c.made_real(vgg(c), images) for c in contenders}
    what = "materialize a VGG of 16 convolutions"
    yield compared("materialize", what, interleaved(runs, size.vgg_rounds), target="<= 1.5")

    names = [c.name for c in without(contenders, TORCHLAYERS)]  # it takes the channels of (N, C, ...), nothing else
    processes = [
        {name: alone("-m", "benchmarks.alone", "shapes", name, size.layers) for name in names}
        for _ in range(size.large_rounds)
    ]
    billions = processes[0][LAZIFY]["parameters"] / 1e9
    for measured, key, unit, target in (
        (f"materialize shapes of {billions:.0f} billion parameters", "seconds", "s", "< 60 s"),
        (f"peak memory of the process, shapes of {billions:.0f} billion", "bytes", "B", "< 2 GiB"),
    ):
        values = {name: [each[name][key] for each in processes] for name in names}
        yield compared("shapes", measured, values, unit=unit, target=target, absolute=True)


def growth(size: Size, contenders: Contenders) -> Iterator[Row]:
    """Chains of more and more modules."""
    x, shape = torch.randn(1, 8), torch.empty(1, 8, device="meta")

    def called(contender: Contender, length: int) -> object:
        return constructed_and_called(contender, linears(contender, length, 8), x)

    def made_real(contender: Contender, length: int) -> object:
        return contender.made_real(nn.Sequential(*linears(contender, length, 8)), shape)

    for group, run, those in (
        ("construct + first call", called, contenders),
        ("materialize", made_real, without(contenders, CONTROL)),
    ):
        per_module: dict[int, dict[str, list[float] | None]] = {}
        for length in size.chains:
            seconds = interleaved({c.name: partial(run, c, length) for c in those}, size.chain_rounds)
            per_module[length] = {n: t and [each / length for each in t] for n, t in seconds.items()}
            what = f"{group}, {length:,} x Linear(8, 8)"
            yield compared(f"{group}, scale", what, seconds, target="flat", modules=length)
        few, many = size.chains[0], size.chains[-1]
        grown = {
            name: paired(after, before) if (before := per_module[few][name]) and after else None
            for name, after in per_module[many].items()
        }
        yield Row("growth", f"{group}, cost per module, {many:,} against {few:,}", grown, target="<= 1.3")


def solving(size: Size, contenders: Contenders) -> Iterator[Row]:
    """Blocks of one class of which only the call tells the values: the first pays for the search."""
    for problem in PROBLEMS:
        problem.lazy(problem.cls)()(*map(torch.randn, problem.shapes))  # torch loads its fake tensors
        rounds = [hundred(problem) for _ in range(size.search_rounds)]
        eager = [each[EAGER] for each in rounds]
        lazy = [each[LAZIFY] for each in rounds]
        bases = [median(each) for each in eager]
        for measured, values, base in (
            ("the first block", [each[0] for each in lazy], bases),
            ("the hundredth block", [each[-1] for each in lazy], bases),
            ("a hundred blocks together", [sum(each) for each in lazy], [sum(each) for each in eager]),
        ):
            both = {EAGER: base, LAZIFY: values}
            yield compared("search", f"search for {problem.label}, {measured}", both, absolute=True)
    problem = PROBLEMS[0]
    names = (EAGER, LAZIFY)
    first: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(size.first_searches):
        for name in names:
            first[name].append(alone("-m", "benchmarks.alone", "search", name, problem.label)["seconds"])
    yield compared("first search", f"search for {problem.label}, the first block of a process", first, absolute=True)


def hundred(problem: Problem) -> dict[str, list[float]]:
    """Seconds of each of a hundred blocks: of a class that lazify has not seen."""
    unseen = type(problem.cls.__name__, (problem.cls,), {})
    inputs = [torch.randn(shape) for shape in problem.shapes]
    seconds = {}
    for name, make in ((EAGER, problem.eager(unseen)), (LAZIFY, problem.lazy(unseen))):
        gc.collect()
        gc.disable()
        seconds[name] = [timed(lambda make=make: make()(*inputs)) for _ in range(100)]
        gc.enable()
    return seconds


def definitions(size: Size, contenders: Contenders) -> Iterator[Row]:
    """`lazify(cls)` beside the statement `class Sub(cls): pass`."""
    classes = acceptable()
    seconds = {cls: [defining(cls) for _ in range(size.class_rounds)] for cls in classes}
    eager, lazy = ({cls: median(each[at] for each in rounds) for cls, rounds in seconds.items()} for at in (0, 1))
    slowest = max(classes, key=lazy.__getitem__)
    what = f"lazify(cls), to a subclass; median of {len(classes)} classes of torch.nn"
    both = {EAGER: [eager[cls] for cls in classes], LAZIFY: [lazy[cls] for cls in classes]}
    yield compared("class", what, both, target="< 400 us", absolute=True)
    both = {EAGER: [each[0] for each in seconds[slowest]], LAZIFY: [each[1] for each in seconds[slowest]]}
    yield compared("class", f"  the slowest: {slowest.__name__}", both, target="< 400 us", absolute=True)


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


def defining(cls: type[nn.Module]) -> tuple[float, float]:
    """Seconds for a bare subclass, and for making it lazy: a lazy class is kept while in use, so this one is unseen."""
    made = []
    gc.collect()
    gc.disable()
    eager = timed(lambda: made.append(type(cls.__name__, (cls,), {})))
    lazy = timed(lambda: lazify(made[0]))
    gc.enable()
    return eager, lazy


IMPORTING = """
import importlib, json, time
begin = time.process_time(); import torch
middle = time.process_time(); importlib.import_module({library!r})
print(json.dumps({{"eager": middle - begin, {library!r}: time.process_time() - middle}}))
"""


def importing(size: Size, contenders: Contenders) -> Iterator[Row]:
    """Beside importing torch, after that."""
    ratios = {}
    for library in (c.name for c in contenders if c.name in (LAZIFY, TORCHLAYERS)):
        both = [alone("-c", IMPORTING.format(library=library)) for _ in range(size.import_rounds)]
        ratios[library] = paired([each[library] for each in both], [each[EAGER] for each in both])
        base = spread([each[EAGER] for each in both])
    yield Row("import", "import, to importing torch", ratios, base, target="< 60 ms", absolute=True)


MEASURES = {
    "first": first_calls,
    "before": before_the_first_call,
    "later": later_calls,
    "memory": memory,
    "materialize": materializing,
    "growth": growth,
    "solving": solving,
    "classes": definitions,
    "import": importing,
}
