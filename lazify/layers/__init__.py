"""Blocks of convolutional networks, each as an eager class and as a lazy class.

>>> import torch
>>> from torch import nn
>>> from lazify import layers
>>> network = nn.Sequential(
...     layers.LazyConvNormActivation(16, kernel_size=3, stride=2),
...     layers.LazyInvertedBottleneck(16, expansion_ratio=4, use_se=True),
...     layers.LazyReductionPointwiseConv2d(reduction_ratio=2),
... )
>>> network(torch.zeros(2, 3, 32, 32)).shape
torch.Size([2, 8, 16, 16])
"""

from lazify.layers.bottleneck import BottleneckBlock as BottleneckBlock
from lazify.layers.bottleneck import LazyBottleneckBlock as LazyBottleneckBlock
from lazify.layers.conv_norm_activation import ConvNormActivation as ConvNormActivation
from lazify.layers.conv_norm_activation import LazyConvNormActivation as LazyConvNormActivation
from lazify.layers.depth_sep_conv import DepthSepConv2d as DepthSepConv2d
from lazify.layers.depth_sep_conv import DepthwiseConv2d as DepthwiseConv2d
from lazify.layers.depth_sep_conv import LazyDepthSepConv2d as LazyDepthSepConv2d
from lazify.layers.depth_sep_conv import LazyDepthwiseConv2d as LazyDepthwiseConv2d
from lazify.layers.depth_sep_conv import LazyPointwiseConv2d as LazyPointwiseConv2d
from lazify.layers.depth_sep_conv import PointwiseConv2d as PointwiseConv2d
from lazify.layers.expansion_reduction import LazyExpansionConv2d as LazyExpansionConv2d
from lazify.layers.expansion_reduction import LazyExpansionDepthSepConv2d as LazyExpansionDepthSepConv2d
from lazify.layers.expansion_reduction import LazyExpansionPointwiseConv2d as LazyExpansionPointwiseConv2d
from lazify.layers.expansion_reduction import LazyReductionConv2d as LazyReductionConv2d
from lazify.layers.expansion_reduction import LazyReductionDepthSepConv2d as LazyReductionDepthSepConv2d
from lazify.layers.expansion_reduction import LazyReductionPointwiseConv2d as LazyReductionPointwiseConv2d
from lazify.layers.inverted_bottleneck import InvertedBottleneck as InvertedBottleneck
from lazify.layers.inverted_bottleneck import LazyInvertedBottleneck as LazyInvertedBottleneck
from lazify.layers.named_sequential import NamedSequential as NamedSequential
from lazify.layers.squeeze_excitation import LazySqueezeExcitation as LazySqueezeExcitation
from lazify.layers.squeeze_excitation import SqueezeExcitation as SqueezeExcitation

__all__ = [
    "BottleneckBlock",
    "ConvNormActivation",
    "DepthSepConv2d",
    "DepthwiseConv2d",
    "InvertedBottleneck",
    "LazyBottleneckBlock",
    "LazyConvNormActivation",
    "LazyDepthSepConv2d",
    "LazyDepthwiseConv2d",
    "LazyExpansionConv2d",
    "LazyExpansionDepthSepConv2d",
    "LazyExpansionPointwiseConv2d",
    "LazyInvertedBottleneck",
    "LazyPointwiseConv2d",
    "LazyReductionConv2d",
    "LazyReductionDepthSepConv2d",
    "LazyReductionPointwiseConv2d",
    "LazySqueezeExcitation",
    "NamedSequential",
    "PointwiseConv2d",
    "SqueezeExcitation",
]

# The names by which users know the classes, in `repr`, errors and pickles.
for _name in __all__:
    _class = globals()[_name]
    _class.__module__, _class.__name__, _class.__qualname__ = __name__, _name, _name
