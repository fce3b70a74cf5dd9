"""Constructors that pass `*args` and `**kwargs` on, and decorated constructors."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lazify import axis, lazify

# ---------------------------------------------------------------------------------------------
# Constructors that pass their arguments on


class Base(nn.Module):
    def __init__(self, width: int, depth: int = 2, *, bias: bool = True) -> None:
        super().__init__()
        self.received = (width, depth, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class PassesBoth(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class PassesKeywords(Base):
    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale


class PassesPositions(Base):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)


class GivesTheFirst(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(7, *args, **kwargs)


class GivesAKeyword(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, bias=False, **kwargs)


class NamesTheBase(Base):
    def __init__(self, **kw: Any) -> None:
        Base.__init__(self, **kw)


class NamesTheBaseWithPositions(Base):
    def __init__(self, *a: Any, **kw: Any) -> None:
        Base.__init__(self, 7, *a, **kw)


class OldStyle(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super(OldStyle, self).__init__(*args, **kwargs)  # noqa: UP008


class Further(PassesKeywords):
    def __init__(self, extra: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Mixin:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Mixed(Mixin, Base):
    pass


class MixedWithOwn(Mixin, Base):
    def __init__(self, *args: Any, label: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Inherits(PassesKeywords):
    pass


class Pops(Base):
    def __init__(self, **kwargs: Any) -> None:
        self.label = kwargs.pop("label", None)
        super().__init__(**kwargs)


class ReadsKeys(nn.Module):
    """`bias`, `label` and `scale` are read in some constructions only, or have a default that is no literal."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.width, self.depth = kwargs["width"], kwargs.get("depth", 2)
        self.bias = not kwargs["bias"] if "bias" in kwargs else True
        self.scale = kwargs.pop("scale", self.depth)
        if self.depth > 2:
            self.label = kwargs["label"]


class Sets(nn.Module):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        kwargs.setdefault("width", 3)
        self.width = kwargs["width"]


class Reads(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_given = len(args)


class Chooses(Base):
    def __init__(self, wide: bool = False, **kwargs: Any) -> None:
        if wide:
            super().__init__(depth=9, **kwargs)
        else:
            super().__init__(**kwargs)


class KeepsAll(nn.Module):
    def __init__(self, width: int, **options: Any) -> None:
        super().__init__()
        self.options = options


@pytest.mark.parametrize(
    ("cls", "dropped", "expected"),
    [
        (PassesBoth, "width", "(depth: int = 2, *, bias: bool = True)"),
        (PassesBoth, "bias", "(width: int, depth: int = 2)"),
        (PassesKeywords, "width", "(scale: float = 1.0, *, depth: int = 2, bias: bool = True)"),
        (PassesKeywords, "scale", "(*, width: int, depth: int = 2, bias: bool = True)"),
        (PassesPositions, "width", "(depth: int = 2, /)"),
        (GivesTheFirst, "depth", "(*, bias: bool = True)"),
        (GivesAKeyword, "width", "(depth: int = 2)"),
        (NamesTheBase, "width", "(*, depth: int = 2, bias: bool = True)"),
        (NamesTheBaseWithPositions, "depth", "(*, bias: bool = True)"),
        (OldStyle, "width", "(depth: int = 2, *, bias: bool = True)"),
        (Further, "width", "(extra: str, *, scale: float = 1.0, depth: int = 2, bias: bool = True)"),
        (Mixed, "width", "(depth: int = 2, *, bias: bool = True)"),
        (MixedWithOwn, "width", "(depth: int = 2, *, label: str = '', bias: bool = True)"),
        (Inherits, "width", "(scale: float = 1.0, *, depth: int = 2, bias: bool = True)"),
        # read in the body, and passed on
        (Pops, "width", "(*, label=None, depth: int = 2, bias: bool = True)"),
        (ReadsKeys, "width", "(*, depth=2, **kwargs: Any)"),
        (ReadsKeys, "depth", "(*, width, **kwargs: Any)"),
        (Sets, "width", "(**kwargs: Any)"),
        # not merely passed on: shown as it stands
        (Reads, "width", "(*args: Any, **kwargs: Any)"),
        (Chooses, "width", "(wide: bool = False, **kwargs: Any)"),
        (KeepsAll, "width", "(**options: Any)"),
    ],
)
def test_passing_on_is_followed_as_far_as_it_is_certain(cls: type[nn.Module], dropped: str, expected: str) -> None:
    before = inspect.signature(cls)
    shown = str(inspect.signature(lazify(cls, exclude={dropped: axis(-1)})))
    assert re.sub(r"'(\w+)'", r"\1", shown) == f"{expected} -> None"
    assert inspect.signature(cls) == before, "the wrapped class is untouched"


class Aliased(PassesKeywords):
    """The very same function again: its `super()` still means the class that wrote it."""

    __init__ = PassesKeywords.__init__


def test_a_constructor_taken_over_by_assignment() -> None:
    lazy_cls = lazify(Aliased, exclude={"width": axis(-1)})
    assert list(inspect.signature(lazy_cls).parameters) == ["scale", "depth", "bias"]
    module = lazy_cls(depth=5)
    module(torch.empty(2, 7))
    assert type(module) is Aliased
    assert module.received == (7, 5, True)


@pytest.mark.parametrize("cls", [PassesBoth, PassesKeywords, NamesTheBase, OldStyle, Mixed, Inherits, Pops, Reads])
def test_what_is_passed_on_arrives(cls: type[nn.Module]) -> None:
    module = lazify(cls, exclude={"width": axis(-1)})(depth=5, bias=False)
    module(torch.empty(2, 7))
    assert type(module) is cls
    assert module.received == (7, 5, False)


def test_positions_that_are_passed_on_arrive() -> None:
    for cls in (PassesBoth, PassesPositions, OldStyle, Mixed):
        module = lazify(cls, exclude={"width": axis(-1)})(5)
        module(torch.empty(2, 7))
        assert module.received == (7, 5, True), cls
    module = lazify(GivesTheFirst, exclude={"depth": axis(-1)})(bias=False)
    module(torch.empty(2, 9))
    assert module.received == (7, 9, False)


def test_a_followed_constructor_refuses_in_pythons_words() -> None:
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'dept'"):
        lazify(PassesKeywords, exclude={"width": axis(-1)})(dept=3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'extra'"):
        lazify(Further, exclude={"width": axis(-1)})()


# ---------------------------------------------------------------------------------------------
# Decorated constructors


def counted(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.counted = True

    return wrapper


def bare(init: Callable[..., None]) -> Callable[..., None]:
    def inner(*arguments: Any, **options: Any) -> None:
        init(*arguments, **options)
        arguments[0].counted = True

    return inner


class WrappedInit(nn.Module):
    @counted
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


class BareInit(nn.Module):
    @bare
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


@pytest.mark.parametrize("cls", [WrappedInit, BareInit])
def test_decorators_on_init_are_seen_through_and_run(cls: type[nn.Module]) -> None:
    lazy_cls = lazify(cls)
    assert list(inspect.signature(lazy_cls).parameters) == ["out_features"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        lazy_cls(out=3)
    module = lazy_cls(4)
    assert module(torch.zeros(2, 5)).shape == (2, 4)
    assert module.counted is True
