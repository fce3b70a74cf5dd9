"""A failed first call changes nothing, and the next good call works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X, draw, draw_anew, pair_of, snapshot
from helpers.hooks import HOOKS, anything, post
from helpers.modules import Block, FromArgument, Outer, Trouble
from helpers.pairs import in_form
from lazify import LazifyError, is_lazy, lazify


class Fragile(Block):
    """Raises where and as often as `fail_in` says."""

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
