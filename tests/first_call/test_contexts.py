"""Contexts of the first call (no_grad, inference_mode, autocast, devices) do not reach the construction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from helpers.first_call import X, draw_anew, pair_of, train_once
from helpers.hooks import anything
from helpers.modules import Block, Orthogonal
from helpers.pairs import in_form
from helpers.twins import assert_twins
from lazify import is_lazy, lazify, materialize
from lazify.errors import NotMaterializedError


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


class Searched(nn.Module):
    """A size that only a search finds."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.linear = nn.Linear(count, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


TRACERS: dict[str, Callable[[nn.Module], Any]] = {
    "jit.trace": lambda module: torch.jit.trace(lambda x: module(x), (X,), check_trace=False),
    "_get_trace_graph": lambda module: torch.jit._get_trace_graph(module, (X,)),  # torch.onnx.export, fvcore
    "make_fx": lambda module: make_fx(module)(X),
    "make_fx pre_dispatch": lambda module: make_fx(module, pre_dispatch=True)(X),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")  # from 2.14
@pytest.mark.parametrize("tracer", TRACERS)
def test_no_tracer_writes_the_construction_into_its_graph(tracer: str) -> None:
    for lazy in (lazify(nn.Linear)(3), lazify(Searched, exclude=["count"])()):
        for module in (lazy, nn.Sequential(lazy)):
            with pytest.raises(NotMaterializedError, match=r"needs the real module[\s\S]*materialize\("):
                TRACERS[tracer](module)
            assert is_lazy(lazy)
        assert make_fx(materialize(lazy, X))(X)(X).shape == (len(X), 3)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")  # from 2.14
def test_a_tracer_does_not_see_trial_runs() -> None:
    def asks(x: torch.Tensor) -> torch.Tensor:
        names.append([name for name, _ in lazify(Searched, exclude=["count"])().named_parameters()])
        return x + 1

    names: list[list[str]] = []
    graph = str(torch.jit.trace(asks, (X,), check_trace=False).graph)
    make_fx(asks)(X)
    assert names == [["linear.weight", "linear.bias"]] * 2
    assert graph.count("aten::") == 1, graph
