"""Code inside a constructor sees the class as it was written: what it reads of the signature has all arguments."""

from __future__ import annotations

import inspect
import threading
import typing
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.pairs import in_form
from lazify import lazify

X = torch.zeros(2, 5)


def arguments_of_constructor(frame: FrameType | None) -> dict[str, Any]:
    """As `save_hyperparameters` of Lightning reads them."""
    assert frame is not None
    names = inspect.signature(frame.f_locals["__class__"].__init__).parameters
    return {name: frame.f_locals[name] for name in names if name != "self"}


class Saving(nn.Module):
    def __init__(self, in_features: int, hidden: int = 3, **more: Any) -> None:
        super().__init__()
        self.saved = arguments_of_constructor(inspect.currentframe())
        self.names = list(inspect.signature(type(self)).parameters)
        self.hints = list(typing.get_type_hints(type(self).__init__))
        self.linear = nn.Linear(in_features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


def test_every_argument_is_seen_with_its_value(form: str) -> None:
    lazy_class, _ = in_form(form, Saving)
    module, whole = lazy_class(hidden=4, note="n"), lazy_class(in_features=5, hidden=4)
    list(module.parameters())
    module(X)
    for each, more in ((module, {"note": "n"}), (whole, {})):
        assert each.saved == {"in_features": 5, "hidden": 4, "more": more}
        assert each.names == ["in_features", "hidden", "more"]
        assert each.hints[:2] == ["in_features", "hidden"]


def test_from_outside_the_signature_is_the_lazified_one() -> None:
    inside, done, seen = threading.Event(), threading.Event(), []

    @lazify(exclude=["in_features"])
    class Slow(nn.Module):
        def __init__(self, in_features: int, hidden: int = 3) -> None:
            super().__init__()
            seen.append(list(inspect.signature(Slow).parameters))
            inside.set()
            assert done.wait(60)
            self.linear = nn.Linear(in_features, hidden)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(x)
            return out

    thread = threading.Thread(target=lambda: Slow(in_features=5))
    thread.start()
    assert inside.wait(60)
    try:
        meanwhile = list(inspect.signature(Slow).parameters), list(inspect.signature(Slow.__init__).parameters)
    finally:
        done.set()
        thread.join()
    assert seen == [["in_features", "hidden"]]
    assert meanwhile == (["hidden"], ["self", "hidden"])
    assert list(inspect.signature(Slow).parameters) == ["hidden"]


def test_in_a_trial_run_and_in_a_subclass_with_its_own_constructor() -> None:
    @lazify(exclude=["zz"])
    class Odd(nn.Module):
        def __init__(self, zz: int, out: int = 3) -> None:
            super().__init__()
            self.saved = arguments_of_constructor(inspect.currentframe())
            self.linear = nn.Linear(self.saved["zz"], out)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(x)
            return out

    class Own(Odd):
        def __init__(self, width: int) -> None:
            super().__init__(width, 2)
            self.own = arguments_of_constructor(inspect.currentframe())

    module = Odd()
    module(X)
    assert module.saved == {"zz": 5, "out": 3}
    assert (Own(5).saved, Own(5).own) == ({"zz": 5, "out": 2}, {"width": 5})


def test_a_constructor_that_fails_leaves_the_signature_lazified() -> None:
    @lazify(exclude=["in_features"])
    class Failing(nn.Module):
        def __init__(self, in_features: int) -> None:
            raise ArithmeticError

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(ArithmeticError):
        Failing()(X)
    assert not inspect.signature(Failing).parameters


def test_a_class_that_constructs_itself() -> None:
    @lazify(exclude=["width"])
    class Tree(nn.Module):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return super().__new__(cls)

        def __init__(self, width: int, depth: int = 0) -> None:
            super().__init__()
            self.linear = nn.Linear(width, width)
            self.inner = Tree(width, depth - 1) if depth else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(self.linear(x))
            return out

    module = Tree(depth=2)
    module(X)
    assert type(module.inner.inner.inner) is nn.Identity
