"""pytorch-tcn: temporal convolutions."""
import torch
from torch import randn
from case import Case


def C(name, target, infer, kw):
    return Case("tcn/" + name, "pytorch_tcn." + target, infer=infer, args=lambda: (randn(2, 12, 16),), kwargs=kw, tags=("conv",))


CASES = [
    C("TemporalConv1d", "conv:TemporalConv1d", dict(in_channels=12), lambda: dict(out_channels=8, kernel_size=3)),
    C("TemporalConvTranspose1d", "conv:TemporalConvTranspose1d", dict(in_channels=12),
      lambda: dict(out_channels=8, kernel_size=4, stride=2)),
    C("TCN", "tcn:TCN", dict(num_inputs=12), lambda: dict(num_channels=[8, 8], kernel_size=3)),
]
