"""The search for values that no rule gives: a problem is read from the call, solved, and the evidence weighed.

values of rules, guesses by names -> solve -> the call determines each value: done
                                           -> it leaves one open: the constructor's default, an argument of that name,
                                              or an error that says which
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lazify._inference.call_values import GuessFailed, has_default, infer
from lazify._inference.entries import solve_entries
from lazify._inference.evidence import solve
from lazify._inference.messages import ambiguous, unsearchable, unsolved
from lazify._inference.search_problem import (
    Problem,
    Solution,
    in_order,
    nested_sizes,
    sides,
    suggestions,
    tuples_of_numbers,
)
from lazify._isolation import Budget, TrialMemoryError, TrialRun, TrialRunner, UncopyableError
from lazify._nested import tensor_paths, tensors
from lazify._recipe.binding import NOT_GIVEN
from lazify._recipe.naming_conventions import means_input, names_argument
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis
from lazify.errors import InferenceError

__all__ = ["Findings", "FoundValues", "investigate", "search"]

#: Limits of a search in all, however many problems it is made of: runs, and seconds of the processor's time.
ALL_RUNS, ALL_SECONDS = 480, 8.0


def search(recipe: Recipe, given: Mapping[str, Any], runner: TrialRunner) -> dict[str, Any]:
    """The values for one call, found by trial runs, for a recipe whose rules are guesses.

    Raises:
        AmbiguousInferenceError: if another value of a parameter passes as well, and nothing decides.
        InferenceError: if no values pass.
        Exception: the error of the call, if that is the same with every value.
    """
    found = investigate(recipe, given, runner)
    values = _decided(recipe, given, runner, found)
    proofs = {name: _proof(value, found, name) for name, value in values.items() if name in found.solution.refused}
    return FoundValues({**found.by_rule, **values}, proofs)


class FoundValues(dict[str, Any]):
    """Values by name, as a search found them.

    Attributes:
        proofs: of a value that the call determines, where in the call it stands, and another one, which is refused.
    """

    def __init__(self, values: Mapping[str, Any], proofs: Mapping[str, str]) -> None:
        super().__init__(values)
        self.proofs = proofs


def _proof(value: Any, found: Findings, name: str) -> str:
    fails = f"the call fails with {found.solution.refused[name]!r}"
    for argument, each in found.call.items():
        for path, tensor in tensor_paths(each, argument):
            for dim, size in enumerate(tensor.shape):
                if dim and size == value:
                    return f"dimension {dim} of {path}: {tuple(tensor.shape)}; {fails}"
    return f"found by trial runs; {fails}"


@dataclass(frozen=True, eq=False, repr=False)
class Findings:
    """What a search found out about one call.

    Attributes:
        call: the arguments by the names that `forward` has for them.
        by_rule: values that rules of the user give.
        problem: what was searched for.
        solution: values with which the call passes, and which of them it leaves open.
    """

    call: Mapping[str, Any]
    by_rule: Mapping[str, Any]
    problem: Problem
    solution: Solution


def investigate(recipe: Recipe, given: Mapping[str, Any], runner: TrialRunner) -> Findings:
    """Search for values with which one call passes.

    Raises:
        InferenceError: if there are none.
        Exception: the error of the call, if that is the same with every value.
    """
    call = _bound_if_possible(recipe, runner)
    by_rule, guesses, missing = _values_of_rules(recipe, given, call)
    names = tuple(n for n in recipe.rules if n not in given and n not in by_rule and n not in missing)
    required = tuple(name for name in names if name not in recipe.defaulted)
    runner.given = {**given, **by_rule}
    problems = [_problem(recipe, each, guesses, call) for each in dict.fromkeys((required, names))]
    whole = Budget(ALL_RUNS, ALL_SECONDS)
    problem, solution = _solved(recipe, runner, problems, whole)
    again = None if solution.values is not None else _furthest_on_real_tensors(runner, solution)
    if again is not None and again.progress > max(run.progress for _, run in solution.tried) and not solution.limit:
        runner.real = True  # code looks at the address of a tensor, or at its exact class
        problem, solution = _solved(recipe, runner, problems, whole)
    if solution.values is None:
        raise _failure(recipe, names, solution, call, None if again is None else again.error)
    return Findings(call, by_rule, problem, solution)


def _solved(recipe: Recipe, runner: TrialRunner, problems: list[Problem], whole: Budget) -> tuple[Problem, Solution]:
    """The first of the problems that is solved, with its solution; else the last one, with what was tried.

    Lists of unknown sizes are solved entry by entry, and what has a default may keep it.
    """
    problem, solution = problems[0], Solution()
    for problem in problems:
        solution = solve(runner, problem, whole)
        if solution.values is not None:
            return problem, solution
    if solution.values is None and not solution.limit:
        solution = solve_entries(runner, _with_lists(problem, solution), whole) or solution
    if solution.values is None:
        solution = _with_defaults(recipe, runner, problem.names) or solution
    return problem, solution


def _with_lists(problem: Problem, solution: Solution) -> Problem:
    """The problem, with the one parameter that may be a list as one, where the constructor takes no number."""
    names = [name for name in problem.names if name not in problem.whole]
    if problem.sequences or len(names) != 1:
        return problem
    is_number = any(run.built and isinstance(values[names[0]], int) for values, run in solution.tried)
    return problem if is_number else replace(problem, sequences={names[0]: tuple})


def _with_defaults(recipe: Recipe, runner: TrialRunner, names: tuple[str, ...]) -> Solution | None:
    """The constructor's defaults, if every parameter has one and the call passes with them."""
    defaults = _defaults(recipe, names)
    return Solution(defaults) if len(defaults) == len(names) and runner(defaults).passed else None


