"""The first call, beside an eager twin to which the same was done."""

from __future__ import annotations

import functools
import logging
import os
import pickle
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from pairs import FORMS, Pair, in_form
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from twins import assert_twins

from lazify import LazifyError, NotMaterializedError, , axis, is_lazy, lazify
from lazify._deferred.state import STATE_KEY, InstanceLock, lock_holders

Tensor = torch.Tensor
LazyLinear = lazify(nn.Linear)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Block(nn.Module):
    """Something of everything: parameters, a random buffer, statistics, a counter, dropout."""

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.norm = nn.BatchNorm1d(out_features)
        self.drop = nn.Dropout(0.25)
        self.register_buffer("scale", torch.rand(out_features) + 0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long), persistent=False)
        self.width = out_features

    def reset(self) -> None:
        self.linear.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.drop(self.norm(self.linear(x)) * self.scale)
        return out


def pair_of(form: str, cls: type[nn.Module] = Block, in_features: int = 5, **given: Any) -> Pair:
    return Pair(form, cls, {"in_features": in_features}, **given)


def draw(*shape: int, dtype: torch.dtype | None = None, device: str | None = None) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        return torch.randn(shape, dtype=torch.float64, device="cpu").to(dtype or torch.float32).to(device or "cpu")


X = draw(4, 5)


def train_once(pair: Pair) -> None:
    """Backward through both, in eval mode; `check` compares the gradients."""
    for module in (pair.lazy, pair.eager):
        module.zero_grad()
        (module.eval()(X) ** 2).sum().backward()
    pair.check()


# ---------------------------------------------------------------------------------------------
# The instance becomes the real module


def test_the_same_object_becomes_exactly_the_wrapped_class(form: str) -> None:
    pair = pair_of(form, out_features=4)
    same = pair.lazy
    assert isinstance(same, pair.cls)
    assert isinstance(same, Block)
    pair.call(X)
    assert pair.lazy is same
    pair.check()
    assert not any("lazify" in name for name in vars(same))
    assert same.__call__.__func__ is nn.Module.__call__
    assert same.forward.__func__ is Block.forward
    pair.call(X)
    pair.check()
    train_once(pair)


def test_nothing_of_lazify_is_pickled_of_a_materialized_module() -> None:
    module = lazify(Block)(4)
    module(X)
    assert b"lazify" not in pickle.dumps(module)
    assert_twins(pickle.loads(pickle.dumps(module)), module)


def test_laziness_itself_draws_nothing() -> None:
    state = torch.get_rng_state()
    lazy_cls = lazify(Block, exclude={"in_features": axis(-1)})
    module = lazy_cls().eval().double()
    repr(module), dir(module), deepcopy(module), hasattr(module, "weight")
    assert torch.equal(torch.get_rng_state(), state)


