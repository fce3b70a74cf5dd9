# Made by: python -m lazify stub lazify.layers.squeeze_excitation
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
from lazify.layers.parts import Activation as Activation, Device as Device, make as make
from lazify.layers.ratios import reduced as reduced
__all__ = ['LazySqueezeExcitation', 'SqueezeExcitation']
class SqueezeExcitation(nn.Module):

    def __init__(self, in_channels: int, reduction_ratio: float=16, activation: Activation=..., *, gate: Activation=..., device: Device | None=None, dtype: torch.dtype | None=None) -> None:
        ...

    def forward(self, x: Tensor) -> Tensor:
        ...
    layers: nn.Sequential
class _LazySqueezeExcitation(type):

    def __call__(cls, reduction_ratio: float=16, activation: collections.abc.Callable[[], torch.nn.modules.module.Module]=..., *, gate: collections.abc.Callable[[], torch.nn.modules.module.Module]=..., device: torch.device | str | int | None=None, dtype: torch.dtype | None=None, in_channels: int=...) -> _lazify_layers.SqueezeExcitation:
        ...
LazySqueezeExcitation: _LazySqueezeExcitation
