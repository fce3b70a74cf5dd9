"""What one torch writes and another reads: lazy models as pickles, and checkpoints of them.

python -m helpers.exchange FOLDER    reads what each other version has written to FOLDER, and writes its own
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy as is_uninitialized

import lazify.nn as lnn
from helpers.modules import LazyConvBlock
from helpers.versions import INSTALLED
from lazify import is_lazy

__all__ = ["MODELS", "read", "write"]

IMAGES = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)


def untouched() -> nn.Module:
    return lnn.Sequential(lnn.LazyConv2d(4, 3), lnn.LazyBatchNorm2d(), lnn.Flatten(), lnn.LazyLinear(5))


def of_an_own_class() -> nn.Module:
    return nn.Sequential(LazyConvBlock(4), nn.Flatten(2), lnn.LazyLSTM(3, batch_first=True))


def with_operations() -> nn.Module:
    model = untouched().eval()
    model[0].requires_grad_(False)
    model[3].bias = None
    model[3].note = "mine"
    return model.double().float()


def with_parameters_asked_for() -> nn.Module:
    model = untouched()
    model.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    build.__name__: build for build in (untouched, of_an_own_class, with_operations, with_parameters_asked_for)
}


def write(folder: Path) -> Path:
    """Write the models of this torch; returns the path of the file."""
    written: dict[str, dict[str, bytes]] = {}
    for name, build in MODELS.items():
        model, called = build(), build()
        called(IMAGES)
        written[name] = {
            "pickle": pickle.dumps(model),
            "lazy checkpoint": _saved(model.state_dict()),
            "checkpoint": _saved(called.state_dict()),
        }
    path = folder / f"{INSTALLED}.pkl"
    path.write_bytes(pickle.dumps(written))
    return path


def _saved(state: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def read(path: Path) -> None:
    """Fail unless everything in the file is what this torch would have written."""
    written = pickle.loads(path.read_bytes())
    assert written.keys() == MODELS.keys()
    for name, build in MODELS.items():
        _read_pickle(written[name]["pickle"], build)
        _read_checkpoints(written[name]["lazy checkpoint"], written[name]["checkpoint"], build)


def _read_pickle(pickled: bytes, build: Callable[[], nn.Module]) -> None:
    loaded, made = pickle.loads(pickled), build()
    lazy = [is_lazy(module) for module in made.modules()]
    assert any(lazy)
    assert [is_lazy(module) for module in loaded.modules()] == lazy
    assert repr(loaded) == repr(made)
    outputs = []
    for model in (loaded, made):
        torch.manual_seed(1)
        outputs.append(model(IMAGES))
        assert not any(map(is_lazy, model.modules()))
    first, second = (each[0] if isinstance(each, tuple) else each for each in outputs)
    assert torch.equal(first, second)
    assert repr(loaded) == repr(made)
    assert [module.training for module in loaded.modules()] == [module.training for module in made.modules()]
    for mine, its in zip(loaded.named_parameters(), made.named_parameters(), strict=True):
        assert mine[0] == its[0]
        assert mine[1].requires_grad == its[1].requires_grad
        assert torch.equal(mine[1], its[1])
    if hasattr(made, "optimizer"):  # of the very parameters
        first.sum().backward()
        before = [each.detach().clone() for each in loaded.parameters()]
        loaded.optimizer.step()
        assert not all(map(torch.equal, before, loaded.parameters()))


def _read_checkpoints(lazy: bytes, real: bytes, build: Callable[[], nn.Module]) -> None:
    state = torch.load(io.BytesIO(lazy), weights_only=False)
    assert any(map(is_uninitialized, state.values()))
    model = build()
    model.load_state_dict(state)
    assert any(map(is_lazy, model.modules()))
    state = torch.load(io.BytesIO(real), weights_only=True)
    model.load_state_dict(state)
    assert not any(map(is_lazy, model.modules()))
    loaded = model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    model(IMAGES)


if __name__ == "__main__":
    shared = Path(sys.argv[1])
    for path in sorted(shared.glob("*.pkl")):
        if path.stem != INSTALLED:
            read(path)
            print(f"torch {INSTALLED} reads what torch {path.stem} wrote")
    write(shared)
