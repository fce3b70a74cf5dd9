"""Conversions, modes, `requires_grad_` and `apply` before the first call hold after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from helpers.first_call import CONVERSIONS, X, draw_anew, pair_of
from helpers.modules import Block
from helpers.pairs import in_form
from lazify import is_lazy

# ---------------------------------------------------------------------------------------------
# Conversions, modes, requires_grad_


@pytest.mark.parametrize("name", CONVERSIONS)
def test_what_was_converted_before_is_converted_after(form: str, name: str) -> None:
    pair = pair_of(form)
    pair.do(lambda module, log: CONVERSIONS[name](module))
    pair.call(X.to(next(pair.eager.parameters()).dtype))
    pair.check()


def test_zero_grad_before_is_harmless(form: str) -> None:
    pair = pair_of(form)
    assert pair.do(lambda module, log: module.zero_grad(set_to_none=False)) == (None, None)
    pair.call(X)
    pair.check()


@pytest.mark.parametrize("name", ["eval", "train", "half", "requires_grad_", "cpu"])
def test_conversions_return_the_instance(form: str, name: str) -> None:
    module = in_form(form, Block)[0]()
    assert getattr(module, name)() is module
    assert is_lazy(module)


def test_the_mode_shows_before_the_call(form: str) -> None:
    module = in_form(form, Block)[0]()
    assert module.training is True
    assert module.eval().training is False
    assert module.train().training is True
    outer = nn.Sequential(module).eval()
    assert module.training is outer.training is False


def test_the_mode_as_an_attribute(form: str) -> None:
    pair = pair_of(form)
    pair.do(lambda module, log: setattr(module, "training", False))
    assert pair.lazy.training is False
    pair.call(X)
    pair.check()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda m: m.to("no such device"), RuntimeError),
        (lambda m: m.to(torch.int64), TypeError),
        (lambda m: m.train("yes"), ValueError),
        (lambda m: m.half(1), TypeError),
        (lambda m: m.apply(), TypeError),
        (lambda m: m.requires_grad_(True, True), TypeError),
        (lambda m: m.register_forward_hook(), TypeError),
        (lambda m: m.register_buffer("a.b", torch.ones(1)), KeyError),
        (lambda m: m.register_parameter("a", torch.ones(1)), TypeError),
        (lambda m: m.add_module("a", 3), TypeError),
    ],
)
def test_mistakes_surface_at_once_and_leave_no_trace(form: str, wrong: Any, error: type[Exception]) -> None:
    pair = pair_of(form)
    for module in (pair.eager, pair.lazy):
        with pytest.raises(error):
            wrong(module)
    pair.call(X)
    pair.check()


# ---------------------------------------------------------------------------------------------
# apply


def test_apply_is_deferred_and_in_order(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        module.apply(draw_anew(1.0))
        module.half()
        module.float()
        module.apply(lambda m: log.append(type(m)))
        module.requires_grad_(False)
        module.apply(draw_anew(2.0))

    pair.do(act)
    assert pair.logs[0] == []
    pair.call(X)
    assert pair.logs[0][:-1] == [nn.Linear, nn.BatchNorm1d, nn.Dropout]
    pair.check()


def test_apply_on_a_parent_reaches_lazy_children(form: str) -> None:
    lazy_cls, _ = in_form(form, Block)
    model = nn.Sequential(lazy_cls(), nn.ReLU(), lazy_cls(4))
    model.apply(draw_anew(1.0))
    model(X)
    assert [m.visited for m in model.modules()] == [(1.0,)] * 10
