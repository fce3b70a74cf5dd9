"""Contexts of the first call (no_grad, inference_mode, autocast, devices) do not reach the construction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from helpers.first_call import X, draw_anew, pair_of, train_once
from helpers.hooks import anything
from helpers.modules import Block, Orthogonal
from helpers.pairs import in_form
from helpers.twins import assert_twins


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def everything() -> Iterator[None]:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        yield


CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "default-device": lambda: default_device("meta"),
    "everything": everything,
}


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("cls", [Block, Orthogonal])
def test_contexts_of_the_first_call_do_not_reach_the_construction(
    form: str, cls: type[nn.Module], context: str
) -> None:
    pair = pair_of(form, cls)

    def called(module: nn.Module) -> Any:
        with CONTEXTS[context]():
            return module(X)

    pair.do(lambda module, log: module.register_forward_pre_hook(anything(log, "pre")))
    pair.do(lambda module, log: module.apply(draw_anew(1.0)))
    pair.through(called)
    pair.check()
    assert all(p.requires_grad and p.is_leaf and not p.is_inference() for p in pair.lazy.parameters())
    train_once(pair)
    assert all(p.grad is not None for p in pair.lazy.parameters())


@pytest.mark.parametrize("context", ["no_grad", "inference_mode", "autocast"])
def test_constructing_the_lazy_instance_inside_a_context(form: str, context: str) -> None:
    lazy_cls, _ = in_form(form, Orthogonal)
    with CONTEXTS[context]():
        module = lazy_cls().apply(draw_anew(1.0))
    module(X).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_the_input_may_be_an_inference_tensor(form: str) -> None:
    pair = pair_of(form)

    def called(module: nn.Module) -> Any:
        with torch.inference_mode():
            return module(X.clone())

    pair.through(called)
    train_once(pair)


def test_the_default_dtype_at_the_first_call(form: str) -> None:
    lazy_cls, cls = in_form(form, Block)
    module = lazy_cls()
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(1)
        twin = cls(in_features=5)
        twin(X.double())
        torch.manual_seed(1)
        module(X.double())
    finally:
        torch.set_default_dtype(torch.float32)
    assert_twins(module, twin)
    assert module.linear.weight.dtype == torch.float64
