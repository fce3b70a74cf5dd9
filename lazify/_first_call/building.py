"""Building: the wrapped class is constructed in the lazy instance itself, then operations are replayed on it.

values, device  ->  constructor  ->  placeholders become the real tensors  ->  operations are replayed
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from lazify._deferred.copy_group import CopyGroup
from lazify._deferred.operation_effects import TrialContext
from lazify._deferred.operation_table import replay
from lazify._deferred.state import STATE_KEY, LazyState
from lazify._first_call.commit_and_rollback import Materialization, TrialKind
from lazify._first_call.placeholder_swap import check_names_kept, swap_placeholders
from lazify._first_call.records import record
from lazify._isolation.argument_snapshot import random_state
from lazify._module_tree import walk
from lazify._nested import all_plain
from lazify._recipe.construction import (
    construct,
    construct_new,
    construction_context,
    contexts_are_neutral,
    move_stragglers,
    neutral_contexts,
    reset_to_uninitialized,
)
from lazify._recipe.torch_nn_table import KNOWN
from lazify._torch import COMPILED_CALL, recomputed_later

__all__ = ["build", "build_for_trial", "random_state_kept_if_recomputed"]

logger = logging.getLogger("lazify")


def build(call: Materialization, values: dict[str, Any], device: torch.device | None) -> None:
    """Construct the real module in the instance, whatever that is now, and replay the operations."""
    group = call.copy_group
    if group is not None and call.plan is None and group.draws_inside and group.plan.values == values:
        call.plan = group.plan
    call.values, call.device = values, device
    with random_state_kept_if_recomputed(device):
        # contexts cost microseconds, and nearly every first call needs none
        if group is None and device is None and contexts_are_neutral():
            _build_here(call)
            return
        in_step = nullcontext() if group is None else group.in_step(call.state, device, call.plan is not None)
        with neutral_contexts(device), in_step:
            _build_here(call)


@contextmanager
def random_state_kept_if_recomputed(device: torch.device | None) -> Iterator[None]:
    """Where checkpointing runs the call again later, with the module built, it draws now what it will draw then."""
    random = random_state(device) if recomputed_later() else ()
    yield
    for restore in random:
        restore()


def _build_here(call: Materialization) -> None:
    """Construct, then replay the operations; in a trial run those that may decide how the call goes."""
    module, state = call.module, call.state
    reset_to_uninitialized(module, state.recipe, call)
    may_make_lazy = state.recipe.wrapped not in KNOWN or not all_plain(state.given.values())
    is_alone = call.plan is None and call.trial_kind is None and call.copy_group is None
    with intercept_inner_lazy(call) if may_make_lazy and not is_alone else nullcontext():
        construct(module, state.recipe, {**state.given, **call.values})
    if call.device is not None:
        move_stragglers(module, call.device)
    if len(call.lazy_dict) > 1:
        vars(module).update(direct_dict_entries(call))
    if call.trial_kind is not None:
        _replay_for_trial(module, state)
        if call.trial_kind is TrialKind.FOR_REAL:
            module.eval()
    else:
        preview = state.history.preview
        transaction = None if preview is None else swap_placeholders(module, preview, call.on_rollback)
        if state.history.operations:
            replay(state.history.operations, module, "real", call)
        if transaction is not None:
            check_names_kept(module, state, transaction)
    if vars(module).get(COMPILED_CALL) is not call:
        call.reinstall_gate()
    call.set_ready()


def build_for_trial(state: LazyState, arguments: Mapping[str, Any]) -> nn.Module:
    """A new module with these arguments, for trial runs of it alone, in which hooks do not run."""
    module = construct_new(state.recipe, arguments)
    _replay_for_trial(module, state, with_hooks=False)
    return module


def _replay_for_trial(module: nn.Module, state: LazyState, with_hooks: bool = True) -> None:
    """Replay the operations that may decide how a call goes."""
    users = {id(each) for value in state.given.values() if isinstance(value, nn.Module) for _, each in walk(value)}
    replay(state.history.operations, module, "trial", TrialContext(state, users, with_hooks))


def direct_dict_entries(call: Materialization) -> dict[str, Any]:
    """Entries of the lazy instance's `__dict__` that no `__setattr__` made, but `functools.cached_property` for one."""
    assigned = vars(call.state.attached())
    return {name: value for name, value in call.lazy_dict.items() if name != STATE_KEY and name not in assigned}


@contextmanager
def intercept_inner_lazy(call: Materialization) -> Iterator[None]:
    """Note which lazy instances the constructor makes, and construct those for which there is a plan at once."""
    constructed: list[nn.Module] = []
    outer = call.copy_group

    def on_inner_lazy(module: nn.Module, state: LazyState) -> bool:
        constructed.append(module)
        number, recipe, given = len(constructed) - 1, state.recipe, state.given
        group = None if outer is None else outer.inside.setdefault(number, CopyGroup())
        if group is not None:
            state.writable_history().copy_group = group
        plan = None if call.plan is None else call.plan.inside.get(number)
        if plan is None:
            return False
        inner = Materialization(module, state)
        inner.plan, inner.trial_kind, inner.copy_group = plan, call.trial_kind, group
        follows = outer is not None and outer.built_first is not None and not outer.draws_inside
        in_step = group.in_step(state, plan.device) if group is not None and follows else nullcontext()
        with in_step, intercept_inner_lazy(inner):
            construct(module, recipe, {**given, **plan.values})
        record(module, recipe, given, plan.values, plan.seen)
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, plan.values)
        return True

    before, construction_context.on_inner_lazy = construction_context.on_inner_lazy, on_inner_lazy
    try:
        yield
    finally:
        construction_context.on_inner_lazy = before
        call.constructed = constructed
