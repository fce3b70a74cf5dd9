"""Generic classes, dataclasses, abstract classes and classes with a `__getattribute__`."""

from __future__ import annotations

import abc
from dataclasses import InitVar, dataclass, field
from typing import Any, Generic, TypeVar

import pytest
import torch
from torch import Tensor, nn

from helpers.pairs import in_form
from lazify import axis, is_lazy, lazify

X = torch.zeros(2, 5)

T = TypeVar("T")


class GenericHead(nn.Module, Generic[T]):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_generic_classes() -> None:
    @lazify(exclude={"in_features": axis(-1)})
    class Own(nn.Module, Generic[T]):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    class OfTensor(Own[Tensor]):
        pass

    for lazy_cls, cls in ((lazify(GenericHead), GenericHead), (Own, Own), (OfTensor, OfTensor)):
        module = lazy_cls()
        assert is_lazy(module)
        module(X)
        assert type(module) is cls
    parametrized = lazify(GenericHead)[int]()
    parametrized(X)
    assert type(parametrized) is GenericHead
    assert parametrized.__orig_class__.__args__ == (int,)
    own = Own[int]()
    own(X)
    assert own.__orig_class__ == Own[int]


def test_dataclasses(form: str) -> None:
    @dataclass(eq=False)
    class Fields(nn.Module):
        in_features: int
        sizes: list[int] = field(default_factory=list)
        scale: InitVar[float] = 2.0
        bias: bool = field(default=True, kw_only=True)

        def __post_init__(self, scale: float) -> None:
            super().__init__()
            self.linear = nn.Linear(self.in_features, 3, bias=self.bias)
            self.scale_ = scale

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) * self.scale_

    lazy_cls, cls = in_form(form, Fields)
    module = lazy_cls([1], 3.0, bias=False)
    assert is_lazy(module)
    module(X)
    assert type(module) is cls
    assert (module.in_features, module.sizes, module.scale_, module.bias) == (5, [1], 3.0, False)
    assert type(lazy_cls(in_features=2)) is cls


def test_dataclasses_that_are_modules_first() -> None:
    @dataclass(eq=False, kw_only=True)
    class Early(nn.Module):
        in_features: int
        out_features: int = 3

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            made = super().__new__(cls)
            nn.Module.__init__(made)
            return made

        def __post_init__(self) -> None:
            self.linear = nn.Linear(self.in_features, self.out_features)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    for lazy_cls in (lazify(Early), lazify()(Early)):
        module = lazy_cls(out_features=4)
        assert is_lazy(module)
        assert module(X).shape == (2, 4)
        assert type(module) is Early
        assert type(lazy_cls(in_features=3)) is Early


class Abstract(nn.Module, abc.ABC):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.net = self.build(in_features)

    @abc.abstractmethod
    def build(self, size: int) -> nn.Module: ...

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Concrete(Abstract):
    def build(self, size: int) -> nn.Module:
        return nn.Linear(size, 3)


def test_abstract_classes_refuse_and_concrete_ones_do_not(form: str) -> None:
    abstract, _ = in_form(form, Abstract)
    with pytest.raises(TypeError, match="abstract"):
        abstract()
    with pytest.raises(TypeError, match="abstract"):
        abstract(in_features=3)
    concrete, cls = in_form(form, Concrete)
    module = concrete()
    assert is_lazy(module)
    assert isinstance(module, Abstract)
    module(X)
    assert type(module) is cls


def test_a_concrete_subclass_of_a_decorated_abstract_class_is_lazy() -> None:
    base, _ = in_form("decorated", Abstract)

    class Real(base):  # type: ignore[valid-type, misc]
        def build(self, size: int) -> nn.Module:
            return nn.Linear(size, 4)

    module = Real()
    assert is_lazy(module)
    assert module(X).shape == (2, 4)
    assert type(module) is Real


def test_virtual_subclasses_stay_registered() -> None:
    class Interface(abc.ABC):  # noqa: B024
        pass

    Interface.register(Concrete)
    module = lazify(Concrete)()
    assert isinstance(module, Interface)
    module(X)
    assert isinstance(module, Interface)


def test_a_parametrized_generic_class_leaves_nothing_lazy_behind() -> None:
    lazy_class = lazify(GenericHead, exclude=["in_features"])
    eager: Any = GenericHead[int](5, 4)
    lazy: Any = lazy_class[int](4)  # type: ignore[index]
    given: Any = lazy_class[int](4, in_features=5)  # type: ignore[index]
    assert is_lazy(lazy)
    lazy(torch.ones(2, 5))
    for real in (lazy, given):
        assert vars(real)["__orig_class__"] == vars(eager)["__orig_class__"] == GenericHead[int]
    assert repr(lazy_class[int]).endswith(".LazyGenericHead[int]")  # type: ignore[index]


def test_classes_that_read_every_attribute_themselves(form: str) -> None:
    class Watched(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.names: list[str] = []
            self.linear = nn.Linear(in_features, 3)

        def __getattribute__(self, name: str) -> Any:
            if name.startswith("_lazify"):
                raise AssertionError(f"{name} is read of the instance")
            return super().__getattribute__(name)

        def forward(self, x: torch.Tensor) -> Any:
            return self.linear(x)

    lazy_cls, cls = in_form(form, Watched)
    module = lazy_cls()
    module(torch.ones(2, 5))
    assert type(module) is cls
