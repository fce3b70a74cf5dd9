"""State dicts of models that are still lazy, saved and loaded by torch's safe way, `weights_only=True`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

import lazify.nn as lnn
from helpers.modules import LazyConvBlock
from helpers.twins import assert_twins
from helpers.versions import ROOT
from lazify import is_lazy

X = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)


def model() -> nn.Sequential:
    return nn.Sequential(lnn.LazyConv2d(4, 3), lnn.LazyBatchNorm2d(), LazyConvBlock(2))


def test_a_lazy_state_dict_is_loaded(tmp_path: Path) -> None:
    saved = model()
    saved[0].bias.requires_grad_(False)
    torch.save({"model": saved.state_dict(), "step": 3}, tmp_path / "lazy.pt")
    loaded = torch.load(tmp_path / "lazy.pt", weights_only=True)
    assert loaded["step"] == 3
    state = loaded["model"]
    assert state.keys() == saved.state_dict().keys()
    for name, each in saved.state_dict().items():
        assert type(state[name]) in (UninitializedParameter, UninitializedBuffer)
        assert (state[name].dtype, state[name].device) == (each.dtype, each.device)
    other = model()
    assert not any(other.load_state_dict(state))
    assert is_lazy(other[0])
    for each in (saved, other):
        torch.manual_seed(0)
        each(X)
    saved[0].bias.requires_grad_(True)
    assert_twins(other, saved)


def test_the_dtype_is_loaded(tmp_path: Path) -> None:
    torch.save(lnn.LazyBatchNorm2d().double().state_dict(), tmp_path / "lazy.pt")
    dtypes = [each.dtype for each in torch.load(tmp_path / "lazy.pt", weights_only=True).values()]
    assert dtypes == [*[torch.float64] * 4, torch.int64]


def test_a_half_lazy_state_dict_is_loaded(tmp_path: Path) -> None:
    saved = model()
    saved[0](X)
    torch.save(saved.state_dict(), tmp_path / "half.pt")
    other = model()
    other.load_state_dict(torch.load(tmp_path / "half.pt", weights_only=True))
    assert [is_lazy(each) for each in other] == [False, True, True]
    assert torch.equal(other[0].weight, saved[0].weight)
    assert other(X).shape == saved(X).shape


def test_another_process_loads_it(tmp_path: Path) -> None:
    torch.save(model().state_dict(), tmp_path / "lazy.pt")
    script = "import sys, torch, lazify; print(len(torch.load(sys.argv[1], weights_only=True)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, str(tmp_path / "lazy.pt")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [str(len(model().state_dict()))], done.stderr


def test_a_lazy_model_itself_is_refused_as_any_module(tmp_path: Path) -> None:
    for each in (lnn.LazyLinear(3), nn.Linear(2, 3)):
        torch.save(each, tmp_path / "model.pt")
        with pytest.raises(Exception, match=r"Unsupported (global|class)") as raised:
            torch.load(tmp_path / "model.pt", weights_only=True)
        assert "add_safe_globals" in str(raised.value)
