"""A value is inferred only if the call leaves no choice: names say where to look first, they decide nothing."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lazify import AmbiguousInferenceError, DefinitionError, is_lazy, lazify


class Bag(nn.Module):
    """An embedding takes whole numbers: the call shows neither the vocabulary nor the width."""

    def __init__(self, vocab_size: int, embed_dim: int, num_class: int) -> None:
        super().__init__()
        self.embedding, self.fc = nn.EmbeddingBag(vocab_size, embed_dim), nn.Linear(embed_dim, num_class)

    def forward(self, text: Tensor, offsets: Tensor) -> Tensor:
        return self.fc(self.embedding(text, offsets))


class Fusion(nn.Module):
    def __init__(self, image_dim: int, text_dim: int, hidden: int = 8) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(image_dim, hidden), nn.Linear(text_dim, hidden)

    def forward(self, image: Tensor, text: Tensor | None = None) -> Tensor:
        return self.image(image) + (0 if text is None else self.text(text))


class Coupled(nn.Module):
    """Two widths inside that must be equal, and that no input shows."""

    def __init__(self, in_features: int, first: int, second: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(in_features, first), nn.Linear(second, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Selects(nn.Module):
    """Indices have no values on fake tensors: whether they are in bounds, real ones tell."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(in_features))
        self.fc = nn.Linear(in_features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x[..., self.order])


class Rows(nn.Module):
    """`view(-1, n)` passes with many n; one of them keeps the rows."""

    def __init__(self, n: int, classes: int = 10) -> None:
        super().__init__()
        self.conv, self.fc, self.n = nn.Conv2d(1, 4, 3), nn.Linear(n, classes), n

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).view(-1, self.n))


class Frequencies(nn.Module):
    """A number of its own, with which only far too large values fail."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.scales = [2.0**each for each in range(number)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x * (scale if scale < 1e16 else int("9" * 5000) * 1.0) for scale in self.scales], -1)


class TimeEmbedding(nn.Module):
    """Nothing in it has a size, and its name suggests the number of time steps."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, t: Tensor) -> Tensor:
        angles = t[:, None] * torch.arange(self.dim // 2)
        return torch.cat([angles.sin(), angles.cos()], -1)


class Slices(nn.Module):
    """Takes a part of its input: larger numbers fail, smaller ones do not."""

    def __init__(self, dim: int, units: int) -> None:
        super().__init__()
        self.dim, self.fc = dim, nn.Linear(dim, units)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x[:, : self.dim])


class Timed(nn.Module):
    """`time` has one number for each row: `time_dim` is the width of its embedding."""

    def __init__(self, size: int, time_dim: int) -> None:
        super().__init__()
        self.time_dim, self.fc = time_dim, nn.Linear(size + time_dim, 3)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.fc(torch.cat([x, (time[:, None] * torch.arange(self.time_dim)).sin()], -1))


class Rolls(nn.Module):
    """Nothing has another shape with another number, and the result is another one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return torch.roll(x, self.width, -1)


class Divides(nn.Module):
    """The constructor takes divisors only: the largest is not the only one."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        if width % parts:
            raise ValueError("width must be divisible by parts")
        self.parts, self.fc = parts, nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).unflatten(-1, (self.parts, -1)).softmax(-1)


OPEN: list[tuple[Any, dict[str, int], tuple[Any, ...], set[str]]] = [
    (lazify(Bag), {"vocab_size": 100, "num_class": 4}, (torch.arange(37), torch.tensor([0, 10])), {"embed_dim"}),
    (lazify(Fusion, exclude=["image_dim", "text_dim"]), {}, (torch.randn(2, 5),), {"text_dim"}),
    (lazify(Coupled, exclude=["in_features", "first", "second"]), {}, (torch.randn(2, 5),), {"first", "second"}),
    (lazify(Frequencies, exclude=["number"]), {}, (torch.randn(2, 3),), {"number"}),
    (lazify(TimeEmbedding), {}, (torch.rand(6),), {"dim"}),
    (lazify(nn.Linear, exclude=...), {}, (torch.randn(2, 5),), {"out_features"}),
    (lazify(Slices), {"units": 4}, (torch.randn(2, 12),), {"dim"}),
    (lazify(Timed), {}, (torch.randn(4, 12), torch.rand(4)), {"time_dim"}),
    (lazify(Rolls), {}, (torch.arange(10.0).reshape(2, 5),), {"width"}),
    (lazify(Divides, exclude=["parts"]), {"width": 12}, (torch.randn(2, 12),), {"parts"}),
    (lazify(Divides, exclude=["parts"]), {"width": 7}, (torch.randn(2, 7),), {"parts"}),
]


