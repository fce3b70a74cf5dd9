"""The search for values that no rule gives: a problem is read from the call and given to the solver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lazify._inference.call_values import GuessFailed, has_default, infer
from lazify._inference.messages import unsearchable, unsolved
from lazify._inference.solver import Problem, Solution, solve, suggestions
from lazify._isolation import TrialRunner
from lazify._nested import tensors
from lazify._recipe.binding import NOT_GIVEN
from lazify._recipe.recipe import Recipe
from lazify.errors import InferenceError

__all__ = ["search"]


def search(recipe: Recipe, given: Mapping[str, Any], runner: TrialRunner) -> dict[str, Any]:
    """The values for one call, found by trial runs, for a recipe whose rules are guesses.

    Raises:
        AmbiguousInferenceError: if several values pass and nothing decides between them.
        InferenceError: if none passes.
        Exception: the error of the call, if that is the same with every value.
    """
    call = _bound_if_possible(recipe, runner)
    by_rule, guesses, missing = _values_of_rules(recipe, given, call)
    names = tuple(n for n in recipe.rules if n not in given and n not in by_rule and n not in missing)
    runner.given = {**given, **by_rule}
    solution = solve(runner, _problem(recipe, names, guesses, call))
    if solution.values is not None:
        return {**by_rule, **solution.values}
    failed = [run for _, run in solution.tried if run.error is not None]
    furthest = max(failed, key=lambda run: run.progress).error if failed else None
    untried = unsearchable(recipe, names, furthest)
    error = untried or unsolved(recipe, solution, call)
    error.furthest = furthest
    if furthest is not None and untried is None and _all_alike(solution):
        if hasattr(furthest, "add_note"):  # from Python 3.11 on
            furthest.add_note(
                f"lazify tried {len(failed)} values of {', '.join(names)}, and each call failed like this"
            )
        raise furthest from error
    raise error from furthest


def _all_alike(solution: Solution) -> bool:
    """Whether the forward fails with the same error whatever the values are: then they are not the reason."""
    called = [run for _, run in solution.tried if run.built]
    same = {(type(run.error), str(run.error)) for run in called}
    return len(called) > 1 and len(same) == 1 and not solution.limit


def _values_of_rules(
    recipe: Recipe, given: Mapping[str, Any], call: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """Values by rules of the user, values that names suggest, and names whose optional input the call does not have."""
    by_rule: dict[str, Any] = {}
    guesses: dict[str, Any] = {}
    missing: set[str] = set()
    for name in recipe.rules:
        if name in given:
            continue
        try:
            value = infer(recipe, given, call, only=name).get(name, NOT_GIVEN)
        except (GuessFailed, InferenceError):
            continue
        if value is NOT_GIVEN:
            missing.add(name)
        else:
            (guesses if name in recipe.guessed else by_rule)[name] = value
    return by_rule, guesses, missing


def _problem(recipe: Recipe, names: tuple[str, ...], guesses: dict[str, Any], call: Mapping[str, Any]) -> Problem:
    """What the solver is to find, and what constructor and call say about it."""
    parameters = {n: p for n, p in recipe.original_signature.parameters.items() if n in names}
    sizes, structures = suggestions([value for name, value in call.items() if name != "self"], tensors)
    return Problem(
        names=names,
        guesses=guesses,
        defaults={name: p.default for name, p in parameters.items() if has_default(p)},
        sizes=sizes,
        structures=structures,
        sequences=frozenset(name for name, p in parameters.items() if _wants_sequence(p.annotation)),
    )


def _wants_sequence(annotation: Any) -> bool:
    """Whether an annotation asks for a tuple or a list, and for nothing else."""
    text = str(annotation).lower()
    return any(word in text for word in ("tuple", "list", "sequence", "torch.size")) and "union" not in text


def _bound_if_possible(recipe: Recipe, runner: TrialRunner) -> dict[str, Any]:
    """The arguments of the call by the names that `forward` has for them."""
    try:
        return recipe.bind_forward(None, *runner.args, **runner.kwargs)
    except TypeError:  # a `__call__` of its own may take other arguments than forward
        return {**{f"argument {i}": each for i, each in enumerate(runner.args)}, **runner.kwargs}
