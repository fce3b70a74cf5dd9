# Made by: python -m lazify stub lazify.layers.conv_norm_activation
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
from lazify.layers.named_sequential import NamedSequential as NamedSequential
from lazify.layers.parts import Activation as Activation, Device as Device, Norm as Norm, PaddingMode as PaddingMode, Size2d as Size2d, make as make, padding_module as padding_module, same_padding as same_padding
__all__ = ['ConvNormActivation', 'LazyConvNormActivation']
class ConvNormActivation(NamedSequential):
    conv: nn.Conv2d
    norm: nn.Module
    act: nn.Module

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Size2d, stride: Size2d=1, norm_layer: Norm | None=..., activation: Activation | None=..., bias: bool | None=None, *, padding: Size2d | str | None=None, dilation: Size2d=1, groups: int=1, padding_mode: PaddingMode='zeros', device: Device | None=None, dtype: torch.dtype | None=None) -> None:
        ...
def _default_padding(kernel_size: Size2d, dilation: Size2d, padding_mode: PaddingMode) -> tuple[tuple[int, int], nn.Module | None]:
    ...
class _LazyConvNormActivation(type):

    def __call__(cls, out_channels: int, kernel_size: int | tuple[int, int], stride: int | tuple[int, int]=1, norm_layer: collections.abc.Callable[[int], torch.nn.modules.module.Module] | None=..., activation: collections.abc.Callable[[], torch.nn.modules.module.Module] | None=..., bias: bool | None=None, *, padding: int | tuple[int, int] | str | None=None, dilation: int | tuple[int, int]=1, groups: int=1, padding_mode: typing.Literal['zeros', 'reflect', 'replicate', 'circular']='zeros', device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, in_channels: int=...) -> _lazify_layers.ConvNormActivation:
        ...
LazyConvNormActivation: _LazyConvNormActivation
