"""Classes with slots or with a `__new__` of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.pairs import in_form
from helpers.twins import assert_twins
from lazify import axis, is_lazy, lazify

X = torch.zeros(2, 5)


class Slotted(nn.Module):
    __slots__ = ("__private", "size", "unset")

    def __init__(self, in_features: int) -> None:
        super().__init__()
        object.__setattr__(self, "size", in_features)
        object.__setattr__(self, "_Slotted__private", [in_features])
        self.linear = nn.Linear(in_features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_slots(form: str) -> None:
    lazy_cls, cls = in_form(form, Slotted)
    module = lazy_cls()
    assert is_lazy(module)
    with pytest.raises(RuntimeError):
        module(X.long())
    assert is_lazy(module)
    with pytest.raises(AttributeError):
        _ = module.size
    torch.manual_seed(1)
    module(X)
    torch.manual_seed(1)
    twin = cls(in_features=5)
    twin(X)
    assert type(module) is cls
    assert module.size == 5
    assert_twins(module, twin)


class ChoosesKind(nn.Module):
    """`__new__` decides which sibling it is."""

    def __new__(cls, in_features: int, kind: str = "plain") -> Any:
        return super().__new__(Sibling if kind == "sibling" else cls)

    def __init__(self, in_features: int, kind: str = "plain") -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, self.out())

    def out(self) -> int:
        return 3

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Sibling(ChoosesKind):
    def out(self) -> int:
        return 4


class NewDoesMore(nn.Module):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        nn.Module.__init__(made)
        made.born_with = (args, sorted(kwargs))
        return made

    def __init__(self, in_features: int, *, out_features: int = 3) -> None:
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class NewIsElsewhere(nn.Module):
    """Returns something that is no instance of the class: Python then leaves `__init__` out."""

    def __new__(cls, in_features: int) -> Any:
        return nn.Linear(in_features, 3)

    def __init__(self, in_features: int) -> None:
        raise AssertionError("not called by Python")

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("kind", ["plain", "sibling"])
def test_new_may_choose_a_sibling(kind: str) -> None:
    module = lazify(ChoosesKind)(kind)
    assert is_lazy(module)
    torch.manual_seed(1)
    module(X)
    torch.manual_seed(1)
    twin = ChoosesKind(5, kind)
    assert type(module) is type(twin)
    assert_twins(module, twin)
    assert type(lazify(ChoosesKind)(kind, in_features=5)) is type(twin)


def test_new_of_a_decorated_class_may_choose_a_sibling() -> None:
    @lazify(exclude={"in_features": axis(-1)})
    class Choosing(nn.Module):
        def __new__(cls, in_features: int, kind: str = "plain") -> Any:
            return super().__new__(Other if kind == "sibling" else cls)

        def __init__(self, in_features: int, kind: str = "plain") -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    class Other(Choosing):
        pass

    for kind, cls in (("plain", Choosing), ("sibling", Other)):
        module = Choosing(kind)
        assert is_lazy(module)
        module(X)
        assert type(module) is cls
        assert type(Choosing(kind, in_features=5)) is cls


def test_new_runs_at_the_first_call_with_all_arguments(form: str) -> None:
    own = {"__new__": NewDoesMore.__new__, "__init__": NewDoesMore.__init__}
    cls = NewDoesMore if form == "function" else type("NewDoesMore", (NewDoesMore,), own)
    lazy_cls = lazify(cls) if form == "function" else lazify(exclude={"in_features": axis(-1)})(cls)
    if form == "subclass":
        lazy_cls = cls = type("Sub", (lazy_cls,), {})
    module = lazy_cls(out_features=4)
    assert is_lazy(module)
    torch.manual_seed(1)
    module(X)
    torch.manual_seed(1)
    twin = cls(out_features=4, in_features=5)
    twin(X)
    assert type(module) is cls
    assert_twins(module, twin)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        lazy_cls(out=4)


def test_new_may_return_something_else_altogether() -> None:
    module = lazify(NewIsElsewhere)()
    assert module(X).shape == (2, 3)
    assert type(module) is nn.Linear


def test_singletons_by_new() -> None:
    """A class that keeps its instances: the lazy instance must not be lost among them."""

    class Cached(nn.Module):
        made: dict[int, Any] = {}

        def __new__(cls, in_features: int) -> Any:
            if in_features not in cls.made:
                cls.made[in_features] = super().__new__(cls)
            return cls.made[in_features]

        def __init__(self, in_features: int) -> None:
            if not hasattr(self, "_modules"):
                super().__init__()
                self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    module = lazify(Cached)()
    assert module(X).shape == (2, 3)
    assert type(module) is Cached
