"""Who is compared: each makes the same layers, in its own way."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from benchmarks.rounds import EAGER
from lazify import lazify, materialize

__all__ = ["CONTROL", "LAZIFY", "OURS", "TORCH", "TORCHLAYERS", "Contender", "torchlayers"]

CONTROL, TORCH, TORCHLAYERS, LAZIFY = "eager in turn", "torch Lazy*", "torchlayers", "lazify"


@dataclass(frozen=True)
class Contender:
    """How one makes layers; the lazy ones leave aside what the input determines, which comes first here.

    Attributes:
        conv: a 3 x 3 convolution, from the channels before and after.
        linear: from the features before and after.
        norm: a BatchNorm2d.
        layer_norm: a LayerNorm.
        made_real: makes a whole model real from an input on the meta device.
        in_turn: each layer is constructed right before its first call, as laziness must.
    """

    name: str
    conv: Callable[[int, int], nn.Module]
    linear: Callable[..., nn.Module]
    norm: Callable[[int], nn.Module]
    layer_norm: Callable[[int], nn.Module]
    made_real: Callable[[nn.Module, torch.Tensor], object]
    in_turn: bool = False


def _called(model: nn.Module, x: torch.Tensor) -> object:
    """What libraries ask for that have no other way: a real forward."""
    with torch.no_grad():
        return model.eval()(torch.zeros_like(x, device="cpu"))


_LazyConv2d, _LazyLinear = lazify(nn.Conv2d), lazify(nn.Linear)
_LazyBatchNorm2d, _LazyLayerNorm = lazify(nn.BatchNorm2d), lazify(nn.LayerNorm)

_EAGER = Contender(
    EAGER,
    conv=lambda before, after: nn.Conv2d(before, after, 3, padding=1),
    linear=nn.Linear,
    norm=nn.BatchNorm2d,
    layer_norm=nn.LayerNorm,
    made_real=lambda model, x: model,
)
_TORCH = Contender(
    TORCH,
    conv=lambda _, after: nn.LazyConv2d(after, 3, padding=1),
    linear=lambda _, after, **options: nn.LazyLinear(after, **options),
    norm=lambda _: nn.LazyBatchNorm2d(),
    layer_norm=nn.LayerNorm,  # it has no lazy one
    made_real=_called,
)
_LAZIFY = Contender(
    LAZIFY,
    conv=lambda _, after: _LazyConv2d(after, 3, padding=1),
    linear=lambda _, after, **options: _LazyLinear(after, **options),
    norm=lambda _: _LazyBatchNorm2d(),
    layer_norm=lambda _: _LazyLayerNorm(),
    made_real=materialize,
)
#: What needs nothing but torch and lazify.
OURS = (_EAGER, replace(_EAGER, name=CONTROL, in_turn=True), _TORCH, _LAZIFY)


def torchlayers() -> tuple[Contender | None, str]:
    """torchlayers, if it is there, and what there is to say of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # escapes in its docstrings
            library = importlib.import_module("torchlayers")
        conv, linear = library.Conv2d, library.Linear  # each access makes a new class
        norm = library.BatchNorm  # its BatchNorm2d fails since torch gave that one a keyword-only argument
        version = library.__version__
    except Exception as error:
        return None, f"torchlayers was not measured: {_short(error)}."
    contender = Contender(
        TORCHLAYERS,
        conv=lambda _, after: conv(after, 3, padding=1),
        linear=lambda _, after, **options: linear(after, **options),
        norm=lambda _: norm(),
        layer_norm=nn.LayerNorm,
        made_real=_called,
    )
    try:
        library.build(nn.Sequential(linear(2)), torch.zeros(1, 3))
    except Exception as error:
        fails = f"its `build` fails on this torch ({type(error).__name__}), so that its wrapper stays around each layer"
        return contender, f"torchlayers {version}: {fails}."
    return contender, f"torchlayers {version}: without its `build`, so that its wrapper stays around each layer."


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:80]}"
