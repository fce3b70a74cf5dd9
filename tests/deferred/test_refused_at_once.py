"""Setters run, and what the real module would refuse is refused, before the first call as on the eager module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lazify import is_lazy, lazify

X = torch.ones(2, 5)


class Properties(nn.Module):
    """Properties with setters that check, count and need the real layers; a name that is taken; a reserved method."""

    heard: list[Any] = []

    def __init__(self, dim: int) -> None:
        super().__init__()
        self._owner: Any = None
        self._gain = 1.0
        self.linear = nn.Linear(dim, 2)
        self.register_buffer("scale", torch.ones(2))

    @property
    def owner(self) -> Any:
        return self._owner

    @owner.setter
    def owner(self, value: Any) -> None:
        if value == "bad":
            raise ZeroDivisionError(value)
        Properties.heard.append(value)
        self._owner = value

    @owner.deleter
    def owner(self) -> None:
        self._owner = "deleted"

    @property
    def width(self) -> int:
        return self.linear.in_features

    @width.setter
    def width(self, value: int) -> None:
        self.linear.bias.data.fill_(value / self.linear.in_features)

    @property
    def fixed(self) -> int:
        return 1

    def encode(self) -> None: ...

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


class Checking(Properties):
    """A `__setattr__` that refuses and changes values."""

    def __setattr__(self, name: str, value: Any) -> None:
        if value == "refused":
            raise ArithmeticError(name)
        super().__setattr__(name, value)


REFUSED: dict[str, Callable[[nn.Module], Any]] = {
    "a setter": lambda m: setattr(m, "owner", "bad"),
    "no setter": lambda m: setattr(m, "fixed", 2),
    "no deleter": lambda m: delattr(m, "fixed"),
    "a submodule's name": lambda m: setattr(m, "linear", 3),
    "a buffer's name": lambda m: setattr(m, "scale", 3),
    "a buffer with a name that is taken": lambda m: m.register_buffer("linear", torch.ones(1)),
    "a buffer with the name of an attribute": lambda m: m.register_buffer("_gain", torch.ones(1)),
    "a parameter with the name of a method": lambda m: m.register_parameter("encode", nn.Parameter(torch.ones(1))),
    "a parameter set as a method": lambda m: setattr(m, "encode", nn.Parameter(torch.ones(1))),
    "a submodule with the name of a method": lambda m: m.add_module("encode", nn.ReLU()),
    "a dot": lambda m: m.add_module("a.b", nn.ReLU()),
}


@pytest.mark.parametrize("cls", [Properties, Checking])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_once_with_the_same_error(name: str, cls: type[nn.Module]) -> None:
    lazy = lazify(cls, exclude=["dim"])()
    with pytest.raises(Exception, match=r"\w") as expected:
        REFUSED[name](cls(5))
    for asked in (False, True):
        if asked:
            list(lazy.parameters())
        with pytest.raises(type(expected.value)) as caught:
            REFUSED[name](lazy)
        assert str(caught.value).replace("Lazy", "") == str(expected.value)
        assert is_lazy(lazy)
    lazy(X)


def test_a_setattr_that_refuses() -> None:
    lazy = lazify(Checking, exclude=["dim"])()
    with pytest.raises(ArithmeticError, match="note"):
        lazy.note = "refused"
    assert not hasattr(lazy, "note")
    lazy.note = "taken"
    lazy(X)
    assert lazy.note == "taken"


def test_a_setter_runs_once_and_at_once() -> None:
    for asked in (False, True):
        lazy = lazify(Properties, exclude=["dim"])()
        if asked:
            list(lazy.parameters())
        Properties.heard.clear()
        lazy.owner = "me"
        assert (lazy.owner, Properties.heard) == ("me", ["me"])
        lazy(X)
        assert (lazy.owner, Properties.heard) == ("me", ["me"])
    lazy = lazify(Properties, exclude=["dim"])()
    del lazy.owner
    assert lazy.owner == "deleted"
    lazy(X)
    assert lazy.owner == "deleted"


def test_a_setter_that_needs_the_real_module_waits() -> None:
    lazy = lazify(Properties, exclude=["dim"])()
    lazy.width = 10
    assert not hasattr(lazy, "width")
    lazy(X)
    assert (lazy.width, lazy.linear.bias.tolist()) == (5, [2.0, 2.0])


class Caching(nn.Module):
    def __init__(self, dim: int, option: Any = None) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, 2)
        if option is not None:
            self._options = {"dim": dim, "option": option}

    @property
    def options(self) -> Any:
        if not hasattr(self, "_options"):
            self._options = {}
        return self._options

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


def test_what_a_getter_fills_in_gives_way_to_what_the_constructor_sets() -> None:
    lazy, without = lazify(Caching, exclude=["dim"])(option=1), lazify(Caching, exclude=["dim"])()
    for module in (lazy, without):
        assert module.options == {}
        assert module.options is module.options
    options = without.options
    for module in (lazy, without):
        module(X)
    assert lazy.options == {"dim": 5, "option": 1}
    assert without.options is options


def test_names_that_an_operation_has_freed() -> None:
    lazy, eager = lazify(Properties, exclude=["dim"])(), Properties(5)
    for module in (lazy, eager):
        del module.scale
        module.scale = 3
        module.linear = None
        module.linear = nn.Linear(5, 3)
        with pytest.raises(KeyError, match="already exists"):
            module.register_buffer("scale", torch.ones(1))
    assert lazy(X).shape == eager(X).shape
    assert lazy.scale == 3


def test_setters_of_submodules() -> None:
    class Outer(nn.Module):
        def __init__(self, dim: int) -> None:
            super().__init__()
            self.inner = Properties(dim)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x)
            return out

    lazy = lazify(Outer, exclude=["dim"])()
    Properties.heard.clear()
    lazy.inner.owner = "me"
    with pytest.raises(ZeroDivisionError):
        lazy.inner.owner = "bad"
    with pytest.raises(TypeError, match="cannot assign"):
        lazy.inner.linear = 3
    lazy(X)
    assert (lazy.inner.owner, Properties.heard) == ("me", ["me"])
