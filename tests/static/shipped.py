"""Types of `lazify.nn` and `lazify.layers`. Every ignore must be needed: a line without its error fails."""

import torch
from typing_extensions import assert_type

from lazify import layers, nn

assert_type(nn.LazyLinear(10), torch.nn.Linear)
assert_type(nn.LazyConv2d(8, kernel_size=3), nn.Conv2d)
assert_type(nn.LazyLSTM(16, num_layers=2), nn.LSTM)
assert_type(nn.LazyGroupNorm(4), nn.GroupNorm)
assert_type(nn.LazyBilinear(4), nn.Bilinear)
assert_type(nn.LazyTransformerEncoderLayer(nhead=4, batch_first=True), nn.TransformerEncoderLayer)
assert_type(nn.LazyConv2d(8, kernel_size=3, in_channels=3), nn.Conv2d)
nn.LazyLinear()  # type: ignore[call-arg]
nn.LazyLSTM(16, num_layers="2")  # type: ignore[arg-type]
nn.LazyGroupNorm(num_group=4)  # type: ignore[call-arg]
nn.LazyNothing()  # type: ignore[attr-defined]

model: torch.nn.Module = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
nn.functional.relu(nn.init.zeros_(nn.Parameter(torch.ones(3))))
nn.utils.clip_grad_norm_(model.parameters(), 1.0)
isinstance(nn.LazyLinear(3), nn.LazyLinear)

assert_type(layers.LazySqueezeExcitation(reduction_ratio=4), layers.SqueezeExcitation)
assert_type(layers.LazyConvNormActivation(8, 3, activation=nn.SiLU).conv, nn.Conv2d)
assert_type(layers.LazyExpansionConv2d(kernel_size=3, expansion_ratio=4), nn.Conv2d)
layers.LazyExpansionConv2d(kernel_size=3)  # type: ignore[call-arg]
layers.LazyBottleneckBlock(8)  # type: ignore[call-arg]
layers.LazyInvertedBottleneck(8, use_se="yes")  # type: ignore[arg-type]
