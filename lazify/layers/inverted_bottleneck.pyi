# Made by: python -m lazify stub lazify.layers.inverted_bottleneck
MYPY: bool = True
assert MYPY  # for type checkers: at run time the classes themselves say more
import collections.abc
import lazify.layers as _lazify_layers
import torch
import torch.nn.modules.module
import typing
import torch as torch
from torch import Tensor as Tensor, nn as nn
from lazify import axis as axis, lazify as lazify
from lazify.layers.depth_sep_conv import DepthwiseConv2d as DepthwiseConv2d, PointwiseConv2d as PointwiseConv2d
from lazify.layers.named_sequential import NamedSequential as NamedSequential
from lazify.layers.parts import Activation as Activation, Device as Device, Norm as Norm, PaddingMode as PaddingMode, Size2d as Size2d, pair as pair
from lazify.layers.ratios import expanded as expanded, reduced as reduced
from lazify.layers.squeeze_excitation import SqueezeExcitation as SqueezeExcitation
__all__ = ['InvertedBottleneck', 'LazyInvertedBottleneck']
SE_REDUCTION_RATIO: int
class InvertedBottleneck(nn.Module):

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Size2d=3, stride: Size2d=1, expansion_ratio: float=1, use_se: bool=False, se_reduction_ratio: float | None=None, norm_layer: Norm | None=..., activation: Activation | None=..., *, dilation: Size2d=1, padding_mode: PaddingMode='zeros', device: Device | None=None, dtype: torch.dtype | None=None) -> None:
        ...

    def forward(self, x: Tensor) -> Tensor:
        ...
    layers: NamedSequential
    residual: typing.Any
def _checked_se_ratio(channels: int, ratio: float | None) -> float:
    ...
class _LazyInvertedBottleneck(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int, int]=3, stride: int | tuple[int, int]=1, expansion_ratio: float=1, use_se: bool=False, se_reduction_ratio: float | None=None, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., *, dilation: int | tuple[int, int]=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, in_channels: int=...) -> _lazify_layers.InvertedBottleneck:
        ...
LazyInvertedBottleneck: _LazyInvertedBottleneck
