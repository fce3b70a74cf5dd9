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

from lazify.building import (
    FirstCall,
    FirstCalls,
    Plan,
    build,
    plans_of,
    rehearsed,
    throwing_away,
    under_way,
)
from lazify.construction import (
    stand_bare,
    surroundings_are_plain,
)
from lazify.errors import AmbiguousInferenceError, InferenceError, NotMaterializedError, compose
from lazify.inference import NotFound, all_plain, infer, search, structure, tensors
from lazify.memory import keep, remember, seen
from lazify.pending import PENDING, Pending, Turn, turns, waiting
from lazify._isolation import TrialMemoryError, TrialRunner, UncopyableError
from lazify.recipe import Recipe
from lazify.restoring import (
    carry_over,
    changes,
    contents,
    random_state,
)
from lazify.torch_private import (
    GATE,
    GLOBAL_PRE_HOOKS,
    MODULE_CALL,
    function_modes,
    hidden_from_dynamo,
    is_made_here,
    recomputed_later,
    saved_tensors_hooks_on,
    traces,
)

__all__ = ["call", "first_call", "follow"]

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
    pending: Pending | None = module.__dict__.get(PENDING)
    if pending is None:
        return _after_another_thread(module, args, kwargs)
    return _first_of_all(module, pending, args, kwargs)


@hidden_from_dynamo
def _first_of_all(module: Any, pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    simple = (
        len(args) == 1
        and not kwargs
        and type(args[0]) is Tensor
        and pending.simple
        and len(module.__dict__) == 1
        and not GLOBAL_PRE_HOOKS
        and nn.Module.__call__ is MODULE_CALL
        and args[0].is_cpu  # `is_made_here`, in fewer calls; a default device is a function mode
        and not function_modes()
        and surroundings_are_plain()
        and saved_tensors_hooks_on(True) is None
        and under_way.calls.rehearsal is None
    )
    if simple and (direct := pending.recipe.direct) is not None:
        (name, dim, least), x, shape = direct, args[0], args[0].shape
        if len(shape) >= least:
            values = {name: shape[dim]}
            first = FirstCall(module, pending, values)
            try:  # `with first:`, in fewer calls; who does not get a turn at once comes to the one below
                if turns.setdefault(pending, first) is first and PENDING in module.__dict__:
                    return _simple_attempt(first, values, x, shape)
            finally:
                if turns.get(pending) is first:
                    first.end()
    with Turn(pending):
        if PENDING in module.__dict__:
            return _any_attempt(module, pending, args, kwargs, simple)
    return module(*args, **kwargs)


def _after_another_thread(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """It came first: wait until it has passed or failed, and look again."""
    if isinstance(gate := module.__dict__.get(GATE), FirstCall):
        with Turn(gate.pending):
            pass
    return module(*args, **kwargs)


def _any_attempt(module: Any, pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any], simple: bool) -> Any:
    if traces(*args, *kwargs.values()):
        return _traced(module, pending, args, kwargs)
    try:
        if pending.recipe.guessed:
            return _guess_or_search(module, pending, args, kwargs, "__call__", simple)
        return _attempt(module, pending, args, kwargs, "__call__", _by_rules)
    except InferenceError as error:
        error.module = error.module or module  # the innermost
        raise


def _traced(module: Any, pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """torch.fx traces: what stands for one of torch's modules enters the graph as it is, lazy."""
    vars(module)["__module__"] = pending.recipe.wrapped.__module__  # by which it knows torch's
    try:
        return nn.Module.__call__(module, *args, **kwargs)
    finally:
        vars(module).pop("__module__", None)


@hidden_from_dynamo
def first_call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None) -> Any:
    """The same for `module.forward(...)`, or for no call at all, with the arguments of one.

    (Threads that call `forward` directly, past `__call__`, do not meet the gate.)
    """
    pending = waiting(module)
    if pending is not None:
        with Turn(pending):
            if waiting(module) is pending:
                if pending.recipe.guessed:
                    return _guess_or_search(module, pending, args, kwargs, method)
                return _attempt(module, pending, args, kwargs, method, _by_rules)
    # a method kept from before: of the class, not what stands in the instance by now (it may be a wrapper around this)
    return None if method is None else getattr(type(module), method)(module, *args, **kwargs)


def _attempt(
    module: nn.Module,
    pending: Pending,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None,
    find: _Find,
    plan: Plan | None = None,
) -> Any:
    """Build with the values that `find` yields and make the call; whatever raises, it was never tried."""
    recipe = pending.recipe
    if pending.past.part is not None:
        raise NotMaterializedError(_only_told(pending))
    watched = method == "__call__" and (not recipe.plain_call or _has_pre_hooks(pending))
    values = _if_found(find, pending, args, kwargs, method) if watched else find(pending, args, kwargs, method)
    device = _other_device(pending, args, kwargs) if plan is None else plan.device
    calls = under_way.calls
    first = FirstCall(module, pending)
    first.lazy, first.state = type(module), vars(module)
    first.plan = plan
    first.seen = seen(args, kwargs) if plan is None else plan.seen
    first.keep_arguments()
    calls.append(first)
    try:
        if watched:
            _build_watched(first, values, device, find)
        else:
            random = random_state(device) if recomputed_later() else ()
            build(first, cast("dict[str, Any]", values), device)
            for restore, state in random:  # it will be run again from here on, with the module made
                restore(state)
        if method == "__call__":
            result = module(*args, **kwargs)
        else:
            result = None if method is None else getattr(module, method)(*args, **kwargs)
    except BaseException:
        first.undo()
        raise
    finally:
        calls.pop()
    first.passed(calls)
    if under_way.calls.rehearsal is not None:
        return result
    remember(module, recipe, pending.given, first.values or {}, first.seen)
    if pending.past.kin is not None:
        own = FirstCalls()
        own.note(first)
        pending.past.kin.setdefault("plan", plans_of(own)[-1])
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, first.values)
    return result


