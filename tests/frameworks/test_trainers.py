"""Trainers of other libraries, where they are installed: the optimizer is made, the summary printed before a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lazify import axis, is_lazy, lazify

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


@pytest.mark.filterwarnings("ignore")  # the trainers' own
def test_a_lazified_lightning_module(tmp_path: Any) -> None:
    """It is lazy as a whole: the trainer sets and reads its attributes before the first batch."""
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Regression(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self, in_features: int, hidden: int = 8, lr: float = 0.05) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.network = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, 1))

        def forward(self, x: torch.Tensor) -> Any:
            return self.network(x)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05)

        def training_step(self, batch: Any, index: int) -> Any:
            return nn.functional.mse_loss(self(batch[0]), batch[1])

    @lazify(exclude={"in_features": axis(-1)})
    class LazyRegression(Regression):
        def __init__(self, in_features: int, hidden: int = 8, lr: float = 0.05) -> None:
            super().__init__(in_features, hidden, lr)
            self.save_hyperparameters()

    weights = []
    for lazy in (False, True):
        torch.manual_seed(0)
        model = LazyRegression() if lazy else Regression(5)
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            default_root_dir=tmp_path,
            enable_progress_bar=False,
            enable_checkpointing=False,
        )
        torch.manual_seed(0)
        trainer.fit(model, DataLoader(TensorDataset(INPUTS, TARGETS), 8))
        assert model.trainer is trainer
        assert dict(model.hparams) == {"in_features": 5, "hidden": 8, "lr": 0.05}
        assert not is_lazy(model)
        weights.append(model.state_dict())
    assert weights[0].keys() == weights[1].keys()
