"""A lazy instance beside its eager twin: whatever is done to the one is done to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from helpers.twins import assert_twins
from lazify import axis, is_lazy, lazify

__all__ = ["FORMS", "Pair", "assert_same", "in_form"]

#: The ways to a lazy class. (A subclass with a constructor of its own is not lazily constructed.)
FORMS = ["function", "decorated", "subclass"]
#: What most classes of these tests infer. A rule, so that nothing depends on what can be found without one.
RULES = {"in_features": axis(-1)}
SEED = 1


def in_form(form: str, cls: type[nn.Module], exclude: Any = RULES) -> tuple[type[nn.Module], type[nn.Module]]:
    """The lazy class, and the class that its instances become; `cls` itself is never rewritten."""
    if form == "function":
        return lazify(cls, exclude=exclude), cls
    own = {name: getattr(cls, name) for name in ("__init__", "__module__", "__doc__")}
    decorated = lazify(exclude=exclude)(type(cls)(cls.__name__, (cls,), own))
    if form == "subclass":
        decorated = type(cls)(f"{cls.__name__}Sub", (decorated,), {"__module__": cls.__module__})
    return decorated, decorated


def assert_same(mine: Any, twins: Any) -> None:
    """Outputs, bit for bit."""
    ours, theirs = tree_leaves(mine), tree_leaves(twins)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert type(one) is type(other)
        if isinstance(other, torch.Tensor):
            about = [(t.shape, t.dtype, t.device, t.requires_grad, t.is_inference()) for t in (one, other)]
            assert about[0] == about[1]
            assert one.device.type == "meta" or torch.equal(one, other)
        else:
            assert one == other


class Pair:
    """Built from the same arguments; the eager twin draws from a random stream of its own.

    That stream begins where the lazy instance's first call begins (`SEED`), so that what is drawn by the
    eager construction, then by what is done to it, then by its call, is drawn in that order by the first call.
    """

    def __init__(
        self,
        form: str,
        cls: type[nn.Module],
        inferred: Mapping[str, Any],
        exclude: Any = RULES,
        **given: Any,
    ) -> None:
        self.lazy_cls, self.cls = in_form(form, cls, exclude)
        self.logs: tuple[list[Any], list[Any]] = ([], [])
        self.lazy = self.lazy_cls(**given)
        self.called = self.follows = False
        self.state = torch.Generator().manual_seed(SEED).get_state()
        self.eager: nn.Module = self._eagerly(lambda: self.cls(**inferred, **deepcopy(given)))

    def _eagerly(self, action: Callable[[], Any]) -> Any:
        outside = torch.get_rng_state()
        torch.set_rng_state(self.state)
        try:
            return action()
        finally:
            self.state = torch.get_rng_state()
            torch.set_rng_state(outside)

    def do(self, action: Callable[[nn.Module, list[Any]], Any]) -> tuple[Any, Any]:
        """`action(module, log)` to both; what it returns of both."""
        mine = action(self.lazy, self.logs[0])
        twins = self._eagerly(lambda: action(self.eager, self.logs[1]))
        assert (mine is self.lazy) == (twins is self.eager)
        return mine, twins

    def call(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Call both with the same input; compare the outputs and the random states after."""
        return self.through(lambda module: module(*args, **kwargs))

    def through(self, call: Callable[[nn.Module], Any]) -> tuple[Any, Any]:
        # the values of a copy whose original was called before are drawn already: its call draws as that of its twin
        start = self.state if self.follows else torch.Generator().manual_seed(SEED).get_state()
        twins = self._eagerly(lambda: call(self.eager))
        outside = torch.get_rng_state()
        torch.set_rng_state(self.random if self.called else start)
        mine = call(self.lazy)
        self.random = torch.get_rng_state()
        torch.set_rng_state(outside)
        self.called = True
        assert_same(mine, twins)
        assert torch.equal(self.random, self.state), "the random state after the call differs"
        return mine, twins

    def check(self) -> None:
        """The lazy instance has become what the eager twin is, and its hooks saw the same."""
        assert not is_lazy(self.lazy)
        assert type(self.lazy) is self.cls
        assert self.logs[0] == self.logs[1]
        assert_twins(self.lazy, self.eager)