def test_forward_runs_once_and_so_does_the_constructor(form: str) -> None:
    runs: list[str] = []

    class Counting(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            runs.append("constructor")
            self.linear = nn.Linear(in_features, 2)

        def forward(self, x: Tensor) -> Tensor:
            runs.append("forward")
            return self.linear(x)

    lazy_cls, _ = in_form(form, Counting)
    module = lazy_cls()
    assert runs == []
    module(X)
    assert runs == ["constructor", "forward"]
    module(X)
    assert runs == ["constructor", "forward", "forward"]


def test_a_name_that_misleads_costs_no_second_run() -> None:
    """Forward runs on the real input once, and so do hooks, however the values were found."""
    runs: list[str] = []

    class Misleading(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(in_features, 3, 1)  # channels, not the last dimension

        def forward(self, x: Tensor) -> Tensor:
            if type(x) is Tensor and x.device.type == "cpu":
                runs.append("forward")
            return self.conv(x)

    module = lazify(Misleading, exclude=["in_features"])()
    module.register_forward_pre_hook(lambda *_: runs.append("pre"))
    module.register_forward_hook(lambda *_: runs.append("always"), always_call=True)
    module(draw(2, 6, 4, 5))
    assert module.conv.in_channels == 6
    assert runs == ["pre", "forward", "always"]


def test_forward_itself_may_be_the_first_call(form: str) -> None:
    """As on the eager module, hooks do not run then."""
    pair = pair_of(form)
    pair.do(lambda module, log: module.register_forward_hook(lambda *_: log.append("hook")))
    pair.through(lambda module: module.forward(X))
    assert pair.logs == ([], [])
    pair.check()


def test_the_bound_forward_taken_before_works(form: str) -> None:
    module = in_form(form, Block)[0]()
    forward = module.forward
    assert forward(X).shape == (4, 3)
    assert not is_lazy(module)
    assert forward(X).shape == (4, 3)


# ---------------------------------------------------------------------------------------------
# Values from the arguments as forward binds them


class Named(NamedTuple):
    mask: Tensor
    features: Tensor


@dataclass
class Sample:
    label: int
    features: Tensor


class FromArgument(nn.Module):
    """Takes the last tensor of a nested argument."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 2)

    def forward(self, x: Any, *rest: Any, scale: float = 1.0, **more: Any) -> Tensor:
        while not isinstance(x, Tensor):
            x = x.features if isinstance(x, Sample) else list(x.values() if isinstance(x, dict) else x)[-1]
        out: Tensor = self.linear(x) * scale
        return out


MASK = torch.ones(4, 7, dtype=torch.bool)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((X,), {}),
        ((), {"x": X}),
        ((X, draw(4, 9)), {"scale": 2.0}),
        ((), {"scale": 2.0, "other": draw(4, 9), "x": X}),
        (([X],), {}),
        (((MASK, X),), {}),
        (({"mask": MASK, "x": X},), {}),
        (([{"a": [MASK]}, {"b": (MASK, X)}],), {}),
        ((Named(MASK, X),), {}),
        ((Sample(3, X),), {}),
        ((draw(5),), {}),
        ((draw(2, 3, 4, 5),), {}),
    ],
)
def test_values_come_from_nested_and_named_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    pair = pair_of("function", FromArgument)
    pair.call(*args, **kwargs)
    pair.check()


@pytest.mark.parametrize("x", [X, X[0], X[None, None]], ids=["batched", "unbatched", "more"])
def test_the_rank_of_the_input_does_not_matter(x: Tensor) -> None:
    module = LazyLinear(2)
    module(x)
    assert module.in_features == 5


def test_forwards_defaults_are_arguments_too() -> None:
    class Fixed(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 2)

        def forward(self, x: Tensor = X, scale: float = 3.0) -> Tensor:
            return self.linear(x) * scale

    module = lazify(Fixed, exclude={"in_features": axis(-1, of="x")})()
    assert module().shape == (4, 2)
    other = lazify(Fixed, exclude={"in_features": lambda x, scale: x.shape[-1] * int(scale)})
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        other()()
    assert other()(draw(4, 3), scale=1.0).shape == (4, 2)


# ---------------------------------------------------------------------------------------------
# Conversions, modes, requires_grad_


CONVERSIONS: dict[str, Callable[[nn.Module], Any]] = {
    "eval": lambda m: m.eval(),
    "train-false": lambda m: m.train(False),
    "eval-train": lambda m: m.eval().train(),
    "half": lambda m: m.half(),
    "double": lambda m: m.double(),
    "bfloat16": lambda m: m.bfloat16(),
    "half-float": lambda m: m.half().float(),
    "to-dtype": lambda m: m.to(torch.float64),
    "to-dtype-keyword": lambda m: m.to(dtype=torch.bfloat16),
    "to-device": lambda m: m.to("cpu"),
    "to-device-dtype": lambda m: m.to("cpu", torch.float64),
    "to-other": lambda m: m.to(torch.zeros(1, dtype=torch.float64)),
    "to-memory-format": lambda m: m.to(memory_format=torch.channels_last),
    "cpu": lambda m: m.cpu(),
    "type": lambda m: m.type(torch.float64),
    "float": lambda m: m.float(),
    "frozen": lambda m: m.requires_grad_(False),
    "frozen-and-back": lambda m: m.requires_grad_(False).requires_grad_(),
    "chain": lambda m: m.eval().double().requires_grad_(False).to("cpu").train(),
    "apply-fn": lambda m: m._apply(lambda t: t.double() if t.is_floating_point() else t),
}


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
# Attributes, buffers, parameters, submodules


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


# ---------------------------------------------------------------------------------------------
# apply


def draw_anew(std: float) -> Callable[[nn.Module], None]:
    def fn(module: nn.Module) -> None:
        module.visited = (*getattr(module, "visited", ()), std)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)

    return fn


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


# ---------------------------------------------------------------------------------------------
# Hooks. Each factory makes a hook that writes to `log`.


def pre(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, args: Any) -> None:
        log.append((f"pre{tag}", type(module).__name__, len(args), len(list(module.parameters()))))

    return hook


def pre_kwargs(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
        log.append((f"pre-kwargs{tag}", len(args), sorted(kwargs)))

    return hook


def post(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        log.append((f"post{tag}", type(module).__name__, getattr(output, "shape", None)))

    return hook


def post_kwargs(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        log.append((f"post-kwargs{tag}", sorted(kwargs)))

    return hook


def back_pre(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, grads: Any) -> None:
        log.append((f"back-pre{tag}", [g.shape for g in grads]))

    return hook


def back(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, into: Any, out_of: Any) -> None:
        log.append((f"back{tag}", [g.shape for g in into if g is not None], [g.shape for g in out_of]))

    return hook


def anything(log: list[Any], tag: str) -> Callable[..., None]:
    def hook(*args: Any) -> None:
        log.append((tag, len(args), type(args[0]).__name__))

    return hook


Register = Callable[[nn.Module, list[Any]], Any]
HOOKS: dict[str, Register] = {
    "pre": lambda m, log: m.register_forward_pre_hook(pre(log)),
    "pre-prepend": lambda m, log: m.register_forward_pre_hook(pre(log, "!"), prepend=True),
    "pre-kwargs": lambda m, log: m.register_forward_pre_hook(pre_kwargs(log), with_kwargs=True),
    "post": lambda m, log: m.register_forward_hook(post(log)),
    "post-prepend": lambda m, log: m.register_forward_hook(post(log, "!"), prepend=True),
    "post-kwargs": lambda m, log: m.register_forward_hook(post_kwargs(log), with_kwargs=True),
    "post-always": lambda m, log: m.register_forward_hook(post(log, "*"), always_call=True),
    "back-pre": lambda m, log: m.register_full_backward_pre_hook(back_pre(log)),
    "back-pre-prepend": lambda m, log: m.register_full_backward_pre_hook(back_pre(log, "!"), prepend=True),
    "back": lambda m, log: m.register_full_backward_hook(back(log)),
    "back-prepend": lambda m, log: m.register_full_backward_hook(back(log, "!"), prepend=True),
    "state-pre": lambda m, log: m.register_state_dict_pre_hook(anything(log, "state-pre")),
    "state-post": lambda m, log: m.register_state_dict_post_hook(anything(log, "state-post")),
    "state-old": lambda m, log: m._register_state_dict_hook(anything(log, "state-old")),
    "load-pre": lambda m, log: m.register_load_state_dict_pre_hook(anything(log, "load-pre")),
    "load-pre-old": lambda m, log: m._register_load_state_dict_pre_hook(anything(log, "load-pre-old")),
    "load-pre-module": lambda m, log: m._register_load_state_dict_pre_hook(anything(log, "load-pre-m"), True),
    "load-post": lambda m, log: m.register_load_state_dict_post_hook(anything(log, "load-post")),
}


def use(module: nn.Module, **kwargs: Any) -> Tensor:
    """All that hooks listen to: forward, backward, saving, loading."""
    x = X.clone().requires_grad_()
    out: Tensor = module(x, **kwargs) if not kwargs else module(**kwargs)
    out.sum().backward()
    module.load_state_dict(module.state_dict())
    return out


@pytest.mark.parametrize("kind", HOOKS)
def test_each_kind_of_hook_and_its_handle(form: str, kind: str) -> None:
    pair = pair_of(form)
    mine, twins = pair.do(HOOKS[kind])
    assert type(mine) is type(twins)
    pair.through(use)
    assert pair.logs[0]
    pair.check()
    pair.through(use)
    pair.check()
    mine.remove()
    twins.remove()
    seen = len(pair.logs[0])
    pair.through(use)
    pair.check()
    assert len(pair.logs[0]) == seen


@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_removed_before_the_call_never_run(form: str, kind: str) -> None:
    pair = pair_of(form)
    for handle in pair.do(HOOKS[kind]):
        handle.remove()
    pair.through(use)
    assert pair.logs == ([], [])
    pair.check()


def test_all_hooks_together_in_their_order(form: str) -> None:
    pair = pair_of(form)
    for register in [*HOOKS.values(), *reversed(HOOKS.values())]:
        pair.do(register)
    pair.through(use)
    pair.check()
    pair.through(use)
    pair.check()


def test_some_of_many_hooks_removed(form: str) -> None:
    pair = pair_of(form)
    handles = [pair.do(register) for register in [*HOOKS.values(), *HOOKS.values()]]
    for each in handles[::3]:
        for handle in each:
            handle.remove()
    pair.through(use)
    pair.check()
    for each in handles[1::3]:
        for handle in each:
            handle.remove()
    pair.through(use)
    pair.check()


def test_handles_as_context_managers(form: str) -> None:
    pair = pair_of(form)
    with ExitStack() as stack:
        for handle in pair.do(HOOKS["pre"]) + pair.do(HOOKS["post"]):
            stack.enter_context(handle)
        pair.call(X)
    assert len(pair.logs[0]) == 2
    pair.check()


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_hooks_that_remove_themselves_in_the_first_call(form: str, kind: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        def hook(module: nn.Module, *args: Any) -> None:
            log.append(kind)
            handle.remove()

        register = {"pre": module.register_forward_pre_hook, "post": module.register_forward_hook}[kind]
        handle = register(hook)

    pair.do(act)
    pair.call(X)
    assert pair.logs[0] == [kind]
    pair.call(X)
    assert pair.logs[0] == [kind]
    pair.check()


def test_hooks_may_register_hooks(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        def hook(module: nn.Module, args: Any) -> None:
            module.register_forward_hook(post(log, "registered by a hook"))

        module.register_forward_pre_hook(hook)

    pair.do(act)
    pair.call(X)
    pair.call(X)
    pair.check()


def test_hooks_change_output_and_gradients_as_ever(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        module.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
        module.register_forward_hook(lambda m, args, out: out + 1)
        module.register_full_backward_hook(lambda m, into, out_of: (into[0] * 3,))

    pair.do(act)

    def called(module: nn.Module) -> Any:
        x = X.clone().requires_grad_()
        out = module(x)
        out.sum().backward()
        return out, x.grad

    pair.through(called)
    pair.check()


@pytest.mark.filterwarnings("ignore:Using a non-full backward hook:FutureWarning")
def test_the_old_backward_hook(form: str) -> None:
    pair = pair_of(form)
    pair.do(lambda module, log: module.register_backward_hook(back(log)))
    pair.through(use)
    assert pair.logs[0]
    pair.check()


def test_both_kinds_of_backward_hook_refuse_each_other_at_once(form: str) -> None:
    module = in_form(form, Block)[0]()
    module.register_full_backward_hook(back([]))
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks"):
        module.register_backward_hook(back([]))


def test_a_pre_hook_sees_the_real_module(form: str) -> None:
    pair = pair_of(form)
    pair.do(lambda module, log: module.register_forward_pre_hook(lambda m, _: log.append(m.linear.weight.sum().item())))
    pair.call(X)
    pair.check()


# hooks that change what forward gets


def narrow(module: nn.Module, args: Any) -> Any:
    return (args[0][:, :3],)


def narrow_kwargs(module: nn.Module, args: Any, kwargs: Any) -> Any:
    return (), {"x": kwargs["x"][:, :3]}


def to_tensor(module: nn.Module, args: Any) -> Any:
    return (torch.tensor(args[0]),)


@pytest.mark.parametrize(
    ("hook", "with_kwargs", "args", "kwargs"),
    [
        (narrow, False, (X,), {}),
        (narrow_kwargs, True, (), {"x": X}),
        (to_tensor, False, ([[1.0, 2.0, 3.0]] * 4,), {}),
    ],
)
def test_values_come_from_what_forward_really_gets(
    form: str, hook: Any, with_kwargs: bool, args: Any, kwargs: Any
) -> None:
    pair = pair_of(form, in_features=3)

    def act(module: nn.Module, log: list[Any]) -> None:
        def counting(*each: Any) -> Any:
            log.append("hook")
            return hook(*each)

        module.register_forward_pre_hook(counting, with_kwargs=with_kwargs)
        module.register_forward_hook(post(log))
        module.double()
        module.float()
        module.note = "kept"

    pair.do(act)
    pair.call(*args, **kwargs)
    assert pair.logs[0] == ["hook", ("post", pair.cls.__name__, torch.Size([4, 3]))]
    pair.check()
    assert pair.lazy.linear.in_features == 3
    pair.call(*args, **kwargs)
    pair.check()


def test_a_hook_that_reshapes_and_removes_itself_is_gone(form: str) -> None:
    pair = pair_of(form, in_features=3)

    def act(module: nn.Module, log: list[Any]) -> None:
        def hook(module: nn.Module, args: Any) -> Any:
            log.append("once")
            handle.remove()
            return narrow(module, args)

        handle = module.register_forward_pre_hook(hook)

    pair.do(act)
    pair.call(X)
    pair.call(X[:, :3])
    assert pair.logs[0] == ["once"]
    pair.check()


def test_what_a_reshaping_hook_leaves_on_the_module_stays(form: str) -> None:
    pair = pair_of(form, in_features=3)

    def hook(module: nn.Module, args: Any) -> Any:
        module.seen = getattr(module, "seen", 0) + 1
        return narrow(module, args)

    pair.do(lambda module, log: module.register_forward_pre_hook(hook))
    pair.call(X)
    assert pair.eager.seen == 1
    pair.check()


@contextmanager
def global_hooks(log: list[Any], narrowing: bool) -> Iterator[None]:
    def before(module: nn.Module, args: Any) -> Any:
        log.append(("before", type(module).__name__))
        return narrow(module, args) if narrowing and hasattr(module, "scale") else None

    def after(module: nn.Module, args: Any, output: Any) -> None:
        log.append(("after", type(module).__name__))

    with register_module_forward_pre_hook(before), register_module_forward_hook(after):
        yield


@pytest.mark.parametrize("narrowing", [False, True])
def test_global_hooks_run_as_on_the_eager_module(form: str, narrowing: bool) -> None:
    pair = pair_of(form, in_features=3 if narrowing else 5)

    def called(module: nn.Module) -> Any:
        with global_hooks(pair.logs[module is pair.eager], narrowing):
            return module(X)

    pair.through(called)
    assert pair.logs[1]
    pair.check()


# ---------------------------------------------------------------------------------------------
# What constructors tie to `self`


class TiesItself(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 3)
        self.seen: list[Any] = []
        self.handle = self.register_forward_hook(self.capture)
        self.linear.register_forward_pre_hook(self.capture)
        self.forward = self.forward_wide if in_features > 3 else self.forward_narrow
        self.method = self.capture

    def capture(self, module: nn.Module, args: Any, output: Any = None) -> None:
        self.seen.append(type(module).__name__)

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("replaced by the constructor")

    def forward_wide(self, x: Tensor) -> Tensor:
        return self.linear(x) + 1

    def forward_narrow(self, x: Tensor) -> Tensor:
        return self.linear(x) - 1


@pytest.mark.parametrize("width", [2, 5])
@pytest.mark.parametrize("watched", [False, True])
def test_bound_methods_made_by_the_constructor_are_the_instances_own(form: str, width: int, watched: bool) -> None:
    pair = pair_of(form, TiesItself, in_features=width)
    if watched:
        pair.do(HOOKS["pre"])
    pair.call(X[:, :width])
    pair.check()
    module = pair.lazy
    assert module.forward.__self__ is module.method.__self__ is module
    assert [hook.__self__ for hook in module._forward_hooks.values()] == [module]
    assert [hook.__self__ for hook in module.linear._forward_pre_hooks.values()] == [module]
    assert module.seen == ["Linear", pair.cls.__name__]
    module.handle.remove()
    module(X[:, :width])
    assert module.seen == ["Linear", pair.cls.__name__, "Linear"]


# ---------------------------------------------------------------------------------------------
# Surroundings of the first call


class Orthogonal(nn.Module):
    """Its constructor computes: wrong under autocast, not trainable from inference mode."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        basis = torch.linalg.qr(torch.randn(in_features, in_features))[0]
        self.weight = nn.Parameter(basis @ torch.randn(in_features, in_features))
        self.inner = nn.Linear(in_features, in_features)
        self.register_buffer("mean", torch.zeros(in_features))
        self.grad_was_on = torch.is_grad_enabled()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x @ self.weight) - self.mean
        return out


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


# ---------------------------------------------------------------------------------------------
# Devices. `meta` is the one that every machine has.


class FromNumpy(nn.Module):
    """No device parameter, and tensors from everywhere."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.register_buffer("bank", torch.from_numpy(np.eye(in_features, dtype=np.float32)))
        self.weight = nn.Parameter(torch.tensor(np.ones((in_features, 2)), dtype=torch.float32))
        self.linear = nn.Linear(2, 2, device="cpu")
        self.free = nn.Parameter(torch.arange(2.0).clone())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x @ self.bank @ self.weight) * self.free
        return out


class Idle(nn.Module):
    """Looks at nothing of its input but the width, so that its weights may be anywhere."""

    def __init__(self, in_features: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 3, device=device, dtype=dtype)
        self.register_buffer("zeros", torch.zeros(3, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x


def places(module: nn.Module) -> set[str]:
    return {t.device.type for t in (*module.parameters(), *module.buffers())}


META = draw(4, 5, device="meta")


@pytest.mark.parametrize("cls", [Block, FromNumpy, Orthogonal, Idle])
def test_parameters_follow_the_inputs_device(form: str, cls: type[nn.Module]) -> None:
    module = in_form(form, cls)[0]()
    module(META)
    assert places(module) == {"meta"}
    other = in_form(form, cls)[0]()
    other(X)
    assert places(other) == {"cpu"}


@pytest.mark.parametrize("name", ["double", "to-dtype", "to-dtype-keyword", "type", "frozen", "eval", "apply-fn"])
def test_a_dtype_is_no_choice_of_a_device(form: str, name: str) -> None:
    module = in_form(form, Idle)[0]()
    CONVERSIONS[name](module)
    module(META)
    assert places(module) == {"meta"}


@pytest.mark.parametrize(
    "choose",
    [
        lambda m: m.to("meta"),
        lambda m: m.to(device="meta"),
        lambda m: m.to(torch.device("meta"), torch.float64),
        lambda m: m.to(torch.zeros(1, device="meta")),
        lambda m: m.to_empty(device="meta"),
        lambda m: m.to("meta").eval().double(),
        lambda m: nn.Sequential(m).to("meta")[0],
    ],
)
def test_a_device_chosen_before_goes_before_the_inputs(form: str, choose: Any) -> None:
    pair = pair_of(form, Idle)
    pair.do(lambda module, log: choose(module))
    pair.call(X)
    pair.check()
    assert places(pair.lazy) == {"meta"}


@pytest.mark.parametrize(
    "choose", [lambda m: m.to("cpu"), lambda m: m.cpu(), lambda m: m.to(torch.zeros(1)), lambda m: m.to("cpu").half()]
)
def test_the_cpu_chosen_before_goes_before_the_inputs_device(form: str, choose: Any) -> None:
    pair = pair_of(form, Idle)
    pair.do(lambda module, log: choose(module))
    pair.call(META)
    pair.check()
    assert places(pair.lazy) == {"cpu"}


@pytest.mark.parametrize(("device", "x", "place"), [("meta", X, "meta"), ("cpu", META, "cpu"), (None, META, "meta")])
def test_a_device_argument_goes_before_the_inputs(form: str, device: Any, x: Tensor, place: str) -> None:
    module = in_form(form, Idle)[0](device=device)
    module(x)
    assert places(module) == {place}


def test_a_device_argument_in_a_default_device_context(form: str) -> None:
    pair = pair_of(form, Idle, device="cpu")

    def called(module: nn.Module) -> Any:
        with torch.device("meta"):
            return module(X)

    pair.through(called)
    pair.check()


def test_the_device_holds_for_journaled_calls_too(form: str) -> None:
    """What `apply` makes after the construction is made as if done on the eager module: not moved."""
    pair = pair_of(form)

    def add(module: nn.Module) -> None:
        if isinstance(module, Block):
            module.register_buffer("added", torch.ones(3))

    pair.do(lambda module, log: module.apply(add))
    pair.call(X)
    pair.check()


# ---------------------------------------------------------------------------------------------
# Atomic


class Trouble(Exception):
    pass


class Fragile(Block):
    """Raises where and as often as it is told."""

    fail_in: dict[str, int] = {}

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__(in_features, out_features)
        self.trouble("constructor")

    def trouble(self, where: str) -> None:
        if type(self).fail_in.get(where, 0) > 0:
            type(self).fail_in[where] -= 1
            raise Trouble(where)

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        self.trouble("forward")
        return out


def snapshot(module: nn.Module) -> tuple[Any, ...]:
    return type(module), dict(vars(module)), repr(module)


def everything_before(module: nn.Module, log: list[Any]) -> list[Any]:
    module.eval()
    module.note = "kept"
    module.extra = nn.Parameter(torch.ones(2))
    module.register_buffer("more", torch.ones(2))
    module.double()
    module.apply(draw_anew(1.0))
    return [HOOKS[kind](module, log) for kind in ("pre", "pre-kwargs", "post", "post-always", "back", "state-pre")]


@pytest.mark.parametrize("before", [False, True], ids=["bare", "after-everything"])
@pytest.mark.parametrize("where", ["constructor", "forward", "hook", "apply", "interrupt", "dtype", "call", "shape"])
def test_a_failed_first_call_leaves_no_trace_and_the_next_works(
    form: str, where: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pair_of(form, Fragile)
    module = pair.lazy
    handles = pair.do(everything_before) if before else ([], [])
    x: Any = X.double() if before else X
    errors: Any = Trouble
    bad: Callable[[], Any] = lambda: module(x)  # noqa: E731
    extra = []
    if where in ("constructor", "forward"):
        monkeypatch.setattr(pair.cls, "fail_in", {where: 2})
    elif where == "hook":

        def raising(*_: Any) -> None:
            raise Trouble

        extra = [module.register_forward_hook(raising)]
    elif where == "apply":
        armed = [True, True]

        def fn(each: nn.Module) -> None:
            if isinstance(each, nn.Dropout) and armed:
                armed.pop()
                raise Trouble

        pair.do(lambda m, log: m.apply(fn) if m is module else m.apply(lambda each: None))
    elif where == "interrupt":

        def interrupting(*_: Any) -> None:
            raise KeyboardInterrupt

        extra, errors = [module.register_forward_pre_hook(interrupting)], KeyboardInterrupt
    elif where == "dtype":
        bad, errors = lambda: module(torch.zeros(4, 5, dtype=torch.long)), RuntimeError
    elif where == "call":
        bad, errors = lambda: module(x, x, y=3), TypeError
    else:
        bad, errors = lambda: module(x[0, 0]), (LazifyError, IndexError)
    lazy_before = snapshot(module)
    for _ in range(2):
        with pytest.raises(errors):
            bad()
        assert is_lazy(module)
        assert snapshot(module) == lazy_before
    for handle in extra:
        handle.remove()
    del pair.logs[0][:]
    pair.call(x)
    pair.check()
    for handle in (*handles[0], *handles[1]):
        handle.remove()
    pair.call(x)
    pair.check()


def test_always_called_hooks_run_in_a_failing_first_call_too(form: str) -> None:
    class Failing(FromArgument):
        def forward(self, x: Tensor) -> Tensor:
            raise Trouble

    pair = pair_of(form, Failing)
    pair.do(lambda module, log: module.register_forward_hook(anything(log, "always"), always_call=True))
    pair.do(lambda module, log: module.register_forward_hook(anything(log, "if it passes")))
    for module in (pair.eager, pair.lazy):
        with pytest.raises(Trouble):
            module(X)
    assert pair.logs[0] == pair.logs[1] == [("always", 3, pair.cls.__name__)]


def test_handles_work_on_after_a_failed_call(form: str) -> None:
    pair = pair_of(form)
    mine, twins = pair.do(HOOKS["pre"])
    kept, _ = pair.do(HOOKS["post"])
    with pytest.raises(RuntimeError):
        pair.lazy(torch.zeros(4, 5, dtype=torch.long))
    del pair.logs[0][:]
    mine.remove()
    twins.remove()
    pair.call(X)
    assert [entry[0] for entry in pair.logs[0]] == ["post"]
    pair.check()
    kept.remove()
    assert not pair.lazy._forward_hooks


MUTABLE: dict[str, Callable[[], Any]] = {
    "list": lambda: [1],
    "dict": lambda: {"a": 1},
    "set": lambda: {1},
    "list-in-dict": lambda: {"a": [1]},
    "list-in-list": lambda: [[1]],
    "list-in-tuple": lambda: ([1],),
    "list-subclass": lambda: Widths([1]),
}


class Widths(list):  # type: ignore[type-arg]
    pass


def mutate(value: Any) -> None:
    if isinstance(value, list) and not isinstance(value[0], list):
        value.append(len(value) + 1)
    elif isinstance(value, set):
        value.add(len(value) + 1)
    elif isinstance(value, dict) and not isinstance(value["a"], list):
        value[len(value)] = 0
    else:
        mutate(value["a"] if isinstance(value, dict) else value[0])


@pytest.mark.parametrize("kind", MUTABLE)
@pytest.mark.parametrize("starred", [False, True])
def test_constructors_may_change_what_they_are_given_once(form: str, kind: str, starred: bool) -> None:
    class Changing(nn.Module):
        def __init__(self, in_features: int, *more: Any, widths: Any = None) -> None:
            super().__init__()
            for each in (widths, *more):
                if each is not None:
                    mutate(each)
            self.linear = nn.Linear(in_features, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    lazy_cls, _ = in_form(form, Changing)
    given, expected = MUTABLE[kind](), MUTABLE[kind]()
    module = lazy_cls(given) if starred else lazy_cls(widths=given)
    mutate(expected)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            module(torch.zeros(4, 5, dtype=torch.long))
        assert given == MUTABLE[kind]()
    module(X)
    assert given == expected


def test_a_given_module_that_the_constructor_extends_is_extended_once(form: str) -> None:
    class Extends(nn.Module):
        def __init__(self, in_features: int, body: nn.Sequential) -> None:
            super().__init__()
            self.body = body.append(nn.Linear(in_features, 5))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    body = nn.Sequential(nn.ReLU())
    module = in_form(form, Extends)[0](body=body)
    with pytest.raises(RuntimeError):
        module(torch.zeros(4, 5, dtype=torch.long))
    assert len(body) == 1
    module(X)
    assert len(body) == 2


class Outer(nn.Module):
    def __init__(self, in_features: int, inner: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 4)
        self.inner = inner
        self.also_made_here = LazyLinear(2)

    def forward(self, x: Tensor, fail: bool = False) -> Tensor:
        out: Tensor = self.also_made_here(self.inner(self.linear(x)))
        if fail:
            raise Trouble
        return out


def test_inner_lazies_are_lazy_again_after_a_failure(form: str) -> None:
    inner = lazify(Block)(6)
    seen: list[Any] = []
    handle = inner.register_forward_hook(post(seen))
    module = in_form(form, Outer)[0](inner=inner)
    before, inside = snapshot(module), snapshot(inner)
    with pytest.raises(Trouble):
        module(X, fail=True)
    assert is_lazy(module)
    assert is_lazy(inner)
    assert snapshot(module) == before
    assert snapshot(inner) == inside
    del seen[:]
    module(X)
    assert type(inner) is Block
    assert module.inner is inner
    assert seen == [("post", "Block", torch.Size([4, 6]))]
    handle.remove()
    assert not inner._forward_hooks


def test_an_inner_lazy_may_get_another_size_after_a_failure(form: str) -> None:
    inner = lazify(Block)(6)

    class Passing(nn.Module):
        def __init__(self, in_features: int, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.width = inner, in_features

        def forward(self, x: Tensor, fail: bool = False) -> Tensor:
            out: Tensor = self.inner(x)
            if fail:
                raise Trouble
            return out

    module = in_form(form, Passing)[0](inner=inner)
    with pytest.raises(Trouble):
        module(X, fail=True)
    module(draw(4, 9))
    assert (module.width, inner.linear.in_features) == (9, 9)


def test_a_first_call_that_passed_inside_an_eager_parent_that_fails_holds() -> None:
    first, second = lazify(Block)(4), lazify(Block)(4)

    class Parent(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            first(x)
            raise Trouble

    with pytest.raises(Trouble):
        Parent()(X)
    assert not is_lazy(first)
    assert is_lazy(second)


@pytest.mark.parametrize("way", ["argument", "attribute", "add_module"])
def test_what_was_done_before_is_done_once_to_the_users_modules_despite_failures(form: str, way: str) -> None:
    """A retry must not do a second time, to a module that the user holds, what a failed call did to it."""

    class Holds(nn.Module):
        def __init__(self, in_features: int, body: nn.Module | None = None) -> None:
            super().__init__()
            self.linear, self.body = nn.Linear(in_features, 2), body or nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.body(self.linear(x))
            return out

    body, lazy_cls = nn.PReLU(), in_form(form, Holds)[0]
    module = lazy_cls(body=body) if way == "argument" else lazy_cls()
    if way == "attribute":
        module.body = body
    elif way == "add_module":
        module.add_module("body", body)

    def double_it(each: nn.Module) -> None:
        each.visits = getattr(each, "visits", 0) + 1
        if isinstance(each, nn.PReLU):
            each.weight.data.mul_(2)

    module.apply(double_it)
    with pytest.raises(RuntimeError):
        module(torch.zeros(4, 5, dtype=torch.long))
    assert not hasattr(body, "visits")
    assert body.weight.item() == 0.25
    module(X)
    assert module.body is body
    assert body.visits == module.visits == 1
    assert body.weight.item() == 0.5


def test_given_modules_keep_their_tensors_and_storage(form: str) -> None:
    """Whoever shares them (a tied weight, a flat buffer, an optimizer) must not lose them to a failed call."""
    inner = nn.Linear(4, 3)
    flat = torch.cat([inner.weight.detach().reshape(-1), inner.bias.detach()])
    inner.weight.data, inner.bias.data = flat[:12].view(3, 4), flat[12:]
    weight, before = inner.weight, flat.clone()
    module = in_form(form, Outer)[0](inner=inner).eval().apply(draw_anew(1.0))
    with pytest.raises(Trouble):
        module(X, fail=True)
    assert inner.weight is weight
    assert torch.equal(flat, before)
    assert torch.equal(inner.weight.reshape(-1), flat[:12])
    flat.zero_()
    assert not inner.weight.any()
    assert not inner.bias.any()


def test_the_traceback_shows_the_users_own_line(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = in_form(form, Fragile)[0]()
    monkeypatch.setattr(Fragile, "fail_in", {"forward": 1})
    with pytest.raises(Trouble) as caught:
        module(X)
    assert caught.traceback[-1].name == "trouble"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# ---------------------------------------------------------------------------------------------
# Many threads


@pytest.fixture
def hurried() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(workers: ThreadPoolExecutor, count: int, *modules: nn.Module, method: str = "__call__") -> list[Any]:
    """Results of calls that begin together, `count` in all; the exception where `Trouble` was raised."""
    gate = threading.Barrier(count)

    def work(module: nn.Module) -> Any:
        gate.wait(60)
        try:
            return getattr(module, method)(X)
        except Trouble as error:
            return error

    submitted = [workers.submit(work, modules[at % len(modules)]) for at in range(count)]
    return [each.result(60) for each in submitted]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("variant", ["plain", "hooked", "own-call", "nested", "failing"])
def test_concurrent_first_calls_materialize_once(variant: str) -> None:
    built: list[int] = []
    ran: list[int] = []
    hooked: list[Any] = []
    fail = [0]

    class Counting(nn.Module):
        def __init__(self, in_features: int, inner: nn.Module | None = None) -> None:
            super().__init__()
            built.append(1)
            self.linear = nn.Linear(in_features, 4)
            self.inner = inner
            if fail[0] > 0:
                fail[0] -= 1
                raise Trouble

        def forward(self, x: Tensor) -> Tensor:
            ran.append(1)
            x = self.linear(x)
            return x if self.inner is None else self.inner(x)

    class OwnCall(Counting):
        def __call__(self, x: Tensor) -> Any:
            return super().__call__(x * 2)

    cls: type[nn.Module] = OwnCall if variant == "own-call" else Counting
    threads, rounds = 32, 30
    with ThreadPoolExecutor(threads) as workers:
        for _ in range(rounds):
            del built[:], ran[:], hooked[:]
            fail[0] = 3 if variant == "failing" else 0
            inner = lazify(nn.Linear)(2) if variant == "nested" else None
            module = in_form("function", cls)[0](inner=inner)
            if variant == "hooked":
                module.register_forward_pre_hook(lambda m, args: hooked.append(1))
            results = at_once(workers, threads, module)
            passed = [each for each in results if isinstance(each, Tensor)]
            failed = threads - len(passed)
            assert failed == (3 if variant == "failing" else 0)
            assert len(built) == 1 + failed
            assert len(ran) == threads - failed
            assert len(hooked) == (threads if variant == "hooked" else 0)
            assert type(module) is cls
            assert all(torch.equal(each, passed[0]) for each in passed)
            assert torch.equal(module(X), passed[0])
            assert not {name for name in vars(module) if "lazify" in name or "compiled" in name}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("exclude", [{"in_features": axis(-1)}, ["in_features"], None], ids=["ruled", "named", "auto"])
def test_a_lazy_shared_by_models_in_many_threads(exclude: Any) -> None:
    threads = 16
    with ThreadPoolExecutor(threads) as workers:
        for _ in range(20):
            shared = lazify(nn.Linear)(5)
            models = [lazify(Outer, exclude=exclude)(inner=shared) for _ in range(4)]
            results = at_once(workers, threads, *models)
            assert all(isinstance(each, Tensor) for each in results)
            assert type(shared) is nn.Linear
            assert all(each.inner is shared for each in models)


class Failing(nn.Module):
    """Its first calls fail, in the constructor or in `forward`; one rule is all there is to it."""

    where = "forward"
    left = 0

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.fail("constructor")
        self.weight = nn.Parameter(torch.ones(in_features))

    def fail(self, where: str) -> None:
        if where == Failing.where and Failing.left > 0:
            Failing.left -= 1
            raise Trouble

    def forward(self, x: Tensor) -> Tensor:
        self.fail("forward")
        return x * self.weight


LazyFailing = lazify(Failing, exclude={"in_features": axis(-1)})


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("where", ["constructor", "forward"])
@pytest.mark.parametrize("failures", [0, 3, 8])
def test_concurrent_first_calls_of_the_simplest_kind(where: str, failures: int) -> None:
    threads = 8
    with ThreadPoolExecutor(threads) as workers:
        for _ in range(60):
            Failing.where, Failing.left = where, failures
            module = LazyFailing()
            results = at_once(workers, threads, module)
            passed = [each for each in results if isinstance(each, Tensor)]
            assert len(passed) == threads - failures
            if not passed:  # as if nothing had been
                assert is_lazy(module)
                assert list(vars(module)) == [STATE_KEY]
            assert torch.equal(module(X), X)
            assert type(module) is Failing
            assert not {name for name in vars(module) if "lazify" in name or "compiled" in name}
            assert not lock_holders


def test_a_turn_may_be_taken_again_inside_and_others_wait() -> None:
    pending = vars(LazyLinear(3))[STATE_KEY]
    order: list[str] = []

    def other() -> None:
        order.append("waits")
        with InstanceLock(pending):
            order.append("other")

    thread = threading.Thread(target=other)
    with InstanceLock(pending):
        with InstanceLock(pending):
            pass
        thread.start()
        while lock_holders[pending].release_event is None:  # until it waits
            thread.join(0.001)
        order.append("first")
    thread.join(60)
    assert order == ["waits", "first", "other"]
    assert not lock_holders


def test_a_rule_that_makes_the_first_call_itself_is_not_waited_for() -> None:
    """Nothing is decided twice: the call inside is the first one, and that around finds the real module."""
    made: list[nn.Module] = []

    def width(input: Tensor) -> int:
        if is_lazy(made[0]) and len(made) == 1:
            made.append(made[0])
            made[0](input)
        return input.shape[-1]

    made.append(lazify(nn.Linear, exclude={"in_features": width})(2))
    assert made[0](X).shape == (*X.shape[:-1], 2)
    assert not lock_holders


def test_a_first_call_is_short() -> None:
    """Counted, not timed: the Python functions of lazify that run for one small layer."""
    LazyConv2d, image = lazify(nn.Conv2d), torch.randn(1, 3, 8, 8)
    LazyConv2d(4, 3, padding=1)(image)  # what is bound once for all
    home = os.path.dirname(attempt.__file__)
    ran: list[str] = []

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call" and os.path.dirname(frame.f_code.co_filename) == home:
            ran.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        LazyConv2d(4, 3, padding=1)(image)
    finally:
        sys.setprofile(None)
    assert len(ran) <= 13, ran


def test_what_was_not_done_is_not_written_to() -> None:
    pending = vars(LazyLinear(3))[STATE_KEY]
    with pytest.raises(TypeError, match="writable_history"):
        pending.history.device_is_explicit = True
    with pytest.raises(AttributeError):
        pending.history.journal.append(None)
    assert pending.is_untouched
    pending.writable_history().moved = True
    assert not pending.is_untouched
    assert not vars(LazyLinear(3))[STATE_KEY].history.device_is_explicit


def test_a_constructor_that_exchanges_its_dict(form: str) -> None:
    class Borg(nn.Module):
        def __init__(self, in_features: int) -> None:
            self.__dict__ = {}
            super().__init__()
            self.linear = nn.Linear(in_features, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(x)
            return out

    pair = Pair(form, Borg, {"in_features": 5})
    pair.call(X)
    pair.check()


def test_what_was_put_into_its_dict(form: str) -> None:
    class Cached(Block):
        @functools.cached_property
        def answer(self) -> list[int]:
            return [42]

    pair = pair_of(form, Cached)
    kept = pair.do(lambda module, _: module.answer)[0]
    pair.do(lambda module, _: vars(module).update(tag=5))
    pair.do(lambda module, _: setattr(module, "other", 6))
    pair.call(X)
    pair.check()
    assert pair.lazy.answer is kept


# ---------------------------------------------------------------------------------------------
# Lazy inside lazy, and in containers


def test_containers_materialize_in_one_call_with_the_eager_parameters() -> None:
    model = nn.Sequential(lazify(nn.Linear)(7), nn.ReLU(), lazify(nn.Linear)(3), lazify(nn.BatchNorm1d)())
    torch.manual_seed(1)
    twin = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.BatchNorm1d(3))
    torch.manual_seed(1)
    assert torch.equal(model(X), twin(X))
    assert_twins(model, twin)


def test_lists_and_dicts_of_lazies() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ModuleList(lazify(nn.Linear)(width) for width in (7, 3))
            self.heads = nn.ModuleDict({"a": lazify(nn.Linear)(2), "b": nn.ReLU()})

        def forward(self, x: Tensor) -> Tensor:
            for step in self.steps:
                x = step(x)
            return self.heads["b"](self.heads["a"](x))

    model = Model()
    assert model(X).shape == (4, 2)
    assert not [m for m in model.modules() if is_lazy(m)]
    assert [(m.in_features, m.out_features) for m in model.steps] == [(5, 7), (7, 3)]


def test_a_shared_lazy_is_built_once() -> None:
    shared = lazify(nn.Linear)(5)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    model(X)
    assert model[0] is model[2] is shared
    assert len(list(model.parameters())) == 2


def test_a_shared_lazy_refuses_a_second_size_in_torchs_words() -> None:
    shared = lazify(nn.Linear)(7)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        nn.Sequential(shared, shared)(X)
    assert shared.in_features == 5


def test_lazies_all_the_way_down_run_once_each(form: str) -> None:
    runs: list[int] = []

    class Nest(nn.Module):
        def __init__(self, in_features: int, depth: int = 0) -> None:
            super().__init__()
            runs.append(-depth)
            self.linear = nn.Linear(in_features, in_features)
            self.inner = lazy_cls(depth=depth - 1) if depth else None
            self.depth = depth

        def forward(self, x: Tensor) -> Tensor:
            runs.append(self.depth)
            x = self.linear(x)
            return x if self.inner is None else self.inner(x)

    lazy_cls, cls = in_form(form, Nest)
    module = lazy_cls(depth=6)
    module(X)
    assert sorted(runs) == sorted([*range(7), *range(0, -7, -1)])
    assert {type(m) for m in module.modules()} == {cls, nn.Linear}


def test_lazies_given_and_made_inside(form: str) -> None:
    inner = lazify(Block)(6)
    module = in_form(form, Outer)[0](inner=inner)
    assert is_lazy(inner)
    module(X)
    assert module.inner is inner
    assert [is_lazy(m) for m in module.modules()] == [False] * len(list(module.modules()))
    assert module.also_made_here.in_features == 6


def test_a_lazy_instance_as_an_attribute_set_before(form: str) -> None:
    class Uses(Block):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(super().forward(x))
            return out

    module = in_form(form, Uses)[0](7)
    module.head = LazyLinear(2)
    assert is_lazy(module.head)
    assert module(X).shape == (4, 2)
    assert type(module.head) is nn.Linear
    assert module.head.in_features == 7


class ProbesInside(nn.Module):
    """Its constructor runs what it made, to learn a size."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(LazyLinear(6), nn.ReLU())
        with torch.no_grad():
            width = self.body(torch.zeros(1, in_features)).shape[1]
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def test_lazies_called_by_the_constructor_are_as_trainable(form: str) -> None:
    module = in_form(form, ProbesInside)[0]()
    with torch.inference_mode():
        module(X)
    module(X).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert len(list(module.parameters())) == 4


def test_a_forward_that_calls_its_own_module(form: str) -> None:
    class Recursive(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, in_features)

        def forward(self, x: Tensor, depth: int = 3) -> Tensor:
            x = self.linear(x)
            return self(x, depth - 1) if depth else x

    pair = pair_of(form, Recursive)
    pair.do(HOOKS["pre"])
    pair.do(HOOKS["post"])
    pair.call(X)
    assert len(pair.logs[0]) == 8
    pair.check()


# ---------------------------------------------------------------------------------------------
# Classes with a `__call__` of their own


class Observing(nn.Module):
    calls: list[str]

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 2)

    def __call__(self, x: Any, twice: bool = False) -> Any:
        type(self).calls.append("call")
        x = torch.as_tensor(x, dtype=torch.float32)
        return super().__call__(torch.cat([x, x], -1) if twice else x)

    def forward(self, x: Tensor) -> Tensor:
        type(self).calls.append("forward")
        return self.linear(x)


