"""The recipes of the guide to frameworks are run, where the library is installed: DDP and FSDP in one process."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers.versions import ROOT
from lazify import is_lazy, lazify, materialize

LazyLinear = lazify(nn.Linear)
GUIDE = ROOT / "notebooks" / "frameworks.ipynb"
PIXELS = torch.linspace(-1, 1, 32 * 784).reshape(32, 784)
LABELS = torch.arange(32) % 10
pytestmark = pytest.mark.filterwarnings("ignore")  # the trainers' own


def library(name: str) -> Any:
    pytest.importorskip(name, reason=f"{name} is not installed")
    return importlib.import_module(name)


def recipe(word: str) -> str:
    """The one recipe of the guide in which a word occurs."""
    text = "\n".join("".join(cell["source"]) for cell in json.loads(GUIDE.read_text())["cells"])
    (found,) = (each for each in re.findall(r"```py\n(.*?)```", text, re.S) if word in each)
    return found


def network() -> nn.Sequential:
    return nn.Sequential(LazyLinear(64), nn.ReLU(), LazyLinear(10))


def run(word: str, **names: Any) -> dict[str, Any]:
    """What a recipe leaves behind, run with the names of the guide and these."""
    shared = {"torch": torch, "nn": nn, "materialize": materialize, "LazyLinear": LazyLinear, "network": network}
    reached = {**shared, **names}
    exec(recipe(word), reached)
    return reached


def loader() -> Any:
    return DataLoader(TensorDataset(PIXELS, LABELS), 8)


class ForTrainer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.net(pixels)
        return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}


def is_trained(model: nn.Module) -> bool:
    """Whether its weights are not those with which it was made under this seed."""
    torch.manual_seed(0)
    untrained = materialize(network(), torch.Size((1, 784)))
    return not any(map(torch.equal, model.parameters(), untrained.parameters()))


def test_trainer(tmp_path: Path) -> None:
    transformers = library("transformers")
    library("accelerate")
    model = ForTrainer()
    rows = [{"pixels": pixels, "labels": label} for pixels, label in zip(PIXELS, LABELS, strict=True)]
    options = {"num_train_epochs": 1, "report_to": [], "use_cpu": True, "save_strategy": "no", "disable_tqdm": True}
    names = {"Trainer": transformers.Trainer, "TrainingArguments": transformers.TrainingArguments}
    torch.manual_seed(0)
    reached = run("Trainer(model", model=model, rows=rows, folder=str(tmp_path), options=options, **names)
    assert reached["trainer"].state.global_step == 4
    assert not any(map(is_lazy, model.net))
    assert is_trained(model.net)


def test_accelerate() -> None:
    accelerate = library("accelerate")
    torch.manual_seed(0)
    reached = run("Accelerator(", Accelerator=accelerate.Accelerator, loader=loader())
    assert is_trained(reached["model"])
    model, data = accelerate.Accelerator(cpu=True).prepare(network(), loader())  # on one device it may stay lazy
    assert model(next(iter(data))[0]).shape == (8, 10)


def test_skorch() -> None:
    skorch = library("skorch")
    torch.manual_seed(0)
    names = {"images": PIXELS.numpy(), "labels": LABELS.numpy()}
    net = run("NeuralNetClassifier(", NeuralNetClassifier=skorch.NeuralNetClassifier, **names)["net"]
    assert len(net.history) == 2
    assert not any(map(is_lazy, net.module_))
    first = net.module_
    assert net.predict_proba(names["images"]).shape == (32, 10)
    net.set_params(max_epochs=1).fit(PIXELS[:, :5].numpy(), names["labels"])  # each fit makes the module anew
    assert (first[0].in_features, net.module_[0].in_features) == (784, 5)


SCRIPT = """
import sys
import lightning as L
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, TensorDataset
from lazify import is_lazy, lazify, materialize

LazyLinear = lazify(nn.Linear)

{recipes}

model, strategy = {made}
trainer = L.Trainer(strategy=strategy, devices=1, accelerator="cpu", max_epochs=1, logger=False,
                    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
data = TensorDataset(torch.linspace(-1, 1, 32 * 784).reshape(32, 784), torch.arange(32) % 10)
trainer.fit(model, DataLoader(data, 8))
assert not any(map(is_lazy, model.net)) and trainer.global_step == 4
print(type(model.net[0].weight).__name__, tuple(model.net[0].weight.shape))
"""


@pytest.mark.parametrize(
    ("made", "printed"),
    [
        pytest.param('Classifier(), "auto"', "Parameter (64, 784)", id="one device"),
        pytest.param('Classifier(), "ddp"', "Parameter (64, 784)", id="DDP"),
        pytest.param("ShardedClassifier(), ModelParallelStrategy(1, 1)", "DTensor (64, 784)", id="FSDP"),
    ],
)
def test_lightning(made: str, printed: str, tmp_path: Path) -> None:
    library("lightning")
    recipes = "\n".join((recipe("class Classifier(L"), recipe("class ShardedClassifier(")))
    (tmp_path / "main.py").write_text(SCRIPT.format(recipes=recipes, made=made))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "ignore", "main.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == [printed], done.stderr[-3000:]
