"""Uses of a package through its stubs. Every ignore must be needed: a line without its error fails."""

import torch
from network import blocks
from network.blocks import NAME, WIDTHS, Block, Data, Inheriting, LazyHead, LazyRecurrent, LazyWide, Marked, Sub
from torch import nn
from typing_extensions import assert_type

from lazify.layers import SqueezeExcitation

assert_type(Block(8), Block)
assert_type(Block(8, 2), Block)
assert_type(Block(8, in_channels=3), Block)
assert_type(Block(8, act=nn.ReLU).conv, nn.Conv2d)
assert_type(Block(8).head, nn.Linear)
assert_type(Block(8).stride_, int)
assert_type(Block(8).sizes, list[int])
assert_type(Block(8).width, int)
assert_type(Block.build(3), Block)
assert_type(Block.Inner().size, int)
assert_type(Block.expansion, int)
Block()  # type: ignore[call-arg]
Block("8")  # type: ignore[arg-type]
Block(8, 2, nn.ReLU)  # type: ignore[call-arg]
Block(8, strides=2)  # type: ignore[call-arg]

assert_type(LazyHead(10), nn.Linear)
assert_type(LazyRecurrent(10, num_layers=2), nn.LSTM)
assert_type(LazyWide(3, ratio=4), nn.Conv2d)
assert_type(blocks.LazySqueeze(reduction_ratio=4), SqueezeExcitation)
LazyHead(10, in_feature=3)  # type: ignore[call-arg]
LazyHead("10")  # type: ignore[arg-type]
LazyRecurrent(10, num_layers="2")  # type: ignore[arg-type]
LazyWide(3)  # type: ignore[call-arg]
isinstance(nn.Linear(3, 3), LazyHead)

assert_type(blocks.Mixing(num_heads=2), blocks.Mixing)
assert_type(blocks.Mixing(2, dim=8), blocks.Mixing)
assert_type(blocks.Mixing(8, 2, 0.5), blocks.Mixing)
blocks.Mixing()  # type: ignore[call-overload]
blocks.Mixing(8, "2")  # type: ignore[call-overload]

assert_type(Sub(), Sub)
assert_type(Inheriting(8), Inheriting)
Marked(8)
Marked()  # type: ignore[call-arg]
assert_type(Data(4), Data)
Data("4")  # type: ignore[arg-type]

print(blocks.Kind.BOTH.value)
blocks.Kind(1)
assert_type(blocks.scaled("a"), str)
assert_type(blocks.Based().based(), int)
assert_type(blocks.helper(3), int)
assert_type(blocks.slow(3), int)
assert_type(blocks.Pair(1, 2).heads, int)
assert_type(blocks.UserId(3), blocks.UserId)
assert_type(blocks.LazyLooped(3), nn.Linear)
range(blocks.LIMIT)
print(blocks.Config().double)
blocks.Config(3, 4)  # type: ignore[call-arg]
assert_type(blocks.modern(), int)
blocks.Options(3).cached.append(4)
blocks.Options(3, [4])  # type: ignore[call-arg]
assert_type(NAME, str)
assert_type(len(WIDTHS), int)
blocks.flattened(torch.zeros(2, 3), end=2)
blocks.nothing()  # type: ignore[attr-defined]


async def consumed(user: blocks.UserId) -> None:
    async for number in blocks.counted():
        assert_type(number, int)


def as_annotation(block: Block, sub: Sub) -> list[type[nn.Module]]:
    return [Block, Sub]
