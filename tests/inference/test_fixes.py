"""The code after `Fix:` names the right parameter, keeps the others, and can be pasted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lazify import DefinitionError, LazifyError, axis, lazify, materialize
from lazify.errors import split_fix


class Options(nn.Module):
    """Passes with any `mid`."""

    def __init__(self, dim: int, mid: int, *rest: int, **options: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, mid)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y


class Configured(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(config.dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y


class Far(nn.Module):
    """Wants a number that is no size of the call."""

    def __init__(self, dim: int, zzz: int) -> None:
        super().__init__()
        self.linear, self.zzz = nn.Linear(dim, zzz), zzz

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        y: Tensor = self.linear(x)
        if self.zzz != 7 * x.shape[1] + 1000:
            raise ValueError(f"not {self.zzz}")
        return y


def failing(x: Tensor) -> int:
    raise KeyError("width")


X = torch.ones(2, 5)

FIXES: list[tuple[Callable[[], Any], list[str]]] = [
    (lambda: lazify(Options, exclude=...)()(X), ["LazyOptions(mid=72)  # or another value"]),
    (lambda: lazify(Options, exclude=...)(depth=3)(X), ["LazyOptions(mid=72, depth=3)  # or another value"]),
    (
        lambda: lazify(Configured, exclude=["config"])()(X),
        ["lazify(Configured, exclude={'config': lambda x: ...})  # or what it is"],
    ),
    (
        lambda: lazify(Far, exclude=["dim", "zzz"])()(X),
        ["lazify(Far, exclude={'dim': axis(-1), 'zzz': lambda x: x.shape[1]})  # or what it is"],
    ),
    (
        lambda: lazify(Far, exclude=["dim", "zzz"])()(X, torch.ones(2, 3)),
        ["lazify(Far, exclude={'dim': axis(-1), 'zzz': axis(1, of='x')})  # or what it is"],
    ),
    (
        lambda: lazify(Far, exclude={"dim": axis(3), "zzz": failing})()(X, torch.ones(2, 3)),
        ["lazify(Far, exclude={'zzz': failing, 'dim': axis(3, of='cond')})  # or a function"],
    ),
    (
        lambda: lazify(Far, exclude={"dim": axis(1), "zzz": failing})()(X),
        ["lazify(Far, exclude={'dim': axis(1), 'zzz': axis(1)})  # or a function"],
    ),
    (lambda: lazify(Far, exclude={"dim": axis(3), "zzz": axis(1)})()(X), ["LazyFar(..., dim=...)  # give it"]),
    (lambda: lazify("dim"), ["@lazify(exclude=['dim'])  # above a class, if that is a parameter of it"]),  # type: ignore[call-overload]
    (lambda: lazify(nn.Sequential()), ["lazify(type(module))  # its class"]),
    (lambda: lazify(Far, exclude=[]), ["lazify(Far, exclude=['dim'])  # for one, or lazify(Far)"]),
    (
        lambda: lazify(Configured),
        ["lazify(Configured, exclude={'config': lambda x: ...})  # what follows from x, an argument of forward"],
    ),
]


@pytest.mark.parametrize(("act", "first"), FIXES)
def test_the_first_line(act: Callable[[], Any], first: list[str]) -> None:
    with pytest.raises(LazifyError) as raised:
        act()
    assert split_fix(str(raised.value))[1].splitlines()[:1] == first


def test_what_the_repr_shows_of_variadic_arguments() -> None:
    lazy_cls = lazify(Options, exclude=["dim"])
    assert repr(lazy_cls(3)) == "LazyOptions(dim=?, mid=3)"
    assert repr(lazy_cls(3, 4, depth=2)) == "LazyOptions(dim=?, mid=3, 4, depth=2)"


@pytest.mark.parametrize(("shape", "fixed"), [((None, 5), (1, 5)), ((2, -1), (2, 1)), ([None, 5], (1, 5))])
def test_a_shape_with_open_sizes(shape: Any, fixed: tuple[int, ...]) -> None:
    model = nn.Sequential(lazify(nn.Linear)(3))
    with pytest.raises(TypeError) as raised:
        materialize(model, shape)
    headline, fix = split_fix(str(raised.value))
    assert headline == f"a shape has a number for each size, got {shape!r}"
    assert fix == f"materialize(model, {fixed})  # any batch size will do"


def test_the_message_of_a_class_without_sizes_is_a_type_error() -> None:
    with pytest.raises(DefinitionError, match="no parameter of Far is named: exclude is empty"):
        lazify(Far, exclude=())
