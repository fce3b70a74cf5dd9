"""The cells that a live kernel executes, and what it must show of each lazy class."""

from __future__ import annotations

from typing import NamedTuple

#: As the package of somebody else has it.
THIRD_PARTY = '''
from typing import Callable, Optional, Tuple, Union

import torch
from torch import nn


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation, as in Hu et al. 2018.

    Args:
        in_chs: channels of the input.
        rd_ratio: how many of them are left inside.
    """

    def __init__(
        self,
        in_chs: int,
        rd_ratio: float = 0.25,
        rd_channels: Optional[int] = None,
        act_layer: Callable[..., nn.Module] = nn.ReLU,
        *,
        kernel_size: Union[int, Tuple[int, int]] = 1,
        **kwargs: object,
    ) -> None:
        super().__init__()
        inside = rd_channels or round(in_chs * rd_ratio)
        self.conv_reduce = nn.Conv2d(in_chs, inside, kernel_size)
        self.act1 = act_layer()
        self.conv_expand = nn.Conv2d(inside, in_chs, kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = self.act1(self.conv_reduce(x.mean((2, 3), keepdim=True)))
        return x * self.conv_expand(squeezed).sigmoid()
'''

#: The first cells of the notebook.
CELLS = [
    """
import dataclasses
import typing

import torch
from torch import nn as torch_nn

import somebody_elses
from lazify import axis, explain, is_lazy, layers, lazify, nn
""",
    '''
class Block(torch_nn.Module):
    """A block of my own."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, *, bias: bool = True):
        super().__init__()
        self.out_channels = out_channels
        self.conv = torch_nn.Conv2d(in_channels, out_channels, 3, stride, bias=bias)

    def forward(self, x, mask=None):
        return self.conv(x)
''',
    """
LazyBlock = lazify(Block)
LazySqueezeExcite = lazify(somebody_elses.SqueezeExcite)
LazyExpand = lazify(
    torch_nn.Conv2d,
    exclude={"in_channels": axis(1), "out_channels": lambda in_channels, times: in_channels * times},
)
""",
    '''
@lazify
class Decorated(torch_nn.Module):
    """A decorated block."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, *, bias: bool = True):
        super().__init__()
        self.conv = torch_nn.Conv2d(in_channels, out_channels, 3, stride, bias=bias)

    def forward(self, x):
        return self.conv(x)
''',
    """
class Inheriting(Decorated):
    def forward(self, x):
        return self.conv(x).relu()


class Own(Decorated):
    "With a constructor of its own."

    def __init__(self, width: int, depth: int = 2):
        super().__init__(3, width)
""",
    '''
T = typing.TypeVar("T")


@lazify
class OfType(torch_nn.Module, typing.Generic[T]):
    """A generic one."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.linear = torch_nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.linear(x)


@lazify(exclude=["in_features"])
@dataclasses.dataclass(eq=False)
class Data(torch_nn.Module):
    """A dataclass."""

    in_features: int
    width: int = 3

    def __post_init__(self):
        super().__init__()
        self.linear = torch_nn.Linear(self.in_features, self.width)

    def forward(self, x):
        return self.linear(x)


@lazify
class Marked(torch_nn.Module):
    """The rule stands as the default."""

    def __init__(self, width: int, *, in_features: int = axis(-1)):
        super().__init__()
        self.linear = torch_nn.Linear(in_features, width)

    def forward(self, x):
        return self.linear(x)
''',
]


class Shown(NamedTuple):
    """Of one lazy class: its signature, the names to complete, what is inferred from what, the class's own doc, and
    the name that the class has where that is not the variable's."""

    signature: str
    names: str
    inferred: dict[str, str]
    doc: str
    called: str = ""


RELU = "<class 'torch.nn.modules.activation.ReLU'>"
SIZE = "Union[int, tuple[int, int]]"
CONV2D = (
    f"stride: {SIZE} = 1, padding: Union[str, int, tuple[int, int]] = 0, dilation: {SIZE} = 1, groups: int = 1, "
    "bias: bool = True, padding_mode: Literal['zeros', 'reflect', 'replicate', 'circular'] = 'zeros', "
    "device=None, dtype=None"
)
CONV2D_NAMES = "bias device dilation dtype groups kernel_size padding padding_mode stride"

