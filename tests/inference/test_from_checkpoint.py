"""Values inferred from the shapes in a checkpoint."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.parameter import is_lazy as is_uninitialized

from helpers.modules import (
    EagerConvBlock,
    Inner,
    LazyBatchNorm2d,
    LazyConv2d,
    LazyConvBlock,
    LazyLinear,
    LazyNested,
    LazyNet,
    Net,
    Shortcut,
)
from lazify import InferenceError, NotMaterializedError, axis, is_lazy, lazify

ROWS = torch.linspace(-1, 1, 4 * 8).reshape(4, 8)


# ---------------------------------------------------------------------------------------------
# Checkpoints


class Areal(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.fc = nn.Linear(8 * size**2, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


CHECKPOINTS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "Linear": (lambda: LazyLinear(3), lambda: nn.Linear(5, 3)),
    "Linear, its size a sentinel": (lambda: LazyLinear(3), lambda: nn.Linear(48, 3)),
    "grouped Conv2d": (lambda: LazyConv2d(8, 3, groups=2), lambda: nn.Conv2d(6, 8, 3, groups=2)),
    "transposed": (lambda: lazify(nn.ConvTranspose1d)(4, 3), lambda: nn.ConvTranspose1d(7, 4, 3)),
    "BatchNorm2d": (lambda: LazyBatchNorm2d(), lambda: nn.BatchNorm2d(6)),
    "LayerNorm": (lambda: lazify(nn.LayerNorm)(), lambda: nn.LayerNorm(6)),
    "LayerNorm of two": (lambda: lazify(nn.LayerNorm)(), lambda: nn.LayerNorm((6, 4))),
    "GroupNorm": (lambda: lazify(nn.GroupNorm)(num_groups=2), lambda: nn.GroupNorm(2, 6)),
    "LSTM": (lambda: lazify(nn.LSTM)(4, num_layers=2), lambda: nn.LSTM(5, 4, num_layers=2)),
    "Bilinear": (lambda: lazify(nn.Bilinear)(4), lambda: nn.Bilinear(5, 7, 4)),
    "attention": (lambda: lazify(nn.MultiheadAttention)(num_heads=2), lambda: nn.MultiheadAttention(6, 2)),
    "attention, three widths": (
        lambda: lazify(nn.MultiheadAttention, exclude=["embed_dim", "kdim", "vdim"])(num_heads=2),
        lambda: nn.MultiheadAttention(6, 2, kdim=3, vdim=5),
    ),
    "encoder layer": (
        lambda: lazify(nn.TransformerEncoderLayer)(nhead=2),
        lambda: nn.TransformerEncoderLayer(16, 2),
    ),
    "adaptive softmax": (
        lambda: lazify(nn.AdaptiveLogSoftmaxWithLoss)(n_classes=20, cutoffs=[5, 10]),
        lambda: nn.AdaptiveLogSoftmaxWithLoss(32, 20, [5, 10]),
    ),
    "a shortcut": (lambda: lazify(Shortcut)(4), lambda: Shortcut(3, 4)),
    "no shortcut": (lambda: lazify(Shortcut)(4), lambda: Shortcut(4, 4)),
    "an area": (lambda: lazify(Areal, exclude=["size"])(), lambda: Areal(24)),
    "nested": (lambda: LazyConvBlock(4), lambda: EagerConvBlock(3, 4)),
    "a derived argument": (
        lambda: lazify(
            nn.Conv2d,
            exclude={"in_channels": axis(1), "out_channels": lambda in_channels, ratio: in_channels * ratio},
        )(kernel_size=3, ratio=2),
        lambda: nn.Conv2d(3, 6, 3),
    ),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_determines_the_values(case: str, inside: bool) -> None:
    lazy, eager = (make() for make in CHECKPOINTS[case])
    model, saved = (nn.ModuleDict({"a": m}) if inside else m for m in (lazy, eager))
    try:
        placeholders = dict(model.named_parameters())
    except NotMaterializedError:
        placeholders = {}
    keys = model.load_state_dict(saved.state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    state, expected = model.state_dict(), saved.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert all(parameter is placeholders.get(name, parameter) for name, parameter in model.named_parameters())
    assert not is_lazy(lazy)
    assert type(lazy).__name__ in (type(eager).__name__, "ConvBlock")


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.tuples(st.integers(1, 300), st.integers(1, 40), st.integers(1, 40)),
    bias=st.booleans(),
    drop=st.sets(st.sampled_from(["0.bias", "2.weight", "2.running_mean", "2.running_var", "3.bias"])),
)
def test_a_partial_checkpoint_ends_as_in_the_eager_model(sizes: Any, bias: bool, drop: set[str]) -> None:
    width, hidden, out = sizes
    lazy = nn.Sequential(LazyLinear(hidden, bias=bias), nn.ReLU(), lazify(nn.BatchNorm1d)(), LazyLinear(out))
    eager = nn.Sequential(
        nn.Linear(width, hidden, bias=bias), nn.ReLU(), nn.BatchNorm1d(hidden), nn.Linear(hidden, out)
    )
    state = {name: each for name, each in eager.state_dict().items() if name not in drop}
    assert lazy.load_state_dict(state, strict=False) == eager.load_state_dict(state, strict=False)
    loaded = lazy.state_dict()
    assert loaded.keys() == eager.state_dict().keys()
    assert all(torch.equal(loaded[name], each) for name, each in state.items())
    assert not any(map(is_lazy, lazy))


def test_what_the_checkpoint_does_not_hold_stays_lazy() -> None:
    lazy = nn.Sequential(LazyLinear(3), LazyLinear(4))
    state = {"0.weight": torch.ones(3, 5), "0.bias": torch.ones(3), "other": torch.ones(1)}
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "1.weight", "1.bias"'):
        lazy.load_state_dict(state)
    lazy = nn.Sequential(LazyLinear(3), LazyLinear(4))
    keys = lazy.load_state_dict(state, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["1.weight", "1.bias"], ["other"])
    assert [is_lazy(each) for each in lazy] == [False, True]
    assert lazy(torch.ones(2, 5)).shape == (2, 4)


def test_a_checkpoint_that_fits_no_value() -> None:
    lazy = LazyLinear(3)
    placeholders = list(lazy.parameters())
    with pytest.raises(InferenceError) as caught:
        nn.Sequential(lazy).load_state_dict({"0.weight": torch.ones(4, 5), "0.bias": torch.ones(4)})
    assert str(caught.value).splitlines() == [
        "the checkpoint fits no value of in_features of Linear",
        "  module:  0",
        "  nearest: in_features=5",
        "  weight:  (3, 5), saved (4, 5)",
        "  bias:    (3,), saved (4,)",
        "Fix:",
        "  LazyLinear(...)  # with the arguments of the module that was saved, then load",
    ]
    assert is_lazy(lazy)
    assert all(a is b for a, b in zip(lazy.parameters(), placeholders, strict=True))
    lazy.load_state_dict(nn.Linear(5, 3).state_dict())


def test_a_checkpoint_that_does_not_determine_the_value_waits_for_the_call() -> None:
    lazy = LazyLinear(3)
    keys = lazy.load_state_dict({"bias": torch.full((3,), 7.0)}, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["weight"], [])
    assert is_lazy(lazy)
    lazy(torch.ones(2, 5))
    assert torch.equal(lazy.bias, torch.full((3,), 7.0))


def test_lazy_checkpoints() -> None:
    lazy, other = nn.Sequential(LazyLinear(3)), nn.Sequential(LazyLinear(3))
    placeholders = list(lazy.parameters())
    lazy.load_state_dict(other.state_dict())
    lazy.load_state_dict(other.state_dict(), assign=True)
    assert is_lazy(lazy[0])
    assert all(a is b for a, b in zip(lazy.parameters(), placeholders, strict=True))
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        nn.Sequential(nn.Linear(5, 3)).load_state_dict(other.state_dict())
    torchs = nn.Sequential(nn.LazyLinear(3))
    torchs.load_state_dict(other.state_dict())
    lazy.load_state_dict(torchs.state_dict())
    assert is_lazy(lazy[0])


def test_lazy_checkpoints_in_a_file() -> None:
    file = io.BytesIO()
    torch.save(LazyConvBlock(4).state_dict(), file)
    assert b"lazify" not in file.getvalue()
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert all(map(is_uninitialized, state.values()))
    lazy = LazyConvBlock(4)
    lazy.load_state_dict(state)
    assert is_lazy(lazy)


def test_loading_where_it_was_moved_to_and_with_assign() -> None:
    state = nn.Linear(5, 3).state_dict()
    moved = LazyLinear(3).to(torch.float64)
    moved.load_state_dict(state)
    assert moved.weight.dtype is torch.float64
    assigned = LazyLinear(3).to(torch.float64)
    assigned.load_state_dict(state, assign=True)
    assert assigned.weight.dtype is torch.float32
    state = nn.Linear(5, 3).state_dict()  # a new one: torch notes `assign` in the one that was loaded
    with torch.device("meta"):
        there = LazyLinear(3)
        with pytest.warns(UserWarning, match="is a no-op"):
            there.load_state_dict(state)
        assert there.weight.is_meta


class Renamed(nn.Module):
    """Takes checkpoints of an older version of itself."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 3)
        self._register_load_state_dict_pre_hook(self.rename)

    def rename(self, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        for name in ("weight", "bias"):
            if f"{prefix}old.{name}" in state_dict:
                state_dict[f"{prefix}linear.{name}"] = state_dict.pop(f"{prefix}old.{name}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def test_names_that_a_hook_of_the_module_changes() -> None:
    lazy = lazify(Renamed)()
    lazy.load_state_dict({"old.weight": torch.ones(3, 7), "old.bias": torch.ones(3)})
    assert lazy.linear.in_features == 7
    assert torch.equal(lazy.linear.weight, torch.ones(3, 7))


# ---------------------------------------------------------------------------------------------
# Checkpoints that leave something open


class Classifier(nn.Module):
    def __init__(self, flat: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(flat, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).flatten(1))


def test_a_part_that_leaves_the_values_open_is_loaded_at_the_first_call() -> None:
    saved = {name: each for name, each in Classifier(144).state_dict().items() if name.startswith("conv")}
    lazy, eager = lazify(Classifier, exclude=["flat"])(), Classifier(144)
    assert lazy.load_state_dict(saved, strict=False) == eager.load_state_dict(saved, strict=False)
    assert is_lazy(lazy)
    lazy(torch.ones(2, 1, 8, 8))
    assert torch.equal(lazy.conv.weight, saved["conv.weight"])
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "fc.weight", "fc.bias"'):
        lazify(Classifier, exclude=["flat"])().load_state_dict(saved)


def test_a_checkpoint_of_other_names() -> None:
    saved = {f"module.{name}": each for name, each in Net(8).state_dict().items()}
    lazy = LazyNet()
    assert lazy.load_state_dict(saved, strict=False) == Net(8).load_state_dict(saved, strict=False)
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict"):
        lazy.load_state_dict(saved)
    assert is_lazy(lazy)


def test_a_checkpoint_of_only_the_lazy_module_inside() -> None:
    lazy = LazyNested()
    saved = dict(nn.ModuleDict({"b": Inner(5)}).state_dict().items())
    keys = lazy.load_state_dict(saved, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["a.weight", "a.bias"], [])
    lazy(ROWS)
    assert torch.equal(lazy.b.w.weight, saved["b.w.weight"])
