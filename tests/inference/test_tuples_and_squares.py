"""Sizes that stand in lists and tuples, and sizes whose square is in the call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lazify import AmbiguousInferenceError, InferenceError, is_lazy, lazify


def assert_becomes(module: nn.Module, args: tuple[Any, ...], **attributes: Any) -> None:
    module(*args)
    assert {name: getattr(module, name) for name in attributes} == attributes


class Window(nn.Module):
    """Self-attention in windows of a map with channels last; knows the map's size for its table of positions."""

    def __init__(self, dim: int, input_resolution: tuple[int, int], heads: int = 2) -> None:
        super().__init__()
        self.dim, self.input_resolution = dim, input_resolution
        height, width = input_resolution
        self.positions = nn.Parameter(torch.zeros(height, width, dim))
        self.mix = nn.Linear(dim, dim * heads)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x + self.positions)


@pytest.mark.parametrize("shape", [(2, 6, 10, 12), (3, 9, 5, 8)], ids=str)
def test_the_size_of_a_map_with_channels_last(shape: tuple[int, ...]) -> None:
    module = lazify(Window, exclude=["dim", "input_resolution"])()
    assert_becomes(module, (torch.randn(shape),), dim=shape[-1], input_resolution=shape[1:3])


class Untyped(Window):
    def __init__(self, dim, input_resolution) -> None:  # type: ignore[no-untyped-def]
        super().__init__(dim, input_resolution)


def test_without_annotations() -> None:
    module = lazify(Untyped, exclude=["dim", "input_resolution"])()
    assert_becomes(module, (torch.randn(2, 6, 10, 12),), dim=12, input_resolution=(6, 10))


class Patches(nn.Module):
    """Tokens back to a map of `resolution` x `resolution`."""

    def __init__(self, in_dim: int, resolution: int) -> None:
        super().__init__()
        self.in_dim, self.resolution = in_dim, resolution
        self.conv = nn.Conv2d(in_dim, 4, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        side = self.resolution
        return self.conv(tokens.transpose(1, 2).reshape(len(tokens), self.in_dim, side, side))


@pytest.mark.parametrize("side", [3, 4, 7])
def test_the_side_of_a_square_of_tokens(side: int) -> None:
    module = lazify(Patches, exclude=["in_dim", "resolution"])()
    assert_becomes(module, (torch.randn(2, side * side, 12),), in_dim=12, resolution=side)


class Squared(nn.Module):
    """Splits what a layer of its own makes into a square: no size of the call is that square."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.up = nn.Linear(10, 2 * 36)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x).view(len(x), 2, self.side, self.side)


def test_the_side_of_a_square_that_is_made_inside() -> None:
    assert_becomes(lazify(Squared, exclude=["side"])(), (torch.randn(3, 10),), side=6)


class Tokens(nn.Module):
    """A table of positions for a square of patches and one token for the class."""

    def __init__(self, grid: int, width: int) -> None:
        super().__init__()
        self.grid, self.width = grid, width
        self.positions = nn.Parameter(torch.zeros(1, grid**2 + 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.positions


def test_the_side_of_a_square_beside_a_token_for_the_class() -> None:
    module = lazify(Tokens, exclude=["grid", "width"])()
    assert_becomes(module, (torch.randn(2, 26, 12),), grid=5, width=12)


class Pooled(nn.Module):
    """Resizes its table of positions to the map it is called with: any size passes."""

    def __init__(self, dim: int, feat_size: tuple[int, int]) -> None:
        super().__init__()
        self.dim, self.feat_size = dim, feat_size
        self.positions = nn.Parameter(torch.zeros(1, dim, *feat_size))

    def forward(self, x: Tensor, feat_size: tuple[int, int]) -> Tensor:
        height, width = feat_size
        positions = nn.functional.interpolate(self.positions, (height, width))
        return x + positions.flatten(2).transpose(1, 2)


def test_an_argument_of_that_name_decides() -> None:
    module = lazify(Pooled, exclude=["dim", "feat_size"])()
    assert_becomes(module, (torch.randn(2, 30, 12), (5, 6)), dim=12, feat_size=(5, 6))


class Scales(nn.Module):
    """Scales that must be of one width, in arguments of their own."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        assert len(set(dims)) == 1
        self.dims = list(dims)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in dims[:3])
        self.last = nn.Linear(dims[2], 5)

    def forward(self, one: Tensor, two: Tensor, three: Tensor) -> list[Tensor]:
        return [self.last(norm(x)) for norm, x in zip(self.norms, (one, two, three), strict=True)]


