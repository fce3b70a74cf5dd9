"""Exact constructors, with `plugins = ["lazify.mypy"]`. Every ignore must be needed: a line without its error fails."""

import dataclasses
import functools
from typing import Any, Generic, TypeVar, overload

import torch
from torch import nn
from typing_extensions import assert_type

import lazify as toolkit
from lazify import axis, lazify

T = TypeVar("T")


class Block(nn.Module):
    def __init__(self, heads: int, dim: int, /, scale: float = 1.0, *, context_dim: int, out: str = "") -> None:
        super().__init__()

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return x + context


def doubled(dim: int, x: torch.Tensor, factor: int, offset: int = 0) -> int:
    return factor * dim + offset + x.dim()


# the function form: a list, a tuple, a set, one name, a mapping
Listed = lazify(Block, exclude=["dim", "context_dim"])
assert_type(Listed(4), Block)
assert_type(Listed(4, 0.5, out="a"), Block)
assert_type(Listed(4, context_dim=3), Block)
Listed()  # type: ignore[call-arg]
Listed("4")  # type: ignore[arg-type]
Listed(4, 0.5, "a")  # type: ignore[call-arg]
Listed(4, context_dim="3")  # type: ignore[arg-type]
lazify(Block, exclude=("heads", "dim", "context_dim"))()
lazify(Block, exclude=("heads", "dim"))()  # type: ignore[call-arg]
lazify(Block, exclude={"dim"})(4, context_dim=3)
lazify(Block, exclude="dim")(4)  # type: ignore[call-arg]

