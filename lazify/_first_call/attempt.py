"""The first call: a lazy instance becomes the real module, or stays lazy if anything raises.

    module(x)  ->  instance lock  ->  values (rules, or a search)  ->  the instance is constructed as the real module
               ->  the call  ->  commit, record            an exception  ->  roll back: lazy again, unchanged

The instance itself is constructed, not another object that is copied over: what the constructor or an operation ties
to `self` (bound methods, hooks, handles) is tied to the object that the user holds. Until the call has passed, a gate
keeps other threads out (`Materialization`).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from torch import Tensor, nn

from lazify._deferred.caches import caches_of
from lazify._deferred.state import STATE_KEY, LazyState, lazy_state
from lazify._first_call.building import build
from lazify._first_call.changed_arguments import build_and_recheck_at_forward, other_device
from lazify._first_call.commit_and_rollback import Materialization, Plan, call_stack, plans_of
from lazify._first_call.equal_modules import follow, keep_outcome, kind_of_call
from lazify._first_call.find_values import ValueFinder, by_rules, by_search, has_pre_hooks, or_none
from lazify._first_call.records import record, record_fast, summarize_arguments
from lazify._lock import InstanceLock, lock_holders
from lazify._nested import all_plain
from lazify._recipe.construction import contexts_are_neutral, reset_to_uninitialized
from lazify._torch import (
    COMPILED_CALL,
    GLOBAL_PRE_HOOKS,
    MODULE_CALL,
    dispatch_modes,
    function_modes,
    graph_tracer,
    is_fx_tracing,
    saved_tensors_hooks_on,
    skip_dynamo,
    tracing_state,
)
from lazify.errors import InferenceError, NotMaterializedError, compose, shorten_traceback

__all__ = ["call", "materialize_and_call", "materialize_with", "traced_message"]

logger = logging.getLogger("lazify")
_NO_KEYWORDS: Mapping[str, Any] = MappingProxyType({})


# ---------------------------------------------------------------------------------------------
# The ways into an attempt


def call(module: Any, /, *args: Any, **kwargs: Any) -> Any:
    """`__call__` of a lazy instance: materialize it and make the call.

    Of concurrent first calls, one materializes the instance and the others wait for it.

    Raises:
        InferenceError: if the call does not determine the inferred parameters.
        Exception: whatever the constructor or the call raises.

    After any exception the instance is lazy and unchanged, and so are lazy modules inside it.
    """
    state: LazyState | None = module.__dict__.get(STATE_KEY)
    if state is not None:
        try:
            return _first_call(module, state, args, kwargs)
        except Exception as error:
            shorten_traceback(error)
            raise
    _wait_for_other_thread(module)  # it has materialized the module since the call began
    return module(*args, **kwargs)


def _wait_for_other_thread(module: nn.Module) -> None:
    """Wait until a thread that materializes the module commits or rolls back."""
    gate = module.__dict__.get(COMPILED_CALL)  # not `vars`: Dynamo before 2.6 does not trace it
    if isinstance(gate, Materialization):
        with InstanceLock(gate.state):
            pass


@skip_dynamo
def _first_call(module: Any, state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    recipe = state.recipe
    is_simple = (
        state.is_untouched
        and recipe.init_takes_keywords
        and recipe.call_is_default
        and len(args) == 1
        and not kwargs
        and type(args[0]) is Tensor
        and len(module.__dict__) == 1
        and not GLOBAL_PRE_HOOKS
        and nn.Module.__call__ is MODULE_CALL
        and args[0].is_cpu  # `is_made_here`, in fewer calls; a default device is a function mode
        and not function_modes()
        and contexts_are_neutral()
        and saved_tensors_hooks_on(True) is None
        and call_stack.trial_kind is None
        and not dispatch_modes()
        and tracing_state() is None
    )
    if is_simple and (axis := recipe.single_axis) is not None:
        (name, dim, least), shape = axis, args[0].shape
        if len(shape) >= least:
            first = Materialization(module, state, {name: shape[dim]}, ((shape,), _NO_KEYWORDS))
            try:  # as `with first:`, in fewer calls; if another thread has the lock, the next lines wait for it
                if lock_holders.setdefault(state, first) is first and STATE_KEY in module.__dict__:
                    return _run(first, None, args)
            finally:
                if lock_holders.get(state) is first:
                    first.release()
    with InstanceLock(state):
        if STATE_KEY in module.__dict__:
            if is_fx_tracing(*args, *kwargs.values()):
                return _traced(module, state, args, kwargs)
            return _infer_and_run(module, state, args, kwargs, "__call__", is_simple)
    return module(*args, **kwargs)


def _traced(module: Any, state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Let torch.fx trace: a lazy instance of a class of torch enters the graph as one node, as its class would."""
    vars(module)["__module__"] = state.recipe.wrapped.__module__  # by which torch.fx recognises classes of torch
    try:
        return nn.Module.__call__(module, *args, **kwargs)
    finally:
        vars(module).pop("__module__", None)


@skip_dynamo
def materialize_and_call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None) -> Any:
    """Materialize a lazy instance by the arguments of a call, and call this method; for None, call nothing."""
    while (state := lazy_state(module)) is not None:
        with InstanceLock(state):
            if lazy_state(module) is state:
                return _infer_and_run(module, state, args, kwargs, method)
    _wait_for_other_thread(module)
    if lazy_state(module) is not None:  # rolled back: this call is now the first one
        return materialize_and_call(module, args, kwargs, method)
    # a method looked up before: of the class, since an attribute of the instance may be a wrapper around this function
    return None if method is None else getattr(type(module), method)(module, *args, **kwargs)


