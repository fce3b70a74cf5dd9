"""Attributes, buffers, parameters and submodules that are set before the first call hold after it."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from helpers.first_call import X, pair_of
from helpers.pairs import in_form


def test_attributes_of_every_kind_read_back_and_hold(form: str) -> None:
    pair = pair_of(form)
    values: dict[str, Callable[[], Any]] = {
        "note": lambda: "text",
        "sizes": lambda: [1, 2],
        "extra": lambda: nn.Parameter(torch.ones(2)),
        "child": lambda: nn.Sequential(nn.ReLU()),
        "table": lambda: torch.arange(3),
        "nothing": lambda: None,
        "function": lambda: len,
    }
    for name, value in values.items():
        for module in (pair.lazy, pair.eager):
            setattr(module, name, made := value())
            assert getattr(module, name) is made
    before = {name: getattr(pair.lazy, name) for name in values}
    pair.call(X)
    pair.check()
    for name, value in before.items():
        assert getattr(pair.lazy, name) is value
    assert "extra" in dict(pair.lazy.named_parameters())
    assert "child.0" in dict(pair.lazy.named_modules())


def test_attributes_may_change_kind_and_go(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        module.one = 1
        module.one = nn.Parameter(torch.ones(2))
        module.two = nn.ReLU()
        del module.two
        module.two = "two"
        module.three = 3
        del module.three
        module.four = nn.Parameter(torch.ones(1))
        module.four = None
        module.five = nn.Parameter(torch.ones(1))
        del module.five
        module.six = nn.Tanh()
        del module.six
        log.append([hasattr(module, name) for name in ("three", "five", "six")])
        log.append((module.one.shape, module.two, module.four))

    pair.do(act)
    pair.call(X)
    pair.check()


def test_attributes_of_the_constructor_may_be_replaced(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        module.linear = nn.Sequential(nn.Identity())
        module.norm = nn.BatchNorm1d(5)
        module.scale = torch.full((5,), 2.0)  # a buffer, and so it stays
        module.width = 30

    pair.do(act)
    pair.call(X)
    pair.check()
    assert "scale" in dict(pair.lazy.named_buffers())


def test_a_tied_parameter_is_the_same_object_after(form: str) -> None:
    class Tied(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(7, in_features))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight.t()

    module, table = in_form(form, Tied)[0](), nn.Embedding(7, 5)
    module.weight = table.weight
    assert module.weight is table.weight
    module(X)
    assert module.weight is table.weight


def test_forward_replaced_on_the_instance_is_what_runs(form: str) -> None:
    pair = pair_of(form)

    def forward(self: Any, x: Tensor) -> Tensor:
        return self.linear(x) * 2

    pair.do(lambda module, log: setattr(module, "forward", types.MethodType(forward, module)))
    pair.call(X)
    pair.check()
    assert pair.lazy.forward.__self__ is pair.lazy


def test_registrations(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        module.register_buffer("kept", torch.ones(2))
        module.register_buffer("passing", torch.ones(2), persistent=False)
        module.register_buffer("none", None)
        module.register_parameter("free", nn.Parameter(torch.ones(2), requires_grad=False))
        module.register_parameter("absent", None)
        module.register_module("inner", nn.ReLU())
        module.add_module("outer", nn.Tanh())
        log.append((module.kept.shape, module.passing.shape, module.none, module.absent, type(module.inner)))

    pair.do(act)
    pair.call(X)
    pair.check()
    assert list(pair.lazy.state_dict()) == list(pair.eager.state_dict())
    assert "passing" not in pair.lazy.state_dict()


def test_what_was_attached_before_a_conversion_is_converted(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        module.early = nn.Parameter(torch.ones(2))
        module.register_buffer("early_buffer", torch.ones(2))
        module.double()
        module.late = nn.Parameter(torch.ones(2))
        module.requires_grad_(False)
        module.latest = nn.Parameter(torch.ones(2))

    pair.do(act)
    pair.call(X.double())
    pair.check()