@pytest.mark.parametrize(("lazy", "given_", "args", "names"), OPEN)
def test_what_the_call_leaves_open_is_an_error(
    lazy: Any, given_: dict[str, int], args: tuple[Any, ...], names: set[str]
) -> None:
    module = lazy(**given_)
    with pytest.raises(AmbiguousInferenceError) as caught:
        module(*args)
    first, *_, last = str(caught.value).splitlines()
    assert first.startswith("the call leaves ")
    assert all(repr(name) in first for name in names)
    assert is_lazy(module)
    module = eval(last, {lazy.__name__: lazy})  # the line of code that the error shows
    module(*args)
    assert not is_lazy(module)


def test_what_is_given_is_taken() -> None:
    @lazify
    class Projection(nn.Module):
        def __init__(self, dim: int, in_features: int = 16) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, dim)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    assert Projection(32)(torch.randn(2, 16)).shape == (2, 32)
    assert Projection(32)(torch.randn(2, 5)).shape == (2, 32)
    assert Projection(dim=32, in_features=5)(torch.randn(2, 5)).shape == (2, 32)


def test_an_argument_that_is_given_determines() -> None:
    module = lazify(Fusion, exclude=["image_dim", "text_dim"])()
    module(torch.randn(2, 5), torch.randn(2, 7))
    assert (module.image.in_features, module.text.in_features) == (5, 7)


def test_real_tensors_tell_where_indices_decide() -> None:
    module = lazify(Selects)()
    assert module(torch.randn(4, 6)).shape == (4, 3)
    assert module.fc.in_features == 6


@settings(deadline=None, max_examples=10)
@given(batch=st.integers(1, 6), side=st.integers(4, 9))
def test_the_rows_of_the_input_are_kept(batch: int, side: int) -> None:
    module = lazify(Rows, exclude=["n"])()
    assert module(torch.randn(batch, 1, side, side)).shape == (batch, 10)
    assert module.fc.in_features == 4 * (side - 2) ** 2


def test_an_equal_size_of_another_input_is_not_taken_for_granted() -> None:
    class Either(nn.Module):
        """Takes the first input or the second: what fits the first fits the second, too."""

        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.width, self.conv = in_channels, nn.Conv2d(in_channels, 2, 1)

        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return self.conv(one if one.shape[1] == self.width else other)

    module = lazify(Either)()
    with pytest.raises(AmbiguousInferenceError, match="the call leaves 'in_channels' of Either open"):
        module(torch.randn(1, 3, 4, 4), torch.randn(1, 5, 4, 4))


# ---------------------------------------------------------------------------------------------
# Sizes that may be left out


class Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(dim, num_heads, dropout, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x)[0]


LazyAttention = lazify(Attention)


def shown(lazy: Any) -> str:
    return str(inspect.signature(lazy)).replace("'", "")


def test_a_size_that_may_be_left_out_is_shown_with_a_question_mark() -> None:
    signature = inspect.signature(LazyAttention)
    assert shown(LazyAttention) == "(dim: int = ?, num_heads: int, dropout: float = 0.0) -> None"
    assert repr(signature.parameters["dim"].default) == "?"
    assert signature.parameters["num_heads"].default is inspect.Parameter.empty
    assert str(signature.replace()) == str(signature)
    assert signature.bind(num_heads=2).arguments == {"num_heads": 2}
    assert "Inferred if left out: `dim` from axis(-1)." in (LazyAttention.__doc__ or "")


@pytest.mark.parametrize("construct", [lambda: LazyAttention(num_heads=4), lambda: LazyAttention(unset(), 4)])
def test_left_out_or_passed_on_as_shown(construct: Any) -> None:
    module = construct()
    assert repr(module) == "LazyAttention(dim=?, num_heads=4)"
    assert module(torch.randn(2, 5, 12)).shape == (2, 5, 12)
    assert module.inner.embed_dim == 12


