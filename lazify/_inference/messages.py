"""Errors of inference, in words: what was called, what was tried with which result, the line of code that fixes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lazify._inference.solver import Solution
from lazify._isolation import TrialRun, UncopyableError
from lazify._nested import describe
from lazify._recipe.binding import NOT_GIVEN
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis, Rule, Unknown
from lazify.errors import AmbiguousInferenceError, InferenceError, compose, split_fix

__all__ = ["Reason", "not_determined", "unsearchable", "unsolved"]

#: How many of the trial runs of a failed search an error shows.
MOST_SHOWN = 6


@dataclass(frozen=True, eq=False, repr=False)
class Reason:
    """Why a rule yields no value."""

    text: str
    cause: Exception | None = None


def unsolved(recipe: Recipe, solution: Solution, call: Mapping[str, Any]) -> InferenceError:
    wrapped = recipe.wrapped.__name__
    names = [name for name in recipe.rules if name in recipe.guessed]
    facts: list[tuple[str, object]] = [
        ("forward", f"{wrapped}.forward{recipe.forward}"),
        ("called with", _called_with(call)),
    ]
    fix = f"lazify({wrapped}, exclude={{{names[0]!r}: axis(1)}})  # or axis(n, of=...), or a function"
    if solution.alternatives:
        facts += [("passes", _shown(each)) for each in solution.alternatives]
        return AmbiguousInferenceError(
            compose(f"more than one value fits the call of {wrapped}: {', '.join(names)}", facts, fix)
        )
    order = sorted(range(len(solution.tried)), key=lambda at: solution.tried[at][1].progress, reverse=True)[:MOST_SHOWN]
    for at in sorted(order):  # those that came furthest, in the order tried
        values, run = solution.tried[at]
        facts.append((f"tried, {at + 1} of {len(solution.tried)}", f"{_shown(values)}: {_why(run)}"))
    if solution.limit:
        facts.append(("ended", f"after {solution.limit}"))
    return InferenceError(compose(f"no value of {', '.join(names)} lets the call of {wrapped} pass", facts, fix))


def unsearchable(recipe: Recipe, names: tuple[str, ...], failure: Exception | None) -> InferenceError | None:
    """The error where no trial run was possible."""
    if not isinstance(failure, UncopyableError):
        return None
    fix = f"{recipe.display_name}(..., {'=..., '.join(names)}=...)"
    return InferenceError(compose(f"{', '.join(names)} of {recipe.wrapped.__name__}: {failure}", fix=fix))


def _called_with(call: Mapping[str, Any]) -> str:
    shapes = (f"{n}: {describe(v)}" for n, v in call.items() if v is not NOT_GIVEN and n != "self")
    return ", ".join(shapes) or "no arguments"


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _why(run: TrialRun) -> str:
    if run.error is None:
        return "passes, but so does every other value"
    first = next(iter(str(run.error).strip().splitlines()), "")
    where = "constructor" if not run.built else run.operation or "forward"
    return f"{where}: {type(run.error).__name__}: {first[:120]}"


def not_determined(recipe: Recipe, name: str, rule: Rule, reason: Reason, call: Mapping[str, Any]) -> InferenceError:
    """The message. A rule that raised knows best what fixes it, if it says so."""
    wrapped = recipe.wrapped.__name__
    text, fix = split_fix(reason.text)
    advice = {
        Unknown: f"lazify({wrapped}, exclude={{{name!r}: axis(1)}})  # or axis(n, of=...), or a function",
        Axis: f"lazify({wrapped}, exclude={{{name!r}: axis(n, of='...')}})  # another argument of forward",
    }.get(type(rule), f"lazify({wrapped}, exclude={{{name!r}: axis(n)}})")
    return InferenceError(
        compose(
            f"the call does not determine {name!r} of {wrapped}",
            [
                ("parameter", name),
                ("forward", f"{wrapped}.forward{recipe.forward}"),
                ("called with", _called_with(call)),
                ("tried", f"{rule}: {text}"),
            ],
            fix or f"{advice}\n{recipe.display_name}(..., {name}=...)  # or give it",
        )
    )
