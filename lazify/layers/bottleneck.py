"""Residual block of deep ResNets."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from lazify import axis, lazify
from lazify.layers.conv_norm_activation import ConvNormActivation
from lazify.layers.named_sequential import NamedSequential
from lazify.layers.parts import Activation, Device, Norm, PaddingMode, Size2d, make, pair

__all__ = ["BottleneckBlock", "LazyBottleneckBlock"]


class BottleneckBlock(nn.Module):
    """A residual block of three convolutions: to fewer channels, over space, to more channels again.

    The child `layers` has the children `conv1`, `conv2` and `conv3`. The child `proj` is the identity if input and
    output have the same shape, else a 1x1 convolution with a normalisation. The child `activ` is applied to the sum of
    `layers` and `proj`. `conv2` has the stride, as in later implementations; in the paper `conv1` has it.

    Args:
        in_channels: channels of the input.
        mid_channels: channels between the convolutions.
        out_channels: channels of the output.
        kernel_size, stride, groups, dilation: of `conv2`.
        activation: class or function that makes each of the three activations. None: no activations.
        norm_layer: class or function that makes each normalisation, from the number of channels. None: no
            normalisations, and the convolutions have a bias.
        padding_mode: of `conv2`, `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        device, dtype: of all parameters and buffers.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)). Input without N works
        if the normalisation accepts it (`nn.BatchNorm2d` does not).

    Raises:
        TypeError: if `norm_layer` or `activation` is a module, not a class or function that makes one.
        ValueError: as `nn.Conv2d` raises it, for impossible sizes.

    >>> import torch
    >>> block = BottleneckBlock(64, 16, 128, stride=2)
    >>> block(torch.zeros(2, 64, 15, 15)).shape
    torch.Size([2, 128, 8, 8])

    Deep residual learning: He et al. 2015, arXiv:1512.03385. With `groups`, ResNeXt: Xie et al. 2016, arXiv:1611.05431.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        kernel_size: Size2d = 3,
        stride: Size2d = 1,
        groups: int = 1,
        dilation: Size2d = 1,
        activation: Activation | None = nn.ReLU,
        norm_layer: Norm | None = nn.BatchNorm2d,
        *,
        padding_mode: PaddingMode = "zeros",
        device: Device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        conv = partial(ConvNormActivation, norm_layer=norm_layer, device=device, dtype=dtype)
        self.layers = NamedSequential(
            conv1=conv(in_channels, mid_channels, 1, activation=activation),
            conv2=conv(
                mid_channels,
                mid_channels,
                kernel_size,
                stride,
                activation=activation,
                dilation=dilation,
                groups=groups,
                padding_mode=padding_mode,
            ),
            conv3=conv(mid_channels, out_channels, 1, activation=None),
        )
        self.proj: nn.Module = nn.Identity()
        if in_channels != out_channels or pair(stride) != (1, 1):
            self.proj = nn.Sequential(*conv(in_channels, out_channels, 1, stride, activation=None))
        self.activ: nn.Module = nn.Identity()
        if activation is not None:
            self.activ = make("activation", activation, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activ(self.layers(x) + self.proj(x))
        return out


LazyBottleneckBlock = lazify(BottleneckBlock, exclude={"in_channels": axis(-3)})
