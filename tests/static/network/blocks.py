"""Blocks as people write them, for `python -m lazify stub`."""

from __future__ import annotations

import dataclasses
import enum
import functools
import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NewType, TypeAlias, TypeVar, overload

import torch
import torch.nn.functional as F
from torch import nn

from lazify import axis, lazify
from lazify.layers import SqueezeExcitation

from .parts import Base, helper  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Block", "LazyHead"]

T = TypeVar("T")
Sizes: TypeAlias = tuple[int, ...]
Pairs = dict[str, int]
WIDTHS = [16, 32]
NAME, DEPTH = "net", 3
_PRIVATE: int = 3


def flattened(x, start: int = 1, *, end: int | None = None, **options: Any):
    return torch.flatten(x, start, -1 if end is None else end)


async def later(x: T) -> T:
    return x


@lazify(exclude=["in_channels"])
class Block(nn.Module):
    """A block."""

    expansion = 4
    names: ClassVar[list[str]] = []

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, *, act: Callable[[], nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride)
        self.head = LazyHead(3)
        self.stride, self.act = stride, act
        self.stride_ = stride
        self.flag = True
        self.sizes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv(x))

    @staticmethod
    def count(n, m=3):
        return n + m

    @classmethod
    def build(cls, n: int) -> Block:
        return cls(n)

    @property
    def width(self) -> int:
        return 3

    class Inner:
        size: int = 3


LazyHead = lazify(nn.Linear)
LazyWide = lazify(
    nn.Conv2d, exclude={"in_channels": axis(1), "out_channels": lambda in_channels, ratio: in_channels * ratio}
)
LazySqueeze = lazify(SqueezeExcitation, exclude={"in_channels": axis(-3)})
LazyRecurrent = lazify(nn.LSTM)
Alias = LazyHead


@lazify
class Marked(nn.Module, Generic[T]):
    def __init__(self, out: int, /, *, in_channels: int = axis(1), **options: int) -> None:
        super().__init__()


class Based(Base):
    pass


class Sub(Block):
    def __init__(self) -> None:
        super().__init__(3, out_channels=4)


class Inheriting(Block):
    @functools.cached_property
    def todo(self) -> None: ...


@lazify(exclude=["dim"])
@dataclasses.dataclass(eq=False)
class Data(nn.Module):
    dim: int
    heads: int = 2
    widths: Sequence[int] = ()

    def __post_init__(self) -> None:
        super().__init__()


class Kind(enum.Flag):
    SMALL = 1
    LARGE = 2
    BOTH = SMALL | LARGE


UserId = NewType("UserId", int)
LIMIT: Final = 3
for _ in (1, 2):
    LazyLooped = lazify(nn.Linear)


async def counted() -> AsyncIterator[int]:
    yield 1


class Registered:
    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)


class Pair(Registered):
    def __init__(self, heads: int, dim: int) -> None:
        self.heads, self.dim = heads, dim


@dataclasses.dataclass
class Config:
    width: int = 3

    def __post_init__(self):
        self.double = 2 * self.width


try:
    import no_such_library  # noqa: F401  # type: ignore[import-not-found]
except ImportError:

    def slow(x: int) -> int:
        return x


@overload
def scaled(x: int) -> int: ...
@overload
def scaled(x: str) -> str: ...
def scaled(x):
    return x * 2


@dataclasses.dataclass
class Options:
    width: int
    cached: list[int] = dataclasses.field(default_factory=list, init=False)


if sys.version_info >= (3, 10):

    def modern() -> int:
        return 1
else:

    def modern() -> str:
        return ""


__all__ += ["Kind"]

try:
    import numpy
except ImportError:
    numpy = None

if __name__ == "__main__":
    print(Block)


@lazify
class Mixing(nn.Module):
    """A width that may be left out, before an argument that may not."""

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.mixed = nn.MultiheadAttention(dim, num_heads, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.mixed(x, x, x)[0]
        return out