def follow(plan: Plan) -> None:
    """Make a lazy instance real without a call, and those inside that its constructor makes."""
    pending = waiting(plan.module)
    if pending is None:
        return
    with Turn(pending):
        if waiting(plan.module) is pending:
            _attempt(plan.module, pending, (), {}, None, lambda *_: plan.values, plan)


def _only_told(pending: Pending) -> str:
    whole, path = cast("tuple[Pending, str]", pending.past.part)
    return compose(
        f"{path!r} cannot be called yet: it belongs to a {whole.recipe.name} that waits for its first call",
        fix="module(input)  # once",
    )


def _simple_attempt(first: FirstCall, values: dict[str, Any], x: Tensor, shape: torch.Size) -> Any:
    """What `_attempt` does where call and constructor are simple: most first calls, so without detours.

    (A first call competes with the construction of one small layer: a tenth of that is three hundred bytecodes,
    fifteen for each call of a function. The turn is the caller's.)
    """
    module, pending, calls = first.module, first.pending, under_way.calls
    recipe = pending.recipe
    first.lazy, first.state = type(module), module.__dict__
    calls.append(first)
    try:
        stand_bare(module, recipe, first)
        recipe.init(module, **pending.given, **values)
        if module.__dict__.get(GATE) is not first:
            first.stand_again()
        result = (first.compiled or module._call_impl)(x)  # what the gate does
    except BaseException:
        first.undo()
        raise
    finally:
        calls.pop()
    first.passed(calls)
    keep(module, recipe, pending.given, values, ((shape,), _NO_KEYWORDS))  # all of it plain
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, values)
    return result


_NO_KEYWORDS: Mapping[str, Any] = MappingProxyType({})


#: How values are found: from what is pending, and from the arguments of the call of a method.
_Find: TypeAlias = "Callable[..., dict[str, Any]]"


def _by_rules(
    pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None = "forward"
) -> dict[str, Any]:
    recipe = pending.recipe
    return infer(recipe, pending.given, recipe.bind_forward(None, *args, **kwargs))


