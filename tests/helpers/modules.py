"""Small module classes that several tests use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lazify import axis, lazify

LazyLinear, LazyConv2d, LazyBatchNorm2d = lazify(nn.Linear), lazify(nn.Conv2d), lazify(nn.BatchNorm2d)


class ConvBlock(nn.Module):
    """A lazy module inside, a tied weight, a frozen parameter, a buffer that is not saved."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.inner = self.middle(out_channels)
        self.again = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.again.weight = self.conv.weight
        self.conv.bias.requires_grad_(False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long), persistent=False)

    def middle(self, channels: int) -> nn.Module:
        return LazyConv2d(channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return self.inner(self.norm(self.conv(x) + self.again(x))).relu()


class EagerConvBlock(ConvBlock):
    def middle(self, channels: int) -> nn.Module:
        return nn.Conv2d(channels, channels, 1)


LazyConvBlock = lazify(ConvBlock)


class Shortcut(nn.Module):
    """Other parameters where the channels change."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.shortcut(x)


class Odd(nn.Module):
    """The name of its size says nothing about its meaning."""

    def __init__(self, zz: int, out: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(zz, out)
        self.norm: nn.Module = nn.Identity()
        self.scale = torch.ones(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x.flatten(1))) * self.scale


LazyOdd = lazify(Odd, exclude=["zz"])


class Block(nn.Module):
    """Parameters, a random buffer, statistics, a counter and dropout."""

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.norm = nn.BatchNorm1d(out_features)
        self.drop = nn.Dropout(0.25)
        self.register_buffer("scale", torch.rand(out_features) + 0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long), persistent=False)
        self.width = out_features

    def reset(self) -> None:
        self.linear.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.drop(self.norm(self.linear(x)) * self.scale)
        return out


@dataclass
class Sample:
    label: int
    features: Tensor


class FromArgument(nn.Module):
    """Takes the last tensor of a nested argument."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 2)

    def forward(self, x: Any, *rest: Any, scale: float = 1.0, **more: Any) -> Tensor:
        while not isinstance(x, Tensor):
            x = x.features if isinstance(x, Sample) else list(x.values() if isinstance(x, dict) else x)[-1]
        out: Tensor = self.linear(x) * scale
        return out


class Orthogonal(nn.Module):
    """Its constructor computes: wrong under autocast, not trainable from inference mode."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        basis = torch.linalg.qr(torch.randn(in_features, in_features))[0]
        self.weight = nn.Parameter(basis @ torch.randn(in_features, in_features))
        self.inner = nn.Linear(in_features, in_features)
        self.register_buffer("mean", torch.zeros(in_features))
        self.grad_was_on = torch.is_grad_enabled()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x @ self.weight) - self.mean
        return out


class Trouble(Exception):
    """What modules of the tests raise."""


class Outer(nn.Module):
    def __init__(self, in_features: int, inner: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 4)
        self.inner = inner
        self.also_made_here = LazyLinear(2)

    def forward(self, x: Tensor, fail: bool = False) -> Tensor:
        out: Tensor = self.also_made_here(self.inner(self.linear(x)))
        if fail:
            raise Trouble
        return out


def plain_head() -> type[nn.Module]:
    """A new class each time."""

    class Head(nn.Module):
        """A head."""

        kind = "linear"

        def __init__(self, in_features: int, out_features: int = 3, *, bias: bool = True) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, out_features, bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

        @classmethod
        def narrow(cls, **options: Any) -> Head:
            return cls(out_features=1, **options)

        @staticmethod
        def describe() -> str:
            return "a head"

        @property
        def width(self) -> int:
            return self.linear.in_features

    return Head


@lazify
class AtModuleLevel(nn.Module):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Recording(nn.Module):
    """Keeps what its constructor gets."""

    def __init__(self, a: Any, b: Any = "default", c: Any = None, *, d: Any = 10) -> None:
        super().__init__()
        self.received = {"a": a, "b": b, "c": c, "d": d}

    def forward(self, x: Any, y: Any = None, *more: Any, z: Any = 4, **rest: Any) -> Any:
        return x


#: A rule for `d`, the size of several classes below.
D = {"d": axis(-1)}


class Net(nn.Module):
    def __init__(self, d: int, h: int = 8) -> None:
        super().__init__()
        self.a = nn.Linear(d, h)
        self.b = nn.Linear(h, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


class Inner(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.w = nn.Linear(d, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w(x)


LazyNet, LazyInner = lazify(Net, exclude=D), lazify(Inner, exclude=D)


class Nested(nn.Module):
    """A lazy module inside a lazy one."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.a = nn.Linear(d, 5)
        self.b = LazyInner()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


LazyNested = lazify(Nested, exclude=D)


class Wrapper(nn.Module):
    def __init__(self, d: int, inner: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(d, 5)
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.linear(x))


LazyWrapper = lazify(Wrapper, exclude=D)


def flags(module: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in module.parameters()]


class AnyWidth(nn.Module):
    def __init__(self, kk: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, kk)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Searched(nn.Module):
    """One width, by a name that says nothing."""

    def __init__(self, zzz: int) -> None:
        super().__init__()
        self.fc = nn.Linear(zzz, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


def searched(cls: type[nn.Module] = Searched, *args: Any) -> nn.Module:
    """A lazy instance for whose width a search is needed."""
    return lazify(cls, exclude=["zzz"])(*args)
