"""Errors of inference, in words: what was called, what was tried with which result, the line of code that fixes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lazify._inference.search_problem import Solution
from lazify._isolation import TrialRun, UncopyableError
from lazify._nested import all_plain, describe, tensors
from lazify._recipe.binding import NOT_GIVEN, to_args_kwargs
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis, Computed, Rule
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
    name, is_size = _unsolved_name(names, solution), any(run.built for _, run in solution.tried)
    give = f"{recipe.display_name}(..., {name}=...)  # or give it"
    fix = f"{_lazify_call(recipe, name, _possible_rule(recipe, name, is_size, call))}  # or what it is\n{give}"
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
    args, kwargs = to_args_kwargs(recipe.signature, arguments)
    shown = ", ".join([*map(_shown, args), *(f"{name}={_shown(value)}" for name, value in kwargs.items())])
    return AmbiguousInferenceError(
        compose(
            f"the call leaves {names} of {recipe.wrapped.__name__} open: give {_pronoun(solution.open)}",
            facts,
            f"{recipe.display_name}({shown})  # or another value",
        )
    )


def _shown(value: Any) -> str:
    return repr(value) if all_plain([value]) else "..."


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


def _unsolved_name(names: tuple[str, ...], solution: Solution) -> str:
    """The parameter that stands in the way: the first of which the runs that came furthest have several values."""
    furthest = max((run.progress for _, run in solution.tried), default=None)
    tried = [values for values, run in solution.tried if run.progress == furthest]
    varied = (name for name in names if any(values[name] != tried[0][name] for values in tried))
    return next(varied, names[0])


def _possible_rule(recipe: Recipe, name: str, is_size: bool, call: Mapping[str, Any]) -> str:
    """The source of a rule where trial runs found nothing: a size that no input has is computed from one."""
    inputs = _inputs(call)
    if is_size and len(inputs) > 1:
        return _untried_rule(recipe.rules[name], call) or "axis(1)"
    return f"lambda {inputs[0]}: {inputs[0]}.shape[1]" if is_size and inputs else f"lambda {', '.join(inputs[:1])}: ..."


def _untried_rule(rule: Rule, call: Mapping[str, Any]) -> str | None:
    """The source of a rule for a size that another rule does not give; None where the call has no other input."""
    inputs = _inputs(call)
    if not isinstance(rule, Axis):
        return str(Axis(1, of=inputs[0] if len(inputs) > 1 else None))
    read = rule.of or next(iter(inputs), None)
    other = next((each for each in [*inputs[1:], *inputs[:1]] if each != read), None)
    return None if other is None else str(Axis(rule.dim, of=other))


def _inputs(call: Mapping[str, Any]) -> list[str]:
    """The arguments of a call that hold tensors."""
    return [name for name, value in call.items() if name != "self" and next(tensors(value), None) is not None]


def _lazify_call(recipe: Recipe, name: str, rule: str) -> str:
    """The call of `lazify` that keeps what is inferred, with a rule for `name`."""
    others = {each: _source(other) for each, other in recipe.rules.items() if each not in recipe.defaulted}
    rules = {each: source for each, source in others.items() if each != name} | {name: rule}
    return f"lazify({recipe.wrapped.__name__}, exclude={{{', '.join(f'{n!r}: {r}' for n, r in rules.items())}}})"


def _source(rule: Rule) -> str:
    """The source of a rule; None, for which lazify finds a rule, where it has none."""
    if isinstance(rule, Axis):
        return str(rule)
    name = getattr(rule.function, "__name__", "") if isinstance(rule, Computed) else ""
    return name if name.isidentifier() else "None"


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
    other, give = _untried_rule(rule, call), f"{recipe.display_name}(..., {name}=...)"
    advice = other and f"{_lazify_call(recipe, name, other)}  # or a function\n{give}  # or give it"
    return InferenceError(
        compose(
            f"the call does not determine {name!r} of {wrapped}",
            [
                ("parameter", name),
                ("forward", f"{wrapped}.forward{recipe.forward}"),
                ("called with", _called_with(call)),
                ("tried", f"{rule}: {text}"),
            ],
            fix or advice or f"{give}  # give it",
        )
    )