@pytest.mark.parametrize(
    ("args", "width"), [((X,), 5), (([[1.0, 2.0], [3.0, 4.0]],), 2), ((X, True), 10), (([1, 2, 3], True), 6)]
)
@pytest.mark.parametrize("hook", [False, True])
def test_a_call_of_the_classs_own_goes_first_and_once(form: str, args: Any, width: int, hook: bool) -> None:
    class Local(Observing):
        calls = []

        def __init__(self, in_features: int) -> None:
            super().__init__(in_features)

    pair = pair_of(form, Local, in_features=width)
    if hook:
        pair.do(lambda module, log: module.register_forward_pre_hook(anything(log, "pre")))
    pair.call(*args)
    assert Local.calls == ["call", "forward"] * 2
    pair.check()


# ---------------------------------------------------------------------------------------------
# compile


def test_compile_before_the_first_call(form: str) -> None:
    pair = pair_of(form)
    pair.do(lambda module, log: module.eval())
    pair.do(lambda module, log: module.compile(backend="eager"))
    assert is_lazy(pair.lazy)
    pair.call(X)
    assert type(pair.lazy) is pair.cls
    assert vars(pair.lazy).keys() == vars(pair.eager).keys()
    pair.call(X)


@pytest.mark.parametrize("exclude", [["in_features"], {"in_features": axis(-1)}], ids=["named", "ruled"])
def test_compile_in_the_constructor(form: str, exclude: Any) -> None:
    class Compiled(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 2)
            self.compile(backend="eager")

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(x)
            return out

    twin = Compiled(5)
    lazy_cls = lazify(Compiled, exclude=exclude) if form == "function" else lazify(exclude=exclude)(Compiled)
    module = lazy_cls()
    with pytest.raises(RuntimeError):
        module(X.to(torch.int64))  # taken back, to begin anew
    module(X)
    assert vars(module).keys() == vars(twin).keys()
    assert module(X).shape == (len(X), 2)


