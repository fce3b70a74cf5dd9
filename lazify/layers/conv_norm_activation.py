"""Block of convolution, normalisation and activation. The other blocks are made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from lazify import axis, lazify
from lazify.layers.named_sequential import NamedSequential
from lazify.layers.parts import Activation, Device, Norm, PaddingMode, Size2d, make, padding_module, same_padding

__all__ = ["ConvNormActivation", "LazyConvNormActivation"]


class ConvNormActivation(NamedSequential):
    """A 2d convolution, a normalisation and an activation: the children `conv`, `norm` and `act`.

    By default the padding is such that the output has `ceil(size / stride)` rows and columns, for every kernel size
    and dilation. If the paddings of two opposite sides differ (even kernels), a child `pad` before `conv` pads.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size, stride, dilation: of the convolution; one number, or height and width.
        norm_layer: class or function that makes the normalisation, from `out_channels`. None: no normalisation.
        activation: class or function that makes the activation. None: no activation.
        bias: whether the convolution has a bias. None: only without a normalisation, which would cancel the bias.
        padding: the argument of `nn.Conv2d`. None: the default described above.
        groups: of the convolution.
        padding_mode: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        device, dtype: of all parameters and buffers.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)). Input without N works
        if the normalisation accepts it (`nn.BatchNorm2d` does not).

    Raises:
        TypeError: if `norm_layer` or `activation` is a module, not a class or function that makes one.
        ValueError: as `nn.Conv2d` raises it, for impossible sizes.

    >>> import torch
    >>> from torch import nn
    >>> block = ConvNormActivation(3, 8, kernel_size=3, stride=2, activation=nn.SiLU)
    >>> block(torch.zeros(2, 3, 15, 15)).shape
    torch.Size([2, 8, 8, 8])
    >>> [name for name, _ in block.named_children()]
    ['conv', 'norm', 'act']

    Batch normalisation between a convolution and its activation: Ioffe and Szegedy 2015, arXiv:1502.03167.
    """

    if TYPE_CHECKING:  # TorchScript refuses annotations of submodules at run time
        conv: nn.Conv2d
        norm: nn.Module
        act: nn.Module

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size2d,
        stride: Size2d = 1,
        norm_layer: Norm | None = nn.BatchNorm2d,
        activation: Activation | None = nn.ReLU,
        bias: bool | None = None,
        *,
        padding: Size2d | str | None = None,
        dilation: Size2d = 1,
        groups: int = 1,
        padding_mode: PaddingMode = "zeros",
        device: Device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        children: dict[str, nn.Module] = {}
        if padding is None:
            padding, pad = _default_padding(kernel_size, dilation, padding_mode)
            if pad is not None:
                children["pad"], padding_mode = pad, "zeros"
        children["conv"] = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias=norm_layer is None if bias is None else bias,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )
        if norm_layer is not None:
            children["norm"] = make("norm_layer", norm_layer, out_channels, device=device, dtype=dtype)
        if activation is not None:
            children["act"] = make("activation", activation, device=device, dtype=dtype)
        super().__init__(**children)


def _default_padding(
    kernel_size: Size2d, dilation: Size2d, padding_mode: PaddingMode
) -> tuple[tuple[int, int], nn.Module | None]:
    """The padding of the convolution, and the module `pad` if the paddings of opposite sides differ."""
    rows, columns = same_padding(kernel_size, dilation)
    if (rows[0], columns[0]) == (rows[1], columns[1]):
        return (rows[0], columns[0]), None
    return (0, 0), padding_module(rows, columns, padding_mode)


LazyConvNormActivation = lazify(ConvNormActivation, exclude={"in_channels": axis(-3)})
