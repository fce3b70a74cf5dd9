"""Errors of inference, in words: what was called, what was tried with which result, the line of code that fixes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lazify._inference.search_problem import Solution
from lazify._isolation import TrialRun, UncopyableError
from lazify._nested import all_plain, describe
from lazify._recipe.binding import NOT_GIVEN
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis, Rule, Unknown
from lazify.errors import AmbiguousInferenceError, InferenceError, compose, split_fix

__all__ = ["Reason", "ambiguous", "format_values", "not_determined", "unsearchable", "unsolved"]

#: How many of the trial runs of a failed search an error shows.
MOST_SHOWN = 6


@dataclass(frozen=True, eq=False, repr=False)
class Reason:
    """Why a rule yields no value."""

    text: str
    cause: Exception | None = None


def unsolved(recipe: Recipe, names: tuple[str, ...], solution: Solution, call: Mapping[str, Any]) -> InferenceError:
    """The error where no values pass: those that came furthest, and why each failed."""
    wrapped = recipe.wrapped.__name__
    facts = _facts(recipe, call)
    order = sorted(range(len(solution.tried)), key=lambda at: solution.tried[at][1].progress, reverse=True)[:MOST_SHOWN]
    for at in sorted(order):  # in the order tried
        values, run = solution.tried[at]
        facts.append((f"tried, {at + 1} of {len(solution.tried)}", f"{format_values(values)}: {_why(run)}"))
    if solution.limit:
        facts.append(("ended", f"after {solution.limit}"))
    is_ruled = isinstance(recipe.rules[names[0]], Axis)  # by its name: that rule has been tried
    rule = "axis(n, of='...')" if is_ruled else "axis(1)"
    give = f"{recipe.display_name}(..., {names[0]}=...)  # or give it"
    fix = f"{_lazify_call(recipe, names[0], rule)}  # or a function\n{give}"
    return InferenceError(compose(f"no value of {', '.join(names)} lets the call of {wrapped} pass", facts, fix))


def ambiguous(
    recipe: Recipe, given: Mapping[str, Any], solution: Solution, call: Mapping[str, Any]
) -> AmbiguousInferenceError:
    """The error where the call passes with other values as well: which parameters it leaves open, how to give them."""
    names = ", ".join(repr(name) for name in solution.open)
    values = solution.values or {}
    facts = _facts(recipe, call)
    facts.append(("passes", format_values(values)))
    facts += [("passes", format_values(other)) for other in _unequal(solution.open.values(), values)]
    arguments = {**given, **{name: values[name] for name in solution.open}}
    shown = ", ".join(f"{name}={value!r}" if all_plain([value]) else f"{name}=..." for name, value in arguments.items())
    return AmbiguousInferenceError(
        compose(
            f"the call leaves {names} of {recipe.wrapped.__name__} open: give {_pronoun(solution.open)}",
            facts,
            f"{recipe.display_name}({shown})  # or another value",
        )
    )


def _pronoun(names: Any) -> str:
    return "it" if len(names) == 1 else "them"


def _unequal(each: Iterable[Mapping[str, Any]], values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """These mappings without duplicates and without `values`."""
    found: list[Mapping[str, Any]] = []
    for other in each:
        if other != values and other not in found:
            found.append(other)
    return found


def format_values(values: Mapping[str, Any]) -> str:
    """Values by name, as an error message shows them."""
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _facts(recipe: Recipe, call: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The lines of a message that say what was called."""
    return [("forward", f"{recipe.wrapped.__name__}.forward{recipe.forward}"), ("called with", _called_with(call))]


def _lazify_call(recipe: Recipe, name: str, rule: str = "axis(1)") -> str:
    """The call of `lazify` that keeps what is inferred, with a rule for `name`."""
    rules = {each: str(rule) for each, rule in recipe.rules.items() if isinstance(rule, Axis) and each != name}
    rules[name] = rule
    return f"lazify({recipe.wrapped.__name__}, exclude={{{', '.join(f'{n!r}: {r}' for n, r in rules.items())}}})"


def unsearchable(recipe: Recipe, names: tuple[str, ...], failure: Exception | None) -> InferenceError | None:
    """The error where no trial run was possible."""
    if not isinstance(failure, UncopyableError):
        return None
    fix = f"{recipe.display_name}(..., {'=..., '.join(names)}=...)"
    return InferenceError(compose(f"{', '.join(names)} of {recipe.wrapped.__name__}: {failure}", fix=fix))


def _called_with(call: Mapping[str, Any]) -> str:
    shapes = (f"{n}: {describe(v)}" for n, v in call.items() if v is not NOT_GIVEN and n != "self")
    return ", ".join(shapes) or "no arguments"


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
