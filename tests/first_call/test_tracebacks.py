"""A traceback shows the user's lines and, between them, one of lazify's."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lazify as package
from lazify import axis, is_lazy, lazify, materialize
from lazify.errors import shorten_traceback

HOME = str(Path(package.__file__).parent)


class Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Outer(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.inner = lazify(Block, exclude={"in_channels": lambda x: None})(in_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


LazyBlock = lazify(Block)
IMAGE = torch.ones(1, 3, 8, 8)

FAILING: dict[str, Callable[[], Any]] = {
    "definition": lambda: lazify(Block, exclude=["in_chanels"]),
    "decoration": lambda: lazify(exclude=["in_chanels"])(Block),
    "construction": lambda: LazyBlock(),
    "a rule without its argument": lambda: lazify(Block, exclude={"in_channels": lambda x, ratio: 1})(3),
    "no value": lambda: lazify(Block, exclude={"in_channels": lambda x: None})(3)(IMAGE),
    "the same error with every value": lambda: LazyBlock(3)(torch.ones(5)),
    "attribute": lambda: LazyBlock(3).computed,
    "materialize": lambda: materialize(nn.Sequential(LazyBlock(3)), torch.Size((5,))),
}


def own_frames(error: BaseException) -> list[str]:
    return [each.name for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(HOME)]


@pytest.mark.parametrize("name", FAILING)
def test_one_frame_of_lazify(name: str) -> None:
    with pytest.raises(Exception, match=r"\w") as caught:
        FAILING[name]()
    assert len(own_frames(caught.value)) == 1


def test_the_lines_of_forward_stay() -> None:
    lazy = lazify(Block, exclude={"in_channels": axis(1)})(3)
    with pytest.raises(RuntimeError, match="should be the same") as caught:
        lazy(IMAGE.long())
    assert is_lazy(lazy)
    assert own_frames(caught.value) == ["call"]
    shown = [each.name for each in traceback.extract_tb(caught.value.__traceback__)]
    assert shown.index("call") < shown.index("forward")


def test_a_lazy_module_inside_another() -> None:
    """Its line in the forward around it is shown, and lazify's once more only between."""
    with pytest.raises(RuntimeError, match="it returned None") as caught:
        lazify(Outer, exclude={"in_channels": axis(1)})()(IMAGE)
    assert own_frames(caught.value) == ["call"]
    assert "forward" in [each.name for each in traceback.extract_tb(caught.value.__traceback__)]


def test_an_error_that_lazify_did_not_mean_keeps_its_frames() -> None:
    module: dict[str, Any] = {"__name__": "lazify.broken"}
    exec("def outer(): inner()\ndef inner(): raise AssertionError", module)
    with pytest.raises(AssertionError) as caught:
        module["outer"]()
    shorten_traceback(caught.value)
    assert [each.name for each in traceback.extract_tb(caught.value.__traceback__)][1:] == ["outer", "inner"]
