"""Parameters whose names depend on the call: asking for them is an error that says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy as is_uninitialized

from helpers.modules import LazyLinear, Shortcut
from lazify import NotMaterializedError, axis, is_lazy, lazify

IMAGES = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)


class Bottleneck(nn.Module):
    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4 * width, 1)
        self.down = nn.Conv2d(in_channels, 4 * width, 1) if in_channels != 4 * width else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + (x if self.down is None else self.down(x))


class Stack(nn.Module):
    def __init__(self, depth: int, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, one in zip(self.layers, x, strict=True):
            x = x + layer(one)
        return x


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        (lambda: lazify(Shortcut)(64), "in_channels"),
        (lambda: lazify(Bottleneck)(16), "in_channels"),
        (lambda: lazify(Stack, exclude={"depth": axis(0)})(), "depth"),
        (lambda: lazify(nn.MultiheadAttention, exclude=["embed_dim", "kdim"])(num_heads=2), "embed_dim, kdim"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_names_that_depend_on_the_call_are_an_error(make: Any, parameter: str, inside: bool) -> None:
    lazy = make()
    model = nn.Sequential(nn.Linear(2, 2), lazy) if inside else lazy
    for ask in (nn.Module.parameters, nn.Module.buffers, nn.Module.state_dict, nn.Module.named_modules):
        for _ in range(2):
            with pytest.raises(NotMaterializedError, match=f"which there are depends on {parameter}"):
                list(ask(model))
    with pytest.raises(NotMaterializedError, match="not known yet"):
        torch.optim.SGD(model.parameters(), lr=0.1)
    assert is_lazy(lazy)


def test_a_shortcut_is_found_at_the_call_all_the_same() -> None:
    lazy = lazify(Shortcut)(3)
    with pytest.raises(NotMaterializedError):
        list(lazy.parameters())
    lazy(IMAGES)
    assert isinstance(lazy.shortcut, nn.Identity)


def test_what_an_applied_function_adds_cannot_be_previewed() -> None:
    """An optimizer made before would not train it, so it is an error."""
    lazy = LazyLinear(3)
    lazy.apply(lambda m: m.register_parameter("extra", nn.Parameter(torch.ones(1))))
    placeholders = list(lazy.parameters())
    with pytest.raises(NotMaterializedError, match="has other parameters than its preview") as caught:
        lazy(torch.ones(2, 5))
    assert "only in the module:  extra" in str(caught.value)
    assert is_lazy(lazy)
    assert all(map(is_uninitialized, placeholders))


class Scripted(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.linear = nn.Linear(count, 6)
        self.head = torch.jit.trace(nn.Linear(6, 2), (torch.ones(1, 6),))

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.linear(x.flatten(1)))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")  # from 2.14
def test_a_module_of_torchscript_has_no_placeholders() -> None:
    lazy = lazify(Scripted, exclude=["count"])()
    with pytest.raises(NotMaterializedError, match=r"not known yet: 'head' is a module of TorchScript\nFix:"):
        list(lazy.parameters())
    torch.manual_seed(0)
    eager = Scripted(108)(IMAGES)
    torch.manual_seed(0)
    assert torch.equal(lazy.eval()(IMAGES), eager)
