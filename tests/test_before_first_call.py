"""Before the first call: what a lazy instance tells of the real module, and that it comes true."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import parity
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.nn.parameter import is_lazy as is_uninitialized
from twins import assert_twins

from lazify import InferenceError, NotMaterializedError, axis, is_lazy, lazify
from lazify.errors import UnpicklableError

LazyLinear, LazyConv2d, LazyBatchNorm2d = lazify(nn.Linear), lazify(nn.Conv2d), lazify(nn.BatchNorm2d)
X = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)


class Block(nn.Module):
    """A lazy module inside, a tied weight, a frozen one, a buffer that is not saved."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.inner = LazyConv2d(out_channels, 1)
        self.again = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.again.weight = self.conv.weight
        self.conv.bias.requires_grad_(False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return self.inner(self.norm(self.conv(x) + self.again(x))).relu()


class EagerBlock(Block):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.inner = nn.Conv2d(out_channels, out_channels, 1)


LazyBlock = lazify(Block)


# ---------------------------------------------------------------------------------------------
# Parity: each operation on a lazy model ends as on an eager one


#: What is not the same, and why.
REFUSED = {
    "`load_state_dict` of another architecture": InferenceError,  # a RuntimeError, as torch's
    "`share_memory()`": RuntimeError,  # the rest need values that are not there
    "`torch.jit.script`": RuntimeError,
    "`parameters_to_vector`": ValueError,
    "counting: `p.numel()`": ValueError,
    "`weight_norm`": ValueError,
    "`spectral_norm`": ValueError,
    "`parametrizations.orthogonal`": ValueError,
    "`prune.l1_unstructured`": NotMaterializedError,
    "`DistributedDataParallel`": RuntimeError,
    "`fully_shard`": RuntimeError,
}


@pytest.mark.parametrize("name", parity.OPERATIONS)
def test_parity(name: str) -> None:
    expected, reference = parity.run("eager", parity.OPERATIONS[name])
    outcome, seen = parity.run("lazify", parity.OPERATIONS[name])
    if name in REFUSED:
        assert outcome == "error"
        assert type(seen) is REFUSED[name]
    else:
        assert outcome == expected == "ok", seen
        assert seen == reference


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_loses_nothing(name: str) -> None:
    torch.manual_seed(0)
    eager = parity.MODELS["eager"]()
    model = parity.MODELS["lazify"]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates some of them
        with pytest.raises(REFUSED[name]):
            parity.OPERATIONS[name](model, [])
    torch.manual_seed(0)
    assert torch.equal(model(parity.X), eager(parity.X))
    for mine, twins in zip(model, eager, strict=True):  # fully_shard leaves its own mark on the container
        assert_twins(mine, twins)


def test_the_table_in_the_readme_is_what_runs() -> None:
    assert parity.block() == parity.table()


# ---------------------------------------------------------------------------------------------
# Placeholders


def test_placeholders_are_torchs_own() -> None:
    layer = LazyBlock(4)
    for parameter in layer.parameters():
        assert isinstance(parameter, UninitializedParameter)
        assert is_uninitialized(parameter)
        assert type(parameter).__name__ == "UninitializedParameter"
        with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
            _ = parameter.shape
        with pytest.raises(ValueError, match=r"Attempted to use an uninitialized parameter in .*size\(\)"):
            parameter.size()
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            parameter + 1
    for buffer in layer.buffers():
        assert isinstance(buffer, UninitializedBuffer)
    assert isinstance(layer, LazyModuleMixin)


def test_names_order_flags_and_ties_of_a_nested_module() -> None:
    lazy, eager = LazyBlock(4), EagerBlock(3, 4)
    lazy_names = [n for n, _ in lazy.named_parameters(remove_duplicate=False)]
    assert lazy_names == [n for n, _ in eager.named_parameters(remove_duplicate=False)]
    assert [(n, p.requires_grad) for n, p in lazy.named_parameters()] == [
        (n, p.requires_grad) for n, p in eager.named_parameters()
    ]
    assert list(lazy.state_dict()) == list(eager.state_dict())
    assert [n for n, _ in lazy.named_buffers()] == [n for n, _ in eager.named_buffers()]
    assert [n for n, _ in lazy.named_modules()] == [n for n, _ in eager.named_modules()]
    assert lazy.get_parameter("again.weight") is lazy.get_parameter("conv.weight")
    outer = nn.Sequential(lazy)
    assert outer.get_parameter("0.inner.weight") is lazy.get_submodule("inner").weight


def test_every_placeholder_becomes_its_parameter() -> None:
    lazy = LazyBlock(4)
    tensors = {**dict(lazy.named_parameters()), **dict(lazy.named_buffers())}
    torch.manual_seed(0)
    out = lazy(X)
    assert {**dict(lazy.named_parameters()), **dict(lazy.named_buffers())}.keys() == tensors.keys()
    for name, tensor in (*lazy.named_parameters(), *lazy.named_buffers()):
        assert tensor is tensors[name], name
    torch.manual_seed(0)
    twin = Block(3, 4)
    assert torch.equal(twin(X), out)
    assert_twins(lazy, twin)


def test_nobody_asks_nothing_is_made() -> None:
    lazy = LazyBlock(4)
    lazy.eval()
    lazy.to(torch.float64)
    assert vars(lazy)["_lazify_pending"].history.preview is None


def test_recurrent_weights_stay_in_step() -> None:
    lazy = lazify(nn.LSTM)(4, num_layers=2)
    parameters = list(lazy.parameters())
    lazy(torch.ones(3, 2, 5))
    assert all(a is b for a, b in zip(lazy._flat_weights, parameters, strict=True))
    assert all(a() is b for a, b in zip(lazy._flat_weight_refs, parameters, strict=True))
    lazy(torch.ones(3, 2, 5))[0].sum().backward()
    assert all(p.grad is not None for p in parameters)


class Listed(nn.Module):
    """Keeps a parameter in a list and in a tuple besides; a hook on it from the constructor."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(in_features))
        self.all = [self.scale]
        self.pair = (self.scale, 1)
        self.gradients = 0
        self.scale.register_hook(self.count)
        self.scale.note = "kept"

    def count(self, gradient: torch.Tensor) -> None:
        self.gradients += 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.all[0] * self.pair[0]


def test_a_parameter_that_the_module_keeps_elsewhere_too() -> None:
    lazy = lazify(Listed)()
    (scale,) = lazy.parameters()
    scale.mine = 1
    lazy(torch.ones(2, 5)).sum().backward()
    assert lazy.all[0] is lazy.pair[0] is lazy.scale is scale
    assert (lazy.gradients, scale.note, scale.mine) == (1, "kept", 1)
    assert set(vars(scale)) == {"note", "mine"}


def test_meta_input_and_dtype() -> None:
    lazy = LazyLinear(3).to(torch.float64)
    weight = lazy.weight
    assert weight.dtype is torch.float64
    lazy(torch.empty(2, 5, dtype=torch.float64, device="meta"))
    assert lazy.weight is weight
    assert (weight.device.type, weight.dtype, weight.shape) == ("meta", torch.float64, (3, 5))


def test_what_the_user_chose_on_a_placeholder() -> None:
    lazy = LazyLinear(3)
    lazy.weight.requires_grad = False
    lazy.bias.requires_grad_(False)
    lazy.requires_grad_(True)
    lazy.bias.requires_grad_(False)
    lazy(torch.ones(2, 5))
    assert (lazy.weight.requires_grad, lazy.bias.requires_grad) == (True, False)


def test_a_failing_first_call_gives_the_placeholders_back() -> None:
    lazy = LazyBlock(4)
    told = dict(lazy.named_parameters())
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    handle = lazy.register_forward_hook(lambda *_: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            lazy(X)
        assert is_lazy(lazy)
        assert all(is_uninitialized(p) for p in told.values())
        assert all(a is b for a, b in zip(lazy.parameters(), told.values(), strict=True))
    handle.remove()
    lazy(X).sum().backward()
    optimizer.step()
    assert all(p is told[n] for n, p in lazy.named_parameters())


# ---------------------------------------------------------------------------------------------
# Submodules that are told of


def test_submodules_take_what_is_done_to_them() -> None:
    lazy = nn.Sequential(LazyBlock(4))
    log: list[str] = []
    norms = [m for m in lazy.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.eval()
        norm.momentum = 0.5
        norm.register_forward_hook(lambda *_: log.append("norm"))
    lazy[0].get_submodule("inner").register_forward_pre_hook(lambda *_: log.append("inner"))
    lazy(X)
    assert (lazy[0].norm.training, lazy[0].norm.momentum) == (False, 0.5)
    assert log == ["norm", "inner"]
    assert type(norms[0]) is nn.BatchNorm2d
    assert norms[0].running_mean is lazy[0].norm.running_mean
    assert vars(lazy[0].norm).keys() == vars(nn.BatchNorm2d(2)).keys()


def test_submodules_do_not_show_what_is_unknown() -> None:
    conv = LazyBlock(4).get_submodule("conv")
    assert (conv.out_channels, conv.kernel_size) == (4, (3, 3))
    assert not hasattr(conv, "in_channels")
    with pytest.raises(NotMaterializedError, match="'conv' cannot be asked for 'in_channels' yet"):
        _ = conv.in_channels
    with pytest.raises(NotMaterializedError, match="cannot be called yet"):
        conv(X)
    with pytest.raises(NotMaterializedError, match="cannot be called yet"):
        LazyBlock(4).get_submodule("inner")(X)
    with pytest.raises(NotMaterializedError, match="cannot be loaded yet"):
        conv.load_state_dict({})
    with pytest.raises(NotMaterializedError, match="cannot be copied yet"):
        copy.deepcopy(conv)
    assert repr(conv) == "Conv2d(?)"


def test_attributes_say_what_is_waited_for() -> None:
    lazy = LazyBlock(4)
    for ask in (lambda: lazy.conv, lambda: lazy.norm.weight, lambda: lazy.forward_features(X)):
        with pytest.raises(AttributeError, match="waits for its first call"):
            ask()
    assert not hasattr(lazy, "conv")
    assert getattr(lazy, "conv", None) is None
    with pytest.raises(AttributeError):
        del lazy.nothing


def test_what_is_done_to_attached_modules_is_not_done_again() -> None:
    for make in (lambda: nn.BatchNorm1d(3), lambda: lazify(nn.BatchNorm1d)()):
        lazy = lazify(WithHead)()
        lazy.head = head = make()
        lazy.train()
        lazy.requires_grad_(True)
        head.eval()
        head.requires_grad_(False)
        lazy(torch.ones(2, 5))
        assert lazy.head is head
        assert (lazy.training, head.training) == (True, False)
        assert [p.requires_grad for p in lazy.parameters()] == [True, True, False, False]


class WithHead(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.linear(x))


def test_a_search_rehearses_what_was_done_before() -> None:
    lazy = lazify(Odd, exclude=["zz"])(3)
    lazy.norm = nn.BatchNorm1d(3)
    lazy.scale = torch.full((1,), 2.0)
    lazy.double().eval()
    lazy.forward_hooked = True
    assert lazy(torch.ones(1, 5, dtype=torch.float64)).dtype is torch.float64
    assert lazy.linear.in_features == 5


# ---------------------------------------------------------------------------------------------
# What cannot be known


class Shortcut(nn.Module):
    """Other parameters where the channels change."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.shortcut(x)


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
        (lambda: lazify(nn.MultiheadAttention)(num_heads=2), "embed_dim, kdim, vdim"),
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
    lazy(X)
    assert isinstance(lazy.shortcut, nn.Identity)


def test_what_an_applied_function_adds_cannot_be_told() -> None:
    """The optimizer would not train it: better an error than that."""
    lazy = LazyLinear(3)
    lazy.apply(lambda m: m.register_parameter("extra", nn.Parameter(torch.ones(1))))
    told = list(lazy.parameters())
    with pytest.raises(NotMaterializedError, match="not those that were told") as caught:
        lazy(torch.ones(2, 5))
    assert "there, not told: extra" in str(caught.value)
    assert is_lazy(lazy)
    assert all(map(is_uninitialized, told))


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
        lambda: lazify(nn.MultiheadAttention)(num_heads=2),
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
    "nested": (lambda: LazyBlock(4), lambda: EagerBlock(3, 4)),
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
def test_a_checkpoint_tells_the_values(case: str, inside: bool) -> None:
    lazy, eager = (make() for make in CHECKPOINTS[case])
    model, saved = (nn.ModuleDict({"a": m}) if inside else m for m in (lazy, eager))
    try:
        told = dict(model.named_parameters())
    except NotMaterializedError:
        told = {}
    keys = model.load_state_dict(saved.state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    state, expected = model.state_dict(), saved.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert all(parameter is told.get(name, parameter) for name, parameter in model.named_parameters())
    assert not is_lazy(lazy)
    assert type(lazy).__name__ in (type(eager).__name__, "Block")


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
    told = list(lazy.parameters())
    with pytest.raises(InferenceError) as caught:
        nn.Sequential(lazy).load_state_dict({"0.weight": torch.ones(4, 5), "0.bias": torch.ones(4)})
    assert str(caught.value).splitlines() == [
        "the checkpoint fits no value of in_features of Linear",
        "  module:  0",
        "  nearest: in_features=5",
        "  weight:  (3, 5), saved (4, 5)",
        "  bias:    (3,), saved (4,)",
        "To mend it:",
        "  LazyLinear(...)  # with the arguments of the module that was saved, then load",
    ]
    assert is_lazy(lazy)
    assert all(a is b for a, b in zip(lazy.parameters(), told, strict=True))
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
    told = list(lazy.parameters())
    lazy.load_state_dict(other.state_dict())
    lazy.load_state_dict(other.state_dict(), assign=True)
    assert is_lazy(lazy[0])
    assert all(a is b for a, b in zip(lazy.parameters(), told, strict=True))
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        nn.Sequential(nn.Linear(5, 3)).load_state_dict(other.state_dict())
    torchs = nn.Sequential(nn.LazyLinear(3))
    torchs.load_state_dict(other.state_dict())
    lazy.load_state_dict(torchs.state_dict())
    assert is_lazy(lazy[0])


def test_lazy_checkpoints_in_a_file() -> None:
    file = io.BytesIO()
    torch.save(LazyBlock(4).state_dict(), file)
    assert b"lazify" not in file.getvalue()
    file.seek(0)
    with torch.serialization.safe_globals([UninitializedParameter, UninitializedBuffer]):
        state = torch.load(file, weights_only=True)
    assert all(map(is_uninitialized, state.values()))
    lazy = LazyBlock(4)
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
    state = nn.Linear(5, 3).state_dict()  # anew: torch notes `assign` in the one that it was given
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
# Copies


def test_copies_of_model_and_optimizer_keep_their_tie() -> None:
    model = nn.Sequential(LazyBlock(4), nn.Flatten(), LazyLinear(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    for duplicate in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        twin, its = duplicate((model, optimizer))
        assert any(map(is_lazy, twin))
        for _ in range(2):
            twin(X).sum().backward()
            before = twin[2].weight.detach().clone()
            its.step()
        assert all(a is b for a, b in zip(twin.parameters(), its.param_groups[0]["params"], strict=True))
        assert not torch.equal(before, twin[2].weight)
    assert is_lazy(model[0])


def test_a_copy_keeps_what_was_chosen_on_placeholders() -> None:
    lazy = LazyLinear(3)
    lazy.weight.requires_grad = False
    for twin in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))):
        twin.double()
        assert [p.requires_grad for p in twin.parameters()] == [False, True]
        twin(torch.ones(2, 5, dtype=torch.float64))
        assert [p.requires_grad for p in twin.parameters()] == [False, True]


def test_copies_become_real_on_their_own() -> None:
    lazy = LazyLinear(3)
    copies = [copy.copy(lazy), copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))]
    lazy(torch.ones(2, 5))
    for width, twin in enumerate(copies, 6):
        assert is_lazy(twin)
        twin(torch.ones(2, width))
        assert twin.in_features == width


