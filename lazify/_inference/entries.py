"""Lists of sizes that no argument of a call holds, such as the widths of layers inside: each entry is an unknown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lazify._inference.evidence import solve
from lazify._inference.search_problem import SENTINELS, Problem, Solution
from lazify._inference.solver import Search, Values
from lazify._isolation import Budget, TrialRunner

__all__ = ["solve_entries"]

#: How many entries a list may have.
MOST_ENTRIES = len(SENTINELS) - 1


def solve_entries(runner: TrialRunner, problem: Problem, whole: Budget) -> Solution | None:
    """Values where one unknown is a list; None if that is not so, or the call passes with no list of a few entries.

    Args:
        runner: runs of the call.
        problem: what is to be found.
        whole: what may be spent on all problems of the call.
    """
    if len(problem.sequences) != 1:
        return None
    ((name, kind),) = problem.sequences.items()
    for start in _starts(problem, name, kind):
        if whole.exceeded:
            break
        if found := Search(runner, problem, whole).search_from(start, frozenset(), solved_only=True):
            return solve(runner, replace(problem, likely=tuple(found), in_order=()), whole)
    return None


def _starts(problem: Problem, name: str, kind: type) -> Iterator[Values]:
    """Values to begin with, the shortest lists first."""
    others = {each: problem.guesses.get(each, SENTINELS[-1]) for each in problem.names if each != name}
    for length in [problem.lengths[name]] if name in problem.lengths else range(1, MOST_ENTRIES + 1):
        yield {**others, name: kind(SENTINELS[:length])}
