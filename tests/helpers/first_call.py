"""What the tests of the first call share: inputs, pairs, operations, failures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from helpers.modules import Block, Trouble
from helpers.pairs import Pair


def pair_of(form: str, cls: type[nn.Module] = Block, in_features: int = 5, **given: Any) -> Pair:
    return Pair(form, cls, {"in_features": in_features}, **given)


def draw(*shape: int, dtype: torch.dtype | None = None, device: str | None = None) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        return torch.randn(shape, dtype=torch.float64, device="cpu").to(dtype or torch.float32).to(device or "cpu")


X = draw(4, 5)


def train_once(pair: Pair) -> None:
    """Backward through both, in eval mode; `check` compares the gradients."""
    for module in (pair.lazy, pair.eager):
        module.zero_grad()
        (module.eval()(X) ** 2).sum().backward()
    pair.check()


CONVERSIONS: dict[str, Callable[[nn.Module], Any]] = {
    "eval": lambda m: m.eval(),
    "train-false": lambda m: m.train(False),
    "eval-train": lambda m: m.eval().train(),
    "half": lambda m: m.half(),
    "double": lambda m: m.double(),
    "bfloat16": lambda m: m.bfloat16(),
    "half-float": lambda m: m.half().float(),
    "to-dtype": lambda m: m.to(torch.float64),
    "to-dtype-keyword": lambda m: m.to(dtype=torch.bfloat16),
    "to-device": lambda m: m.to("cpu"),
    "to-device-dtype": lambda m: m.to("cpu", torch.float64),
    "to-other": lambda m: m.to(torch.zeros(1, dtype=torch.float64)),
    "to-memory-format": lambda m: m.to(memory_format=torch.channels_last),
    "cpu": lambda m: m.cpu(),
    "type": lambda m: m.type(torch.float64),
    "float": lambda m: m.float(),
    "frozen": lambda m: m.requires_grad_(False),
    "frozen-and-back": lambda m: m.requires_grad_(False).requires_grad_(),
    "chain": lambda m: m.eval().double().requires_grad_(False).to("cpu").train(),
    "apply-fn": lambda m: m._apply(lambda t: t.double() if t.is_floating_point() else t),
}


def draw_anew(std: float) -> Callable[[nn.Module], None]:
    def fn(module: nn.Module) -> None:
        module.visited = (*getattr(module, "visited", ()), std)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)

    return fn


def snapshot(module: nn.Module) -> tuple[Any, ...]:
    return type(module), dict(vars(module)), repr(module)


def at_once(workers: ThreadPoolExecutor, count: int, *modules: nn.Module, method: str = "__call__") -> list[Any]:
    """Results of calls that begin together, `count` in all; the exception where `Trouble` was raised."""
    gate = threading.Barrier(count)

    def work(module: nn.Module) -> Any:
        gate.wait(60)
        try:
            return getattr(module, method)(X)
        except Trouble as error:
            return error

    submitted = [workers.submit(work, modules[at % len(modules)]) for at in range(count)]
    return [each.result(60) for each in submitted]


def assert_fix_is_code(message: str) -> None:
    """Every line under `Fix:` can be pasted: it is Python."""
    for line in message.split("Fix:\n", 1)[1].splitlines():
        compile(line.strip(), line, "eval")
