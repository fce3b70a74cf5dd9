"""Classes whose annotations are text (`from __future__ import annotations`), for recipe/test_signatures.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from decimal import Decimal

#: Names that only this module has.
Width = int
Mode = Literal["train", "test"]


class Postponed(nn.Module):
    def __init__(self, in_features: Width, out_features: Width = 3, *, mode: Mode = "train") -> None:
        super().__init__()
        self.received = (in_features, out_features, mode)

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        return x * scale


class ForCheckersOnly(nn.Module):
    """One annotation names what exists for type checkers only."""

    def __init__(self, in_features: Width, factor: Decimal | None = None, sizes: Sequence[int] = ()) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x