# ---------------------------------------------------------------------------------------------
# The instance's `__dict__`


@pytest.mark.skipif(sys.version_info < (3, 11), reason="keys are shared in the order of the first instance only")
@pytest.mark.parametrize("before", [None, nn.Module.train], ids=["untouched", "touched"])
@pytest.mark.parametrize(
    ("cls", "given", "x"),
    [
        (nn.Conv2d, (4, 3), torch.randn(1, 3, 5, 5)),
        (nn.Linear, (4,), torch.randn(2, 3)),
        (nn.LSTM, (4,), torch.randn(2, 3)),
    ],
)
def test_a_module_that_was_lazy_takes_up_no_more_than_an_eager_one(
    cls: type[nn.Module], given: Any, x: Tensor, before: Callable[[nn.Module], Any] | None
) -> None:
    class Mine(cls):  # type: ignore[valid-type,misc]  # how a class's instances share keys is up to its first ones
        pass

    twin, module = Mine(3, *given), lazify(Mine)(*given)
    if before is not None:
        before(module)
    module(x)
    assert list(vars(module)) == list(vars(twin))
    assert sys.getsizeof(vars(module)) <= sys.getsizeof(vars(twin))


def test_a_finalizer_sees_nothing_that_was_not_constructed() -> None:
    class Finalized(nn.Module):
        finalized: list[int] = []

        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.in_features = in_features

        def forward(self, x: Tensor) -> Tensor:
            return x

        def __del__(self) -> None:
            if "_lazify_pending" not in vars(self):
                self.finalized.append(self.in_features)

    module = lazify(Finalized, exclude={"in_features": axis(-1)})()
    module(X)
    del module
    assert Finalized.finalized == [5]


