"""Random operations on a lazy instance and on its eager twin; then the first call, after which both must be equal."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from torch import nn

from helpers.pairs import FORMS, Pair
from helpers.state_machine import (
    ATTACHED,
    ATTRIBUTES,
    CLASSES,
    CONVERSIONS,
    FACTORIES,
    FLAGS,
    WIDTH,
    Copy,
    Perceptron,
    Refused,
    dtype_of,
    forward_post,
    forward_pre,
    marker,
    of_state,
    preview_of,
    used,
    visitor,
)
from helpers.twins import assert_twins
from lazify import axis, is_lazy, lazify

# ---------------------------------------------------------------------------------------------
# One lazy instance


class FirstCalls(RuleBasedStateMachine):
    copies: list[Copy]

    @initialize(form=st.sampled_from(FORMS), cls=st.sampled_from(CLASSES), out=st.integers(2, 4))
    def begin(self, form: str, cls: type[nn.Module], out: int) -> None:
        self.copies = [Copy(Pair(form, cls, {"in_features": WIDTH}, out_features=out))]
        self.tag = 0

    def next_tag(self) -> int:
        self.tag += 1
        return self.tag

    def one(self, which: int) -> Copy:
        return self.copies[which % len(self.copies)]

    # what is done

    @rule(which=st.integers(0, 3), mode=st.sampled_from(["train", "eval", "train-false", "attribute"]))
    def mode(self, which: int, mode: str) -> None:
        def act(module: nn.Module, log: list[Any]) -> Any:
            if mode == "attribute":
                module.training = False
                return None
            return module.train(False) if mode == "train-false" else getattr(module, mode)()

        pair = self.one(which).pair
        pair.do(act)
        assert pair.lazy.training == pair.eager.training

    @rule(which=st.integers(0, 3), convert=st.sampled_from(CONVERSIONS))
    def convert(self, which: int, convert: Callable[[nn.Module], Any]) -> None:
        self.one(which).pair.do(lambda module, log: convert(module))

    @rule(which=st.integers(0, 3), flag=st.booleans())
    def requires_grad(self, which: int, flag: bool) -> None:
        self.one(which).pair.do(lambda module, log: module.requires_grad_(flag))

    @rule(which=st.integers(0, 3))
    def ask(self, which: int) -> None:
        """Names and flags are those of the eager twin; the tensors are held until the end."""
        copy = self.one(which)
        mine, twins = copy.pair.lazy, copy.pair.eager
        lengths = [len(log) for log in copy.pair.logs]
        assert preview_of(mine) == preview_of(twins)
        for log, length in zip(copy.pair.logs, lengths, strict=True):
            del log[length:]
        tensors = [{**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (mine, twins)]
        copy.held += [(n, t, tensors[1][n]) for n, t in tensors[0].items() if not n.startswith(ATTACHED)]

    @rule(which=st.integers(0, 3), at=st.integers(0, 9), flag=st.booleans(), method=st.booleans())
    def freeze_one(self, which: int, at: int, flag: bool, method: bool) -> None:
        def act(module: nn.Module, log: list[Any]) -> None:
            parameters = list(module.parameters())
            if parameters and method:
                parameters[at % len(parameters)].requires_grad_(flag)
            elif parameters:
                parameters[at % len(parameters)].requires_grad = flag

        self.one(which).pair.do(act)

    @rule(
        which=st.integers(0, 3), at=st.integers(0, 9), what=st.sampled_from(["eval", "note", "double", "hook", "init"])
    )
    def to_submodule(self, which: int, at: int, what: str) -> None:
        tag = f"inside{self.next_tag()}"

        def act(module: nn.Module, log: list[Any]) -> Any:
            # (`apply` reaches what was attached at the first call)
            inside = [m for n, m in module.named_modules() if n and not (what == "init" and n.startswith(ATTACHED))]
            if not inside:
                return None
            one = inside[at % len(inside)]
            if what == "hook":
                return one.register_forward_hook(forward_post(log, tag))
            if what == "note":
                one.note = tag
            elif what == "init":
                one.apply(marker(tag))
            elif what == "eval":
                one.eval()
            elif isinstance(one, nn.Dropout):  # of another the input would be of the wrong dtype
                one.double()
            return None

        copy = self.one(which)
        handles = copy.pair.do(act)
        if handles[0] is not None:
            copy.handles.append(handles)

    @rule(which=st.integers(0, 3))
    def end_by_loading(self, which: int) -> None:
        self.one(which).loads = True

    @rule(which=st.integers(0, 3), to_none=st.booleans())
    def zero_grad(self, which: int, to_none: bool) -> None:
        self.one(which).pair.do(lambda module, log: module.zero_grad(set_to_none=to_none))

    @rule(which=st.integers(0, 3), std=st.floats(0.1, 2.0))
    def apply(self, which: int, std: float) -> None:
        tag = self.next_tag()
        self.one(which).pair.do(lambda module, log: module.apply(visitor(tag, std)))

    @rule(which=st.integers(0, 3), name=st.sampled_from(["one", "two"]), kind=st.sampled_from(sorted(ATTRIBUTES)))
    def set_attribute(self, which: int, name: str, kind: str) -> None:
        self.both_alike(which, lambda module, log: setattr(module, name, ATTRIBUTES[kind]()))

    @rule(which=st.integers(0, 3), name=st.sampled_from(["one", "two", "three"]))
    def delete_attribute(self, which: int, name: str) -> None:
        self.both_alike(which, lambda module, log: delattr(module, name))

    @rule(which=st.integers(0, 3), name=st.sampled_from(["one", "three"]), persistent=st.booleans())
    def register_buffer(self, which: int, name: str, persistent: bool) -> None:
        self.both_alike(
            which, lambda module, log: module.register_buffer(name, torch.ones(2), persistent=persistent) or None
        )

    @rule(which=st.integers(0, 3), name=st.sampled_from(["two", "three"]), empty=st.booleans())
    def register_parameter(self, which: int, name: str, empty: bool) -> None:
        self.both_alike(
            which,
            lambda module, log: module.register_parameter(name, None if empty else nn.Parameter(torch.ones(2))),
        )

    @rule(which=st.integers(0, 3), name=st.sampled_from(["one", "two"]))
    def read_attribute(self, which: int, name: str) -> None:
        pair = self.one(which).pair
        assert hasattr(pair.lazy, name) == hasattr(pair.eager, name)
        assert type(getattr(pair.lazy, name, None)) is type(getattr(pair.eager, name, None))

    def both_alike(self, which: int, act: Callable[[nn.Module, list[Any]], Any]) -> None:
        """Both take it, or both refuse it with the same kind of error."""
        pair = self.one(which).pair
        refusals = []
        for module, log in ((pair.lazy, pair.logs[0]), (pair.eager, pair.logs[1])):
            try:
                act(module, log)
                refusals.append(None)
            except (AttributeError, KeyError, TypeError) as error:
                kinds = (AttributeError, KeyError, TypeError)
                refusals.append(next(kind for kind in kinds if isinstance(error, kind)))
        assert refusals[0] == refusals[1]

    @rule(which=st.integers(0, 3), method=st.sampled_from(sorted(FLAGS)), data=st.data())
    def register_hook(self, which: int, method: str, data: st.DataObject) -> None:
        flags = data.draw(st.sampled_from(FLAGS[method]))
        copy, tag = self.one(which), f"{method}{sorted(flags)}{self.next_tag()}"
        factory = FACTORIES.get(method, of_state)
        handles = copy.pair.do(lambda module, log: getattr(module, method)(factory(log, tag), **flags))
        copy.handles.append(handles)

    @rule(which=st.integers(0, 3), at=st.integers(0, 9))
    def remove_hook(self, which: int, at: int) -> None:
        copy = self.one(which)
        if copy.handles:
            for handle in copy.handles.pop(at % len(copy.handles)):
                handle.remove()

    @precondition(lambda self: len(self.copies) < 3)
    @rule(which=st.integers(0, 3))
    def deepcopy(self, which: int) -> None:
        """The copy is a pair of its own; the test holds no handles of its hooks."""
        pair = self.one(which).pair
        made = object.__new__(Pair)
        vars(made).update(vars(pair))
        made.lazy, made.eager = deepcopy((pair.lazy, pair.eager))
        assert is_lazy(made.lazy)
        self.copies.append(Copy(made))

    @rule(which=st.integers(0, 3), how=st.sampled_from(["raises", "dtype", "arguments"]))
    def failing_call(self, which: int, how: str) -> None:
        """Such a call changes nothing of either but the logs of hooks."""
        pair = self.one(which).pair
        x = torch.zeros(2, WIDTH, dtype=dtype_of(pair.eager))
        lengths = [len(log) for log in pair.logs]
        calls: dict[str, Callable[[nn.Module], Any]] = {
            "raises": lambda module: module(x, fail=True),
            "dtype": lambda module: module(x.long(), fail=True),
            "arguments": lambda module: module(x, x, x),
        }
        for module in (pair.lazy, pair.eager):
            outside = torch.get_rng_state()
            with pytest.raises((Refused, TypeError)):
                calls[how](module)
            torch.set_rng_state(outside)
        assert is_lazy(pair.lazy)
        if how == "raises":
            assert pair.logs[0] == pair.logs[1]
        for log, length in zip(pair.logs, lengths, strict=True):
            del log[length:]

    # the first call

    def teardown(self) -> None:
        for number, copy in enumerate(getattr(self, "copies", ())):
            copy.pair.follows = number > 0
            self.first_call(copy)

    def first_call(self, copy: Copy) -> None:
        pair = copy.pair
        for log in pair.logs:
            del log[:]
        if copy.loads:
            state = {name: torch.full_like(each, 2) for name, each in pair.eager.state_dict().items()}
            for log in pair.logs:
                del log[:]
            pair.through(lambda module: module.load_state_dict(state) and None)
            pair.check()
        x = torch.linspace(-1, 1, 4 * WIDTH).reshape(4, WIDTH).to(dtype_of(pair.eager))
        pair.through(lambda module: module(x.clone().requires_grad_()))
        pair.check()
        now = [{**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (pair.lazy, pair.eager)]
        for name, mine, twins in copy.held:
            if now[1].get(name) is twins:  # conversions exchange the buffers of the eager twin
                assert now[0].get(name) is mine, name
        pair.through(lambda module: used(module, x))
        pair.check()
        for at, handles in enumerate(copy.handles):
            for handle in handles if at % 2 else ():
                handle.remove()
        pair.through(lambda module: used(module, x))
        pair.check()


TestFirstCalls = FirstCalls.TestCase
TestFirstCalls.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)


# ---------------------------------------------------------------------------------------------
# The same inside a model: what is done to the parent reaches lazy children


class LazyChildren(RuleBasedStateMachine):
    """A Sequential of lazy modules beside one of eager modules; the parent is what things are done to."""

    @initialize()
    def begin(self) -> None:
        self.lazy = nn.Sequential(
            lazify(nn.Linear)(4), lazify(nn.BatchNorm1d)(), lazify(Perceptron, exclude={"in_features": axis(-1)})(3)
        )
        torch.manual_seed(1)
        self.eager = nn.Sequential(nn.Linear(WIDTH, 4), nn.BatchNorm1d(4), Perceptron(4, 3))
        self.logs: tuple[list[Any], list[Any]] = ([], [])
        self.tag = 0

    def both(self, act: Callable[[nn.Module, list[Any]], Any]) -> None:
        for module, log in ((self.lazy, self.logs[0]), (self.eager, self.logs[1])):
            act(module, log)

    @rule(mode=st.booleans())
    def mode(self, mode: bool) -> None:
        self.both(lambda module, log: module.train(mode))

    @rule(convert=st.sampled_from(CONVERSIONS))
    def convert(self, convert: Callable[[nn.Module], Any]) -> None:
        self.both(lambda module, log: convert(module))

    @rule()
    def apply(self) -> None:
        self.tag += 1
        tag = self.tag
        self.both(lambda module, log: module.apply(marker(tag)))

    @rule(at=st.integers(0, 2), post=st.booleans())
    def hook(self, at: int, post: bool) -> None:
        self.tag += 1
        tag = f"{self.tag}"

        def act(module: nn.Module, log: list[Any]) -> None:
            child = module[at]
            if post:
                child.register_forward_hook(forward_post(log, tag))
            else:
                child.register_forward_pre_hook(forward_pre(log, tag))

        self.both(act)

    @rule()
    def ask(self) -> None:
        assert preview_of(self.lazy) == preview_of(self.eager)

    @rule(flag=st.booleans())
    def requires_grad(self, flag: bool) -> None:
        self.both(lambda module, log: module.requires_grad_(flag))

    @rule()
    def deepcopy(self) -> None:
        self.lazy, self.eager = deepcopy((self.lazy, self.eager))

    def teardown(self) -> None:
        if not hasattr(self, "lazy"):
            return
        x = torch.linspace(-1, 1, 4 * WIDTH).reshape(4, WIDTH)
        outputs = []
        torch.manual_seed(1)
        for module in (self.lazy, self.eager):
            dtype = self.eager[0].weight.dtype
            outputs.append(module(x.to(dtype)))
        assert torch.equal(*outputs)
        assert self.logs[0] == self.logs[1]
        assert_twins(self.lazy, self.eager)


TestLazyChildren = LazyChildren.TestCase
TestLazyChildren.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
