"""Every lazy layer of `lazify.layers`, with arguments and the result of the first call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lazify import layers

#: (N, C, H, W). An odd number of rows and an even one of columns.
X = torch.linspace(-1, 1, 2 * 8 * 9 * 10).sin().reshape(2, 8, 9, 10)
CHANNELS = X.shape[1]

in_place = partial(nn.ReLU, inplace=True)
groups_of_two = partial(nn.GroupNorm, 2)


@dataclass(frozen=True)
class Case:
    """One lazy layer: its arguments, what the first call on `X` infers, the shape of the output."""

    name: str
    eager: type[nn.Module]
    out: tuple[int, ...]
    given: dict[str, Any] = field(default_factory=dict)
    inferred: dict[str, int] = field(default_factory=lambda: {"in_channels": CHANNELS})
    added: tuple[str, ...] = ()

    @property
    def lazy(self) -> Callable[..., nn.Module]:
        return partial(getattr(layers, self.name), **self.given)

    def built(self, **given: Any) -> nn.Module:
        """The eager module that the lazy one is to become."""
        return self.eager(**self.inferred, **{n: v for n, v in self.given.items() if n not in self.added}, **given)

    @property
    def takes(self) -> list[str]:
        return list(inspect.signature(self.eager).parameters)

    @property
    def any_rank(self) -> dict[str, Any]:
        """What makes it take input without a batch: BatchNorm2d does not."""
        return {"norm_layer": None} if "norm_layer" in self.takes else {}


def scaled(name: str, eager: type[nn.Module], kind: str, **given: Any) -> Case:
    out = 3 * CHANNELS if kind == "expansion" else CHANNELS // 4
    ratio = f"{kind}_ratio"
    size = (9, 10) if eager is not nn.Conv2d else (7, 8)
    return Case(
        name,
        eager,
        (out, *size),
        {**given, ratio: 3 if kind == "expansion" else 4},
        {"in_channels": CHANNELS, "out_channels": out},
        (ratio,),
    )


CASES = [
    Case("LazyConvNormActivation", layers.ConvNormActivation, (6, 9, 10), {"out_channels": 6, "kernel_size": 3}),
    Case(
        "LazyBottleneckBlock", layers.BottleneckBlock, (12, 5, 5), {"mid_channels": 4, "out_channels": 12, "stride": 2}
    ),
    Case(
        "LazyInvertedBottleneck",
        layers.InvertedBottleneck,
        (8, 9, 10),
        {"out_channels": 8, "expansion_ratio": 2, "use_se": True},
    ),
    Case("LazyDepthwiseConv2d", layers.DepthwiseConv2d, (8, 5, 5), {"stride": 2}, {"channels": CHANNELS}),
    Case("LazyPointwiseConv2d", layers.PointwiseConv2d, (6, 9, 10), {"out_channels": 6}),
    Case("LazyDepthSepConv2d", layers.DepthSepConv2d, (6, 9, 10), {"out_channels": 6}),
    Case("LazySqueezeExcitation", layers.SqueezeExcitation, (8, 9, 10), {"reduction_ratio": 2}),
    scaled("LazyExpansionConv2d", nn.Conv2d, "expansion", kernel_size=3),
    scaled("LazyExpansionPointwiseConv2d", layers.PointwiseConv2d, "expansion"),
    scaled("LazyExpansionDepthSepConv2d", layers.DepthSepConv2d, "expansion"),
    scaled("LazyReductionConv2d", nn.Conv2d, "reduction", kernel_size=3),
    scaled("LazyReductionPointwiseConv2d", layers.PointwiseConv2d, "reduction"),
    scaled("LazyReductionDepthSepConv2d", layers.DepthSepConv2d, "reduction"),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
#: Those that are built of this package's blocks, by eager class.
BLOCKS = list({case.eager: case for case in CASES if case.eager is not nn.Conv2d}.values())
every_block = pytest.mark.parametrize("case", BLOCKS, ids=lambda case: case.eager.__name__)


def loss(out: Tensor) -> Tensor:
    """One whose gradient no normalisation cancels."""
    return (out * torch.linspace(-1, 2, out.numel()).cos().reshape(out.shape)).sum()
