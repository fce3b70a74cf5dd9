"""Convolutions whose number of output channels is a multiple or a fraction of the number of input channels."""

from __future__ import annotations

from torch import nn

from lazify import axis, lazify
from lazify.layers.depth_sep_conv import DepthSepConv2d, PointwiseConv2d
from lazify.layers.ratios import expanded_channels, reduced_channels

__all__ = [
    "LazyExpansionConv2d",
    "LazyExpansionDepthSepConv2d",
    "LazyExpansionPointwiseConv2d",
    "LazyReductionConv2d",
    "LazyReductionDepthSepConv2d",
    "LazyReductionPointwiseConv2d",
]

_EXPANSION = {"in_channels": axis(-3), "out_channels": expanded_channels}
_REDUCTION = {"in_channels": axis(-3), "out_channels": reduced_channels}

LazyExpansionConv2d = lazify(nn.Conv2d, exclude=_EXPANSION)
LazyExpansionPointwiseConv2d = lazify(PointwiseConv2d, exclude=_EXPANSION)
LazyExpansionDepthSepConv2d = lazify(DepthSepConv2d, exclude=_EXPANSION)
LazyReductionConv2d = lazify(nn.Conv2d, exclude=_REDUCTION)
LazyReductionPointwiseConv2d = lazify(PointwiseConv2d, exclude=_REDUCTION)
LazyReductionDepthSepConv2d = lazify(DepthSepConv2d, exclude=_REDUCTION)
