"""What is made and called: stacks, a VGG, a large transformer, and classes whose values take a search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.contenders import Contender
from lazify import lazify

__all__ = [
    "PROBLEMS",
    "ConvBlock",
    "LazyConvBlock",
    "Problem",
    "constructed_and_called",
    "convs",
    "large",
    "linears",
    "vgg",
]

#: VGG-19: 16 convolutions with BatchNorm; 0 is a pooling.
WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0)


def convs(contender: Contender, length: int) -> Iterator[nn.Module]:
    """Convolutions of an image with 3 channels, to 16."""
    for at in range(length):
        yield contender.conv(16 if at else 3, 16)


def linears(contender: Contender, length: int, width: int, activation: bool = False) -> Iterator[nn.Module]:
    for _ in range(length):
        yield contender.linear(width, width)
        if activation:
            yield nn.ReLU()


def constructed_and_called(contender: Contender, layers: Iterable[nn.Module], x: torch.Tensor) -> nn.Module:
    if contender.in_turn:
        called = []
        for layer in layers:
            x = layer(x)
            called.append(layer)
        return nn.Sequential(*called)
    network = nn.Sequential(*layers)
    network(x)
    return network


def vgg(contender: Contender) -> nn.Module:
    """16 convolutions, BatchNorm after each, two linear layers, for images of 112 x 112."""
    layers: list[nn.Module] = []
    before = 3
    for width in WIDTHS:
        if width:
            layers += [contender.conv(before, width), contender.norm(width), nn.ReLU(inplace=True)]
            before = width
        else:
            layers.append(nn.MaxPool2d(2))
    head = [contender.linear(512 * 9, 4096), nn.ReLU(), contender.linear(4096, 1000)]
    return nn.Sequential(*layers, nn.Flatten(), *head)


class _Layer(nn.Module):
    """A transformer block."""

    def __init__(self, contender: Contender, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = contender.layer_norm(width), contender.layer_norm(width)
        self.query, self.key, self.value, self.out = (contender.linear(width, width, bias=False) for _ in range(4))
        self.up, self.gate = contender.linear(width, hidden), contender.linear(width, hidden)
        self.down = contender.linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        query, key, value = (p(y).unflatten(-1, (64, -1)).transpose(1, 2) for p in (self.query, self.key, self.value))
        y = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.out(y)
        y = self.norm2(x)
        return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))


def large(contender: Contender, layers: int) -> nn.Module:
    """The shapes of a large language model: 80 layers have 80 billion parameters."""
    words, width = 128_000, 8192
    blocks = (_Layer(contender, width, 28_672) for _ in range(layers))
    return nn.Sequential(nn.Embedding(words, width), *blocks, contender.linear(width, words, bias=False))


@dataclass(frozen=True)
class Problem:
    """A class of which nothing says where its values come from.

    Attributes:
        label: what there is to find.
        values: what lazify must find.
        given: the other constructor arguments.
        shapes: of the inputs.
    """

    label: str
    cls: type[nn.Module]
    values: Mapping[str, Any]
    given: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], ...]

    def eager(self, cls: type[nn.Module]) -> Callable[[], nn.Module]:
        return lambda: cls(**self.values, **self.given)

    def lazy(self, cls: type[nn.Module]) -> Callable[[], nn.Module]:
        lazy_cls = lazify(cls, exclude=list(self.values))
        return lambda: lazy_cls(**self.given)


class _Block(nn.Module):
    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.up, self.down = nn.Linear(size, hidden), nn.Linear(hidden, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


class ConvBlock(nn.Module):
    """Two convolutions and a norm."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.norm(self.conv1(x)).relu())


LazyConvBlock = lazify(ConvBlock)


class _DigitNet(nn.Module):
    def __init__(self, flat: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.scores = nn.Linear(flat, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(self.conv(x).relu().flatten(1))


class _CrossAttention(nn.Module):
    def __init__(self, mine: int, theirs: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(mine, heads, kdim=theirs, vdim=theirs, batch_first=True)
        self.norm = nn.LayerNorm(mine)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.attention(x, context, context)[0])


PROBLEMS = (
    Problem("a width", _Block, {"size": 32}, {"hidden": 64}, ((2, 7, 32),)),
    Problem("a size computed inside", _DigitNet, {"flat": 144}, {"num_classes": 10}, ((4, 1, 8, 8),)),
    Problem("two widths", _CrossAttention, {"mine": 16, "theirs": 12}, {"heads": 4}, ((2, 5, 16), (2, 7, 12))),
)