def _decided(recipe: Recipe, given: Mapping[str, Any], runner: TrialRunner, found: Findings) -> dict[str, Any]:
    """The values, where the call leaves none open that nothing else decides.

    Raises:
        AmbiguousInferenceError: if it does.
    """
    solution, values = found.solution, dict(found.solution.values or {})
    decided = {name for name in solution.open if _is_decided_by_name(name, values, found, recipe)}
    undecided = [name for name in solution.open if name not in decided]
    if len(undecided) == 1 and any(solution.open[undecided[0]][name] != values[name] for name in decided):
        undecided = []  # the only other values exchange the two
    if not undecided:
        return values
    defaults = _defaults(recipe, undecided)
    if len(defaults) == len(undecided) and runner({**values, **defaults}).passed:
        return {**values, **defaults}
    raise ambiguous(recipe, given, replace(solution, open={n: solution.open[n] for n in undecided}), found.call)


def _is_decided_by_name(name: str, values: Mapping[str, Any], found: Findings, recipe: Recipe) -> bool:
    """Whether a parameter is named like an argument that the call has, or as the size of one, and has that size.

    A name that means the size of the input decides where another value takes from further sizes what it adds. An
    argument of one dimension has none: `cond_dim` is not the number of rows of `cond`.
    """
    guess, rule = found.problem.guesses.get(name), recipe.rules[name]
    if guess is None or values[name] != guess:
        return False
    if guess == _numbers(found.call.get(name)) or (means_input(name) and _is_one_of_several_sizes(name, values, found)):
        return True
    if not names_argument(name, recipe.forward.parameters):
        return False
    tensor = next(tensors(found.call.get(rule.of)), None) if isinstance(rule, Axis) and rule.of else None
    return tensor is None or tensor.dim() > 1


def _is_one_of_several_sizes(name: str, values: Mapping[str, Any], found: Findings) -> bool:
    """Whether another value of a parameter goes with others of further ones, all of which have sizes of the call."""
    other = found.solution.open.get(name, values)
    further = [each for each in values if each != name and other[each] != values[each]]
    return bool(further) and all(values[each] != 1 and values[each] in found.problem.sizes for each in further)


def _defaults(recipe: Recipe, names: Any) -> dict[str, Any]:
    parameters = recipe.original_signature.parameters
    return {n: parameters[n].default for n in names if n in parameters and has_default(parameters[n])}


def _failure(
    recipe: Recipe, names: tuple[str, ...], solution: Solution, call: Mapping[str, Any], furthest: Exception | None
) -> Exception:
    """The error of a search that found nothing: that of the call itself, if it is the same with every value."""
    untried = unsearchable(recipe, names, furthest)
    error = untried or unsolved(recipe, names, solution, call)
    error.furthest = furthest
    called = [run for _, run in solution.tried if run.built]
    if furthest is not None and untried is None and _are_alike(called) and not solution.limit:
        if hasattr(furthest, "add_note"):  # from Python 3.11 on
            tried = f"lazify tried {len(solution.tried)} values of {', '.join(names)}"
            furthest.add_note(f"{tried}, and each call failed like this")
        furthest.__cause__ = error
        return furthest
    error.__cause__ = furthest
    return error


