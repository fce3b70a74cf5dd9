# Made by: python -m lazify stub lazify.layers.expansion_reduction
MYPY: bool = True
assert MYPY  # for type checkers: at run time the classes themselves say more
import collections.abc
import lazify.layers as _lazify_layers
import torch
import torch.nn.modules.conv
import torch.nn.modules.module
import typing
from torch import nn as nn
from lazify import axis as axis, lazify as lazify
from lazify.layers.depth_sep_conv import DepthSepConv2d as DepthSepConv2d, PointwiseConv2d as PointwiseConv2d
from lazify.layers.ratios import expanded_channels as expanded_channels, reduced_channels as reduced_channels
__all__ = ['LazyExpansionConv2d', 'LazyExpansionDepthSepConv2d', 'LazyExpansionPointwiseConv2d', 'LazyReductionConv2d', 'LazyReductionDepthSepConv2d', 'LazyReductionPointwiseConv2d']
_EXPANSION: dict[str, typing.Any]
_REDUCTION: dict[str, typing.Any]
class _LazyExpansionConv2d(type):

    def __call__(cls, kernel_size: int | tuple[int, int], stride: int | tuple[int, int]=1, padding: str | int | tuple[int, int]=0, dilation: int | tuple[int, int]=1, groups: int=1, bias: bool=True, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: typing.Any=None, dtype: typing.Any=None, *, expansion_ratio: float, in_channels: int=..., out_channels: int=...) -> torch.nn.modules.conv.Conv2d:
        ...
LazyExpansionConv2d: _LazyExpansionConv2d
class _LazyExpansionPointwiseConv2d(type):

    def __call__(cls, stride: int | tuple[int, int]=1, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., bias: bool | None=None, *, padding: int | tuple[int, int] | str=0, groups: int=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, expansion_ratio: float, in_channels: int=..., out_channels: int=...) -> _lazify_layers.PointwiseConv2d:
        ...
LazyExpansionPointwiseConv2d: _LazyExpansionPointwiseConv2d
class _LazyExpansionDepthSepConv2d(type):

    def __call__(cls, kernel_size: int | tuple[int, int]=3, stride: int | tuple[int, int]=1, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., bias: bool | None=None, *, padding: int | tuple[int, int] | str | None=None, dilation: int | tuple[int, int]=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, expansion_ratio: float, in_channels: int=..., out_channels: int=...) -> _lazify_layers.DepthSepConv2d:
        ...
LazyExpansionDepthSepConv2d: _LazyExpansionDepthSepConv2d
class _LazyReductionConv2d(type):

    def __call__(cls, kernel_size: int | tuple[int, int], stride: int | tuple[int, int]=1, padding: str | int | tuple[int, int]=0, dilation: int | tuple[int, int]=1, groups: int=1, bias: bool=True, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: typing.Any=None, dtype: typing.Any=None, *, reduction_ratio: float, in_channels: int=..., out_channels: int=...) -> torch.nn.modules.conv.Conv2d:
        ...
LazyReductionConv2d: _LazyReductionConv2d
class _LazyReductionPointwiseConv2d(type):

    def __call__(cls, stride: int | tuple[int, int]=1, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., bias: bool | None=None, *, padding: int | tuple[int, int] | str=0, groups: int=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, reduction_ratio: float, in_channels: int=..., out_channels: int=...) -> _lazify_layers.PointwiseConv2d:
        ...
LazyReductionPointwiseConv2d: _LazyReductionPointwiseConv2d
class _LazyReductionDepthSepConv2d(type):

    def __call__(cls, kernel_size: int | tuple[int, int]=3, stride: int | tuple[int, int]=1, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., bias: bool | None=None, *, padding: int | tuple[int, int] | str | None=None, dilation: int | tuple[int, int]=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, reduction_ratio: float, in_channels: int=..., out_channels: int=...) -> _lazify_layers.DepthSepConv2d:
        ...
LazyReductionDepthSepConv2d: _LazyReductionDepthSepConv2d
