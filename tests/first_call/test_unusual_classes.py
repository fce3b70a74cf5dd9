"""Classes that tie methods to `self`, have a `__call__` of their own, or compile themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X, pair_of
from helpers.hooks import HOOKS, anything
from helpers.versions import IS_2_4
from lazify import axis, is_lazy, lazify

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


def test_a_call_of_the_classs_own_runs_if_the_rule_is_a_guess() -> None:
    class Local(Observing):
        calls = []

    LazyLocal = lazify(Local)
    for _ in range(2):  # the second takes the value that was found for the first
        Local.calls.clear()
        assert LazyLocal()(X).shape == (len(X), 2)
        assert Local.calls == ["call", "forward"]


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
    if IS_2_4 and isinstance(exclude, list):
        pytest.skip("Dynamo of torch 2.4 cannot run on fakes that are there already: it needs a rule")

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
        module(X.to(torch.int64))  # rolled back; the next call begins again
    module(X)
    assert vars(module).keys() == vars(twin).keys()
    assert module(X).shape == (len(X), 2)
