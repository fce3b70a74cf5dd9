"""The first call: build the real module in the lazy instance's place, run it, keep it or take it back.

With the files below it, the only one that changes live modules. The way of one first call:

    module(x) -> values inferred -> [ gate up, class = wrapped, constructor, operations replayed ] -> the call
              -> passed: gate down           raised: the lazy state again, as if nothing had been

The instance itself is constructed, not a twin that is copied over: whatever the constructor or an operation
ties to `self` (bound methods, hooks, handles) is tied to the object that the user holds. Until the call has
passed, a gate keeps other threads out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from lazify._deferred.lock import InstanceLock, lock_holders
from lazify._deferred.state import STATE_KEY, LazyState, lazy_state
from lazify._first_call.building import build
from lazify._first_call.changed_arguments import build_and_recheck_at_forward, other_device
from lazify._first_call.find_values import ValueFinder, by_rules, by_search, has_pre_hooks, or_none, remember_solution
from lazify._first_call.materialization import Completed, Materialization, Plan, call_stack, plans_of
from lazify._first_call.records import record, record_fast, summarize_arguments
from lazify._isolation.restoring import random_state
from lazify._nested import all_plain
from lazify._recipe.construction import (
    contexts_are_neutral,
    reset_to_uninitialized,
)
from lazify._recipe.recipe import Recipe
from lazify._torch import (
    COMPILED_CALL,
    GLOBAL_PRE_HOOKS,
    MODULE_CALL,
    function_modes,
    is_fx_tracing,
    recomputed_later,
    saved_tensors_hooks_on,
    skip_dynamo,
)
from lazify.errors import InferenceError, NotMaterializedError, compose, shorten_traceback

__all__ = ["call", "materialize_and_call", "materialize_with"]

logger = logging.getLogger("lazify")
_NO_KEYWORDS: Mapping[str, Any] = MappingProxyType({})


def call(module: Any, /, *args: Any, **kwargs: Any) -> Any:
    """`__call__` of a lazy instance: materialize it and make the call.

    Of concurrent first calls one materializes, the others wait for it.

    Raises:
        InferenceError: if the call does not determine the inferred parameters.
        Exception: whatever the constructor or the call raises.

    In every case the instance is then lazy and unchanged, and so are lazy modules inside that had been
    materialized by this call.
    """
    state: LazyState | None = module.__dict__.get(STATE_KEY)
    if state is None:
        return _after_another_thread(module, args, kwargs)
    try:
        return _first_of_all(module, state, args, kwargs)
    except Exception as error:
        shorten_traceback(error)
        raise


@skip_dynamo
def _first_of_all(module: Any, state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    is_untouched = (
        len(args) == 1
        and not kwargs
        and type(args[0]) is Tensor
        and state.is_untouched
        and len(module.__dict__) == 1
        and not GLOBAL_PRE_HOOKS
        and nn.Module.__call__ is MODULE_CALL
        and args[0].is_cpu  # `is_made_here`, in fewer calls; a default device is a function mode
        and not function_modes()
        and contexts_are_neutral()
        and saved_tensors_hooks_on(True) is None
        and call_stack.calls.trial_kind is None
    )
    if is_untouched and (direct := state.recipe.single_axis) is not None:
        (name, dim, least), x, shape = direct, args[0], args[0].shape
        if len(shape) >= least:
            values = {name: shape[dim]}
            first = Materialization(module, state, values)
            try:  # `with first:`, in fewer calls; who does not get a turn at once comes to the one below
                if lock_holders.setdefault(state, first) is first and STATE_KEY in module.__dict__:
                    return _simple_attempt(first, values, x, shape)
            finally:
                if lock_holders.get(state) is first:
                    first.release()
    with InstanceLock(state):
        if STATE_KEY in module.__dict__:
            return _any_attempt(module, state, args, kwargs, is_untouched)
    return module(*args, **kwargs)


def _after_another_thread(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """It came first: wait until it has passed or failed, and look again."""
    if isinstance(gate := module.__dict__.get(COMPILED_CALL), Materialization):
        with InstanceLock(gate.state):
            pass
    return module(*args, **kwargs)


def _any_attempt(
    module: Any, state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any], is_untouched: bool
) -> Any:
    if is_fx_tracing(*args, *kwargs.values()):
        return _traced(module, state, args, kwargs)
    try:
        if state.recipe.guessed:
            return _guess_or_search(module, state, args, kwargs, "__call__", is_untouched)
        return _attempt(module, state, args, kwargs, "__call__", by_rules)
    except InferenceError as error:
        error.module = error.module or module  # the innermost
        raise


def _traced(module: Any, state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch.fx traces: what stands for one of torch's modules enters the graph as it is, lazy."""
    vars(module)["__module__"] = state.recipe.wrapped.__module__  # by which it knows torch's
    try:
        return nn.Module.__call__(module, *args, **kwargs)
    finally:
        vars(module).pop("__module__", None)


