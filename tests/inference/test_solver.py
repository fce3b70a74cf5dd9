"""Values for classes that no rule describes: found, verified by a whole call, never guessed in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from helpers.modules import AnyWidth
from lazify import AmbiguousInferenceError, InferenceError, is_lazy, lazify

# ---------------------------------------------------------------------------------------------
# Generated classes: chains of layers whose sizes are affine in the unknown one


class Chain(nn.Module):
    """`plan` is a list of (layer, width); each layer takes what the one before gives. `zz` is the input's size."""

    def __init__(self, zz: int, plan: tuple[tuple[str, int], ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.kinds = [kind for kind, _ in plan]
        size = zz
        for kind, width in plan:
            layer, size = self.made(kind, size, width, zz)
            self.layers.append(layer)

    @staticmethod
    def made(kind: str, size: int, width: int, zz: int) -> tuple[nn.Module, int]:
        if kind == "linear":
            return nn.Linear(size, width), width
        if kind == "widen":
            return nn.Linear(size, 2 * zz + width), 2 * zz + width
        if kind == "norm":
            return nn.LayerNorm(size), size
        if kind == "concat":
            return nn.Identity(), 2 * size
        if kind == "attention":
            return nn.MultiheadAttention(size, 1, batch_first=True), size
        return nn.Conv1d(size, width, 3, padding=1), width

    def forward(self, x: Tensor) -> Tensor:  # (N, T, zz)
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            if kind == "concat":
                x = torch.cat([x, -x], -1)
            elif kind == "attention":
                x, _ = layer(x, x, x)
            elif kind == "conv":
                x = layer(x.transpose(1, 2)).transpose(1, 2)
            else:
                x = layer(x)
        return x


LAYERS = ["linear", "widen", "norm", "concat", "attention", "conv"]


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(2, 40),
    plan=st.lists(st.tuples(st.sampled_from(LAYERS), st.integers(2, 9)), min_size=1, max_size=4),
    time=st.integers(2, 6),
)
def test_the_size_of_a_chain(size: int, plan: list[tuple[str, int]], time: int) -> None:
    assume(any(kind != "concat" for kind, _ in plan))  # something must depend on the size
    module = lazify(Chain, exclude=["zz"])(tuple(plan))
    x = torch.randn(2, time, size)
    module(x)
    torch.manual_seed(0)
    eager = Chain(size, tuple(plan))
    assert {k: v.shape for k, v in module.state_dict().items()} == {k: v.shape for k, v in eager.state_dict().items()}


class Pooled(nn.Module):
    """Two unknowns: the channels of the input, and the size that its own layers make of it."""

    def __init__(self, nnin: int, flat: int, stride: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(nnin, 6, 3, stride=stride), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(flat, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, nnin, H, W)
        return self.head(self.body(x).flatten(1))


@settings(deadline=None, max_examples=25)
@given(
    channels=st.integers(2, 12),
    height=st.integers(8, 20),
    width=st.integers(8, 20),
    stride=st.integers(1, 2),
    classes=st.integers(2, 9),
)
def test_channels_and_flattened_size(channels: int, height: int, width: int, stride: int, classes: int) -> None:
    module = lazify(Pooled, exclude=["nnin", "flat"])(stride, classes)
    x = torch.randn(2, channels, height, width)
    assert module(x).shape == (2, classes)
    assert module.body[0].in_channels == channels
    rows, columns = ((side - 3) // stride + 1 for side in (height, width))
    flat = 6 * (rows // 2) * (columns // 2)
    assert module.head.in_features == flat


# ---------------------------------------------------------------------------------------------
# Kinds of constructors and calls


class Heads(nn.Module):
    def __init__(self, qq: int, heads: int = 4) -> None:
        super().__init__()
        if qq % heads:
            raise ValueError(f"{qq} does not divide by {heads}")
        self.heads, self.qkv = heads, nn.Linear(qq, 3 * qq)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v


class ReadsValues(nn.Module):
    def __init__(self, kk: int) -> None:
        super().__init__()
        self.rates = [float(each) for each in torch.linspace(0, 1, kk)]
        self.linear = nn.Linear(kk, len(self.rates))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Routed(nn.Module):
    """Which rows go where depends on values, which fake tensors do not have."""

    def __init__(self, kk: int) -> None:
        super().__init__()
        self.gate, self.one, self.other = nn.Linear(kk, 1), nn.Linear(kk, 3), nn.Linear(kk, 3)

    def forward(self, x: Tensor) -> Tensor:
        chosen = self.gate(x).squeeze(-1) > 0
        out = x.new_zeros(len(x), 3)
        out[chosen] = self.one(x[chosen])
        out[~chosen] = self.other(x[~chosen])
        return out


class Checks(nn.Module):
    """Fails in Python, outside any operation."""

    def __init__(self, kk: int, rows: int) -> None:
        super().__init__()
        self.kk, self.rows = kk, rows
        self.scale = nn.Parameter(torch.ones(kk))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (self.rows, self.kk):
            raise ValueError(f"expected {(self.rows, self.kk)}, got {tuple(x.shape[1:])}")
        return x * self.scale


class ChecksAll(nn.Module):
    """One check of three values, which passes with all or with none; features come last."""

    def __init__(self, kk: int, rows: int, columns: int) -> None:
        super().__init__()
        self.size, self.linear = (rows, columns, kk), nn.Linear(kk, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.size:
            raise ValueError(f"expected {self.size}, got {tuple(x.shape[1:])}")
        return self.linear(x)


class ChecksEach(nn.Module):
    """One check of the sizes of six inputs."""

    def __init__(self, aa: int, bb: int, cc: int, dd: int, ee: int, ff: int) -> None:
        super().__init__()
        self.sizes = (aa, bb, cc, dd, ee, ff)
        self.layers = nn.ModuleList(nn.Linear(size, 2) for size in self.sizes)

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.sizes != tuple(each.shape[-1] for each in inputs):
            raise ValueError("other sizes are expected")
        return torch.stack([layer(each) for layer, each in zip(self.layers, inputs, strict=True)])


class Levels(nn.Module):
    def __init__(self, widths: list[int], out: int = 4) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, out, 1) for width in widths)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [layer(each) for layer, each in zip(self.lateral, maps, strict=True)]


class TwoSizes(nn.Module):
    def __init__(self, pp: int, qq: int) -> None:
        super().__init__()
        self.gates, self.back = nn.Linear(pp + qq, qq), nn.Linear(qq, qq)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.back(h) * self.gates(torch.cat([x, h], -1))


SIX = ("aa", "bb", "cc", "dd", "ee", "ff")


@pytest.mark.parametrize(
    ("cls", "values", "args"),
    [
        (Heads, {"qq": 12}, (torch.randn(2, 5, 12),)),
        (ReadsValues, {"kk": 7}, (torch.randn(2, 7),)),
        (Routed, {"kk": 7}, (torch.randn(8, 7),)),
        (Checks, {"kk": 7, "rows": 5}, (torch.randn(2, 5, 7),)),
        (ChecksAll, {"kk": 7, "rows": 4, "columns": 5}, (torch.randn(2, 4, 5, 7),)),
        (ChecksEach, dict(zip(SIX, range(3, 9), strict=True)), tuple(torch.randn(2, n) for n in range(3, 9))),
        (Levels, {"widths": (5, 7)}, ([torch.randn(2, 5, 4, 4), torch.randn(2, 7, 2, 2)],)),
        (TwoSizes, {"pp": 5, "qq": 7}, (torch.randn(3, 5), torch.randn(3, 7))),
    ],
)
def test_found_and_bit_identical(cls: type[nn.Module], values: dict[str, object], args: tuple[object, ...]) -> None:
    torch.manual_seed(0)
    eager = cls(**values)
    torch.manual_seed(0)
    module = lazify(cls, exclude=list(values))()
    module(*args)
    assert type(module) is cls
    assert module.state_dict().keys() == eager.state_dict().keys()
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in eager.state_dict().items())


def test_a_wrong_convention_gives_way() -> None:
    """`in_channels` says dimension 1, the module means the last."""

    class OnLast(nn.Module):
        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_channels, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    torch.manual_seed(0)
    eager = OnLast(7)
    torch.manual_seed(0)
    module = lazify(OnLast)()
    module(torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(module.linear.weight, eager.linear.weight)


def test_an_optional_input_that_is_absent_keeps_the_default() -> None:
    class Edges(nn.Module):
        def __init__(self, in_channels: int, edge_dim: int | None = None) -> None:
            super().__init__()
            self.node = nn.Linear(in_channels, 4)
            self.edge = None if edge_dim is None else nn.Linear(edge_dim, 4)

        def forward(self, x: Tensor, edge_attr: Tensor | None = None) -> Tensor:
            out: Tensor = self.node(x)
            return out if self.edge is None or edge_attr is None else out + self.edge(edge_attr).sum(0)

    without = lazify(Edges)()
    without(torch.randn(3, 7))
    assert without.edge is None
    with_edges = lazify(Edges)()
    with_edges(torch.randn(3, 7), torch.randn(9, 5))
    assert with_edges.edge.in_features == 5


class Pyramid(nn.Module):
    """The entries of the list are the widths of layers inside; `strict` says whether each layer has one."""

    def __init__(self, widths: list[int], strict: bool = True) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Conv1d(a, b, 3, 2, 1) for a, b in ((3, 6), (6, 9)))
        self.lateral, self.strict = nn.ModuleList(nn.Conv1d(width, 5, 1) for width in widths), strict

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage, lateral in zip(self.stages, self.lateral, strict=self.strict):
            x = stage(x)
            found.append(lateral(x))
        return found


def test_widths_of_layers_inside_are_found_entry_by_entry() -> None:
    module = lazify(Pyramid, exclude=["widths"])()
    module(torch.randn(2, 3, 16))
    assert [layer.in_channels for layer in module.lateral] == [6, 9]


def test_a_list_that_may_be_longer_is_open() -> None:
    module = lazify(Pyramid, exclude=["widths"])(strict=False)
    with pytest.raises(AmbiguousInferenceError, match="the call leaves 'widths' of Pyramid open") as caught:
        module(torch.randn(2, 3, 16))
    assert "passes:      widths=[6]\n  passes:      widths=[6, 9]" in str(caught.value)


# ---------------------------------------------------------------------------------------------
# What cannot be found is an error


def test_any_value_passes() -> None:
    module = lazify(AnyWidth, exclude=["kk"])()
    with pytest.raises(AmbiguousInferenceError) as caught:
        module(torch.randn(2, 3))
    lines = str(caught.value).splitlines()
    assert lines[0] == "the call leaves 'kk' of AnyWidth open: give it"
    assert sum(line.startswith("  passes:") for line in lines) == 2
    assert lines[-1] == "  LazyAnyWidth(kk=48)  # or another value"
    assert is_lazy(module)


def test_no_value_passes() -> None:
    class Never(nn.Module):
        def __init__(self, kk: int) -> None:
            super().__init__()
            self.linear = nn.Linear(kk, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x).view(-1, 7)

    module = lazify(Never, exclude=["kk"])()
    with pytest.raises(InferenceError) as caught:
        module(torch.randn(2, 3))
    text = str(caught.value)
    assert text.splitlines()[0] == "no value of kk lets the call of Never pass"
    assert "x: (2, 3) float32" in text
    assert "kk=3: view" in text
    assert is_lazy(module)


def test_a_mistake_of_the_call_is_not_blamed_on_the_sizes() -> None:
    class Fails(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 5)

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            if y is None:
                raise RuntimeError("y is needed")
            return self.linear(x)

    module = lazify(Fails)()
    with pytest.raises(RuntimeError, match="y is needed") as caught:
        module(torch.randn(2, 3))
    assert str(caught.value) == "y is needed"  # what lazify tried is a note on it
    assert is_lazy(module)
    module(torch.randn(2, 3), torch.ones(1))
    assert module.linear.in_features == 3


# ---------------------------------------------------------------------------------------------
# What was found is kept for the next instance


def test_the_second_instance_pays_nothing() -> None:
    """Values are cached by the structure of the call; for other sizes there is another search."""
    forwards: list[tuple[int, ...]] = []

    class Counted(nn.Module):
        def __init__(self, kk: int) -> None:
            super().__init__()
            self.linear = nn.Linear(2 * kk, 3)

        def forward(self, x: Tensor) -> Tensor:
            forwards.append(tuple(x.shape))
            return self.linear(torch.cat([x, x], -1))

    lazy_cls = lazify(Counted, exclude=["kk"])
    lazy_cls()(torch.randn(2, 5))
    searched = len(forwards)
    lazy_cls()(torch.randn(2, 5))
    assert len(forwards) == searched + 1
    other = lazy_cls()
    other(torch.randn(2, 6))
    assert other.linear.in_features == 12


def test_what_was_found_for_one_function_is_not_taken_for_another() -> None:
    """Given functions of one name may ask for other sizes."""

    class Sized(nn.Module):
        def __init__(self, size_of: Callable[[int], int], kk: int) -> None:
            super().__init__()
            self.linear = nn.Linear(size_of(kk), 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    lazy_cls = lazify(Sized, exclude=["kk"])
    x = torch.randn(2, 12)
    for factor in (2, 3, 4):
        lazy_cls(lambda k, factor=factor: factor * k)(x)
    first = lazy_cls(_same_repr(2))
    first(x)
    other = lazy_cls(_same_repr(3))
    other(x)
    assert other.linear.in_features == 12


class _Factor(nn.Module):
    """A module whose repr does not show its factor."""

    factor: int

    def forward(self, k: int) -> int:
        return self.factor * k


def _same_repr(factor: int) -> nn.Module:
    module = _Factor()
    module.factor = factor
    return module
