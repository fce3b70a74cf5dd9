"""Building: the wrapped class is constructed in the lazy instance itself, then operations are replayed on it.

values, device  ->  constructor  ->  placeholders become the real tensors  ->  operations are replayed
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from lazify._deferred.copy_group import CopyGroup
from lazify._deferred.operation_table import replay
from lazify._deferred.state import STATE_KEY, LazyState
from lazify._first_call.materialization import Materialization, call_stack
from lazify._first_call.placeholder_swap import check_names_kept, swap_placeholders
from lazify._first_call.records import record
from lazify._first_call.trial_module import apply_operations_for_trial
from lazify._isolation.restoring import random_state
from lazify._nested import all_plain
from lazify._recipe.construction import (
    construct,
    construction_context,
    contexts_are_neutral,
    move_stragglers,
    neutral_contexts,
    reset_to_uninitialized,
)
from lazify._recipe.torch_nn_table import KNOWN
from lazify._torch import recomputed_later

__all__ = ["build", "random_state_kept_if_recomputed"]

logger = logging.getLogger("lazify")


def build(call: Materialization, values: dict[str, Any], device: torch.device | None) -> None:
    """Construct the real module in the instance, whatever that is now, and replay the operations."""
    group = None if call_stack.calls.trial_kind is not None else call.state.history.copy_group
    if group is not None and call.plan is None and group.draws_inside and group.plan.values == values:
        call.plan = group.plan
    # contexts cost microseconds, and nearly every first call needs none
    if group is None and device is None and contexts_are_neutral():
        _build_here(call, values)
        return
    in_step = nullcontext() if group is None else group.in_step(call.state, device, call.plan is not None)
    with neutral_contexts(device), in_step:
        _build_here(call, values, device)


@contextmanager
def random_state_kept_if_recomputed(device: torch.device | None) -> Iterator[None]:
    """Where checkpointing runs the call again later, with the module built, it draws now what it will draw then."""
    random = random_state(device) if recomputed_later() else ()
    yield
    for restore, before in random:
        restore(before)


def _build_here(call: Materialization, values: dict[str, Any], device: torch.device | None = None) -> None:
    module, state = call.module, call.state
    recipe = state.recipe
    reset_to_uninitialized(module, recipe, call)
    call.values, call.device = values, device
    may_make_lazy = recipe.wrapped not in KNOWN or not all_plain(state.given.values())
    is_followed = call.plan is not None or call_stack.calls.trial_kind is not None
    if may_make_lazy and (is_followed or state.history.copy_group is not None):
        with intercept_inner_lazy(call):
            construct(module, recipe, {**state.given, **values})
    elif recipe.init_takes_keywords:
        recipe.original_init(module, **state.given, **values)
    else:
        construct(module, recipe, {**state.given, **values})
    if device is not None:
        move_stragglers(module, device)
    if len(call.lazy_dict) > 1:
        vars(module).update(direct_dict_entries(call))
    if call_stack.calls.trial_kind is not None:
        apply_operations_for_trial(module, state)
    else:
        swap_and_replay(call)
    call.reinstall_gate()


def direct_dict_entries(call: Materialization) -> dict[str, Any]:
    """Entries of the lazy instance's `__dict__` that no `__setattr__` made, but `functools.cached_property` for one."""
    assigned = vars(call.state.attached())
    return {name: value for name, value in call.lazy_dict.items() if name != STATE_KEY and name not in assigned}


def swap_and_replay(call: Materialization) -> None:
    """Turn placeholders into the tensors of the module just constructed, and replay the operations on it."""
    module, state = call.module, call.state
    if state.history.preview is not None:
        call.transaction = swap_placeholders(module, state.history.preview)
    if state.history.operations:
        replay(state.history.operations, module, "real", call)
    if call.transaction is not None:
        check_names_kept(module, state, call.transaction)


@contextmanager
def intercept_inner_lazy(call: Materialization) -> Iterator[None]:
    """Note which lazy instances the constructor makes, and construct those for which there is a plan at once."""
    constructed: list[nn.Module] = []
    outer = None if call_stack.calls.trial_kind is not None else call.state.history.copy_group

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
        inner.plan = plan
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
