"""Subclasses of decorated classes, and classes that make instances of themselves."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.pairs import in_form
from helpers.twins import assert_twins
from lazify import axis, is_lazy, lazify

X = torch.zeros(2, 5)


# ---------------------------------------------------------------------------------------------
# Subclasses of decorated classes


@lazify(exclude={"in_features": axis(-1)})
class Decorated(nn.Module):
    """A docstring."""

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_a_subclass_with_its_own_constructor_is_eager_and_sees_the_original() -> None:
    class Own(Decorated):
        def __init__(self, label: str) -> None:
            super().__init__(5, 4)
            self.label = label

    class OwnOld(Decorated):
        def __init__(self, label: str) -> None:
            Decorated.__init__(self, 5, out_features=4)
            self.label = label

    for cls in (Own, OwnOld):
        module = cls("x")
        assert type(module) is cls
        assert not is_lazy(module)
        assert module(X).shape == (2, 4)

    class Forgets(Decorated):
        def __init__(self) -> None:
            super().__init__()

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'in_features'"):
        Forgets()


def test_a_subclass_that_inherits_the_constructor_is_lazy() -> None:
    class Scaled(Decorated):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    class Further(Scaled):
        kind = "further"

    for cls in (Scaled, Further):
        module = cls(4)
        assert is_lazy(module)
        assert isinstance(module, Decorated)
        assert repr(module) == f"Lazy{cls.__name__}(in_features=?, out_features=4)"
        module(X)
        assert type(module) is cls
    assert type(Scaled(in_features=5)) is Scaled


def test_a_subclass_whose_forward_takes_other_arguments() -> None:
    class Crossed(Decorated):
        def forward(self, mask: Any, features: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(features)

    module = Crossed()
    module(None, X)
    assert module.linear.in_features == 5


def test_a_subclass_may_be_decorated_itself() -> None:
    @lazify(exclude={"width": axis(-1)})
    class Wide(Decorated):
        def __init__(self, width: int, factor: int = 2) -> None:
            super().__init__(width, width * factor)

    assert list(inspect.signature(Wide).parameters) == ["factor"]
    module = Wide(3)
    assert is_lazy(module)
    assert repr(module) == "LazyWide(width=?, factor=3)"
    assert module(X).shape == (2, 15)
    assert type(module) is Wide
    still = Decorated()
    still(X)
    assert type(still) is Decorated


def test_a_subclass_with_own_constructor_may_be_lazified_as_a_function() -> None:
    class Own(Decorated):
        def __init__(self, in_features: int, label: str = "") -> None:
            super().__init__(in_features, 4)

    module = lazify(Own, exclude=["in_features"])()
    module(X)
    assert type(module) is Own


def test_a_decorated_mixin_first() -> None:
    class Mixin:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.mixed = True

    class Both(Mixin, Decorated):
        pass

    module = Both(5, 4)
    assert not is_lazy(module), "the constructor is the mixin's, which passes everything to the original"
    assert module.mixed
    assert module(X).shape == (2, 4)


def test_composition_of_decorated_classes_builds_in_one_call() -> None:
    @lazify(exclude=["in_features"])
    class Stack(nn.Module):
        def __init__(self, in_features: int, depth: int = 3) -> None:
            super().__init__()
            self.first = Decorated(in_features, 4)  # positionally: not the lazified signature
            self.rest = nn.Sequential(*[Decorated(4) for _ in range(depth)])

        def forward(self, x: Tensor) -> Tensor:
            return self.rest(self.first(x))

    with pytest.raises(TypeError, match="takes from 1 to 2 positional arguments"):
        Stack()(X)


# ---------------------------------------------------------------------------------------------
# Recursion


class Recursive(nn.Module):
    """Makes smaller instances of itself, by type and by name, with the size given."""

    def __init__(self, in_features: int, depth: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, in_features)
        self.by_type = type(self)(in_features, depth - 1) if depth else None
        self.by_class = self.__class__(in_features=in_features, depth=0) if depth else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        return x if self.by_type is None else self.by_class(self.by_type(x))


def test_recursion_by_type(form: str) -> None:
    lazy_cls, cls = in_form(form, Recursive)
    torch.manual_seed(1)
    twin = cls(in_features=5)
    twin(X)
    module = lazy_cls()
    torch.manual_seed(1)
    module(X)
    assert {type(m) for m in module.modules()} == {cls, nn.Linear}
    assert_twins(module, twin)


def test_recursion_by_name() -> None:
    @lazify(exclude={"in_features": axis(-1)})
    class Tree(nn.Module):
        def __init__(self, in_features: int, depth: int = 2) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, in_features)
            self.children_ = nn.ModuleList(Tree(in_features, depth=depth - 1) for _ in range(2 if depth else 0))

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear(x)
            for child in self.children_:
                x = x + child(x)
            return x

    module = Tree(3)
    assert is_lazy(module)
    module(X)
    assert sum(type(m) is Tree for m in module.modules()) == 15
    assert not any(is_lazy(m) for m in module.modules())
    later = Tree()
    assert is_lazy(later)


def test_lazy_recursion_by_name() -> None:
    @lazify(exclude={"in_features": axis(-1)})
    class Chain(nn.Module):
        def __init__(self, in_features: int, out_features: int, depth: int = 2) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, out_features)
            self.next = Chain(out_features=out_features + 1, depth=depth - 1) if depth else None

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear(x)
            return x if self.next is None else self.next(x)

    module = Chain(6)
    assert module(X).shape == (2, 8)
    assert [m.in_features for m in module.modules() if isinstance(m, nn.Linear)] == [5, 6, 7]


def test_all_given_recursion_is_eager() -> None:
    lazy_cls, cls = in_form("decorated", Recursive)
    module = lazy_cls(in_features=5, depth=1)
    assert {type(m) for m in module.modules()} == {cls, nn.Linear}


def test_what_is_inferred_stands_once_in_each_docstring() -> None:
    class Derived(Decorated):
        """Of its own."""

    class Silent(Decorated):
        pass

    first = "Lazily constructed Decorated. Inferred at the first call: `in_features` from axis(-1).\n\nA docstring.\n"
    assert Decorated.__doc__ == type(Decorated(3)).__doc__ == first
    assert str(type(Derived(3)).__doc__).endswith("axis(-1).\n\nOf its own.\n")
    assert type(Silent(3)).__doc__ == first.replace("constructed Decorated", "constructed Silent")