@skip_dynamo
def materialize_and_call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None) -> Any:
    """The same for `module.forward(...)`, or for no call at all, with the arguments of one.

    (Threads that call `forward` directly, past `__call__`, do not meet the gate.)
    """
    state = lazy_state(module)
    if state is not None:
        with InstanceLock(state):
            if lazy_state(module) is state:
                if state.recipe.guessed:
                    return _guess_or_search(module, state, args, kwargs, method)
                return _attempt(module, state, args, kwargs, method, by_rules)
    # a method kept from before: of the class, not what stands in the instance by now (it may be a wrapper around this)
    return None if method is None else getattr(type(module), method)(module, *args, **kwargs)


def _guess_or_search(
    module: nn.Module,
    state: LazyState,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None,
    is_untouched: bool = False,
) -> Any:
    """The first call of a class whose rules are guesses.

    Once for each configuration trial runs tell whether the guess holds, or which values do. The real call comes after
    that, and once.
    """
    recipe = state.recipe
    if is_untouched and recipe.init_takes_keywords:
        key = (args[0].shape, args[0].dtype, *state.given.items())
        values = recipe.solutions.get(key)
        if values is None:
            values = remember_solution(recipe, key, by_search(state, args, kwargs, method))
        if all_plain(values.values()):
            return _simple_attempt(Materialization(module, state, values), values, args[0], args[0].shape)
    return _attempt(module, state, args, kwargs, method, by_search)


def _attempt(
    module: nn.Module,
    state: LazyState,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None,
    find: ValueFinder,
    plan: Plan | None = None,
) -> Any:
    """Build with the values that `find` yields and make the call; whatever raises, it was never tried."""
    recipe = state.recipe
    if state.history.owner is not None:
        raise NotMaterializedError(belongs_to_owner_message(state))
    may_change = method == "__call__" and (not recipe.call_is_default or has_pre_hooks(state))
    values = or_none(find, state, args, kwargs, method) if may_change else find(state, args, kwargs, method)
    device = other_device(state, args, kwargs) if plan is None else plan.device
    first = Materialization(module, state)
    first.plan = plan
    first.seen = summarize_arguments(args, kwargs) if plan is None else plan.seen
    first.keep_arguments()

    def build_and_call() -> Any:
        if may_change:
            build_and_recheck_at_forward(first, values, device, find)
        else:
            _build(first, cast("dict[str, Any]", values), device)
        if method == "__call__":
            return module(*args, **kwargs)
        return None if method is None else getattr(module, method)(*args, **kwargs)

    result = _commit_or_roll_back(first, build_and_call)
    if call_stack.calls.trial_kind is None:
        record(module, recipe, state.given, first.values or {}, first.seen)
        if state.history.copy_group is not None:
            own = Completed()
            own.add(first)
            state.history.copy_group.setdefault("plan", plans_of(own)[-1].without_modules())
        _log(recipe, first.values)
    return result


def _build(first: Materialization, values: dict[str, Any], device: torch.device | None) -> None:
    """Build; where checkpointing runs the call again later, with the module built, it draws what that will draw."""
    random = random_state(device) if recomputed_later() else ()
    build(first, values, device)
    for restore, before in random:
        restore(before)


def _simple_attempt(first: Materialization, values: dict[str, Any], x: Tensor, shape: torch.Size) -> Any:
    """An attempt where call and constructor are simple, as in most first calls. The caller holds the instance lock."""
    recipe = first.state.recipe
    result = _commit_or_roll_back(first, None, values, x)
    record_fast(first.module, recipe, first.state.given, values, ((shape,), _NO_KEYWORDS))  # all of it plain
    if logger.isEnabledFor(logging.DEBUG):
        _log(recipe, values)
    return result


def _commit_or_roll_back(
    first: Materialization, build_and_call: Callable[[], Any] | None, values: Any = None, x: Any = None
) -> Any:
    """Materialize and make the call; if anything raises, the instance is as it was before.

    Without `build_and_call`, the module is built with `values` and called with `x`, here: a first call competes with
    the construction of one small layer, a tenth of that is three hundred bytecodes, a call of a function fifteen.
    """
    module, state, calls = first.module, first.state, call_stack.calls
    first.lazy_class, first.lazy_dict = type(module), module.__dict__
    calls.append(first)
    try:
        if build_and_call is None:
            reset_to_uninitialized(module, state.recipe, first)
            state.recipe.original_init(module, **state.given, **values)
            if module.__dict__.get(COMPILED_CALL) is not first:
                first.reinstall_gate()
            result = (first.compiled or module._call_impl)(x)  # as the gate does
        else:
            result = build_and_call()
    except BaseException:
        first.rollback()
        raise
    finally:
        calls.pop()
    first.commit(calls[-1])
    return result


def _log(recipe: Recipe, values: Mapping[str, Any] | None) -> None:
    logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, values)


def materialize_with(plan: Plan) -> None:
    """Make a lazy instance real without a call, and those inside that its constructor makes."""
    state = lazy_state(plan.module)
    if state is None:
        return
    with InstanceLock(state):
        if lazy_state(plan.module) is state:
            _attempt(plan.module, state, (), {}, None, lambda *_: plan.values, plan)


def belongs_to_owner_message(state: LazyState) -> str:
    whole, path = cast("tuple[LazyState, str]", state.history.owner)
    return compose(
        f"{path!r} cannot be called yet: it belongs to a {whole.recipe.name} that waits for its first call",
        fix="module(input)  # once",
    )