def test_an_average_follows_without_drawing_random_numbers() -> None:
    model = nn.Sequential(LazyLinear(3), nn.Dropout(0.5))
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    model(torch.ones(2, 5))
    before = torch.get_rng_state()
    average.update_parameters(model)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(average.module[0].weight, model[0].weight)
    assert type(average.module[0]) is nn.Linear


def width_of(input: torch.Tensor) -> int:
    return input.shape[-1]


def test_rules_without_a_name_cannot_be_pickled() -> None:
    lazy = lazify(nn.Linear, exclude={"in_features": lambda input: input.shape[-1]})(3)
    with pytest.raises(UnpicklableError) as caught:
        pickle.dumps(lazy)
    assert isinstance(caught.value, pickle.PicklingError)
    assert str(caught.value).splitlines()[0] == (
        "a LazyLinear cannot be pickled: the rule for 'in_features' has no name to find it by"
    )
    copy.deepcopy(lazy)(torch.ones(2, 5))
    copy.copy(lazy)(torch.ones(2, 5))
    lazy(torch.ones(2, 5))
    pickle.dumps(lazy)
    pickle.dumps(lazify(nn.Linear, exclude={"in_features": width_of})(3))


MODULE = """
    import torch
    from torch import nn
    from lazify import axis, lazify

    @lazify(exclude=["in_channels"])
    class Block(nn.Module):
        def __init__(self, in_channels, out_channels):
            super().__init__()
            self.conv = nn.Conv2d(in_channels, out_channels, 1)
        def forward(self, x):
            return self.conv(x)

    def double(input):
        return 2 * input.shape[1]

    def halve(module):
        module.halved = True

    def seen(module, args):
        module.seen = True

    LazyGrow = lazify(nn.Conv2d, exclude={"in_channels": axis(1), "out_channels": double})
    LazyNameless = lazify(nn.Conv2d, exclude={"in_channels": axis(1), "out_channels": lambda input: 3})

    def model():
        lazies = nn.Sequential(Block(4), LazyGrow(kernel_size=1), LazyNameless(kernel_size=1), lazify(nn.BatchNorm2d)())
        lazies.double()
        lazies.apply(halve)
        lazies[0].register_forward_pre_hook(seen)
        list(lazies.parameters())
        return lazies
"""
SAVE = "import torch, made; torch.save(made.model(), 'model.pt')"
LOAD = """
    import torch
    from lazify import is_lazy
    model = torch.load("model.pt", weights_only=False)
    assert all(map(is_lazy, model))
    told = list(model.parameters())
    model(torch.ones(2, 3, 4, 4, dtype=torch.float64))
    assert all(a is b for a, b in zip(told, model.parameters()))
    assert [type(m).__name__ for m in model] == ["Block", "Conv2d", "Conv2d", "BatchNorm2d"]
    assert [m.halved for m in model] == [True] * 4 and model[0].seen
    assert model[2].out_channels == 3 and model[1].out_channels == 8
"""


