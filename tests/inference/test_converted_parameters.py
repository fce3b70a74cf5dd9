"""Constructors and forwards that convert their parameters are searched as any other.

(torch swaps fakes where it would replace the data of real parameters, and refuses that where weak references exist.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.twins import assert_twins
from lazify import lazify, materialize

Convert = Callable[[Any, Tensor], Any]

CONVERSIONS: list[Convert] = [
    lambda module, x: module.to("cpu"),
    lambda module, x: module.float(),
    lambda module, x: module.double().float(),
    lambda module, x: module.layer.to(torch.float32),
    lambda module, x: module.to(x),
    lambda module, x: module.to(x.device),
    lambda module, x: module.half().float(),
]


def class_that(converts: Convert, in_constructor: bool) -> type[nn.Module]:
    class Converting(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(in_features, 4), nn.LayerNorm(4)
            self.scale = nn.Parameter(torch.ones(4))
            self.temperature = nn.Parameter(torch.tensor(2.0))
            self.register_buffer("offset", torch.zeros(4))
            if in_constructor:
                converts(self, torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            if not in_constructor:
                converts(self, x)
            out: Tensor = self.norm(self.layer(x)) * self.scale * self.temperature + self.offset
            return out

    return Converting


@pytest.mark.parametrize("in_constructor", [True, False])
@pytest.mark.parametrize("converts", CONVERSIONS)
def test_a_class_that_converts_its_parameters(converts: Convert, in_constructor: bool) -> None:
    cls = class_that(converts, in_constructor)
    for _ in range(2):
        lazy = lazify(cls)()
        torch.manual_seed(0)
        lazy(torch.ones(2, 3))
        torch.manual_seed(0)
        eager = cls(3)
        eager(torch.ones(2, 3))
        assert_twins(lazy, eager)
    model = nn.Sequential(lazify(cls)(), nn.ReLU(), lazify(cls)())
    assert len(list(model.parameters())) == 12
    assert materialize(model, torch.Size((2, 3)))[2].layer.in_features == 4
