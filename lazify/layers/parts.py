"""Types of constructor arguments, 'same' padding, and construction of norms and activations, for all layers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal, TypeAlias

import torch
from torch import nn

from lazify.errors import compose

__all__ = ["Activation", "Device", "Norm", "PaddingMode", "Size2d", "make", "padding_module", "pair", "same_padding"]

#: Height and width, or one number for both.
Size2d: TypeAlias = int | tuple[int, int]
PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
Device: TypeAlias = torch.device | str | int
#: Function from a number of channels to a norm: a class such as `nn.BatchNorm2d`, or `partial(nn.GroupNorm, 8)`.
Norm: TypeAlias = Callable[[int], nn.Module]
#: Function without arguments that makes an activation: a class such as `nn.ReLU`, `partial(nn.ReLU, inplace=True)`, ...
Activation: TypeAlias = Callable[[], nn.Module]

_PADDING: dict[PaddingMode, Callable[[tuple[int, int, int, int]], nn.Module]] = {
    "zeros": nn.ZeroPad2d,
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "circular": nn.CircularPad2d,
}


def pair(size: Size2d) -> tuple[int, int]:
    """Tuple of height and width.

    >>> pair(3), pair((3, 5))
    ((3, 3), (3, 5))
    """
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def same_padding(kernel_size: Size2d, dilation: Size2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """The padding, as rows (above, below) and columns (left, right), for an output of `ceil(size / stride)` pixels.

    A kernel covers `dilation * (kernel_size - 1) + 1` pixels. With `dilation * (kernel_size - 1)` pixels of padding,
    the output has one pixel for every `stride`-th pixel of the input. An odd padding has one more pixel below and
    right, as torch's own `padding="same"` has.

    >>> same_padding((3, 1), 2), same_padding(4, 1)
    (((2, 2), (0, 0)), ((1, 2), (1, 2)))
    """
    (height, width) = (d * (k - 1) for d, k in zip(pair(dilation), pair(kernel_size), strict=True))
    return (height // 2, height - height // 2), (width // 2, width - width // 2)


def padding_module(rows: tuple[int, int], columns: tuple[int, int], mode: PaddingMode) -> nn.Module:
    """Module that pads opposite sides by different numbers of pixels, which `nn.Conv2d` does not support.

    Raises:
        ValueError: if `mode` is no `padding_mode` of `nn.Conv2d`.

    >>> padding_module((1, 2), (0, 0), "circular")
    CircularPad2d((0, 0, 1, 2))
    """
    if mode not in _PADDING:
        raise ValueError(
            compose(
                f"there is no padding_mode {mode!r}",
                [("expected", " or ".join(map(repr, _PADDING))), ("actual", repr(mode))],
                "padding_mode='zeros'",
            )
        )
    return _PADDING[mode]((*columns, *rows))


def make(
    name: Literal["norm_layer", "activation", "gate"],
    factory: Callable[..., nn.Module],
    *args: int,
    device: Device | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Module made by `factory(*args)`, with the device and dtype of the block.

    Raises:
        TypeError: if `factory` is a module, which several blocks would share, or is not callable.

    >>> make("activation", nn.ReLU)
    ReLU()
    >>> make("activation", nn.ReLU(inplace=True))
    Traceback (most recent call last):
    TypeError: activation takes what makes a module, and got one that is made
      expected: a class, or a function that makes a new module each time
      actual:   ReLU(inplace=True)
    Fix:
      activation=lambda: nn.ReLU(inplace=True)
    """
    if isinstance(factory, nn.Module) or not callable(factory):
        made = isinstance(factory, nn.Module)
        raise TypeError(
            compose(
                f"{name} takes what makes a module, and got " + ("one that is made" if made else "none of that kind"),
                [("expected", "a class, or a function that makes a new module each time"), ("actual", repr(factory))],
                _as_function(name, factory),
            )
        )
    # the factory has no argument `device`, and `to` cannot move parameters off the meta device: use a context
    with nullcontext() if device is None else torch.device(device):
        module = factory(*args)
    return module if dtype is None else module.to(dtype)


def _as_function(name: str, given: object) -> str:
    """Corrected argument for the error message: a lambda that makes a module like `given`."""
    if not isinstance(given, nn.Module):
        return f"{name}=nn.{'BatchNorm2d' if name == 'norm_layer' else 'ReLU'}"
    torchs = "nn." if type(given).__module__.startswith("torch.nn.") else ""
    if name == "norm_layer":
        return f"norm_layer=lambda channels: {torchs}{type(given).__name__}(channels)"
    return f"{name}=lambda: {torchs}{given!r}"
