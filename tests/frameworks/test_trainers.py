"""Trainers of other libraries, where they are installed: the optimizer is made, the summary printed before a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lazify import is_lazy, lazify

LazyLinear = lazify(nn.Linear)
INPUTS = torch.linspace(-1, 1, 32 * 5).reshape(32, 5)
TARGETS = INPUTS.sum(1, keepdim=True)


def network(lazy: bool) -> nn.Module:
    if lazy:
        return nn.Sequential(LazyLinear(8), nn.ReLU(), lazify(nn.BatchNorm1d)(), LazyLinear(1))
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 1))


@pytest.mark.filterwarnings("ignore")  # the trainers' own
def test_lightning(tmp_path: Any) -> None:
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Regression(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self, lazy: bool) -> None:
            super().__init__()
            self.network = network(lazy)

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), lr=0.05)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]

        def training_step(self, batch: Any, index: int) -> Any:
            return nn.functional.mse_loss(self.network(batch[0]), batch[1])

    weights = []
    for lazy in (False, True):
        torch.manual_seed(0)
        model = Regression(lazy)
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            default_root_dir=tmp_path / str(lazy),
            enable_progress_bar=False,
        )
        torch.manual_seed(0)
        trainer.fit(model, DataLoader(TensorDataset(INPUTS, TARGETS), 8))
        assert not any(map(is_lazy, model.network))
        weights.append(model.state_dict())
        path = trainer.checkpoint_callback.best_model_path
    assert weights[0].keys() == weights[1].keys()
    fresh = Regression(lazy=True)
    fresh.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    assert all(torch.equal(fresh.state_dict()[name], each) for name, each in weights[1].items())
    torch.manual_seed(0)
    untrained = network(lazy=False).state_dict()
    assert not any(torch.equal(weights[1][f"network.{name}"], each) for name, each in untrained.items())
