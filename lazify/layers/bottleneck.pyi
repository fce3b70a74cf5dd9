# Made by: python -m lazify stub lazify.layers.bottleneck
MYPY: bool = True
assert MYPY  # for type checkers: at run time the classes themselves say more
import collections.abc
import lazify.layers as _lazify_layers
import torch
import torch.nn.modules.module
import typing
from functools import partial as partial
import torch as torch
from torch import Tensor as Tensor, nn as nn
from lazify import axis as axis, lazify as lazify
from lazify.layers.conv_norm_activation import ConvNormActivation as ConvNormActivation
from lazify.layers.named_sequential import NamedSequential as NamedSequential
from lazify.layers.parts import Activation as Activation, Device as Device, Norm as Norm, PaddingMode as PaddingMode, Size2d as Size2d, make as make, pair as pair
__all__ = ['BottleneckBlock', 'LazyBottleneckBlock']
class BottleneckBlock(nn.Module):

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, kernel_size: Size2d=3, stride: Size2d=1, groups: int=1, dilation: Size2d=1, activation: Activation | None=..., norm_layer: Norm | None=..., *, padding_mode: PaddingMode='zeros', device: Device | None=None, dtype: torch.dtype | None=None) -> None:
        ...

    def forward(self, x: Tensor) -> Tensor:
        ...
    layers: NamedSequential
    proj: nn.Module
    activ: nn.Module
class _LazyBottleneckBlock(type):

    def __call__(cls, mid_channels: int, out_channels: int, kernel_size: int | tuple[int, int]=3, stride: int | tuple[int, int]=1, groups: int=1, dilation: int | tuple[int, int]=1, activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., *, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, in_channels: int=...) -> _lazify_layers.BottleneckBlock:
        ...
LazyBottleneckBlock: _LazyBottleneckBlock
