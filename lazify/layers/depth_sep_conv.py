"""Depthwise separable convolutions: a convolution over space, then a convolution over channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from lazify import axis, lazify
from lazify.layers.conv_norm_activation import ConvNormActivation
from lazify.layers.named_sequential import NamedSequential
from lazify.layers.parts import Activation, Device, Norm, PaddingMode, Size2d

__all__ = [
    "DepthSepConv2d",
    "DepthwiseConv2d",
    "LazyDepthSepConv2d",
    "LazyDepthwiseConv2d",
    "LazyPointwiseConv2d",
    "PointwiseConv2d",
]


class DepthwiseConv2d(ConvNormActivation):
    """A `ConvNormActivation` whose convolution has one kernel for each channel.

    Args:
        channels: channels of the input and of the output.
        kernel_size, stride, dilation: of the convolution; one number, or height and width.
        norm_layer: class or function that makes the normalisation, from `channels`. None: no normalisation.
        activation: class or function that makes the activation. None: no activation.
        bias: whether the convolution has a bias. None: only without a normalisation.
        padding: of the convolution. None: so that the output has `ceil(size / stride)` rows and columns.
        padding_mode: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        device, dtype: of all parameters and buffers.

    Shape:
        (N, channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)). Input without N works if the
        normalisation accepts it (`nn.BatchNorm2d` does not).

    Raises:
        TypeError: if `norm_layer` or `activation` is a module, not a class or function that makes one.
        ValueError: as `nn.Conv2d` raises it, for impossible sizes.

    >>> import torch
    >>> depthwise = DepthwiseConv2d(8, kernel_size=5, stride=2)
    >>> depthwise(torch.zeros(2, 8, 15, 15)).shape
    torch.Size([2, 8, 8, 8])
    >>> depthwise.conv.weight.shape
    torch.Size([8, 1, 5, 5])

    MobileNets: Howard et al. 2017, arXiv:1704.04861.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Size2d = 3,
        stride: Size2d = 1,
        norm_layer: Norm | None = nn.BatchNorm2d,
        activation: Activation | None = nn.ReLU,
        bias: bool | None = None,
        *,
        padding: Size2d | str | None = None,
        dilation: Size2d = 1,
        padding_mode: PaddingMode = "zeros",
        device: Device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            channels,
            channels,
            kernel_size,
            stride,
            norm_layer,
            activation,
            bias,
            padding=padding,
            dilation=dilation,
            groups=channels,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )


class PointwiseConv2d(ConvNormActivation):
    """A `ConvNormActivation` with a 1x1 convolution, which mixes channels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the convolution; one number, or height and width.
        norm_layer: class or function that makes the normalisation, from `out_channels`. None: no normalisation.
        activation: class or function that makes the activation. None: no activation.
        bias: whether the convolution has a bias. None: only without a normalisation.
        padding: of the convolution.
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
    >>> PointwiseConv2d(8, 16)(torch.zeros(2, 8, 15, 15)).shape
    torch.Size([2, 16, 15, 15])

    MobileNets: Howard et al. 2017, arXiv:1704.04861.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: Size2d = 1,
        norm_layer: Norm | None = nn.BatchNorm2d,
        activation: Activation | None = nn.ReLU,
        bias: bool | None = None,
        *,
        padding: Size2d | str = 0,
        groups: int = 1,
        padding_mode: PaddingMode = "zeros",
        device: Device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            1,
            stride,
            norm_layer,
            activation,
            bias,
            padding=padding,
            groups=groups,
            padding_mode=padding_mode,
            device=device,
            dtype=dtype,
        )


class DepthSepConv2d(NamedSequential):
    """A depthwise separable convolution: the children `dw` (`DepthwiseConv2d`) and `pw` (`PointwiseConv2d`).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size, stride, dilation: of the depthwise convolution; one number, or height and width.
        norm_layer: class or function that makes the normalisation of each convolution, from the number of channels.
            None: no normalisations.
        activation: class or function that makes the activation of each convolution. None: no activations.
        bias: whether the convolutions have a bias. None: only without normalisations.
        padding: of the depthwise convolution. None: so that the output has `ceil(size / stride)` rows and columns.
        padding_mode: of the depthwise convolution, `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        device, dtype: of all parameters and buffers.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)). Input without N works
        if the normalisation accepts it (`nn.BatchNorm2d` does not).

    Raises:
        TypeError: if `norm_layer` or `activation` is a module, not a class or function that makes one.
        ValueError: as `nn.Conv2d` raises it, for impossible sizes.

    >>> import torch
    >>> block = DepthSepConv2d(8, 16, stride=2)
    >>> block(torch.zeros(2, 8, 15, 15)).shape
    torch.Size([2, 16, 8, 8])

    MobileNets: Howard et al. 2017, arXiv:1704.04861.
    """

    if TYPE_CHECKING:  # TorchScript refuses annotations of submodules at run time
        dw: DepthwiseConv2d
        pw: PointwiseConv2d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size2d = 3,
        stride: Size2d = 1,
        norm_layer: Norm | None = nn.BatchNorm2d,
        activation: Activation | None = nn.ReLU,
        bias: bool | None = None,
        *,
        padding: Size2d | str | None = None,
        dilation: Size2d = 1,
        padding_mode: PaddingMode = "zeros",
        device: Device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            dw=DepthwiseConv2d(
                in_channels,
                kernel_size,
                stride,
                norm_layer,
                activation,
                bias,
                padding=padding,
                dilation=dilation,
                padding_mode=padding_mode,
                device=device,
                dtype=dtype,
            ),
            pw=PointwiseConv2d(
                in_channels,
                out_channels,
                norm_layer=norm_layer,
                activation=activation,
                bias=bias,
                device=device,
                dtype=dtype,
            ),
        )


LazyDepthwiseConv2d = lazify(DepthwiseConv2d, exclude={"channels": axis(-3)})
LazyPointwiseConv2d = lazify(PointwiseConv2d, exclude={"in_channels": axis(-3)})
LazyDepthSepConv2d = lazify(DepthSepConv2d, exclude={"in_channels": axis(-3)})
