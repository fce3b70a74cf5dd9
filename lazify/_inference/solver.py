"""Finding the values of parameters that no rule describes: try, see where it fails, solve, go on.

    first values -> run -> passes: done
                        -> fails in an operation: which of its sizes move with an unknown, and how (two runs tell);
                           make them equal to a size that does not move; the furthest run goes on from there

No name and no operation is known here. A value counts only if the whole call passes with it, and is determined only
if the call fails with another one (`evidence`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lazify._inference.affine import perturbations, solve_affine, solve_power
from lazify._inference.search_problem import Problem, first_values
from lazify._isolation import Budget, TrialRun, TrialRunner

__all__ = ["Place", "Search", "Values", "number_at", "replaced"]

Values = dict[str, Any]
#: A number that is looked for: a parameter (`(name, None)`), or an entry of one whose value is a list or tuple.
Place = tuple[str, "int | None"]

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

    def demerits(self, values: Values) -> tuple[tuple[int, ...], bool]:
        """For comparing solutions: what decides between them, and then whether they differ from the guesses.

        The number of rows should be kept, a 1 passes nearly everything, and an annotation may ask for a list.
        """
        guesses, run = self.problem.guesses, self.run(values)
        ones = list(values.values()).count(1), sum(shape.count(1) for shape in run.shapes)
        unlike = any(values[name] != guess for name, guess in guesses.items()) or not guesses
        is_no_list = any(isinstance(values[name], int) for name in self.problem.sequences)
        return (not self.keeps_batch(run), *ones, is_no_list), unlike

    def search_from(
        self, values: Values, pinned: frozenset[Place], depth: int = 0, solved_only: bool = False
    ) -> list[Values]:
        """The solutions that lie behind `values`, at most two.

        Args:
            values: values to begin with.
            pinned: those of them that are not changed.
            depth: how many values were changed on the way here.
            solved_only: whether only values that solve a failing operation are tried.
        """
        run = self.run(values)
        if run.passed:
            return [self.with_batch_kept(values, run)]
        if depth > 2 * len(_places(values)) + 2:
            return []
        solved = self.solved(values, pinned, run)
        squares = [(place, side) for place in self.free(values, pinned) for side in self.problem.sides]
        for moves in (solved,) if solved_only else (solved, self.suggested(values, pinned), squares):
            found: list[Values] = []
            for place, after in self.advancing(values, moves, run):
                behind = self.search_from(after, pinned | {place}, depth + 1, solved_only)
                found += [each for each in behind if each not in found]
                if len(found) > 1 or (found and (solved_only or self.exhausted())):
                    break
            if found:
                return found
        return [] if solved_only else self.search_wider(values, pinned, solved, depth)

    def search_wider(
        self, values: Values, pinned: frozenset[Place], solved: list[tuple[Place, Any]], depth: int
    ) -> list[Values]:
        """The solutions where two unknowns change at once, or where a value found before was wrong."""
        if found := self.search_pairs(values, pinned):
            return found
        for place, value in solved if pinned else ():
            if self.exhausted():
                break
            if found := self.search_from(replaced(values, place, value), frozenset({place}), depth + 2):
                return found
        return []

    def advancing(self, values: Values, moves: list[tuple[Place, Any]], run: TrialRun) -> list[tuple[Place, Values]]:
        """The moves with which a run comes further, the furthest first: the place, and the values after it."""
        further = []
        for place, value in moves:
            if self.exhausted():
                break
            after = replaced(values, place, value)
            reached = self.run(after)
            if reached.progress > run.progress:
                further.append((reached.progress, place, after))
        further.sort(key=lambda each: each[0], reverse=True)
        return [(place, after) for _, place, after in further]

    def solved(self, values: Values, pinned: frozenset[Place], run: TrialRun) -> list[tuple[Place, Any]]:
        """Values that make a size of the failing operation that moves with an unknown equal to one that does not."""
        moving: dict[int, list[tuple[Place, int, int]]] = {}  # position of a size -> place, step, the size after it
        for place in self.free(values, pinned):
            for step in perturbations(number_at(values, place)):
                if self.exhausted():
                    break
                other = self.run(replaced(values, place, number_at(values, place) + step))
                if other.operation == run.operation and len(other.sizes) == len(run.sizes) and other.built:
                    for position, (size, moved) in enumerate(zip(run.sizes, other.sizes, strict=True)):
                        if size != moved:
                            changes = moving.setdefault(position, [])
                            changes += [] if _says_the_same(run, other) else [(place, step, moved)]
                    break
        still = dict.fromkeys(size for position, size in enumerate(run.sizes) if position not in moving)
        moves: dict[tuple[Place, int], None] = {}
        for position, changes in moving.items():
            for place, step, moved in changes:
                for target in still:
                    before = number_at(values, place)
                    value = solve_affine(before, step, run.sizes[position], moved, target)
                    value = value or solve_power(before, step, run.sizes[position], moved, target)
                    if value is not None and value != before:
                        moves[place, value] = None
        return sorted(moves, key=lambda move: move[1] == 1)  # 1 passes nearly everything: last

    def with_batch_kept(self, values: Values, run: TrialRun) -> Values:
        """These values, or values like them with which the result has as many rows as the input (`x.view(-1, n)`)."""
        batch, rows = self.problem.batch, run.rows
        if batch and rows is not None and rows != batch:
            for place in self.free(values, frozenset()):
                value, rest = divmod(number_at(values, place) * rows, batch)
                if rest == 0 and value > 0 and not self.exhausted():
                    after = replaced(values, place, value)
                    reached = self.run(after)
                    if reached.passed and self.keeps_batch(reached):
                        return after
        return values

    def suggested(self, values: Values, pinned: frozenset[Place]) -> list[tuple[Place, Any]]:
        """Whatever the call suggests, for every unknown that is still open."""
        moves: list[tuple[Place, Any]] = []
        for name in values:
            if all(name != each for each, _ in pinned):
                kinds: list[Sequence[Any]] = [self.problem.sizes, self.problem.structures_for(name)]
                if not isinstance(values[name], int):
                    kinds.reverse()
                moves += [((name, None), each) for kind in kinds for each in kind]
        return moves

    def search_pairs(self, values: Values, pinned: frozenset[Place]) -> list[Values]:
        """Two unknowns at once, as one check of both asks for: only what passes altogether counts."""
        found: list[Values] = []
        for one, two in itertools.combinations(self.free(values, pinned), 2):
            for first, second in itertools.product(self.problem.sizes[:MOST_TOGETHER], repeat=2):
                after = replaced(replaced(values, one, first), two, second)
                if self.exhausted() or len(found) > 1:
                    return found
                if self.run(after).passed:
                    found.append(after)
        return found

    def free(self, values: Mapping[str, Any], pinned: frozenset[Place]) -> list[Place]:
        """The numbers in values that are not pinned, nor part of a list that is, or that the call holds as it is."""
        held = {(name, None) for name, value in values.items() if _is_list(value) and self.problem.holds(value)}
        return [place for place in _places(values) if not {place, (place[0], None)} & (pinned | held)]


# ---------------------------------------------------------------------------------------------
# The numbers in values


def _places(values: Mapping[str, Any]) -> list[Place]:
    """All numbers in values.

    >>> _places({"dim": 8, "feat_size": (4, 6), "kinds": {"a": 1}})
    [('dim', None), ('feat_size', 0), ('feat_size', 1)]
    """
    found: list[Place] = []
    for name, value in values.items():
        if isinstance(value, int):
            found.append((name, None))
        elif _is_list(value):
            found += [(name, at) for at, each in enumerate(value) if isinstance(each, int)]
    return found


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def number_at(values: Mapping[str, Any], place: Place) -> Any:
    name, at = place
    return values[name] if at is None else values[name][at]


def replaced(values: Mapping[str, Any], place: Place, value: Any) -> Values:
    """The values with another one in one place."""
    name, at = place
    if at is not None:
        kept = values[name]
        value = type(kept)((*kept[:at], value, *kept[at + 1 :]))
    return {**values, name: value}


def _says_the_same(run: TrialRun, other: TrialRun) -> bool:
    """Whether two runs fail with one message that names sizes: then the number that was changed is not among them."""
    message = str(run.error)
    return str(other.error) == message and any(map(str.isdigit, message))


def _hashable(value: Any) -> Any:
    """A key for a value of an unknown; one that has no hash is told apart by its identity."""
    key = tuple(value.items()) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
    try:
        hash(key)
    except TypeError:
        return id(value)
    return key
