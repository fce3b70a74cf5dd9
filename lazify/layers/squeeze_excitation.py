"""Squeeze-and-excitation, an attention over channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lazify import axis, lazify
from lazify.layers.parts import Activation, Device, make
from lazify.layers.ratios import reduced

__all__ = ["LazySqueezeExcitation", "SqueezeExcitation"]


class SqueezeExcitation(nn.Module):
    """Multiplies each channel of the input by a weight, computed from the mean of every channel.

    Args:
        in_channels: channels of the input and of the output.
        reduction_ratio: the first of the two layers has `in_channels / reduction_ratio` output channels.
        activation: class or function that makes the activation between the two layers.
        gate: class or function that makes the activation whose output is the weights.
        device, dtype: of all parameters.

    Shape:
        (N, in_channels, H, W) -> the same, and (in_channels, H, W) -> the same.

    Raises:
        TypeError: if `activation` or `gate` is a module, not a class or function that makes one.
        ValueError: if `reduction_ratio` does not divide `in_channels`.

    >>> import torch
    >>> SqueezeExcitation(32)(torch.zeros(2, 32, 7, 7)).shape
    torch.Size([2, 32, 7, 7])

    Squeeze-and-excitation networks: Hu et al. 2017, arXiv:1709.01507.
    """

    def __init__(
        self,
        in_channels: int,
        reduction_ratio: float = 16,
        activation: Activation = nn.ReLU,
        *,
        gate: Activation = nn.Sigmoid,
        device: Device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        mid_channels = reduced(in_channels, reduction_ratio)
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, mid_channels, 1, device=device, dtype=dtype),
            make("activation", activation, device=device, dtype=dtype),
            nn.Conv2d(mid_channels, in_channels, 1, device=device, dtype=dtype),
            make("gate", gate, device=device, dtype=dtype),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.layers(x)
        return x * weights


LazySqueezeExcitation = lazify(SqueezeExcitation, exclude={"in_channels": axis(-3)})
