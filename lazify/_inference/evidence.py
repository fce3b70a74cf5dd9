"""Evidence: a value counts as determined by the call if the call fails with another one.

values with which the call passes -> one is changed -> the call fails, also if the others may follow: determined
                                                    -> it passes: open
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lazify._inference.affine import perturbations
from lazify._inference.search_problem import SENTINELS, Problem, Solution
from lazify._inference.solver import Place, Search, Values, number_at, replaced
from lazify._isolation import Budget, TrialMemoryError, TrialRun, TrialRunner, UncopyableError

__all__ = ["solve"]

#: Errors of a number that is too large or too small: they say nothing of the call.
_OUT_OF_RANGE = (ArithmeticError, MemoryError, RecursionError, TrialMemoryError)
#: How many other values that the constructor takes must fail before a value counts as determined.
MOST_CONTRASTS = 2


def solve(runner: TrialRunner, problem: Problem, whole: Budget) -> Solution:
    """Values of the unknowns with which the whole call passes, and which of them the call determines.

    Where indices decide, fakes pass with anything: then real tensors are asked.

    Args:
        runner: runs of the call.
        problem: what is to be found.
        whole: what may be spent on all problems of the call.
    """
    solution = _solve(runner, problem, whole)
    if solution.open and not runner.real and _is_refused(replace(runner, real=True)(solution.values or {})):
        runner.real = True
        return _solve(runner, problem, whole)
    return solution


def _solve(runner: TrialRunner, problem: Problem, whole: Budget) -> Solution:
    search = Search(runner, problem, whole)
    found = search.solutions()
    solution = Solution(found[0] if found else None, tried=search.tried)
    if solution.values is not None:
        for other in found[1:]:
            if search.demerits(other)[0] == search.demerits(solution.values)[0]:
                solution.open.update((name, other) for name in problem.names if other[name] != solution.values[name])
        for name in problem.names:
            is_default = name in problem.defaults and solution.values[name] == problem.defaults[name]
            if name not in solution.open and not is_default:
                for place in _changed_alone(problem, solution.values, name):
                    _examine(search, solution, solution.values, place)
                if name not in solution.open and (longer := _longer(search, solution.values, name)):
                    solution.open[name] = longer
    solution.limit = search.budget.exceeded
    return solution


def _changed_alone(problem: Problem, values: Values, name: str) -> list[Place]:
    """What is changed of one value: the whole of it, or each entry of a list that the call does not hold."""
    value = values[name]
    if isinstance(value, (list, tuple)) and not problem.holds(value):
        return [(name, at) for at in range(len(value))]
    return [(name, None)]


def _examine(search: Search, solution: Solution, values: Values, place: Place) -> None:
    """Note whether the call determines the value in one place, and with what it fails or passes."""
    run, name = search.run(values), place[0]
    contrasts, built, is_refused = 0, 0, False
    others = _others(number_at(values, place), name, search.problem)
    for value, is_suspect in (*_passed_already(search, values, name), *others):
        is_enough = search.exhausted() and is_refused  # no limit lets a value pass that nothing refused
        if name in solution.open or is_enough or (contrasts == MOST_CONTRASTS and not is_suspect):
            continue
        if built and value == 1:
            continue
        changed = replaced(values, place, value)
        other = search.run(changed)
        if not other.built:
            continue
        built += 1
        if other.passed and _is_harmless(search, solution, place, changed):
            continue
        if _passes_as_well(search, other, run) and not _fails_on_real_tensors(search, values, changed):
            solution.open[name] = changed
            return
        if isinstance(other.error, _OUT_OF_RANGE):
            continue
        is_refused = True
        solution.refused.setdefault(name, changed[name])
        if not is_suspect:
            contrasts += 1
            if alternative := _with_others_following(search, changed, place, run):
                solution.open[name] = alternative
                return


def _passed_already(search: Search, values: Values, name: str) -> list[tuple[Any, bool]]:
    """Numbers in the place of this one with which a run has passed. A 1 passes nearly everything, by broadcasting."""
    if not isinstance(values[name], int):
        return []
    alike = (each[name] for each, run in search.tried if run.passed and each == {**values, name: each[name]})
    return [(value, True) for value in alike if isinstance(value, int) and value not in (values[name], 1)]


def _others(value: Any, name: str, problem: Problem) -> Iterator[tuple[Any, bool]]:
    """Other values, each with whether it must be tried.

    They are as many larger ones as it takes, a smaller one (a slice `x[:, :n]` takes any; not for the size of the whole
    input), all sizes of other tensors, and a 1 where the constructor takes none of these.
    """
    if isinstance(value, int):
        yield from ((value + step, False) for step in dict.fromkeys((value, *sorted(perturbations(value)[1:]))))
        if name not in problem.inputs or problem.guesses.get(name) != value:
            yield from ((each, True) for each in _smaller(value))
        if value in problem.rivals:
            yield from ((rival, True) for rival in problem.rivals if rival not in (value, 1))
        if value != 1:
            yield 1, True
    elif isinstance(value, dict):
        yield {key: 2 * each for key, each in value.items()}, False
    elif isinstance(value, (tuple, list)) and all(isinstance(each, int) for each in value):
        yield type(value)(2 * each for each in value), False


def _smaller(value: int) -> Iterator[int]:
    """A smaller number above 1: the largest that divides the value, as a constructor may ask for, else the next."""
    divisor = next((value // each for each in (2, 3, 5, 7) if value % each == 0 and value > each), value - 1)
    if divisor > 1:
        yield divisor


def _passes_as_well(search: Search, other: TrialRun, run: TrialRun) -> bool:
    return other.passed and (search.keeps_batch(other) or not search.keeps_batch(run))


def _is_harmless(search: Search, solution: Solution, place: Place, changed: Values) -> bool:
    """Whether another value of a size that the call has makes the very same module and result.

    An image size of 33 gives as many patches of 8 as one of 32. Where no name says that it is such a size, the call
    must have refused a larger one. Runs on real tensors, where they are possible, compare the numbers.
    """
    problem, values, name = search.problem, solution.values or {}, place[0]
    is_refused_larger = name in solution.refused and number_at(values, place) in problem.sizes
    run, other = search.run(values), search.run(changed)
    if problem.guesses.get(name) != values[name] and not is_refused_larger:
        return False
    if (other.shapes, other.results) != (run.shapes, run.results):
        return False
    real = replace(search.runner, real=True)
    one, two = real(values), real(changed)
    return one.contents == two.contents or not (one.passed and two.passed)


def _fails_on_real_tensors(search: Search, values: Values, other: Values) -> bool:
    """Whether a call that passes on fakes, where indices have no values, fails on real tensors with `other` alone."""
    if search.runner.real:
        return False
    real = replace(search.runner, real=True)
    return _is_refused(real(other)) and real(values).passed


def _is_refused(run: TrialRun) -> bool:
    """Whether a run on real tensors failed, and not just for want of memory."""
    return run.error is not None and not isinstance(run.error, (TrialMemoryError, UncopyableError))


def _longer(search: Search, values: Values, name: str) -> Values | None:
    """Values with an entry more in a list with which the call passes as well: `zip` takes any number.

    Not where the call does not look at it. One that the call asks for is solved, in a list that the call does not hold.
    """
    entries = values[name]
    if not isinstance(entries, (list, tuple)) or name in search.problem.lengths:
        return None
    longer = {**values, name: type(entries)((*entries, SENTINELS[-1]))}
    run = search.run(longer)
    if run.passed:
        return None if run.progress == search.run(values).progress else longer
    if search.problem.holds(entries):
        return None
    kept = frozenset((each, None) for each in values if each != name) | {(name, at) for at in range(len(entries))}
    found = search.search_from(longer, kept, solved_only=True)
    return next((each for each in found if each[name][-1] != 1), None)


def _with_others_following(search: Search, values: Values, place: Place, run: TrialRun) -> Values | None:
    """Values with this value in one place with which the call passes, where other unknowns depend on it."""
    if (len(values) == 1 and place[1] is None) or search.exhausted():
        return None
    found = search.search_from(values, frozenset({place}), solved_only=True)
    return next((each for each in found if _passes_as_well(search, search.run(each), run)), None)