def test_one_size_of_each_argument() -> None:
    args = tuple(torch.randn(2, length, 12) for length in (9, 5, 3))
    assert_becomes(lazify(Scales, exclude=["dims"])(), args, dims=[12, 12, 12])


class Latent(nn.Module):
    """Only the product of the sizes matters."""

    def __init__(self, latent_shape: Sequence[int]) -> None:
        super().__init__()
        self.latent_shape = latent_shape
        self.linear = nn.Linear(math.prod(latent_shape) if isinstance(latent_shape, (list, tuple)) else latent_shape, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


def test_the_shape_of_the_input_where_a_list_is_asked_for() -> None:
    assert_becomes(lazify(Latent, exclude=["latent_shape"])(), (torch.randn(2, 5, 3),), latent_shape=[5, 3])


class Levels(nn.Module):
    """One layer for each width: what stands after the last one that is used says nothing."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.widths = widths
        self.layers = nn.ModuleList(nn.Linear(width, 4) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        halves = [x[:, :6].relu(), x[:, :9].sigmoid()]
        return [layer(half) for layer, half in zip(self.layers, halves, strict=False)][:2]


def test_a_list_that_may_be_of_two_lengths_is_open() -> None:
    with pytest.raises(AmbiguousInferenceError, match="the call leaves 'widths' of Levels open"):
        lazify(Levels, exclude=["widths"])()(torch.randn(2, 16))


class AllLevels(Levels):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.layers[0](x[:, :6]), self.layers[1](x[:, :9])]


def test_entries_that_the_call_does_not_look_at_are_left_away() -> None:
    assert_becomes(lazify(AllLevels, exclude=["widths"])(), (torch.randn(2, 16),), widths=[6, 9])


def test_entries_of_a_list_without_an_annotation() -> None:
    class Unannotated(AllLevels):
        def __init__(self, widths) -> None:  # type: ignore[no-untyped-def]
            super().__init__(widths)

    assert_becomes(lazify(Unannotated, exclude=["widths"])(), (torch.randn(2, 16),), widths=(6, 9))


class Up(nn.Module):
    """Only the sum of the two sizes matters; one has the name of a size of the input."""

    def __init__(self, in_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.in_channels, self.skip_channels = in_channels, skip_channels
        self.conv = nn.Conv2d(in_channels + skip_channels, 4, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(torch.cat([nn.functional.interpolate(x, skip.shape[2:]), skip], 1))


@pytest.mark.parametrize("options", [{}, {"exclude": ["in_channels", "skip_channels"]}], ids=["auto", "named"])
def test_the_name_of_an_input_decides_where_only_a_sum_matters(options: dict[str, Any]) -> None:
    args = (torch.randn(2, 12, 3, 4), torch.randn(2, 8, 6, 8))
    assert_becomes(lazify(Up, **options)(), args, in_channels=12, skip_channels=8)


class Mixed(nn.Module):
    def __init__(self, in_channels: int, scale: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels * scale**2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Stack(nn.Module):
    """The widths after the first are the user's choice."""

    def __init__(self, widths: list[int], out: int = 5) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(a, b) for a, b in zip(widths, [*widths[1:], out], strict=True)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Grid(nn.Module):
    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(math.prod(grid), 12))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.positions


@pytest.mark.parametrize(
    ("wrapped", "names", "shape"),
    [(Mixed, ["in_channels", "scale"], (2, 48, 5, 5)), (Stack, ["widths"], (3, 12)), (Grid, ["grid"], (2, 36, 12))],
    ids=["sum of one size", "free entries", "any rectangle"],
)
def test_what_is_open_is_not_guessed(wrapped: type[nn.Module], names: list[str], shape: tuple[int, ...]) -> None:
    module = lazify(wrapped, exclude=names)()
    with pytest.raises(InferenceError):
        module(torch.randn(shape))
    assert is_lazy(module)


class Patchwork(nn.Module):
    def __init__(self, in_chans: int, img_size: int) -> None:
        super().__init__()
        self.in_chans, self.img_size = in_chans, img_size
        self.patches = nn.Conv2d(in_chans, 8, 4, 4)
        self.mix = nn.Linear((img_size // 4) ** 2, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self.patches(x).flatten(2))


def test_the_side_of_a_square_image() -> None:
    """One of 17 gives as many patches of 4 as one of 16."""
    module = lazify(Patchwork, exclude=["in_chans", "img_size"])()
    assert_becomes(module, (torch.randn(2, 3, 16, 16),), in_chans=3, img_size=16)
