# Made by: python -m lazify stub lazify.layers.depth_sep_conv
MYPY: bool = True
assert MYPY  # for type checkers: at run time the classes themselves say more
import collections.abc
import lazify.layers as _lazify_layers
import torch
import torch.nn.modules.module
import typing
from typing import TYPE_CHECKING as TYPE_CHECKING
import torch as torch
from torch import nn as nn
from lazify import axis as axis, lazify as lazify
from lazify.layers.conv_norm_activation import ConvNormActivation as ConvNormActivation
from lazify.layers.named_sequential import NamedSequential as NamedSequential
from lazify.layers.parts import Activation as Activation, Device as Device, Norm as Norm, PaddingMode as PaddingMode, Size2d as Size2d
__all__ = ['DepthSepConv2d', 'DepthwiseConv2d', 'LazyDepthSepConv2d', 'LazyDepthwiseConv2d', 'LazyPointwiseConv2d', 'PointwiseConv2d']
class DepthwiseConv2d(ConvNormActivation):

    def __init__(self, channels: int, kernel_size: Size2d=3, stride: Size2d=1, norm_layer: Norm | None=..., activation: Activation | None=..., bias: bool | None=None, *, padding: Size2d | str | None=None, dilation: Size2d=1, padding_mode: PaddingMode='zeros', device: Device | None=None, dtype: torch.dtype | None=None) -> None:
        ...
class PointwiseConv2d(ConvNormActivation):

    def __init__(self, in_channels: int, out_channels: int, stride: Size2d=1, norm_layer: Norm | None=..., activation: Activation | None=..., bias: bool | None=None, *, padding: Size2d | str=0, groups: int=1, padding_mode: PaddingMode='zeros', device: Device | None=None, dtype: torch.dtype | None=None) -> None:
        ...
class DepthSepConv2d(NamedSequential):
    dw: DepthwiseConv2d
    pw: PointwiseConv2d

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Size2d=3, stride: Size2d=1, norm_layer: Norm | None=..., activation: Activation | None=..., bias: bool | None=None, *, padding: Size2d | str | None=None, dilation: Size2d=1, padding_mode: PaddingMode='zeros', device: Device | None=None, dtype: torch.dtype | None=None) -> None:
        ...
class _LazyDepthwiseConv2d(type):

    def __call__(cls, kernel_size: int | tuple[int, int]=3, stride: int | tuple[int, int]=1, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., bias: bool | None=None, *, padding: int | tuple[int, int] | str | None=None, dilation: int | tuple[int, int]=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, channels: int=...) -> _lazify_layers.DepthwiseConv2d:
        ...
LazyDepthwiseConv2d: _LazyDepthwiseConv2d
class _LazyPointwiseConv2d(type):

    def __call__(cls, out_channels: int, stride: int | tuple[int, int]=1, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., bias: bool | None=None, *, padding: int | tuple[int, int] | str=0, groups: int=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, in_channels: int=...) -> _lazify_layers.PointwiseConv2d:
        ...
LazyPointwiseConv2d: _LazyPointwiseConv2d
class _LazyDepthSepConv2d(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int, int]=3, stride: int | tuple[int, int]=1, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., bias: bool | None=None, *, padding: int | tuple[int, int] | str | None=None, dilation: int | tuple[int, int]=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, in_channels: int=...) -> _lazify_layers.DepthSepConv2d:
        ...
LazyDepthSepConv2d: _LazyDepthSepConv2d
