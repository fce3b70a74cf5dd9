"""Residual block of mobile networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lazify import axis, lazify
from lazify.layers.depth_sep_conv import DepthwiseConv2d, PointwiseConv2d
from lazify.layers.named_sequential import NamedSequential
from lazify.layers.parts import Activation, Device, Norm, PaddingMode, Size2d, pair
from lazify.layers.ratios import expanded, reduced
from lazify.layers.squeeze_excitation import SqueezeExcitation

__all__ = ["InvertedBottleneck", "LazyInvertedBottleneck"]

#: The default `se_reduction_ratio`, as in MnasNet, which writes it as 0.25.
SE_REDUCTION_RATIO = 4


class InvertedBottleneck(nn.Module):
    """A residual block that is wide inside: to more channels, over space, to fewer channels again.

    The child `layers` has the children `pw` (`PointwiseConv2d`), `dw` (`DepthwiseConv2d`), with `use_se` also `se`
    (`SqueezeExcitation`), and `bottleneck` (`PointwiseConv2d` without activation). The input is added to the output if
    the stride is 1 and both have the same number of channels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size, stride, dilation: of `dw`; one number, or height and width.
        expansion_ratio: `pw` and `dw` have `in_channels * expansion_ratio` output channels.
        use_se: whether the block has squeeze-and-excitation.
        se_reduction_ratio: the `reduction_ratio` of squeeze-and-excitation. None: 4, as in MnasNet.
        norm_layer: class or function that makes each normalisation, from the number of channels. None: no
            normalisations, and the convolutions have a bias.
        activation: class or function that makes each activation. None: no activations, except `nn.ReLU` in `se`.
        padding_mode: of `dw`, `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        device, dtype: of all parameters and buffers.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)). Input without N works
        if the normalisation accepts it (`nn.BatchNorm2d` does not).

    Raises:
        TypeError: if `norm_layer` or `activation` is a module, not a class or function that makes one.
        ValueError: if `in_channels * expansion_ratio` is no whole number, or `se_reduction_ratio` does not divide it;
            as `nn.Conv2d` raises it, for impossible sizes.

    >>> import torch
    >>> block = InvertedBottleneck(16, 24, stride=2, expansion_ratio=6, use_se=True)
    >>> block(torch.zeros(2, 16, 15, 15)).shape
    torch.Size([2, 24, 8, 8])

    MobileNetV2: Sandler et al. 2018, arXiv:1801.04381. With squeeze-and-excitation, MnasNet: Tan et al. 2018,
    arXiv:1807.11626.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size2d = 3,
        stride: Size2d = 1,
        expansion_ratio: float = 1,
        use_se: bool = False,
        se_reduction_ratio: float | None = None,
        norm_layer: Norm | None = nn.BatchNorm2d,
        activation: Activation | None = nn.ReLU,
        *,
        dilation: Size2d = 1,
        padding_mode: PaddingMode = "zeros",
        device: Device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        mid_channels = expanded(in_channels, expansion_ratio)
        layers: dict[str, nn.Module] = {
            "pw": PointwiseConv2d(in_channels, mid_channels, 1, norm_layer, activation, device=device, dtype=dtype),
            "dw": DepthwiseConv2d(
                mid_channels,
                kernel_size,
                stride,
                norm_layer,
                activation,
                dilation=dilation,
                padding_mode=padding_mode,
                device=device,
                dtype=dtype,
            ),
        }
        if use_se:
            ratio = _checked_se_ratio(mid_channels, se_reduction_ratio)
            layers["se"] = SqueezeExcitation(mid_channels, ratio, activation or nn.ReLU, device=device, dtype=dtype)
        bottleneck = PointwiseConv2d(mid_channels, out_channels, 1, norm_layer, None, device=device, dtype=dtype)
        self.layers = NamedSequential(**layers, bottleneck=bottleneck)
        # decided by the stride, not by the output shape: one pixel stays one pixel with any stride
        self.residual = in_channels == out_channels and pair(stride) == (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out + x if self.residual else out


def _checked_se_ratio(channels: int, ratio: float | None) -> float:
    """The `reduction_ratio` of squeeze-and-excitation. Errors use the argument names of `InvertedBottleneck`."""
    ratio = SE_REDUCTION_RATIO if ratio is None else ratio
    reduced(channels, ratio, "in_channels * expansion_ratio", "se_reduction_ratio")
    return ratio


LazyInvertedBottleneck = lazify(InvertedBottleneck, exclude={"in_channels": axis(-3)})