def test_pickled_in_one_process_used_in_another(tmp_path: Any) -> None:
    (tmp_path / "made.py").write_text(textwrap.dedent(MODULE))
    for code in (SAVE, textwrap.dedent(LOAD)):
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------------------------
# Compilers and transforms


def network() -> nn.Module:
    return nn.Sequential(LazyBlock(4), nn.Flatten(), LazyLinear(5), nn.ReLU(), LazyLinear(2))


class Whole(nn.Module):
    """No lazy module at the top, a branch, a name that says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.head = lazify(Odd, exclude=["zz"])(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


class Odd(nn.Module):
    def __init__(self, zz: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(zz, out)
        self.norm: nn.Module = nn.Identity()
        self.scale = torch.ones(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x)) * self.scale


BACKENDS = ["eager", pytest.param("inductor", marks=pytest.mark.slow)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("make", [network, Whole, lambda: LazyBlock(4), lambda: LazyConv2d(2, 1)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compile_of_a_model_that_is_still_lazy(make: Any, part: bool, dynamic: Any, backend: str) -> None:
    torch._dynamo.reset()
    model = make()
    if part and isinstance(model, nn.Sequential):
        model[0] = torch.compile(model[0], fullgraph=True, dynamic=dynamic, backend=backend)
        compiled: Any = model
    else:
        compiled = torch.compile(model, fullgraph=True, dynamic=dynamic, backend=backend)
    with torch.no_grad():
        compiled(X)
        compiled(torch.cat([X, X]))
        assert not any(map(is_lazy, model.modules()))
        model.eval()
        torch.testing.assert_close(compiled(X), model(X))


def test_after_the_call_every_tool_sees_the_plain_module() -> None:
    model = network()
    model(X)
    model.eval()
    out = model(X)
    torch.testing.assert_close(torch.export.export(model, (X,)).module()(X), out)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(X), out)
    state = {name: each.detach() for name, each in model.named_parameters()}
    torch.testing.assert_close(torch.func.functional_call(model, state, (X,)), out)
    torch.testing.assert_close(torch.func.vmap(lambda x: model(x[None])[0])(X), out)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_after_the_call_torchscript() -> None:
    model = nn.Sequential(LazyConv2d(4, 1), nn.Flatten(), LazyLinear(2))
    out = model(X)
    torch.testing.assert_close(torch.jit.script(model)(X), out)
    torch.testing.assert_close(torch.jit.trace(model, X)(X), out)


def test_functional_call_before_the_first_call() -> None:
    lazy = LazyBlock(4)
    given_ = {"conv.weight": torch.ones(4, 3, 3, 3), "norm.weight": torch.zeros(4)}
    torch.manual_seed(0)
    out = torch.func.functional_call(lazy, given_, (X,))
    torch.manual_seed(0)
    twin = Block(3, 4)
    torch.testing.assert_close(torch.func.functional_call(twin, given_, (X,)), out)
    assert_twins(lazy, twin)


# ---------------------------------------------------------------------------------------------
# Guards that need more than one device


def test_replicas_are_refused() -> None:
    with pytest.raises(NotMaterializedError):
        LazyLinear(3)._replicate_for_data_parallel()


def test_optimizers_that_group_by_dimensions() -> None:
    model = nn.Sequential(LazyConv2d(4, 1, bias=False), nn.Flatten(), LazyLinear(2, bias=False))
    with pytest.raises(ValueError, match="size"):  # torch's message would tell it
        torch.optim.Muon(model.parameters())
    optimizer = torch.optim.Muon(model[2].parameters())
    model(X).sum().backward()
    optimizer.step()
