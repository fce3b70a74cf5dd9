"""What it costs to make a whole model real from shapes, beside constructing the eager one.

    python -m benchmarks.materializing [--quick]

prints one table. Times are this thread's CPU time, as paired ratios to eager construction; shown is the median over the
rounds. torch's `Lazy*` classes need a real forward for the same. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from lazify import lazify, materialize

LazyConv2d, LazyLinear, LazyBatchNorm2d = lazify(nn.Conv2d), lazify(nn.Linear), lazify(nn.BatchNorm2d)
LazyLayerNorm = lazify(nn.LayerNorm)
#: VGG-19: 16 convolutions with BatchNorm.
WIDTHS = [64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0]
IMAGES = torch.Size((8, 3, 112, 112))


def vgg(kind: str) -> nn.Module:
    """16 convolutions, BatchNorm after each, two linear layers."""
    layers: list[nn.Module] = []
    before = 3
    for width in WIDTHS:
        if not width:
            layers.append(nn.MaxPool2d(2))
            continue
        made: dict[str, Callable[[], list[nn.Module]]] = {
            "eager": lambda w=width, b=before: [nn.Conv2d(b, w, 3, padding=1), nn.BatchNorm2d(w)],
            "lazify": lambda w=width: [LazyConv2d(w, 3, padding=1), LazyBatchNorm2d()],
            "torch": lambda w=width: [nn.LazyConv2d(w, 3, padding=1), nn.LazyBatchNorm2d()],
        }
        layers += [*made[kind](), nn.ReLU(inplace=True)]
        before = width
    heads: dict[str, Callable[[], list[nn.Module]]] = {
        "eager": lambda: [nn.Linear(512 * 9, 4096), nn.ReLU(), nn.Linear(4096, 1000)],
        "lazify": lambda: [LazyLinear(4096), nn.ReLU(), LazyLinear(1000)],
        "torch": lambda: [nn.LazyLinear(4096), nn.ReLU(), nn.LazyLinear(1000)],
    }
    return nn.Sequential(*layers, nn.Flatten(), *heads[kind]())


def timed(action: Callable[[], object]) -> float:
    start = time.thread_time()
    action()
    return time.thread_time() - start


def dry_torch() -> None:
    with torch.no_grad():
        vgg("torch").eval()(torch.zeros(IMAGES))


def of_vgg(rounds: int) -> dict[str, float]:
    contenders: dict[str, Callable[[], object]] = {
        "eager": lambda: vgg("eager"),
        "lazify": lambda: materialize(vgg("lazify"), torch.empty(IMAGES, device="meta")),
        "torch": dry_torch,
    }
    for action in contenders.values():
        action()
    times = [{name: timed(action) for name, action in contenders.items()} for _ in range(rounds)]
    return {name: median(each[name] / each["eager"] for each in times) for name in contenders}


def of_many(count: int, rounds: int) -> float:
    """Seconds per lazy module of a chain."""

    def chain() -> object:
        return materialize(nn.Sequential(*(LazyLinear(8) for _ in range(count))), torch.Size((2, 8)))

    chain()
    return median(timed(chain) for _ in range(rounds)) / count


class Layer(nn.Module):
    """A transformer block that says nothing of its width."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = LazyLayerNorm(), LazyLayerNorm()
        self.query, self.key, self.value, self.out = (LazyLinear(width, bias=False) for _ in range(4))
        self.up, self.gate, self.down = LazyLinear(hidden), LazyLinear(hidden), LazyLinear(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        query, key, value = (p(y).unflatten(-1, (64, -1)).transpose(1, 2) for p in (self.query, self.key, self.value))
        y = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.out(y)
        y = self.norm2(x)
        return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))


def of_70b(layers: int) -> tuple[float, float, float]:
    """Parameters, seconds and MiB of more memory, for the shapes of a large model."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    model = nn.Sequential(nn.Embedding(128_000, 8192, device="meta"), *(Layer(8192, 28_672) for _ in range(layers)))
    model.append(LazyLinear(128_000, bias=False))
    materialize(model, torch.empty(1, 4096, dtype=torch.long, device="meta"), device="meta")
    seconds = time.perf_counter() - start
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return sum(parameter.numel() for parameter in model.parameters()), seconds, more


def main() -> None:
    parser = argparse.ArgumentParser(description="What materialize costs.")
    parser.add_argument("--quick", action="store_true", help="few rounds, a small model: does it run at all?")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore", "Lazy modules are a new feature")
    torch.set_num_threads(1)
    count, seconds, memory = of_70b(2 if quick else 80)  # first: what it counts is the peak of the process
    ratios = of_vgg(1 if quick else 9)
    few, many = of_many(100, 2 if quick else 9), of_many(200 if quick else 1000, 2 if quick else 9)
    rows = [
        ("a VGG of 16 convolutions, to constructing it", f"{ratios['lazify']:.2f}", f"{ratios['torch']:.2f}", "<= 1.5"),
        ("cost per module, 1,000 against 100 modules", f"{many / few:.2f}", "", "<= 1.3"),
        (f"shapes of {count / 1e9:.0f} billion parameters", f"{seconds:.1f} s", "", "< 60 s"),
        ("  and more memory", f"{memory:.0f} MiB", "", "< 2 GiB"),
    ]
    print("| materialize | lazify | torch's `Lazy*` | target |\n| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
