"""Classes that override what `nn.Module` itself does, and unusual forwards."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.pairs import in_form
from helpers.twins import assert_twins
from lazify import is_lazy

X = torch.zeros(2, 5)


def test_own_setattr_and_getattr(form: str) -> None:
    class Delegating(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.inner = nn.Linear(in_features, 3)

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(super().__getattr__("inner"), name)

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value * 2 if name == "doubled" else value)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) / self.out_features

    lazy_cls, cls = in_form(form, Delegating)
    module = lazy_cls()
    module.doubled = 4
    module(X)
    assert type(module) is cls
    assert module.in_features == 5
    assert module.doubled == 8


def test_own_methods_named_like_those_of_module(form: str) -> None:
    """A class that overrides `train` (frozen statistics), `apply` or `to` has its own run, not Module's."""

    class Frozen(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(in_features)
            self.log: list[str] = []

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.log.append(f"train({mode})")
            self.norm.eval()
            return self

        def to(self, *args: Any, **kwargs: Any) -> Any:
            self.log.append("to")
            return super().to(*args, **kwargs)

        def apply(self, fn: Any) -> Any:
            self.log.append("apply")
            return super().apply(fn)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x)

    lazy_cls, cls = in_form(form, Frozen)
    twin, module = cls(in_features=5), lazy_cls()
    for each in (twin, module):
        assert each.train() is each
        assert each.to(torch.float64) is each
        assert each.apply(lambda m: None) is each
    for each in (twin, module):
        each(X.double())
    assert module.log == ["train(True)", "to", "apply"]
    assert not module.norm.training
    assert_twins(module, twin)


def test_a_class_without_a_forward_of_its_own(form: str) -> None:
    """Some override `__call__` alone, or get their forward later: lazify must at least be able to say what is wrong."""

    class NoForward(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()

    module = in_form(form, NoForward)[0]()
    with pytest.raises(NotImplementedError, match="missing the required"):
        module(X)
    assert is_lazy(module)


def test_forwards_that_take_no_self(form: str) -> None:
    class Static(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x * 2

    class OfClass(Static):
        def __init__(self, in_features: int) -> None:
            super().__init__(in_features)

        @classmethod
        def forward(cls, x: Tensor) -> Tensor:
            return x * 2

    for cls in (Static, OfClass):
        module = in_form(form, cls)[0]()
        assert torch.equal(module(x=X), X * 2)
        assert module.linear.in_features == 5


def test_a_forward_that_only_the_constructor_knows(form: str) -> None:
    class Late(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)
            self.forward = self.run

        def run(self, x: Tensor) -> Tensor:
            return self.linear(x)

    for args, kwargs in (((X,), {}), ((), {"x": X})):
        module = in_form(form, Late)[0]()
        assert module(*args, **kwargs).shape == (2, 3)
        assert module.linear.in_features == 5


def test_forward_as_something_else_than_a_function(form: str) -> None:
    class Partial(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def run(self, scale: float, x: Tensor) -> Tensor:
            return self.linear(x) * scale

        forward = functools.partialmethod(run, 2.0)

    module = in_form(form, Partial)[0]()
    module(X)
    assert module.linear.in_features == 5
