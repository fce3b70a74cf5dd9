"""Every form of `lazify`: as a function, as a decorator, with and without `exclude`."""

from __future__ import annotations

import gc
import inspect
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lazify as package
from helpers.modules import AtModuleLevel, plain_head
from helpers.pairs import in_form
from lazify import axis, is_lazy, lazify

X = torch.zeros(2, 5)


def test_the_function_forms() -> None:
    head = plain_head()
    for lazy_cls in (
        lazify(head),
        lazify(head, exclude=None),
        lazify(head, exclude=["in_features"]),
        lazify(head, exclude=("in_features",)),
        lazify(head, exclude={"in_features"}),
        lazify(head, exclude=(name for name in ["in_features"])),
        lazify(head, exclude="in_features"),
        lazify(head, exclude={"in_features": axis(-1)}),
        lazify(head, exclude={"in_features": axis(-1, of="x")}),
        lazify(head, exclude={"in_features": lambda x: x.shape[-1]}),
    ):
        assert lazy_cls is not head
        assert issubclass(lazy_cls, head)
        assert list(inspect.signature(lazy_cls).parameters) == ["out_features", "bias"]
        module = lazy_cls(4)
        assert is_lazy(module)
        assert module(X).shape == (2, 4)
        assert type(module) is head


def test_the_decorator_forms() -> None:
    @lazify
    class Bare(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    @lazify()
    class Called(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    @lazify(exclude=["size"])
    class Listed(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.linear = nn.Linear(size, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    @lazify(exclude={"size": axis(-1)})
    class Ruled(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.linear = nn.Linear(size, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    for cls in (Bare, Called, Listed, Ruled):
        assert isinstance(cls, type)
        assert list(inspect.signature(cls).parameters) == []
        module = cls()
        assert is_lazy(module)
        assert isinstance(module, cls)
        assert module(X).shape == (2, 3)
        assert type(module) is cls


def test_a_bare_decorator_at_module_level_rewrites_in_place() -> None:
    module = AtModuleLevel()
    assert is_lazy(module)
    module(X)
    assert type(module) is AtModuleLevel


def test_a_decorated_class_in_a_function_that_knew_the_name_before() -> None:
    made = []
    for _ in range(2):  # the second time round, `Again` still names the first

        @lazify
        class Again(nn.Module):
            def __init__(self, in_features: int) -> None:
                super().__init__()

            def forward(self, x: Tensor) -> Tensor:
                return x

        made.append(Again)
    for cls in made:
        module = cls()
        module(X)
        assert type(module) is cls


def test_lazify_as_a_function_of_a_local_class_is_no_decorator() -> None:
    head = plain_head()
    before = dict(vars(head))
    lazy_cls = lazify(head)
    assert lazy_cls is not head
    assert dict(vars(head)) == before


def test_a_lazy_class_of_a_class_in_a_container() -> None:
    """Only the list refers to it, no variable of its own."""
    heads = [plain_head()]
    before = dict(vars(heads[0]))
    lazy_classes = [lazify(each, exclude=["in_features"]) for each in heads]
    assert lazy_classes[0] is not heads[0]
    assert dict(vars(heads[0])) == before


def test_a_class_that_only_a_container_holds_is_left_alone_too() -> None:
    class Holder:
        head = plain_head()

    held = {"head": plain_head()}
    for cls, lazy_cls in ((Holder.head, lazify(Holder.head)), (held["head"], lazify(held["head"]))):
        assert lazy_cls is not cls
        assert not is_lazy(cls(5))


@pytest.mark.parametrize("cls", [nn.Linear, nn.LSTM, nn.MultiheadAttention])
def test_the_function_form_leaves_the_class_alone(cls: type[nn.Module]) -> None:
    before = {each: dict(vars(each)) for each in cls.__mro__}
    subclasses = set(cls.__subclasses__())
    lazy_cls = lazify(cls)
    assert {each: dict(vars(each)) for each in cls.__mro__} == before
    assert set(cls.__subclasses__()) - subclasses <= {lazy_cls}


def test_the_same_request_gives_the_same_lazy_class() -> None:
    head = plain_head()
    rule = lambda x: x.shape[-1]  # noqa: E731
    assert lazify(head) is lazify(head)
    assert lazify(head, exclude=["in_features"]) is lazify(head, exclude={"in_features"})
    assert lazify(head, exclude="in_features") is lazify(head, exclude=["in_features"])
    assert lazify(head, exclude={"in_features": axis(-1)}) is lazify(head, exclude={"in_features": axis(-1)})
    assert lazify(head, exclude={"in_features": rule}) is lazify(head, exclude={"in_features": rule})
    both = {"in_features": axis(-1), "out_features": axis(0)}
    assert lazify(head, exclude=both) is lazify(head, exclude=dict(reversed(both.items())))
    others = [
        lazify(head),
        lazify(head, exclude={"in_features": axis(0)}),
        lazify(head, exclude={"in_features": axis(-1)}),
        lazify(head, exclude={"in_features": lambda x: x.shape[-1]}),
        lazify(head, exclude=["out_features"]),
        lazify(plain_head()),
    ]
    assert len(set(others)) == len(others)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, x: Tensor) -> int:
        return x.shape[-1]


def test_unhashable_rules_work() -> None:
    rule = Unhashable()
    lazy_cls = lazify(plain_head(), exclude={"in_features": rule})
    assert lazy_cls()(X).shape == (2, 3)


def test_axes_that_are_equal_as_numbers_stay_apart() -> None:
    head = plain_head()
    assert lazify(head, exclude={"in_features": axis(1)}) is not lazify(head, exclude={"in_features": axis(-1)})


def test_classes_may_be_forgotten(form: str) -> None:
    def make() -> list[weakref.ref[Any]]:
        lazy_cls, cls = in_form(form, plain_head())
        module = lazy_cls()
        module(X)
        return [weakref.ref(lazy_cls), weakref.ref(cls), weakref.ref(module)]

    references = make()
    gc.collect()
    assert [each() for each in references] == [None] * 3


def test_lazy_instances_may_be_forgotten() -> None:
    module = lazify(nn.Linear)(3)
    module.register_forward_hook(lambda *_: None)
    reference = weakref.ref(module)
    del module
    gc.collect()
    assert reference() is None


def test_a_new_class_at_an_old_address_is_not_mistaken() -> None:
    for at in range(4):
        cls = plain_head()
        cls.mark = at
        module = lazify(cls, exclude=["in_features"])()
        module(X)
        assert type(module).mark == at
        del cls, module
        gc.collect()


def test_what_the_package_offers() -> None:
    assert set(package.__all__) <= set(vars(package))
    assert {"lazify", "axis", "is_lazy", "LazifyError", "DefinitionError", "InferenceError"} <= set(package.__all__)
    assert isinstance(package.__version__, str)