def _other_device(pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    """The input's device, where parameters would not be made on it anyway.

    None too if a device was chosen before, or if there is no input tensor to follow.
    """
    tensor = args[0] if args and isinstance(args[0], torch.Tensor) else next(tensors((args, kwargs)), None)
    if tensor is None or is_made_here(tensor) or pending.past.moved or pending.given.get("device") is not None:
        return None
    return tensor.device


# ---------------------------------------------------------------------------------------------
# Classes that nobody described: a guess is proved by the call itself, or values are searched for


def _guess_or_search(
    module: nn.Module,
    pending: Pending,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None,
    simple: bool = False,
) -> Any:
    """The first call of a class whose rules are guesses.

    Once for each configuration trial runs tell whether the guess holds, or which values do. The real call comes after
    that, and once.
    """
    recipe = pending.recipe
    if simple and recipe.plain_init:
        key = (args[0].shape, args[0].dtype, *pending.given.items())
        values = recipe.solved.get(key)
        if values is None:
            values = remember_solution(recipe, key, _by_search(pending, args, kwargs, method))
        if all_plain(values.values()):
            return _simple_attempt(FirstCall(module, pending, values), values, args[0], args[0].shape)
    return _attempt(module, pending, args, kwargs, method, _by_search)


def _by_search(
    pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None = "forward"
) -> dict[str, Any]:
    """The values remembered for such a call, else those with which a run that nobody sees passes."""
    recipe = pending.recipe
    key = structure((pending.given, args, kwargs))
    if key not in recipe.solved:
        if recipe.plain_call and method in ("__call__", "forward") and not _has_pre_hooks(pending):
            recipe.bind_forward(None, *args, **kwargs)  # a call that cannot be is Python's own error
        code = (recipe.wrapped, [entry.args for entry in pending.past.journal])
        construct = functools.partial(rehearsed, pending)
        probe = TrialRunner(construct, pending.given, args, kwargs, method or "__call__", code)
        with throwing_away():
            return remember_solution(recipe, key, _searched(recipe, pending, probe))
    return recipe.solved[key]


def _searched(recipe: Recipe, pending: Pending, probe: TrialRunner) -> dict[str, Any]:
    """What a search finds; a guess that could not be tried, for reasons that have nothing to do with it, stands.

    Raises:
        InferenceError: if nothing is found, and nothing was guessed.
        Exception: the error of the run that came furthest, if something was guessed.
    """
    try:
        return search(recipe, pending.given, probe)
    except AmbiguousInferenceError:
        raise
    except InferenceError as error:
        guess = _if_found(_by_rules, pending, probe.args, dict(probe.kwargs))
        if guess is None or error.furthest is None:
            raise
        if isinstance(error.furthest, (TrialMemoryError, UncopyableError)):
            return guess
        raise error.furthest from error


#: How many configurations of one class are remembered.
MOST_SOLUTIONS = 1024


def remember_solution(recipe: Recipe, key: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Keep what was found for a configuration; the one found first goes when there are too many."""
    if len(recipe.solved) >= MOST_SOLUTIONS:
        recipe.solved.pop(next(iter(recipe.solved)), None)
    recipe.solved[key] = values
    return values


# ---------------------------------------------------------------------------------------------
# Calls whose arguments change on the way to `forward`


def _has_pre_hooks(pending: Pending) -> bool:
    stand_in = pending.past.stand_in
    return bool(GLOBAL_PRE_HOOKS or (stand_in is not None and stand_in._forward_pre_hooks))


def _if_found(find: _Find, pending: Pending, args: Any, kwargs: Any, method: str | None = "forward") -> dict[str, Any] | None:
    """The values for the arguments as passed, if they can be had."""
    try:
        return find(pending, args, kwargs, method)
    except (InferenceError, NotFound, TypeError):
        return None


def _build_watched(call: FirstCall, values: dict[str, Any] | None, device: torch.device | None, find: _Find) -> None:
    """Build from the arguments as passed, and look again when they reach `forward`.

    A pre-forward hook or a `__call__` of the class's own may change them. Where the values then are
    others the module is built anew; where they could not be had before, it is built only there.
    """
    module, pending = call.module, call.pending
    call.random = random_state(device)
    if values is None:
        stand_bare(module, pending.recipe, call)
        vars(module).update(vars(pending.attached()))
    else:
        build(call, values, device)
    own_forward = vars(module).get("forward")

    def watch(*args: Any, **kwargs: Any) -> Any:
        vars(module).pop("forward")
        if own_forward is not None:
            vars(module)["forward"] = own_forward
        looked = find if values is None else functools.partial(_if_found, find)
        final = looked(pending, args, kwargs, "forward")
        if final is not None and not _same(values, final):
            done = {} if values is None else changes(built, vars(module))
            call.rewind()
            build(call, final, device if device is not None else _other_device(pending, args, kwargs))
            carry_over(built, done, vars(module))
        return module.forward(*args, **kwargs)

    built = contents(vars(module))
    vars(module)["forward"] = watch


def _same(values: Any, others: Any) -> bool:
    try:
        return bool(values == others)
    except Exception:  # arrays and the like do not compare to one truth
        return True
