"""Finding the values of parameters that no rule describes: try, see where it fails, solve, go on.

    first values -> run -> passes: done
                        -> fails in an operation: which of its sizes move with an unknown, and how (two runs tell);
                           make them equal to a size that does not move; the furthest run goes on from there

No name and no operation is known here. A value counts only if the whole call passes with it, and is determined only
if the call fails with another one (`evidence`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lazify._inference.affine import perturbations, solve_affine
from lazify._inference.search_problem import Problem, first_values
from lazify._isolation import Budget, TrialRun, TrialRunner

__all__ = ["Search", "Values"]

Values = dict[str, Any]

#: Limits of the search for one problem: runs, and seconds of the processor's time that this thread has taken.
MAX_RUNS, MAX_SECONDS = 240, 4.0
#: How many sizes of the call are tried for two unknowns at once.
MOST_TOGETHER = 6
#: From how many first values that the constructor takes a search sets out, and how many runs each may take.
MOST_STARTS, RUNS_OF_ONE_START = 6, 80


class Search:
    """The search for the values of one problem, and the runs made for it."""

    def __init__(self, runner: TrialRunner, problem: Problem, whole: Budget) -> None:
        self.runner, self.problem = runner, problem
        self.runs: dict[tuple[Any, ...], TrialRun] = {}
        self.tried: list[tuple[Values, TrialRun]] = []
        self.budget = Budget(MAX_RUNS, MAX_SECONDS, whole)
        self.last_run = MAX_RUNS  # of the start that is looked at

    def run(self, values: Mapping[str, Any]) -> TrialRun:
        key = tuple(_hashable(values[name]) for name in self.problem.names)
        if key not in self.runs:
            self.budget.count()
            self.runs[key] = self.runner(values)
            self.tried.append((dict(values), self.runs[key]))
        return self.runs[key]

    def exhausted(self) -> bool:
        return len(self.runs) >= self.last_run or bool(self.budget.exceeded)

    def keeps_batch(self, run: TrialRun) -> bool:
        """Whether the result of a call has as many rows as its input."""
        return self.problem.batch is not None and run.rows == self.problem.batch

    def solutions(self) -> list[Values]:
        """Values with which the call passes: the best known ones first, at most two."""
        likely = [dict(values) for values in self.built(self.problem.likely)]
        if likely and self.run(likely[-1]).passed:
            return [likely[-1]]
        if together := next((dict(each) for each in self.problem.in_order if self.run(each).passed), None):
            return [together]
        likely.sort(key=lambda values: self.run(values).progress, reverse=True)
        others = (values for values in self.built(first_values(self.problem)) if values not in likely)
        for start in itertools.islice(itertools.chain(likely, others), MOST_STARTS):
            self.last_run = len(self.runs) + RUNS_OF_ONE_START
            found = self.search_from(dict(start), frozenset())
            self.last_run = MAX_RUNS
            if found:
                return sorted(found, key=self.demerits)
        return []

    def built(self, starts: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The first values that the constructor takes, up to those with which the call passes."""
        for values in starts:
            if self.exhausted():
                return
            run = self.run(values)
            if run.built:
                yield values
            if run.passed:
                return

    def demerits(self, values: Values) -> tuple[bool, bool, bool]:
        """For comparing solutions: the number of rows should be kept, and a 1 passes nearly everything."""
        guesses = self.problem.guesses
        unlike = any(values[name] != guess for name, guess in guesses.items()) or not guesses
        return (not self.keeps_batch(self.run(values)), 1 in values.values(), unlike)

    def search_from(
        self, values: Values, pinned: frozenset[str], depth: int = 0, solved_only: bool = False
    ) -> list[Values]:
        """The solutions that lie behind `values`, at most two.

        Args:
            values: values to begin with.
            pinned: the names of those that are not changed.
            depth: how many values were changed on the way here.
            solved_only: whether only values that solve a failing operation are tried.
        """
        run = self.run(values)
        if run.passed:
            return [self.with_batch_kept(values, run)]
        if depth > 2 * len(values) + 2:
            return []
        solved = self.solved(values, pinned, run)
        for moves in (solved,) if solved_only else (solved, self.suggested(values, pinned)):
            found: list[Values] = []
            for name, after in self.advancing(values, moves, run):
                behind = self.search_from(after, pinned | {name}, depth + 1, solved_only)
                found += [each for each in behind if each not in found]
                if len(found) > 1 or (found and (solved_only or self.exhausted())):
                    break
            if found:
                return found
        return [] if solved_only else self.search_wider(values, pinned, solved, depth)

    def search_wider(
        self, values: Values, pinned: frozenset[str], solved: list[tuple[str, Any]], depth: int
    ) -> list[Values]:
        """The solutions where two unknowns change at once, or where a value found before was wrong."""
        if found := self.search_pairs(values, pinned):
            return found
        for name, value in solved if pinned else ():
            if self.exhausted():
                break
            if found := self.search_from({**values, name: value}, frozenset({name}), depth + 2):
                return found
        return []

    def advancing(self, values: Values, moves: list[tuple[str, Any]], run: TrialRun) -> list[tuple[str, Values]]:
        """The moves with which a run comes further, the furthest first: the name, and the values after it."""
        further = []
        for name, value in moves:
            if self.exhausted():
                break
            after = {**values, name: value}
            reached = self.run(after)
            if reached.progress > run.progress:
                further.append((reached.progress, name, after))
        further.sort(key=lambda each: each[0], reverse=True)
        return [(name, after) for _, name, after in further]

    def solved(self, values: Values, pinned: frozenset[str], run: TrialRun) -> list[tuple[str, Any]]:
        """Values that make a size of the failing operation that moves with an unknown equal to one that does not."""
        moving: dict[int, list[tuple[str, int, int]]] = {}  # position of a size -> name, step, the size after it
        for name in self.free(values, pinned):
            for step in perturbations(values[name]):
                if self.exhausted():
                    break
                other = self.run({**values, name: values[name] + step})
                if other.operation == run.operation and len(other.sizes) == len(run.sizes) and other.built:
                    for position, (size, moved) in enumerate(zip(run.sizes, other.sizes, strict=True)):
                        if size != moved:
                            moving.setdefault(position, []).append((name, step, moved))
                    break
        still = dict.fromkeys(size for position, size in enumerate(run.sizes) if position not in moving)
        moves: dict[tuple[str, int], None] = {}
        for position, changes in moving.items():
            for name, step, moved in changes:
                for target in still:
                    value = solve_affine(values[name], step, run.sizes[position], moved, target)
                    if value is not None and value != values[name]:
                        moves[name, value] = None
        return sorted(moves, key=lambda move: move[1] == 1)  # 1 passes nearly everything: last

    def with_batch_kept(self, values: Values, run: TrialRun) -> Values:
        """These values, or values like them with which the result has as many rows as the input (`x.view(-1, n)`)."""
        batch, rows = self.problem.batch, run.rows
        if batch and rows is not None and rows != batch:
            for name in self.free(values, frozenset()):
                value, rest = divmod(values[name] * rows, batch)
                if rest == 0 and value > 0 and not self.exhausted():
                    after = {**values, name: value}
                    reached = self.run(after)
                    if reached.passed and self.keeps_batch(reached):
                        return after
        return values

    def suggested(self, values: Values, pinned: frozenset[str]) -> list[tuple[str, Any]]:
        """Whatever the call suggests, for every unknown that is still open."""
        moves: list[tuple[str, Any]] = []
        for name in values:
            if name not in pinned:
                kinds: list[tuple[Any, ...]] = [self.problem.sizes, self.problem.structures]
                if not isinstance(values[name], int):
                    kinds.reverse()
                moves += [(name, each) for kind in kinds for each in kind]
        return moves

    def search_pairs(self, values: Values, pinned: frozenset[str]) -> list[Values]:
        """Two unknowns at once, as one check of both asks for: only what passes altogether counts."""
        found: list[Values] = []
        for pair in itertools.combinations(self.free(values, pinned), 2):
            for chosen in itertools.product(self.problem.sizes[:MOST_TOGETHER], repeat=2):
                after = {**values, **dict(zip(pair, chosen, strict=True))}
                if self.exhausted() or len(found) > 1:
                    return found
                if self.run(after).passed:
                    found.append(after)
        return found

    def free(self, values: Values, pinned: frozenset[str]) -> list[str]:
        return [name for name in values if name not in pinned and isinstance(values[name], int)]


def _hashable(value: Any) -> Any:
    """A key for a value of an unknown; one that has no hash is told apart by its identity."""
    key = tuple(value.items()) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
    try:
        hash(key)
    except TypeError:
        return id(value)
    return key
