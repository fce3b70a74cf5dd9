"""Lists of sizes that no argument of a call holds, such as the widths of layers inside: each entry is an unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lazify._inference.evidence import solve
from lazify._inference.search_problem import SENTINELS, Problem, Solution
from lazify._inference.solver import Search, Values
from lazify._isolation import Budget, TrialRunner

__all__ = ["solve_entries"]

#: How many entries a list may have.
MOST_ENTRIES = len(SENTINELS) - 1


def solve_entries(runner: TrialRunner, problem: Problem, kind: type, whole: Budget) -> Solution | None:
    """Values where one unknown is a list, entry by entry; None if the call passes with no list of a few entries.

    Args:
        runner: runs of the call.
        problem: what is to be found; one name in it is that of a list.
        kind: `list` or `tuple`.
        whole: what may be spent on all problems of the call.
    """
    (name,) = problem.sequences

    def joined(values: Mapping[str, Any]) -> Values:
        entries = {each: values[each] for each in values if each.startswith(f"{name}[")}
        others = {each: value for each, value in values.items() if each not in entries}
        return {**others, name: kind(entries[each] for each in sorted(entries))} if entries else others

    by_entry = replace(runner, construct=lambda arguments: runner.construct(joined(arguments)))
    for length in range(1, MOST_ENTRIES + 1):
        if whole.exceeded:
            break
        parts = _problem_of_entries(problem, name, length)
        start = {each: parts.guesses.get(each, SENTINELS[at % len(SENTINELS)]) for at, each in enumerate(parts.names)}
        if found := Search(by_entry, parts, whole).search_from(start, frozenset(), solved_only=True):
            by_parts = solve(by_entry, replace(parts, likely=tuple(found)), whole)
            longer = _longer(by_entry, problem, name, by_parts.values or found[0], whole)
            return _joined_solution(by_parts, joined, longer and {name: longer})
    return None


def _problem_of_entries(problem: Problem, name: str, length: int) -> Problem:
    names = (*(each for each in problem.names if each != name), *(f"{name}[{at}]" for at in range(length)))
    return replace(problem, names=names, likely=(), structures=(), in_order=(), sequences=frozenset())


def _longer(by_entry: TrialRunner, problem: Problem, name: str, values: Values, whole: Budget) -> Values | None:
    """Values with one entry more with which the call passes as well: `zip` takes what is there."""
    length = sum(each.startswith(f"{name}[") for each in values)
    start = {**values, f"{name}[{length}]": SENTINELS[-1]}
    search = Search(by_entry, _problem_of_entries(problem, name, length + 1), whole)
    return next(iter(search.search_from(start, frozenset(values), solved_only=True)), None)


def _joined_solution(by_parts: Solution, joined: Any, open_: Any) -> Solution:
    """A solution of entries as one of lists; `open_` has values of entries with which the call passes as well."""
    values = by_parts.values or {}
    solution = Solution(joined(values), tried=[(joined(each), run) for each, run in by_parts.tried])
    for each, other in by_parts.refused.items():
        solution.refused.setdefault(each.partition("[")[0], joined({**values, each: other})[each.partition("[")[0]])
    every = {**by_parts.open, **(open_ or {})}
    solution.open = {each.partition("[")[0]: joined(other) for each, other in every.items()}
    solution.limit = by_parts.limit
    return solution
