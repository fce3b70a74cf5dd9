"""A lazy class keeps what its wrapped class is: instances, attributes, names, documentation."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

from helpers.modules import plain_head
from helpers.pairs import in_form
from lazify import is_lazy, lazify

X = torch.zeros(2, 5)


def test_instances_and_subclasses(form: str) -> None:
    head = plain_head()
    lazy_cls, cls = in_form(form, head)
    module = lazy_cls()
    assert isinstance(module, head)
    assert isinstance(module, cls)
    assert isinstance(module, lazy_cls)
    assert isinstance(module, nn.Module)
    assert issubclass(type(module), head)
    assert issubclass(lazy_cls, head)
    assert not isinstance(nn.ReLU(), lazy_cls)
    module(X)
    assert isinstance(module, cls)
    assert isinstance(cls(in_features=3), head)


def test_what_the_class_has_is_there_before_the_call(form: str) -> None:
    lazy_cls, cls = in_form(form, plain_head())
    module = lazy_cls()
    assert lazy_cls.kind == module.kind == "linear"
    assert lazy_cls.describe() == module.describe() == "a head"
    with pytest.raises(AttributeError, match="'width' is not known yet"):
        _ = module.width
    module(X)
    assert module.width == 5
    assert cls.kind == "linear"


def test_class_attributes_may_be_set_on_a_decorated_class() -> None:
    decorated, _ = in_form("decorated", plain_head())
    decorated.kind = "other"
    module = decorated()
    assert module.kind == "other"
    module(X)
    assert module.kind == "other"


def test_classmethod_constructors_are_lazy(form: str) -> None:
    lazy_cls, cls = in_form(form, plain_head())
    module = lazy_cls.narrow(bias=False)
    assert is_lazy(module)
    assert module(X).shape == (2, 1)
    assert type(module) is cls
    assert type(lazy_cls.narrow(in_features=5)) is cls


def test_names_and_docs(form: str) -> None:
    lazy_cls, cls = in_form(form, plain_head())
    if form == "function":
        assert lazy_cls.__name__ == "LazyHead"
    else:
        assert lazy_cls.__name__ == cls.__name__
    assert lazy_cls.__module__ == cls.__module__
    doc = inspect.getdoc(lazy_cls)
    assert doc is not None
    assert "A head." in doc


def test_old_style_super() -> None:
    @lazify(exclude=["in_features"])
    class Old(nn.Module):
        def __init__(self, in_features: int) -> None:
            super(Old, self).__init__()  # noqa: UP008
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

        def extra_repr(self) -> str:
            return super(Old, self).extra_repr() + "old"  # noqa: UP008

    module = Old()
    module(X)
    assert type(module) is Old
    assert "old" in repr(module)


def test_explicit_base_init(form: str) -> None:
    class Explicit(nn.Module):
        def __init__(self, in_features: int) -> None:
            nn.Module.__init__(self)
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    lazy_cls, cls = in_form(form, Explicit)
    module = lazy_cls()
    module(X)
    assert type(module) is cls


def test_a_renamed_lazy_class_has_its_name_everywhere() -> None:
    renamed = lazify(plain_head())
    renamed.__name__ = "LazyTop"
    assert repr(renamed()).startswith("LazyTop(")
    with pytest.raises(TypeError, match=r"^LazyTop\.__init__\(\) got an unexpected keyword argument"):
        renamed(nothing=1)
    with pytest.raises(AttributeError, match=r"this LazyTop waits for its first call"):
        _ = renamed().width
