"""Hooks on a parameter that is not there yet wait for the real one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from helpers.modules import D, LazyLinear, LazyNested, Nested
from lazify import is_lazy, lazify

X = torch.linspace(-1, 1, 2 * 8).reshape(2, 8)
METHODS = ["register_hook", "register_post_accumulate_grad_hook"]


def hooks_seen(module: nn.Module, method: str, between: Callable[[Any], Any] = lambda handles: None) -> Any:
    """What two hooks on a weight see in two steps, and the gradients; `between` gets their handles before the call."""
    weight = dict(module.named_parameters())["a.weight" if hasattr(module, "a") else "weight"]
    log: list[Any] = []
    one = getattr(weight, method)(lambda seen: log.append((1, seen.shape)))
    scale = (lambda grad: grad * 2) if method == "register_hook" else (lambda seen: log.append(2))
    other = getattr(weight, method)(scale)
    between((one, other))
    for _ in range(2):
        torch.manual_seed(0)
        module(X).sum().backward()
    one.remove()
    module(X).sum().backward()
    return log, weight.grad


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("removed", [(), (0,), (1,), (0, 1)])
def test_hooks_see_what_they_see_on_the_eager_module(method: str, removed: tuple[int, ...]) -> None:
    def remove(handles: Any) -> None:
        for each in removed:
            handles[each].remove()

    for lazy, eager in ((LazyLinear(3), lambda: nn.Linear(8, 3)), (LazyNested(), lambda: Nested(8))):
        log, gradient = hooks_seen(lazy, method, remove)
        eager_log, eager_gradient = hooks_seen(eager(), method, remove)
        assert log == eager_log
        assert gradient.shape == eager_gradient.shape
        assert (gradient is None) == (eager_gradient is None)


@pytest.mark.parametrize("method", METHODS)
def test_a_failing_call_keeps_the_hooks(method: str) -> None:
    lazy, log = LazyLinear(3), []
    handle = getattr(lazy.weight, method)(lambda seen: log.append(seen.shape))
    failing = lazy.register_forward_hook(lambda *_: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            lazy(X)
        assert is_lazy(lazy)
    failing.remove()
    lazy(X).sum().backward()
    assert log == [(3, 8)]
    handle.remove()
    lazy(X).sum().backward()
    assert log == [(3, 8)]


@pytest.mark.parametrize("method", METHODS)
def test_frozen_parameters(method: str) -> None:
    lazy = LazyLinear(3)
    getattr(lazy.weight, method)(lambda seen: None)
    lazy.weight.requires_grad_(False)
    lazy(X)
    assert not lazy.weight.requires_grad
    frozen = LazyLinear(3).requires_grad_(False)
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        getattr(frozen.weight, method)(lambda seen: None)


@pytest.mark.parametrize("method", METHODS)
def test_copies_have_no_hooks_as_those_of_eager_parameters(method: str) -> None:
    for module in (LazyLinear(3), nn.Linear(8, 3)):
        log: list[Any] = []
        getattr(module.weight, method)(lambda seen, log=log: log.append(1))
        twin = copy.deepcopy(module)
        twin(X).sum().backward()
        assert not log
        module(X).sum().backward()
        assert log == [1]


def test_nothing_of_a_hook_stays_in_the_parameter() -> None:
    class Named(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(d))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    lazy = lazify(Named, exclude=D)()
    lazy.weight.register_hook(lambda grad: None)
    lazy(X)
    assert not vars(lazy.weight)