def _furthest_on_real_tensors(runner: TrialRunner, solution: Solution) -> TrialRun | None:
    """The failed run that came furthest, once more on real tensors if it was on fakes: kernels have other words.

    Not where a constructor refuses some values: it may be about to take more memory than there is.
    """
    failed = [each for each in solution.tried if each[1].error is not None]
    if not failed:
        return None
    values, run = max(failed, key=lambda each: each[1].progress)
    with_numbers = [each for tried, each in failed if all(isinstance(value, int) for value in tried.values())]
    may_run = run.built or _are_alike(with_numbers)
    if runner.real or not may_run or isinstance(run.error, UncopyableError):
        return run
    again = replace(runner, real=True)(values)
    return run if isinstance(again.error, (TrialMemoryError, UncopyableError)) else again


def _are_alike(runs: list[TrialRun]) -> bool:
    """Whether several runs fail with the same error: then the values are not the reason."""
    return len(runs) > 1 and len({(type(run.error), str(run.error)) for run in runs}) == 1


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
        if name in recipe.guessed and (numbers := _numbers(call.get(name))):
            guesses[name] = numbers
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


def _numbers(argument: Any) -> Any:
    """An argument of `forward` that is a whole number or holds only such, as a parameter of its name would have it."""
    if type(argument) is int:
        return argument
    return next(tuples_of_numbers(argument), None) if isinstance(argument, (list, tuple)) else None


def _problem(recipe: Recipe, names: tuple[str, ...], guesses: dict[str, Any], call: Mapping[str, Any]) -> Problem:
    """What the solver is to find, and what constructor and call say about it."""
    parameters = {n: p for n, p in recipe.original_signature.parameters.items() if n in names}
    arguments = [value for name, value in call.items() if name != "self"]
    (sizes, shapes), nested, all_together = suggestions(arguments), nested_sizes(arguments), nested_sizes([arguments])
    shapes_of_tensors = [tuple(tensor.shape) for tensor in tensors(arguments) if tensor.dim()]
    rivals = dict.fromkeys(size for shape in shapes_of_tensors for size in (*shape[1:2], shape[-1]))
    defaults = _defaults(recipe, [name for name in names if name in recipe.defaulted])
    return Problem(
        names=names,
        guesses={**{name: guesses[name] for name in names if name in guesses}, **defaults},
        likely=tuple(_likely(names, guesses, defaults, nested)),
        defaults=defaults,
        sizes=sizes,
        structures=(*nested, *(each for each in (*all_together, *shapes) if each not in nested)),
        nested=nested,
        sequences={name: kind for name, p in parameters.items() if (kind := _sequence(p.annotation))},
        lengths={name: length for name, p in parameters.items() if (length := _length(p.annotation))},
        whole=frozenset(name for name, p in parameters.items() if p.annotation in (int, "int")),
        sides=sides(arguments),
        batch=shapes_of_tensors[0][0] if shapes_of_tensors else None,
        rivals=tuple(rivals) if len(shapes_of_tensors) > 1 else (),
        inputs=frozenset(filter(means_input, names)),
        in_order=in_order(list(parameters) if len(parameters) == len(names) else [], shapes_of_tensors),
    )


def _likely(
    names: tuple[str, ...], guesses: Mapping[str, Any], defaults: Mapping[str, Any], nested: tuple[Any, ...]
) -> Iterator[dict[str, Any]]:
    """Values to begin with, where every parameter has a guess or a default.

    They are the guesses, also with the sizes of a nested argument for one parameter; with defaults, these first, then a
    guess in the place of one of them.
    """
    start = {name: defaults.get(name, guesses.get(name, NOT_GIVEN)) for name in names}
    if NOT_GIVEN in start.values():
        return
    yield start
    yield from ({**start, name: guesses[name]} for name in defaults if name in guesses)
    yield from ({**start, name: each} for name in names for each in nested)


def _sequence(annotation: Any) -> type | None:
    """Tuple or list, if an annotation asks for one, and for nothing else."""
    text = str(annotation).lower()
    if "union" in text or not any(word in text for word in ("tuple", "list", "sequence", "torch.size")):
        return None
    return tuple if "tuple" in text else list


def _length(annotation: Any) -> int | None:
    """How many entries an annotation asks for, of a tuple and of nothing else."""
    found = re.fullmatch(r"(typing\.)?tuple\[([^\[\].]+)\]", str(annotation).lower())
    return found and found[2].count(",") + 1


def _bound_if_possible(recipe: Recipe, runner: TrialRunner) -> dict[str, Any]:
    """The arguments of the call by the names that `forward` has for them."""
    try:
        return recipe.bind_forward(None, *runner.args, **runner.kwargs)
    except TypeError:  # a `__call__` of its own may take other arguments than forward
        return {**{f"argument {i}": each for i, each in enumerate(runner.args)}, **runner.kwargs}
