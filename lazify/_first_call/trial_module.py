"""Trial modules: a module for trial runs, on which the operations of a lazy instance are replayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from lazify._deferred.effects import TrialContext
from lazify._deferred.operation_table import replay
from lazify._deferred.state import LazyState
from lazify._first_call.materialization import CallStack, TrialKind, call_stack
from lazify._module_tree import walk
from lazify._recipe.construction import construct_new

__all__ = ["apply_operations_for_trial", "trial_module", "trial_run_scope"]


@contextmanager
def trial_run_scope() -> Iterator[None]:
    """First calls inside are part of trial runs: they have no effect on objects of the user."""
    before, call_stack.calls = call_stack.calls, CallStack()
    call_stack.calls.trial_kind = TrialKind.ON_FAKES
    try:
        yield
    finally:
        call_stack.calls = before


def trial_module(state: LazyState, arguments: Mapping[str, Any]) -> nn.Module:
    """A new module with these arguments, after the operations that may decide how a call goes."""
    module = construct_new(state.recipe, arguments)
    apply_operations_for_trial(module, state, with_hooks=False)
    return module


def apply_operations_for_trial(module: nn.Module, state: LazyState, with_hooks: bool = True) -> None:
    """Replay the operations that may decide how a call goes on a module for trial runs."""
    users = {id(each) for value in state.given.values() if isinstance(value, nn.Module) for _, each in walk(value)}
    replay(state.history.operations, module, "trial", TrialContext(state, users, with_hooks))
