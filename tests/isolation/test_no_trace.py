"""Trial runs leave no trace: random states, inputs, given modules and shared objects stay as they were."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.modules import AnyWidth, D
from lazify import InferenceError, lazify

ROWS = torch.linspace(-1, 1, 4 * 8).reshape(4, 8)


def test_asking_leaves_what_the_class_shares_alone() -> None:
    shared = nn.PReLU()
    scale = nn.Parameter(torch.ones(1))

    class Sharing(nn.Module):
        def __init__(self, d: int, act: nn.Module = shared, relu: nn.Module = nn.ReLU()) -> None:  # noqa: B008
            super().__init__()
            self.linear = nn.Linear(d, 8)
            self.act = act
            self.relu = relu
            self.scale = scale

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.act(self.linear(x))) * self.scale

    eager = Sharing(8)
    eager(ROWS)
    lazy = lazify(Sharing, exclude=D)()
    placeholders = list(lazy.parameters())
    assert any(each is shared.weight for each in placeholders)
    assert any(each is scale for each in placeholders)
    eager(ROWS)
    assert type(shared) is nn.PReLU
    lazy(ROWS).sum().backward()
    assert all(a is b for a, b in zip(lazy.parameters(), placeholders, strict=True))
    assert lazy.act is eager.act is shared


def test_a_search_leaves_no_trace(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    x = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    kept = x.clone()
    with caplog.at_level(logging.DEBUG, logger="torch"), pytest.raises(InferenceError):
        lazify(AnyWidth, exclude=["kk"])()(x)
    assert not [r for r in caplog.records if r.name.startswith("torch._subclasses")]
    assert capsys.readouterr().err == ""
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(x, kept)
    assert x.grad_fn is None
    assert not logging.getLogger("torch._subclasses.fake_tensor").disabled


def test_given_modules_are_not_touched_by_a_search() -> None:
    class Headed(nn.Module):
        def __init__(self, body: nn.Module, kk: int) -> None:
            super().__init__()
            self.body, self.head = body, nn.Linear(kk, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x).flatten(1))

    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    kept = {name: value.clone() for name, value in body.state_dict().items()}
    module = lazify(Headed, exclude=["kk"])(body).eval()
    module(torch.randn(2, 3, 8, 8))
    assert module.body is body
    assert module.head.in_features == 4 * 36
    assert all(torch.equal(value, body.state_dict()[name]) for name, value in kept.items())
