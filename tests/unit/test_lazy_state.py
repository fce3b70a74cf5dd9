"""The lazy state of an instance: nothing is built or written before it is needed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X
from helpers.modules import LazyConvBlock, LazyLinear
from lazify import axis, lazify
from lazify._deferred.state import STATE_KEY


def test_no_preview_is_built_unless_asked_for() -> None:
    lazy = LazyConvBlock(4)
    lazy.eval()
    lazy.to(torch.float64)
    assert vars(lazy)[STATE_KEY].history.preview is None


def test_the_empty_history_is_not_written_to() -> None:
    state = vars(LazyLinear(3))[STATE_KEY]
    with pytest.raises(TypeError, match="writable_history"):
        state.history.device_is_explicit = True
    with pytest.raises(AttributeError):
        state.history.operations.append(None)
    assert state.is_untouched
    state.writable_history().device_is_explicit = True
    assert not state.is_untouched
    assert not vars(LazyLinear(3))[STATE_KEY].history.device_is_explicit


def test_a_finalizer_sees_nothing_that_was_not_constructed() -> None:
    class Finalized(nn.Module):
        finalized: list[int] = []

        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.in_features = in_features

        def forward(self, x: Tensor) -> Tensor:
            return x

        def __del__(self) -> None:
            if STATE_KEY not in vars(self):
                self.finalized.append(self.in_features)

    module = lazify(Finalized, exclude={"in_features": axis(-1)})()
    module(X)
    del module
    assert Finalized.finalized == [5]
