"""The first call: build the real module in the lazy instance's place, run it, keep it or take it back.

With the files below it, the only one that changes live modules. The way of one first call:

    module(x) -> values inferred -> [ gate up, class = wrapped, constructor, journal replayed ] -> the call
              -> passed: gate down           raised: the lazy state again, as if nothing had been

The instance itself is constructed, not a twin that is copied over: whatever the constructor or the journal
ties to `self` (bound methods, hooks, handles) is tied to the object that the user holds. Until the call has
passed, a gate keeps other threads out.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from lazify._deferred.state import STATE_KEY, InstanceLock, LazyState, lazy_state, lock_holders
from lazify._first_call.building import (
    Completed,
    Materialization,
    Plan,
    build,
    call_stack,
    plans_of,
    trial_module,
    trial_run_scope,
)
from lazify._first_call.records import record, record_fast, summarize_arguments
from lazify._inference.call_values import GuessFailed, all_plain, cache_key, infer, search, tensors
from lazify._isolation import TrialMemoryError, TrialRunner, UncopyableError
from lazify._isolation.restoring import (
    apply_diff,
    diff,
    random_state,
    snapshot_dict,
)
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
    is_made_here,
    skip_dynamo,
)
from lazify.errors import AmbiguousInferenceError, InferenceError, NotMaterializedError, compose

__all__ = ["call", "materialize_and_call", "materialize_with"]

logger = logging.getLogger("lazify")


# ---------------------------------------------------------------------------------------------
# The first call


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
    return _first_of_all(module, state, args, kwargs)


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
        return _attempt(module, state, args, kwargs, "__call__", _by_rules)
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
                return _attempt(module, state, args, kwargs, method, _by_rules)
    # a method kept from before: of the class, not what stands in the instance by now (it may be a wrapper around this)
    return None if method is None else getattr(type(module), method)(module, *args, **kwargs)


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
    watched = method == "__call__" and (not recipe.call_is_default or _has_pre_hooks(state))
    values = or_none(find, state, args, kwargs, method) if watched else find(state, args, kwargs, method)
    device = _other_device(state, args, kwargs) if plan is None else plan.device
    calls = call_stack.calls
    first = Materialization(module, state)
    first.lazy_class, first.lazy_dict = type(module), vars(module)
    first.plan = plan
    first.seen = summarize_arguments(args, kwargs) if plan is None else plan.seen
    first.keep_arguments()
    calls.append(first)
    try:
        if watched:
            build_and_recheck_at_forward(first, values, device, find)
        else:
            build(first, cast("dict[str, Any]", values), device)
        if method == "__call__":
            result = module(*args, **kwargs)
        else:
            result = None if method is None else getattr(module, method)(*args, **kwargs)
    except BaseException:
        first.rollback()
        raise
    finally:
        calls.pop()
    first.commit(calls)
    if call_stack.calls.trial_kind is not None:
        return result
    record(module, recipe, state.given, first.values or {}, first.seen)
    if state.history.copy_group is not None:
        own = Completed()
        own.add(first)
        state.history.copy_group.setdefault("plan", plans_of(own)[-1])
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, first.values)
    return result


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


def _simple_attempt(first: Materialization, values: dict[str, Any], x: Tensor, shape: torch.Size) -> Any:
    """What `_attempt` does where call and constructor are simple: most first calls, so without detours.

    (A first call competes with the construction of one small layer: a tenth of that is three hundred bytecodes,
    fifteen for each call of a function. The turn is the caller's.)
    """
    module, state, calls = first.module, first.state, call_stack.calls
    recipe = state.recipe
    first.lazy_class, first.lazy_dict = type(module), module.__dict__
    calls.append(first)
    try:
        reset_to_uninitialized(module, recipe, first)
        recipe.original_init(module, **state.given, **values)
        if module.__dict__.get(COMPILED_CALL) is not first:
            first.reinstall_gate()
        result = (first.compiled or module._call_impl)(x)  # what the gate does
    except BaseException:
        first.rollback()
        raise
    finally:
        calls.pop()
    first.commit(calls)
    record_fast(module, recipe, state.given, values, ((shape,), _NO_KEYWORDS))  # all of it plain
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, values)
    return result


_NO_KEYWORDS: Mapping[str, Any] = MappingProxyType({})


#: How values are found: from what is state, and from the arguments of the call of a method.
ValueFinder: TypeAlias = "Callable[..., dict[str, Any]]"


def _by_rules(
    state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None = "forward"
) -> dict[str, Any]:
    recipe = state.recipe
    return infer(recipe, state.given, recipe.bind_forward(None, *args, **kwargs))


def _other_device(state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    """The input's device, where parameters would not be made on it anyway.

    None too if a device was chosen before, or if there is no input tensor to follow.
    """
    tensor = args[0] if args and isinstance(args[0], torch.Tensor) else next(tensors((args, kwargs)), None)
    if (
        tensor is None
        or is_made_here(tensor)
        or state.history.device_is_explicit
        or state.given.get("device") is not None
    ):
        return None
    return tensor.device


# ---------------------------------------------------------------------------------------------
# Classes that nobody described: a guess is proved by the call itself, or values are searched for


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
            values = remember_solution(recipe, key, _by_search(state, args, kwargs, method))
        if all_plain(values.values()):
            return _simple_attempt(Materialization(module, state, values), values, args[0], args[0].shape)
    return _attempt(module, state, args, kwargs, method, _by_search)


def _by_search(
    state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None = "forward"
) -> dict[str, Any]:
    """The values remembered for such a call, else those with which a run that nobody sees passes."""
    recipe = state.recipe
    key = cache_key((state.given, args, kwargs))
    if key not in recipe.solutions:
        if recipe.call_is_default and method in ("__call__", "forward") and not _has_pre_hooks(state):
            recipe.bind_forward(None, *args, **kwargs)  # a call that cannot be is Python's own error
        code = (recipe.wrapped, [operation.args for operation in state.history.operations])
        construct = functools.partial(trial_module, state)
        probe = TrialRunner(construct, state.given, args, kwargs, method or "__call__", code)
        with trial_run_scope():
            return remember_solution(recipe, key, _searched(recipe, state, probe))
    return recipe.solutions[key]


def _searched(recipe: Recipe, state: LazyState, probe: TrialRunner) -> dict[str, Any]:
    """What a search finds; a guess that could not be tried, for reasons that have nothing to do with it, stands.

    Raises:
        InferenceError: if nothing is found, and nothing was guessed.
        Exception: the error of the run that came furthest, if something was guessed.
    """
    try:
        return search(recipe, state.given, probe)
    except AmbiguousInferenceError:
        raise
    except InferenceError as error:
        guess = or_none(_by_rules, state, probe.args, dict(probe.kwargs))
        if guess is None or error.furthest is None:
            raise
        if isinstance(error.furthest, (TrialMemoryError, UncopyableError)):
            return guess
        raise error.furthest from error


#: How many configurations of one class are remembered.
MOST_SOLUTIONS = 1024


def remember_solution(recipe: Recipe, key: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Keep what was found for a configuration; the one found first goes when there are too many."""
    if len(recipe.solutions) >= MOST_SOLUTIONS:
        recipe.solutions.pop(next(iter(recipe.solutions)), None)
    recipe.solutions[key] = values
    return values


# ---------------------------------------------------------------------------------------------
# Calls whose arguments change on the way to `forward`


def _has_pre_hooks(state: LazyState) -> bool:
    attached_to = state.history.attached_to
    return bool(GLOBAL_PRE_HOOKS or (attached_to is not None and attached_to._forward_pre_hooks))


def or_none(
    find: ValueFinder, state: LazyState, args: Any, kwargs: Any, method: str | None = "forward"
) -> dict[str, Any] | None:
    """The values for the arguments as passed, if they can be had."""
    try:
        return find(state, args, kwargs, method)
    except (InferenceError, GuessFailed, TypeError):
        return None


def build_and_recheck_at_forward(
    call: Materialization, values: dict[str, Any] | None, device: torch.device | None, find: ValueFinder
) -> None:
    """Build from the arguments as passed, and look again when they reach `forward`.

    A pre-forward hook or a `__call__` of the class's own may change them. Where the values then are
    others the module is built anew; where they could not be had before, it is built only there.
    """
    module, state = call.module, call.state
    call.random = random_state(device)
    if values is None:
        reset_to_uninitialized(module, state.recipe, call)
        vars(module).update(vars(state.attached()))
    else:
        build(call, values, device)
    own_forward = vars(module).get("forward")

    def watch(*args: Any, **kwargs: Any) -> Any:
        vars(module).pop("forward")
        if own_forward is not None:
            vars(module)["forward"] = own_forward
        looked = find if values is None else functools.partial(or_none, find)
        final = looked(state, args, kwargs, "forward")
        if final is not None and not _same(values, final):
            done = {} if values is None else diff(built, vars(module))
            call.rollback_module()
            build(call, final, device if device is not None else _other_device(state, args, kwargs))
            apply_diff(built, done, vars(module))
        return module.forward(*args, **kwargs)

    built = snapshot_dict(vars(module))
    vars(module)["forward"] = watch


def _same(values: Any, others: Any) -> bool:
    try:
        return bool(values == others)
    except Exception:  # arrays and the like do not compare to one truth
        return True
