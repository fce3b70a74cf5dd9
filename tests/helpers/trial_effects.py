"""Things that constructors and forwards do beyond computing, each with a place that a trial run must leave alone.

An effect is a class; an instance is one world of it. `observed` shows everything that it has touched.
"""

from __future__ import annotations

import collections
import contextvars
import functools
import io
import random
import types
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: What effects keep in globals of this module; `fresh` empties it.
STORE: dict[str, Any] = {}
COUNT = 0
CONTEXT: contextvars.ContextVar[int] = contextvars.ContextVar("CONTEXT", default=0)


class Effect:
    """One world of an effect."""

    def construct(self, module: nn.Module) -> None:
        """In the constructor."""

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        """In the forward."""
        return x

    def observed(self) -> Any:
        """Everything that is reachable through it."""


class GlobalCounter(Effect):
    def __init__(self) -> None:
        global COUNT
        COUNT = 0

    def construct(self, module: nn.Module) -> None:
        global COUNT
        COUNT += 1

    forward_count = 10

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        global COUNT
        COUNT += self.forward_count
        return x

    def observed(self) -> Any:
        return COUNT


class GlobalMemo(Effect):
    def __init__(self) -> None:
        STORE.clear()

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        if x.shape[1] not in STORE:
            STORE[x.shape[1]] = torch.ones(x.shape[1], 1)
        return x * STORE[x.shape[1]]

    def observed(self) -> Any:
        return {key: value for key, value in STORE.items() if isinstance(key, int)}


@functools.lru_cache
def cached_mask(size: int) -> Tensor:
    return torch.ones(size)


class CachedFunction(Effect):
    def __init__(self) -> None:
        cached_mask.cache_clear()

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        return x * cached_mask(x.shape[-1])

    def observed(self) -> Any:
        return cached_mask.cache_info()[:4:2], cached_mask(5)


class CachedMethod(Effect):
    @functools.cache  # noqa: B019
    def mask(self, size: int) -> Tensor:
        return torch.ones(size)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        return x * self.mask(x.shape[-1])

    def observed(self) -> Any:
        return self.mask(5)


class Registry(Effect):
    made: list[Any] = []
    number = 0

    def __init__(self) -> None:
        Registry.made, Registry.number = [], 0

    def construct(self, module: nn.Module) -> None:
        module.index = Registry.number  # type: ignore[assignment]
        Registry.number += 1
        Registry.made.append(type(module).__name__)

    def observed(self) -> Any:
        return self.made, self.number


class MutableDefault(Effect):
    def __init__(self) -> None:
        self.seen().clear()

    def seen(self, new: Any = None, kept: list[Any] = []) -> list[Any]:  # noqa: B006
        kept += [] if new is None else [new]
        return kept

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.seen(x.detach().sum())
        return x

    def observed(self) -> Any:
        return self.seen()


class Containers(Effect):
    def __init__(self) -> None:
        self.deque: Any = collections.deque([1], maxlen=4)
        self.ordered: Any = collections.OrderedDict(a=1, b=2)
        self.set: set[Any] = {1}
        self.default: Any = collections.defaultdict(list)
        self.space = types.SimpleNamespace(n=0)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.deque.append(tuple(x.shape))
        self.ordered.move_to_end("a")
        self.ordered["x"] = x.detach()
        self.set.add(x.dim())
        self.default["seen"].append(type(x).__name__)
        self.space.n += 1
        return x

    def observed(self) -> Any:
        return list(self.deque), list(self.ordered.items()), self.set, dict(self.default), vars(self.space)


class Slots(Effect):
    __slots__ = ("count", "last")

    def __init__(self) -> None:
        self.count = 0

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.count += 1
        self.last = x.detach()
        return x

    def observed(self) -> Any:
        return self.count, getattr(self, "last", None)


class SharedBatchNorm(Effect):
    """A module that is no argument: its statistics, mode, hooks and attributes."""

    def __init__(self) -> None:
        self.norm, self.calls = nn.BatchNorm1d(3), []
        self.norm.register_forward_hook(lambda m, args, out: self.calls.append(type(out).__name__))

    def construct(self, module: nn.Module) -> None:
        self.norm.tag = getattr(self.norm, "tag", 0) + 1  # type: ignore[assignment,operator]
        self.norm.eval().train()
        object.__setattr__(module, "norm", self.norm)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        return self.norm(x)  # type: ignore[no-any-return]

    def observed(self) -> Any:
        return dict(self.norm.named_buffers()), getattr(self.norm, "tag", None), self.norm.training, self.calls


class SharedTensor(Effect):
    def __init__(self) -> None:
        self.total = torch.zeros(5)
        self.gradless = nn.Parameter(torch.ones(1))

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.total.add_(x.detach().sum((0, 1)))
        self.gradless.requires_grad_(False)
        return x

    def observed(self) -> Any:
        return self.total, self.total._version, self.gradless


class Generators(Effect):
    def __init__(self) -> None:
        self.torch = torch.Generator().manual_seed(1)
        self.numpy = np.random.default_rng(1)
        self.python = random.Random(1)
        random.seed(2)
        np.random.seed(2)

    def construct(self, module: nn.Module) -> None:
        module.drawn = (  # type: ignore[assignment]
            torch.randn(2, generator=self.torch),
            float(self.numpy.normal()),
            self.python.random(),
            random.random(),
            float(np.random.normal()),
        )

    def observed(self) -> Any:
        return self.torch.get_state(), self.numpy.random(), self.python.random(), random.random(), np.random.random()


class Files(Effect):
    def __init__(self) -> None:
        self.text, self.bytes, self.array = io.StringIO("ab"), bytearray(b"ab"), np.zeros(3)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.text.write(str(x.dim()))
        self.bytes.append(65)
        self.array += 1
        return x

    def observed(self) -> Any:
        return self.text.getvalue(), self.text.tell(), bytes(self.bytes), self.array.tolist()


class Settings(Effect):
    def __init__(self) -> None:
        torch.manual_seed(5)

    def construct(self, module: nn.Module) -> None:
        torch.manual_seed(7)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        CONTEXT.set(CONTEXT.get() + 1)
        return x

    def observed(self) -> Any:
        return torch.initial_seed()


EFFECTS: list[type[Effect]] = [
    GlobalCounter,
    GlobalMemo,
    CachedFunction,
    CachedMethod,
    Registry,
    MutableDefault,
    Containers,
    Slots,
    SharedBatchNorm,
    SharedTensor,
    Generators,
    Files,
    Settings,
]


def plain(value: Any) -> Any:
    """What can be compared with `==`."""
    if isinstance(value, Tensor):
        return (type(value).__name__, value.requires_grad, value.detach().tolist())
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value
