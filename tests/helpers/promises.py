"""The thirteen lazy classes of `torch.nn`, each beside that of `lazify.nn`."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn
from torch.nn import Module
from torch.nn.parameter import is_lazy as is_uninitialized

from lazify import nn as lazifys

torchs = torch.nn


@dataclass(frozen=True)
class Kind:
    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    size: str
    shape: tuple[int, ...]
    wrong: tuple[int, ...] | None = None  # a number of dimensions that the class does not take
    error: type[Exception] = RuntimeError
    words: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def is_norm(self) -> bool:
        return "Norm" in self.name

    @property
    def eager_class(self) -> type[Module]:
        cls: type[Module] = getattr(torch.nn, self.name.removeprefix("Lazy"))
        return cls

    def lazy_class(self, ns: ModuleType) -> Any:
        return getattr(ns, self.name)

    def lazy(self, ns: ModuleType, **more: Any) -> Any:
        return self.lazy_class(ns)(*self.args, **{**self.options, **more})

    def eager(self, width: int = 6, **more: Any) -> Any:
        return self.eager_class(width, *self.args, **{**self.options, **more})

    def input(self, width: int = 6, **options: Any) -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return torch.randn((self.shape[0], width, *self.shape[2:]), **options)

    def called(self, ns: ModuleType, width: int = 6) -> Any:
        module = self.lazy(ns)
        module(self.input(width))
        return module


def _conv(dims: int, transposed: bool) -> Kind:
    facts: dict[str, Any] = {
        "out_channels": 4,
        "kernel_size": (2,) * dims,
        "stride": (2,) * dims,
        "padding": (1,) * dims,
        "dilation": (1,) * dims,
        "groups": 2,
        "padding_mode": "zeros",
        **({"output_padding": (0,) * dims} if transposed else {}),
    }
    name = f"LazyConv{'Transpose' * transposed}{dims}d"
    words = rf"Expected {dims + 1}D \(unbatched\) or {dims + 2}D \(batched\) input"
    options = {"stride": 2, "padding": 1, "groups": 2}
    return Kind(
        name, (4, 2), options, "in_channels", (3, 6, *(5,) * dims), (2,) * (dims + 3), RuntimeError, words, facts
    )


def _norm(prefix: str, dims: int) -> Kind:
    facts = {"eps": 1e-3, "momentum": 0.2, "affine": True, "track_running_stats": True}
    wrong = (2, 6, *(5,) * (dims + 1))
    return Kind(
        f"Lazy{prefix}{dims}d",
        (),
        facts,
        "num_features",
        (3, 6, *(5,) * dims),
        wrong,
        ValueError,
        r"expected .*D",
        facts,
    )


KINDS = [
    Kind("LazyLinear", (3,), {}, "in_features", (4, 6), facts={"out_features": 3}),
    *(_conv(dims, transposed) for transposed in (False, True) for dims in (1, 2, 3)),
    *(_norm(prefix, dims) for prefix in ("BatchNorm", "InstanceNorm") for dims in (1, 2, 3)),
]
BY_NAME = {kind.name: kind for kind in KINDS}
LINEAR, CONV, NORM, INSTANCE = (
    BY_NAME[f"Lazy{name}"] for name in ("Linear", "Conv2d", "BatchNorm2d", "InstanceNorm2d")
)
WEIGHTED = [kind for kind in KINDS if not kind.is_norm]
NORMS = [kind for kind in KINDS if kind.is_norm]
#: One of each sort, where the number of dimensions cannot matter.
FEW = [LINEAR, CONV, BY_NAME["LazyConvTranspose1d"], NORM, INSTANCE]
FLAGS = ("affine", "track_running_stats")
NAMESPACES = {"torch": torchs, "lazify": lazifys}


def both(kinds: list[Kind] = KINDS) -> Any:
    """Each kind, of torch's and of lazify's."""
    return pytest.mark.parametrize(
        ("kind", "ns"),
        [pytest.param(kind, ns, id=f"{kind}-{whose}") for kind in kinds for whose, ns in NAMESPACES.items()],
    )


def tensors(module: Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def uninitialized(module: Module) -> dict[str, torch.Tensor]:
    return {name: each for name, each in tensors(module).items() if is_uninitialized(each)}


def assert_real(kind: Kind, module: Module, width: int = 6, *, sized: bool = True) -> None:
    assert type(module) is kind.eager_class
    assert getattr(module, kind.size) == (width if sized else 0)
    assert not uninitialized(module)
    eager = tensors(kind.eager(width))
    assert {n: (type(t), t.shape) for n, t in tensors(module).items()} == {
        n: (type(t), t.shape) for n, t in eager.items()
    }
    assert vars(module).keys() == vars(kind.eager(width)).keys()


def knows_its_size_when_loaded(kind: Kind, ns: ModuleType) -> bool:
    """See `the open size after the call`."""
    return ns is lazifys or (kind is LINEAR and torchs_linear_reads_its_size())


def torchs_linear_reads_its_size() -> bool:
    """Whether torch's `LazyLinear` looks at its loaded weight: since 2.5."""
    module = torchs.LazyLinear(3)
    module.load_state_dict(torchs.Linear(6, 3).state_dict())
    module(torch.ones(1, 6))
    return bool(module.in_features == 6)


def breaks_without_bias(kind: Kind, ns: ModuleType) -> bool:
    """Torch's lazy norms, before norms had the option `bias` (2.12)."""
    return ns is torchs and kind.is_norm and "bias" not in inspect.signature(kind.eager_class).parameters


def breaks_when_loaded(kind: Kind, ns: ModuleType) -> bool:
    """See `the open size after the call`."""
    return ns is torchs and "Instance" in kind.name


def refilled(module: Module) -> Module:
    """Other values than any initialisation gives."""
    with torch.no_grad():
        for number, each in enumerate(tensors(module).values()):
            each.fill_(number + 2)
    return module