Ruled = lazify(Block, exclude={"dim": axis(-1), "context_dim": doubled})
assert_type(Ruled(4, factor=2), Block)
Ruled(4, factor=2, offset=1)
Ruled(4)  # type: ignore[call-arg]
Ruled(4, factor="2")  # type: ignore[arg-type]
lazify(Block, exclude={"dim": lambda x, ratio, extra=0: x.shape[-1] // ratio, "context_dim": axis(-1)})(4, ratio=2)
lazify(Block, exclude={"dim": lambda x, ratio: x.shape[-1] // ratio, "context_dim": axis(-1)})(4)  # type: ignore[call-arg]

# where lazify decides: the table of torch.nn, names
assert_type(lazify(nn.GroupNorm)(num_groups=4), nn.GroupNorm)
lazify(nn.GroupNorm)(num_groups=4, num_channel=8)  # type: ignore[call-arg]
lazify(nn.LSTM)(16, num_layers="2")  # type: ignore[arg-type]
lazify(nn.Bilinear)(5, "a")  # type: ignore[arg-type]


class Late(nn.Module):
    def __init__(self, out_channels: int, in_channels: int, stride: int = 1) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


assert_type(lazify(Late)(8, 2), Late)
lazify(Late)(8, 2, 3)  # type: ignore[call-arg]

# unknown names are errors where they are written
lazify(Late, exclude=["in_chanels"])  # type: ignore[misc]
nn.Sequential(lazify(Late, exclude="nothing")(8))  # type: ignore[misc]


# the decorator form
@lazify(exclude=["dim", "context_dim"])
class Decorated(nn.Module):
    def __init__(self, heads: int, dim: int, scale: float = 1.0, *, context_dim: int, out: str = "") -> None:
        super().__init__()

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return x + context


assert_type(Decorated(4), Decorated)
assert_type(Decorated(4, 0.5, out="a"), Decorated)
assert_type(Decorated(4, dim=8, context_dim=8), Decorated)
Decorated()  # type: ignore[call-arg]
Decorated(4, 0.5, "a")  # type: ignore[call-arg]
Decorated(4, "a")  # type: ignore[arg-type]


class WithItsOwn(Decorated):
    """`super().__init__` is the constructor as it was written."""

    def __init__(self, width: int) -> None:
        super().__init__(4, width, context_dim=width)


class Inheriting(Decorated):
    pass


assert_type(WithItsOwn(3), WithItsOwn)
assert_type(Inheriting(4), Inheriting)
Inheriting()  # type: ignore[call-arg]


@lazify
class Marked(nn.Module):
    def __init__(self, out_channels: int, in_channels: int = axis(1), stride: int = 1) -> None:
        super().__init__()


assert_type(Marked(8, 2), Marked)
Marked(8, 2, 3)  # type: ignore[call-arg]


@lazify
class Guessed(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


assert_type(Guessed(8), Guessed)
Guessed(8, 3)  # type: ignore[call-arg]


@lazify(exclude={"dim": doubled})
class Derived(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


assert_type(Derived(8, factor=2), Derived)
Derived(8)  # type: ignore[call-arg]
Derived(8, factor="2")  # type: ignore[arg-type]


@lazify(exclude="nothing")  # type: ignore[misc]
class Misnamed(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()


@lazify()
class CalledWithNothing(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


CalledWithNothing(8)
CalledWithNothing()  # type: ignore[call-arg]


@lazify(exclude=["dim"])
@dataclasses.dataclass(eq=False)
class Data(nn.Module):
    dim: int
    heads: int = 2

    def __post_init__(self) -> None:
        super().__init__()


assert_type(Data(3), Data)
assert_type(Data(heads=3, dim=2), Data)
Data("3")  # type: ignore[arg-type]


@toolkit.lazify(exclude=["dim"])
class Holding(nn.Module, Generic[T]):
    def __init__(self, dim: int, item: T) -> None:
        super().__init__()
        self.item = item


assert_type(Holding("a"), Holding[str])
Holding(3, "a")  # type: ignore[call-arg, arg-type]
assert_type(toolkit.lazify(Late, exclude=None)(8, 2), Late)
assert_type(toolkit.lazify(Late, exclude="in_channels")(8), Late)


def passed_on(*names: str) -> nn.Module:
    """What is not written out is not known, and nothing is checked."""
    return lazify(Late, exclude=names)(8, anything=True)


# overloads, inherited constructors, generics, rules that cannot be read
@lazify
class Overloaded(nn.Module):
    @overload
    def __init__(self, out: int, *, in_features: int = ...) -> None: ...
    @overload
    def __init__(self, out: str, base: int, *, in_features: int = ...) -> None: ...
    def __init__(self, out: object, base: int = 3, *, in_features: int = axis(-1)) -> None:
        super().__init__()


Overloaded(3)
Overloaded("a", 4)
Overloaded("a")  # type: ignore[call-overload]
lazify(nn.Linear, exclude="in_features")(4)


class AlsoOverloaded(nn.Module):
    @overload
    def __init__(self, dim: int, a: int) -> None: ...
    @overload
    def __init__(self, dim: int, a: str, b: int) -> None: ...
    def __init__(self, dim: int, a: object, b: int = 0) -> None:
        super().__init__()


assert_type(lazify(AlsoOverloaded, exclude="dim")(3), AlsoOverloaded)
assert_type(lazify(AlsoOverloaded)("a", 3), AlsoOverloaded)


@lazify(exclude=["in_features"])
class WithoutItsOwn(nn.Linear):
    pass


class SubWithoutItsOwn(WithoutItsOwn):
    pass


assert_type(WithoutItsOwn(4, bias=False), WithoutItsOwn)
assert_type(WithoutItsOwn(in_features=3, out_features=4), WithoutItsOwn)
assert_type(SubWithoutItsOwn(out_features=4), SubWithoutItsOwn)
WithoutItsOwn()  # type: ignore[call-arg]


class Generically(nn.Module, Generic[T]):
    def __init__(self, in_features: int, item: T) -> None:
        super().__init__()


assert_type(lazify(Generically)("a"), Generically[str])


class PassedOn(nn.Linear):
    def __init__(self, *args: Any, scale: float = 1.0) -> None:
        super().__init__(*args)


lazify(PassedOn, exclude=["in_features"])(4, scale=2.0)


class Rules:
    def __call__(self, x: torch.Tensor, ratio: int) -> int:
        return x.shape[-1] * ratio

    def method(self, x: torch.Tensor, ratio: int) -> int:
        return x.shape[-1] * ratio


named = lambda x, ratio: x.shape[-1] * ratio  # noqa: E731
lazify(Late, exclude={"in_channels": Rules()})(8, ratio=3)
lazify(Late, exclude={"in_channels": Rules().method})(8, ratio=3)
lazify(Late, exclude={"in_channels": functools.partial(doubled, factor=3)})(8, offset=3)
lazify(Late, exclude={"in_channels": named})(8, ratio=3)
lazify(Late, exclude={"in_channels": lambda *rest, **more: 3})(8)
lazify(Late, exclude={"in_channels": lambda *rest, **more: 3})(8, more=3)  # type: ignore[call-arg]


# keyword_only
ByKeyword = lazify(Block, exclude=["dim", "context_dim"], keyword_only=True)
assert_type(ByKeyword(heads=4), Block)
assert_type(ByKeyword(heads=4, scale=0.5, dim=3), Block)
ByKeyword(4)  # type: ignore[call-arg]
ByKeyword()  # type: ignore[call-arg]
lazify(nn.Linear, keyword_only=True)(out_features=3)
lazify(nn.Linear, keyword_only=True)(3)  # type: ignore[call-arg]
lazify(nn.Linear, keyword_only=False)(3)


@lazify(exclude=["in_channels"], keyword_only=True)
class Guarded(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()


Guarded(out_channels=64)
Guarded(3, 64)  # type: ignore[call-arg]


# sizes that may be left out
class Mixing(nn.Module):
    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()


LazyMixing = lazify(Mixing)
assert_type(LazyMixing(num_heads=2), Mixing)
LazyMixing(8, 2)
LazyMixing()  # type: ignore[call-arg]
LazyMixing(8, heads=2)  # type: ignore[call-arg]
assert_type(lazify(Mixing, exclude=...)(), Mixing)
lazify(Mixing, exclude=...)(8, 2, 0.5)
lazify(Mixing, exclude=...)("8")  # type: ignore[arg-type]


@lazify
class Mixed(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()


assert_type(Mixed(num_heads=2), Mixed)
Mixed(8, 2)
Mixed()  # type: ignore[call-arg]


# required arguments behind sizes that may be left out: given alone, as `range(stop)` takes its argument
class Headed(nn.Module):
    def __init__(self, dim: int, heads: str, dropout: float = 0.0) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


LazyHeaded = lazify(Headed)
assert_type(LazyHeaded("4"), Headed)
LazyHeaded("4", dropout=0.5)
LazyHeaded("4", dim=8)
LazyHeaded(8, "4", 0.5)
LazyHeaded(heads="4")
LazyHeaded(8)  # type: ignore[arg-type]
LazyHeaded()  # type: ignore[call-arg]


@lazify
class HeadedInPlace(Headed):
    def __init__(self, dim: int, heads: str, dropout: float = 0.0) -> None:
        super().__init__(dim, heads, dropout)


assert_type(HeadedInPlace("4"), HeadedInPlace)
HeadedInPlace(8, "4")
HeadedInPlace(8)  # type: ignore[arg-type]
HeadedInPlace()  # type: ignore[call-arg]
