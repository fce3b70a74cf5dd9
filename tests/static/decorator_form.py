"""Types of decorated classes without any plugin. Every ignore must be needed: a line without its error fails."""

import dataclasses
from typing import Generic, TypeVar

import torch
from torch import nn
from typing_extensions import assert_type

from lazify import axis, lazify


@lazify
class Marked(nn.Module):
    """The rule stands as the parameter's default: the call checks as it is."""

    expansion: int = 4
    weight: torch.Tensor

    def __init__(self, out_channels: int, *, in_channels: int = axis(1), stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x))

    @classmethod
    def wide(cls) -> "Marked":
        return cls(512)


assert_type(Marked(8), Marked)
assert_type(Marked(8, stride=2).conv, nn.Conv2d)
assert_type(Marked(8, in_channels=3), Marked)
assert_type(Marked.wide(), Marked)
Marked()  # type: ignore[call-arg]
Marked("a")  # type: ignore[arg-type]
Marked(8, 3)  # type: ignore[call-arg]


@lazify()
class Called(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()


@lazify(exclude=["dim"])
class Named(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()


@lazify
class Bare(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()


class Sub(Named):
    def __init__(self) -> None:
        super().__init__(3, heads=4)


def as_classes(marked: Marked, called: Called, named: Named, bare: Bare) -> list[type[nn.Module]]:
    """As annotations, in `isinstance`, as values."""
    if isinstance(called, Bare):
        assert_type(called.training, bool)
    assert_type(Sub(), Sub)
    marked.wide()
    return [Marked, Called, Named, Bare, Sub]


wrong: Named = Sub  # type: ignore[assignment]


T = TypeVar("T")


@lazify
class Holding(nn.Module, Generic[T]):
    def __init__(self, item: T, *, in_features: int = axis(-1)) -> None:
        super().__init__()
        self.item = item


assert_type(Holding("a"), Holding[str])
assert_type(Holding(3).item, int)


@lazify(exclude=["dim"])
@dataclasses.dataclass(eq=False)
class Data(nn.Module):
    dim: int
    heads: int = 2

    def __post_init__(self) -> None:
        super().__init__()


assert_type(Data(dim=3, heads=4), Data)


class Late(nn.Module):
    """Not decorated; the rule is in the middle."""

    def __init__(self, in_features: int, zork: int = axis(-1), out: float = 3) -> None:
        super().__init__()