def materialize_with(plan: Plan) -> None:
    """Materialize a lazy instance without a call, and with it the lazy instances that its constructor makes."""
    state = lazy_state(plan.module)
    if state is None:
        return
    with InstanceLock(state):
        if lazy_state(plan.module) is state:
            _attempt(plan.module, state, (), {}, None, lambda *_: plan.values, plan)


# ---------------------------------------------------------------------------------------------
# An attempt. The caller holds the instance lock


def _infer_and_run(
    module: nn.Module,
    state: LazyState,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None,
    is_simple: bool = False,
) -> Any:
    """Attempt with the values that the rules give, or a search if rules are guesses: once for each configuration."""
    if not is_simple and (tracer := graph_tracer()):  # what draws the parameters would be part of the graph
        raise NotMaterializedError(traced_message(module, tracer))
    recipe = state.recipe
    try:
        if not recipe.guessed:
            in_trial = method == "__call__" and call_stack.trial_kind is not None
            kind = kind_of_call(state, args, kwargs) if in_trial else None
            result = None if kind is None else follow(module, state, kind, args[0])
            if result is None:
                result = _attempt(module, state, args, kwargs, method, by_rules)
                if kind is not None:
                    keep_outcome(module, kind, args[0], result)
            return result
        solutions, key = caches_of(type(module)).solutions, None
        if is_simple:
            shape = args[0].shape
            key = (shape, args[0].dtype, *state.given.items())
            values = solutions.get(key) or by_search(solutions, key, state, args, kwargs, method)
            if all_plain(values.values()):
                return _run(Materialization(module, state, values, ((shape,), _NO_KEYWORDS)), None, args)
        return _attempt(module, state, args, kwargs, method, functools.partial(by_search, solutions, key))
    except InferenceError as error:
        error.module = error.module or module  # the innermost
        raise


def _attempt(
    module: nn.Module,
    state: LazyState,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None,
    find: ValueFinder,
    plan: Plan | None = None,
) -> Any:
    """Materialize with the values that `find` gives, and call the method."""
    if state.history.owner is not None:
        raise NotMaterializedError(belongs_to_owner_message(state))
    may_change = method == "__call__" and (not state.recipe.call_is_default or has_pre_hooks(state))
    values = or_none(find, state, args, kwargs, method) if may_change else find(state, args, kwargs, method)
    device = other_device(state, args, kwargs) if plan is None else plan.device
    first = Materialization(module, state, None, summarize_arguments(args, kwargs) if plan is None else plan.seen)
    first.plan, first.trial_kind = plan, call_stack.trial_kind
    first.copy_group = state.history.copy_group if first.trial_kind is None else None
    first.prepare_rollback()

    def construct() -> None:
        if may_change:
            build_and_recheck_at_forward(first, values, device, find)
        else:
            build(first, cast("dict[str, Any]", values), device)

    result = _run(first, construct, args, kwargs, method)
    group = first.copy_group
    if group is not None and group.built_first is state:
        group.plan = (plan or plans_of([first])[-1]).without_modules()
    return result


def _run(
    first: Materialization,
    construct: Callable[[], None] | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] = _NO_KEYWORDS,
    method: str | None = "__call__",
) -> Any:
    """Construct the real module, call its method, commit, and keep a record; if anything raises, roll back.

    Without `construct` everything is simple: the first call of a small layer is so short that each function counts.
    """
    module, state, calls = first.module, first.state, call_stack.calls
    first.lazy_class, first.lazy_dict = type(module), module.__dict__
    calls.append(first)
    try:
        if construct is None:
            reset_to_uninitialized(module, state.recipe, first)
            state.recipe.original_init(module, **state.given, **first.values)
            if module.__dict__.get(COMPILED_CALL) is not first:
                first.reinstall_gate()
            if (holder := lock_holders.get(state)) is not None:  # as `set_ready`, in fewer calls
                holder.is_ready = True
                if holder.release_event is not None:
                    first.set_ready()
            result = (first.compiled or module._call_impl)(*args)  # as the gate does
        else:
            construct()
            target = module if method in (None, "__call__") else getattr(module, method)
            result = None if method is None else target(*args, **kwargs)
    except BaseException:
        first.rollback()
        raise
    finally:
        calls.pop()
    first.commit(calls[-1])
    if first.trial_kind is None:
        (record if construct else record_fast)(module, state.recipe, state.given, first.values, first.seen)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s became %s with %s", state.recipe.name, state.recipe.wrapped.__name__, first.values)
    return result


def traced_message(module: nn.Module, tracer: str) -> str:
    """Text of the error for a tracer of torch that meets a lazy instance."""
    headline = f"{tracer} needs the real module: this {type(module).__name__} has uninitialized parameters"
    return compose(headline, fix="materialize(model, input)  # or one call, first")


def belongs_to_owner_message(state: LazyState) -> str:
    """Text of the error for a call of a lazy instance that is a submodule in the preview of another one."""
    whole, path = cast("tuple[LazyState, str]", state.history.owner)
    return compose(
        f"{path!r} cannot be called yet: it belongs to a {whole.recipe.name} that waits for its first call",
        fix="module(input)  # once",
    )
