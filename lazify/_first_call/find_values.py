"""Values for one first call: from the rules of the recipe, or from a search, whose outcome is kept for the class."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any, TypeAlias

from torch import nn

from lazify._deferred.state import LazyState, lazy_state
from lazify._first_call.building import build_for_trial
from lazify._first_call.commit_and_rollback import TrialKind, trial_run_scope
from lazify._inference.call_values import GuessFailed, infer
from lazify._inference.search import search
from lazify._isolation import TrialMemoryError, TrialRunner, UncopyableError
from lazify._lock import InstanceLock
from lazify._module_tree import walk
from lazify._nested import cache_key, children, keep
from lazify._recipe.recipe import Recipe
from lazify._torch import COMPILED_CALL, GLOBAL_PRE_HOOKS
from lazify.errors import AmbiguousInferenceError, InferenceError

__all__ = ["ValueFinder", "by_rules", "by_search", "has_pre_hooks", "or_none"]

#: Function that finds values from a lazy state and the arguments of the call of a method.
ValueFinder: TypeAlias = "Callable[..., dict[str, Any]]"

#: For how many configurations one class keeps values.
MOST_SOLUTIONS = 1024


def by_rules(
    state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None = "forward"
) -> dict[str, Any]:
    """The values that the rules of the recipe give for a call of `forward`."""
    recipe = state.recipe
    return infer(recipe, state.given, recipe.bind_forward(None, *args, **kwargs))


def by_search(
    solutions: dict[Any, dict[str, Any]],
    key: Any,
    state: LazyState,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None = "forward",
) -> dict[str, Any]:
    """The values in `solutions` for such a call, else those with which a trial run passes.

    They stand under `key`, or, if that is None, under a description of the arguments.
    """
    recipe = state.recipe
    key = cache_key((state.given, args, kwargs)) if key is None else key
    if key not in solutions:
        if recipe.call_is_default and method in ("__call__", "forward") and not has_pre_hooks(state):
            recipe.bind_forward(None, *args, **kwargs)  # raises Python's own error for wrong arguments
        code = (recipe.wrapped, [operation.args for operation in state.history.operations])
        construct = functools.partial(build_for_trial, state)
        probe = TrialRunner(construct, state.given, args, kwargs, method or "__call__", code)
        with _modules_at_rest([list(state.given.values()), args, kwargs]), trial_run_scope(TrialKind.ON_FAKES):
            return keep(solutions, key, _searched(recipe, state, probe), MOST_SOLUTIONS)
    return solutions[key]


@contextmanager
def _modules_at_rest(values: list[Any]) -> Iterator[None]:
    """While trial runs copy the modules in these values, no other thread begins to build one, or is about to."""
    with ExitStack() as locks:
        for module in _modules_in(values, set()):
            gate = vars(module).get(COMPILED_CALL)
            inner = gate.state if isinstance(gate, InstanceLock) else lazy_state(module)
            if inner is not None:
                lock = InstanceLock(inner)
                lock.enter_or_ready()
                locks.push(lock)
        yield


def _modules_in(value: Any, seen: set[int]) -> Iterator[nn.Module]:
    if isinstance(value, nn.Module):
        yield from (module for _, module in walk(value, seen=seen))
    elif id(value) not in seen:
        seen.add(id(value))
        inside = [value.__self__] if isinstance(value, MethodType) else [each for _, each in children(value) or ()]
        for each in inside:
            yield from _modules_in(each, seen)


def _searched(recipe: Recipe, state: LazyState, probe: TrialRunner) -> dict[str, Any]:
    """The values that a search finds; the guessed ones if trial runs are not possible for reasons of their own.

    Raises:
        InferenceError: if nothing is found, and nothing was guessed.
        Exception: the error of the run that came furthest, if something was guessed.
    """
    try:
        return search(recipe, state.given, probe)
    except AmbiguousInferenceError:
        raise
    except InferenceError as error:
        guess = or_none(by_rules, state, probe.args, dict(probe.kwargs))
        if guess is None or error.furthest is None:
            raise
        if isinstance(error.furthest, (TrialMemoryError, UncopyableError)):
            return guess
        raise error.furthest from error


def has_pre_hooks(state: LazyState) -> bool:
    attached_to = state.history.attached_to
    return bool(GLOBAL_PRE_HOOKS or (attached_to is not None and attached_to._forward_pre_hooks))


def or_none(
    find: ValueFinder, state: LazyState, args: Any, kwargs: Any, method: str | None = "forward"
) -> dict[str, Any] | None:
    """The values that `find` gives; None if the arguments determine none."""
    try:
        return find(state, args, kwargs, method)
    except (InferenceError, GuessFailed, TypeError):
        return None
