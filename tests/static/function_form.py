"""Types of `LazyX = lazify(X)` without any plugin. Every ignore must be needed: a line without its error fails."""

from collections.abc import Callable

import torch
from torch import nn
from typing_extensions import assert_type

from lazify import axis, explain, lazify, materialize

LazyConv2d = lazify(nn.Conv2d)
assert_type(LazyConv2d(64, kernel_size=3), nn.Conv2d)
assert_type(LazyConv2d(64, 3, 2, bias=False), nn.Conv2d)
LazyConv2d(64)  # type: ignore[call-arg]
LazyConv2d("a", 3)  # type: ignore[arg-type]
LazyConv2d(64, kernel_sise=3)  # type: ignore[call-arg]
LazyConv2d(64, 3).no_such_thing()  # type: ignore[operator]

assert_type(lazify(nn.Linear)(10), nn.Linear)
assert_type(lazify(nn.BatchNorm2d)(), nn.BatchNorm2d)
assert_type(lazify(nn.LSTM)(64, num_layers=2), nn.LSTM)
assert_type(lazify(nn.MultiheadAttention)(4), nn.MultiheadAttention)
# where the inferred one is not the first alone
assert_type(lazify(nn.Bilinear)(5), nn.Bilinear)
assert_type(lazify(nn.GroupNorm)(num_groups=4), nn.GroupNorm)


class Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x))


LazyBlock = lazify(Block)
assert_type(LazyBlock(8, stride=2), Block)
assert_type(LazyBlock(8).conv, nn.Conv2d)
LazyBlock(8, 2)  # type: ignore[call-arg]
LazyBlock()  # type: ignore[call-arg]

# with `exclude` the arguments are unknown without the plugin, the result is not
assert_type(lazify(Block, exclude=["in_channels"])(8), Block)
assert_type(lazify(Block, exclude={"in_channels": axis(1)})(8, stride=3), Block)
lazify(Block, exclude=3)  # type: ignore[call-overload]
lazify("Block")  # type: ignore[call-overload]
lazify(int)  # type: ignore[type-var]


def takes_a_factory(make: Callable[[int, int], nn.Module]) -> nn.Module:
    return make(3, 3)


takes_a_factory(LazyConv2d)
isinstance(nn.Conv2d(3, 3, 3), LazyConv2d)
explain(LazyConv2d)
materialize(nn.Sequential(LazyConv2d(3, 3)), torch.Size([2, 3, 8, 8]))


def any_class(cls: type[nn.Module]) -> nn.Module:
    return lazify(cls)(3, anything=True)