def unset() -> Any:
    return inspect.signature(LazyAttention).parameters["dim"].default


def test_given_as_to_the_eager_class() -> None:
    assert type(LazyAttention(12, 4)) is Attention
    assert type(LazyAttention(12, num_heads=4)) is Attention


def test_one_argument_for_the_one_that_is_required() -> None:
    module = LazyAttention(4)  # as in `range(stop)`
    assert repr(module) == "LazyAttention(dim=?, num_heads=4)"
    module(torch.randn(2, 5, 12))
    assert (module.inner.embed_dim, module.inner.num_heads) == (12, 4)


@pytest.mark.parametrize("args", [(), (8, 2, 0.0, 1)])
def test_what_is_no_size_is_still_required(args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'num_heads'|takes from 1 to 4"):
        LazyAttention(*args)


def test_a_default_is_taken_unless_the_call_refuses_it() -> None:
    class Patches(nn.Module):
        def __init__(self, *, patch_size: int, dim: int, channels: int = 3) -> None:
            super().__init__()
            self.embed = nn.Conv2d(channels, dim, patch_size, patch_size)

        def forward(self, image: Tensor) -> Tensor:
            return self.embed(image)

    lazy = lazify(Patches)
    assert shown(lazy) == "(*, patch_size: int, dim: int = ?, channels: int = 3) -> None"
    for channels in (3, 5):
        module = lazy(patch_size=2, dim=8)
        module(torch.randn(1, channels, 4, 4))
        assert module.embed.in_channels == channels


def test_whatever_is_left_out() -> None:
    lazy = lazify(Attention, exclude=...)
    assert lazy is lazify(Attention, exclude=...)
    assert shown(lazy) == "(dim: int = ?, num_heads: int = ?, dropout: float = 0.0) -> None"
    module = lazy(num_heads=2)
    module(torch.randn(1, 3, 6))
    assert module.inner.embed_dim == 6
    with pytest.raises(DefinitionError, match="no parameter of ReLU"):
        lazify(nn.ReLU, exclude=...)


def test_keywords_through_two_constructors() -> None:
    class Layers(nn.Module):
        def __init__(self, dim: int, depth: int = 2, **kwargs: Any) -> None:
            super().__init__()
            self.linear = nn.Linear(dim, dim * kwargs.get("multiple", 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    class Encoder(Layers):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(depth=1, **kwargs)

    lazy = lazify(Encoder, exclude=["dim"])
    assert shown(lazy) == "(*, multiple=4, **kwargs: Any) -> None"
    assert lazify(Encoder)(multiple=3)(torch.ones(2, 5)).shape == (2, 15)
    assert lazy(multiple=3)(torch.ones(2, 5)).shape == (2, 15)


def test_keywords_that_the_body_reads() -> None:
    class Reads(nn.Module):
        def __init__(self, n_out: int, **kwargs: Any) -> None:
            super().__init__()
            dim, bias = kwargs.pop("dim"), kwargs.pop("bias", True)
            self.linear = nn.Linear(dim, n_out, bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    lazy = lazify(Reads)
    assert shown(lazy) == "(n_out: int, *, dim=?, bias=True, **kwargs: Any) -> None"
    module = lazy(3, bias=False)
    assert module(torch.ones(2, 5)).shape == (2, 3)
    assert module.linear.bias is None


class Joined(nn.Module):
    """As a cell of a recurrent network: only the sum of both sizes enters."""

    def __init__(self, input_size: int, state_size: int) -> None:
        super().__init__()
        self.sizes = (input_size, state_size)
        self.linear = nn.Linear(input_size + state_size, 3)

    def forward(self, input: Tensor, state: Tensor) -> Tensor:
        return self.linear(torch.cat([input, state], -1))


class Renamed(Joined):
    def __init__(self, input_size: int, extra: int) -> None:
        super().__init__(input_size, extra)


@pytest.mark.parametrize("wrapped", [Joined, Renamed])
def test_sizes_that_are_only_exchanged_are_decided_by_one_name(wrapped: type[nn.Module]) -> None:
    lazy: Any = lazify(wrapped, exclude=list(inspect.signature(wrapped).parameters))()
    assert lazy(torch.zeros(2, 5), torch.zeros(2, 7)).shape == (2, 3)
    assert lazy.sizes == (5, 7)
