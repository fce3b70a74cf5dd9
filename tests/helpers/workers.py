"""What runs in worker processes: lazy modules in a dataset, in what collates its items, and as an argument."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from helpers.modules import AtModuleLevel
from lazify import is_lazy, layers, lazify

__all__ = ["Collate", "Embedded", "called", "network"]


class Embedded(Dataset[Tensor]):
    """Rows that a lazy module has embedded."""

    def __init__(self) -> None:
        self.embed = AtModuleLevel(3)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            return self.embed(torch.full((1, 5), float(index)))[0]


class Collate:
    """Stacks rows, and normalizes them by a lazy module."""

    def __init__(self) -> None:
        self.norm = lazify(nn.LayerNorm)()

    def __call__(self, rows: list[Tensor]) -> tuple[Tensor, bool]:
        was_lazy = is_lazy(self.norm)
        with torch.no_grad():
            return self.norm(torch.stack(rows)), was_lazy


def network() -> nn.Module:
    return nn.Sequential(layers.LazyExpansionConv2d(kernel_size=1, expansion_ratio=2), nn.Flatten(), AtModuleLevel(3))


def called(model: nn.Module, asked_before: bool) -> tuple[bool, dict[str, Tensor], nn.Module]:
    """Whether it was lazy, its parameters after a call under a seed, and the model itself."""
    was_lazy = all(map(is_lazy, (model[0], model[2])))  # type: ignore[index]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if asked_before else None
    torch.manual_seed(0)
    model(torch.ones(2, 3, 2, 2)).sum().backward()
    if optimizer is not None:
        optimizer.step()
    return was_lazy, {name: each.detach() for name, each in model.named_parameters()}, model