# ---------------------------------------------------------------------------------------------
# What a lazy instance answers


ASKED: dict[str, Callable[[nn.Module], Any]] = {
    "method": lambda m: m.reset(),
    "child": lambda m: m.linear,
    "attribute": lambda m: m.no_such_name,
    "deletion": lambda m: delattr(m, "no_such_name"),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_only_the_real_module_can_say(asked: str) -> None:
    module = lazify(Block)(3)
    with pytest.raises(NotMaterializedError) as caught:
        ASKED[asked](module)
    assert isinstance(caught.value, LazifyError)
    assert isinstance(caught.value, AttributeError)
    assert isinstance(caught.value, RuntimeError)
    message = str(caught.value)
    assert "waits for its first call" in message
    assert "in_features" in message
    assert is_lazy(module)
    module(X)


def test_nothing_comes_behind_the_code_that_mends_it() -> None:
    with pytest.raises(NotMaterializedError) as caught:
        lazify(Block)(3).parameter()  # Python would ask: did you mean 'parameters'?
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert shown.endswith(f"{caught.value}\n")


def test_the_words_of_not_materialized() -> None:
    with pytest.raises(NotMaterializedError) as caught:
        _ = lazify(nn.Linear)(3).in_features
    text = str(caught.value)
    assert text.splitlines()[:4] == [
        "attribute 'in_features' is not known yet: this LazyLinear waits for its first call",
        "  to be inferred: in_features",
        "To mend it:",
        "  module(input)  # once, or materialize(module, input)",
    ]
    assert "in_features=..." in text
    assert_mended_by_code(text)


def assert_mended_by_code(message: str) -> None:
    """Every line under `To mend it:` can be pasted: it is Python."""
    for line in message.split("To mend it:\n", 1)[1].splitlines():
        compile(line.strip(), line, "eval")


class Chain(nn.Sequential):
    def __init__(self, in_features: int) -> None:
        super().__init__(nn.Linear(in_features, 3))


class Rows(nn.ModuleList):
    def __init__(self, in_features: int) -> None:
        super().__init__([nn.Linear(in_features, 3)])

    def forward(self, x: Tensor) -> Tensor:
        return self[0](x)


class Table(nn.ModuleDict):
    def __init__(self, in_features: int) -> None:
        super().__init__({"a": nn.Linear(in_features, 3)})

    def forward(self, x: Tensor) -> Tensor:
        return self["a"](x)


@pytest.mark.parametrize("cls", [Chain, Rows, Table])
def test_containers_do_not_know_their_content(form: str, cls: type[nn.Module]) -> None:
    module = in_form(form, cls)[0]()
    assert bool(module) is True
    for ask in (len, iter, list, lambda m: m[0], lambda m: 0 in m):
        with pytest.raises(NotMaterializedError, match="waits for its first call"):
            ask(module)
    module(X)
    assert len(module) == 1


def test_hasattr_getattr_and_dir_work(form: str) -> None:
    module = in_form(form, Block)[0]()
    assert not hasattr(module, "linear")
    assert getattr(module, "linear", "default") == "default"
    module.note = "text"
    assert {"forward", "eval", "note", "training"} <= set(dir(module))
    assert hasattr(module, "forward")
    assert hasattr(module, "training")
    assert hasattr(module, "note")
    module(X)
    assert hasattr(module, "linear")


def test_repr(form: str) -> None:
    lazy_cls, cls = in_form(form, Block)
    name = f"Lazy{cls.__name__}"
    assert repr(lazy_cls()) == f"{name}(in_features=?)"
    assert repr(lazy_cls(7)) == f"{name}(in_features=?, out_features=7)"
    assert f"(0): {name}(in_features=?)" in repr(nn.Sequential(lazy_cls()))


def test_repr_of_a_lazy_instance() -> None:
    assert repr(lazify(nn.Conv2d)(64, kernel_size=3)) == "LazyConv2d(in_channels=?, out_channels=64, kernel_size=3)"


def test_is_lazy_before_and_after(form: str) -> None:
    lazy_cls, cls = in_form(form, Block)
    module = lazy_cls()
    assert is_lazy(module)
    assert not is_lazy(nn.Sequential(module))
    module(X)
    assert not is_lazy(module)
    assert not is_lazy(cls(in_features=3))


def test_parents_walk_past_lazies() -> None:
    model = nn.Sequential(lazify(nn.Linear)(3), nn.ReLU())
    assert len(list(model.modules())) == 3
    assert [name for name, _ in model.named_modules()] == ["", "0", "1"]
    assert [name for name, _ in model.named_children()] == ["0", "1"]
    assert model.train().eval() is model
    assert model.double() is model
    assert model(X.double()).dtype == torch.float64
    assert not any(m.training for m in model.modules())


# ---------------------------------------------------------------------------------------------
# The logger


def test_one_debug_line_each(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(lazify(nn.Linear)(3), lazify(nn.BatchNorm1d)())
    with caplog.at_level(logging.DEBUG, logger="lazify"):
        model(X)
        model(X)
    assert [(r.name, r.levelname) for r in caplog.records] == [("lazify", "DEBUG")] * 2
    first, second = (r.getMessage() for r in caplog.records)
    assert "\n" not in first + second
    assert "Linear" in first
    assert "in_features" in first
    assert "5" in first
    assert "BatchNorm1d" in second


def test_no_line_for_what_failed_or_is_eager(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="lazify"):
        lazify(nn.Linear)(in_features=5, out_features=3)(X)
        with suppress(RuntimeError):
            lazify(nn.Linear)(3)(X.long())
    assert caplog.records == []


# ---------------------------------------------------------------------------------------------
# When a call does not determine a value


def test_the_words_of_an_inference_error() -> None:
    module = lazify(nn.Conv2d)(3, 3)
    with pytest.raises(LazifyError) as caught:
        module(X)
    assert isinstance(caught.value, RuntimeError)
    text = str(caught.value)
    for part in ("'in_channels' of Conv2d", "Conv2d.forward(input", "input: (4, 5) float32", "axis(-3", "(4, 5)"):
        assert part in text
    assert "LazyConv2d(" in text
    assert "in_channels=..." in text
    assert_mended_by_code(text)
    assert is_lazy(module)


@pytest.mark.parametrize(
    ("rule", "call", "said"),
    [
        (axis(3), (X,), "has no dimension 3"),
        (axis(-1, of="other"), (X,), "no tensor in the argument 'other'"),
        (axis(-1), (3,), "no tensor in the call"),
        (lambda x: x.no_such, (X,), "AttributeError"),
        (lambda x: 1 // 0, (X,), "ZeroDivisionError"),
    ],
)
def test_reasons_of_an_inference_error(rule: Any, call: tuple[Any, ...], said: str) -> None:
    class Two(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()

        def forward(self, x: Any, other: Any = None) -> Any:
            return x

    module = lazify(Two, exclude={"in_features": rule})()
    with pytest.raises(LazifyError, match="does not determine 'in_features' of Two") as caught:
        module(*call)
    assert said in str(caught.value)
    assert "Two.forward(x" in str(caught.value)
    assert is_lazy(module)


def test_an_exception_in_a_rule_is_the_cause() -> None:
    module = lazify(nn.Linear, exclude={"in_features": lambda input: 1 // 0})(3)
    with pytest.raises(LazifyError) as caught:
        module(X)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_wrong_call_fails_in_forwards_words(form: str) -> None:
    module = in_form(form, Block)[0]()
    with pytest.raises(TypeError, match=r"forward\(\) missing 1 required positional argument: 'x'"):
        module()
    with pytest.raises(TypeError, match=r"forward\(\) got an unexpected keyword argument 'y'"):
        module(X, y=3)
    assert is_lazy(module)
    module(X)