CLASSES = {
    "LazyBlock": Shown(
        "(out_channels: int, stride: int = 1, *, bias: bool = True)",
        "bias out_channels stride",
        {"in_channels": "axis(1)"},
        "A block of my own.",
    ),
    "Decorated": Shown(
        "(out_channels: int, stride: int = 1, *, bias: bool = True)",
        "bias out_channels stride",
        {"in_channels": "axis(1)"},
        "A decorated block.",
    ),
    "Inheriting": Shown(
        "(out_channels: int, stride: int = 1, *, bias: bool = True)",
        "bias out_channels stride",
        {"in_channels": "axis(1)"},
        "A decorated block.",
    ),
    "OfType": Shown("(out_features: int)", "out_features", {"in_features": "axis(-1)"}, "A generic one."),
    "Data": Shown("(width: int = 3) -> None", "width", {"in_features": "axis(-1)"}, "A dataclass."),
    "Marked": Shown("(width: int)", "width", {"in_features": "axis(-1)"}, "The rule stands as the default."),
    "LazySqueezeExcite": Shown(
        "(rd_ratio: float = 0.25, rd_channels: Optional[int] = None, "
        f"act_layer: Callable[..., torch.nn.modules.module.Module] = {RELU}, *, "
        "kernel_size: Union[int, Tuple[int, int]] = 1, **kwargs: object) -> None",
        "act_layer kernel_size rd_channels rd_ratio",
        {"in_chs": "axis(1)"},
        "Squeeze-and-excitation, as in Hu et al. 2018.",
    ),
    "nn.LazyConv2d": Shown(
        f"(out_channels: int, kernel_size: {SIZE}, {CONV2D}) -> None",
        f"{CONV2D_NAMES} out_channels",
        {"in_channels": "axis(-3, of='input')"},
        "Applies a 2D convolution over an input signal composed of several input",
    ),
    "nn.LazyLSTM": Shown(
        "(hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False, dropout: float = 0.0, "
        "bidirectional: bool = False, proj_size: int = 0, device=None, dtype=None) -> None",
        "batch_first bias bidirectional device dropout dtype hidden_size num_layers proj_size",
        {"input_size": "axis(-1, of='input')"},
        "Apply a multi-layer long short-term memory (LSTM) RNN to an input sequence.",
    ),
    "layers.LazyConvNormActivation": Shown(
        "(out_channels: 'int', kernel_size: 'Size2d', stride: 'Size2d' = 1, "
        "norm_layer: 'Norm | None' = <class 'torch.nn.modules.batchnorm.BatchNorm2d'>, "
        f"activation: 'Activation | None' = {RELU}, bias: 'bool | None' = None, *, "
        "padding: 'Size2d | str | None' = None, dilation: 'Size2d' = 1, groups: 'int' = 1, "
        "padding_mode: 'PaddingMode' = 'zeros', device: 'Device | None' = None, "
        "dtype: 'torch.dtype | None' = None) -> 'None'",
        "activation bias device dilation dtype groups kernel_size norm_layer out_channels padding padding_mode stride",
        {"in_channels": "axis(-3)"},
        "A 2d convolution, a normalisation and an activation: the children `conv`, `norm` and `act`.",
    ),
    "layers.LazyExpansionConv2d": Shown(
        f"(kernel_size: {SIZE}, {CONV2D}, *, expansion_ratio: float) -> None",
        f"{CONV2D_NAMES} expansion_ratio",
        {"in_channels": "axis(-3)", "out_channels": "expanded_channels(in_channels, expansion_ratio)"},
        "Applies a 2D convolution over an input signal composed of several input",
    ),
    "LazyExpand": Shown(
        f"(kernel_size: {SIZE}, {CONV2D}, *, times) -> None",
        f"{CONV2D_NAMES} times",
        {"in_channels": "axis(1)"},
        "Applies a 2D convolution over an input signal composed of several input",
        called="LazyConv2d",
    ),
}
