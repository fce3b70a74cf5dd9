"""Finding the values of parameters that no rule describes: try, see where it fails, solve, go on.

    guesses -> run -> passes: done
                   -> fails in an operation: which of its sizes move with an unknown, and how (two runs tell);
                      make them equal to a size that does not move; the furthest run goes on from there

No name and no operation is known here. A value counts only if the whole call passes with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from lazify._isolation import Budget, TrialRun, TrialRunner

__all__ = ["SENTINELS", "Problem", "Solution", "perturbations", "solve"]

#: Limits of one search: runs, and seconds of the processor's time that this thread has taken.
MAX_RUNS, MAX_SECONDS = 240, 4.0
#: How many sizes of the call are tried for two unknowns at once.
MOST_TOGETHER = 6
#: First values for what nothing is known of: highly divisible, distinct, no power of two times another.
SENTINELS = (48, 72, 120, 168, 80, 112)


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """What is to be found.

    Attributes:
        names: the parameters.
        guesses: what conventions say of some of them.
        defaults: the constructor's own defaults of some of them.
        sizes: whole numbers that the call suggests, the likeliest first.
        structures: tuples and dicts of sizes that the call suggests.
        sequences: the names whose annotation asks for a tuple or list.
    """

    names: tuple[str, ...]
    guesses: Mapping[str, Any]
    defaults: Mapping[str, Any]
    sizes: tuple[int, ...]
    structures: tuple[Any, ...]
    sequences: frozenset[str]


@dataclass(eq=False, repr=False)
class Solution:
    """What a search found, and what it tried on the way.

    Attributes:
        values: the answer; None if there is none, or more than one.
        rivals: the answers, where several pass and nothing decides.
        tried: (values, run) in order.
        limit: which limit ended the search, if one did.
    """

    values: dict[str, Any] | None = None
    alternatives: list[dict[str, Any]] = field(default_factory=list)
    tried: list[tuple[dict[str, Any], TrialRun]] = field(default_factory=list)
    limit: str = ""


def solve(probe: TrialRunner, problem: Problem) -> Solution:
    """Search for values of the unknowns with which the whole call passes."""
    search = _Search(probe, problem)
    solution = search.solution()
    solution.limit = search.budget.exceeded
    return solution


class _Search:
    def __init__(self, probe: TrialRunner, problem: Problem) -> None:
        self.probe, self.problem = probe, problem
        self.seen: dict[tuple[Any, ...], TrialRun] = {}
        self.tried: list[tuple[dict[str, Any], TrialRun]] = []
        self.alternatives: list[dict[str, Any]] = []  # both pass, and nothing in the call speaks for either
        self.budget = Budget(MAX_RUNS, MAX_SECONDS)

    # one run

    def run(self, values: Mapping[str, Any]) -> TrialRun:
        key = tuple(_hashable(values[name]) for name in self.problem.names)
        if key not in self.seen:
            self.budget.count()
            self.seen[key] = self.probe(values)
            self.tried.append((dict(values), self.seen[key]))
        return self.seen[key]

    def exhausted(self) -> bool:
        return bool(self.budget.exceeded)

    # the search

    def solution(self) -> Solution:
        found: list[dict[str, Any]] = []
        for start in self.initial_guesses():
            found = self.search_from(start, frozenset())
            if found or self.exhausted():
                break
        return self.conclude(found)

    def initial_guesses(self) -> Iterator[dict[str, Any]]:
        """First values that the constructor takes: guesses, then sentinels, then sizes of the call."""
        names, problem = self.problem.names, self.problem
        pools = []
        for position, name in enumerate(names):
            numbers = [*SENTINELS[position:], *SENTINELS[:position], *problem.sizes[:4], 64, 16]
            lists: list[Any] = list(problem.structures[:8])
            guess = [problem.guesses[name]] if name in problem.guesses else []
            pools.append([*guess, *(lists + numbers if name in problem.sequences else numbers + lists)])
        yielded = 0
        candidates = itertools.chain(
            _diagonal(pools),
            ({} if len(names) < 2 else (same,) * len(names) for same in (*problem.sizes[:4], *SENTINELS[:2])),
        )
        for chosen in candidates:
            values = dict(zip(names, chosen, strict=False))
            if len(values) < len(names):
                continue
            if self.exhausted():
                return
            run = self.run(values)
            if run.built:
                yield values
                yielded += 1
                if yielded == 4:
                    return

    def search_from(self, values: dict[str, Any], pinned: frozenset[str], depth: int = 0) -> list[dict[str, Any]]:
        """The solutions that lie behind `values`, at most two."""
        run = self.run(values)
        if run.passed:
            return [values] if self.is_unique(values, pinned) else []
        if depth > 2 * len(values) + 2:
            return []
        solved = self.solved(values, pinned, run)
        for moves in (solved, self.suggested(values, pinned)):
            further = []
            for name, value in moves:
                if self.exhausted():
                    break
                after = {**values, name: value}
                reached = self.run(after)
                if reached.progress > run.progress:
                    further.append((reached.progress, name, after))
            further.sort(key=lambda each: each[0], reverse=True)
            found: list[dict[str, Any]] = []
            for _, name, after in further:
                found += [each for each in self.search_from(after, pinned | {name}, depth + 1) if each not in found]
                if len(found) > 1 or (found and self.exhausted()):
                    break
            if found:
                return found
        if found := self.search_pairs(values, pinned):
            return found
        if pinned:  # what was solved for may have leant on a value that is wrong: begin again from here
            for name, value in solved:
                if self.exhausted():
                    break
                if found := self.search_from({**values, name: value}, frozenset({name}), depth + 2):
                    return found
        return []

    def solved(self, values: dict[str, Any], pinned: frozenset[str], run: TrialRun) -> list[tuple[str, Any]]:
        """Values that make a size of the failing operation that moves with an unknown equal to one that does not."""
        slopes: list[tuple[str, int, int, int]] = []  # name, its value, size, how much it moves per 1 (numerator)
        moving: set[int] = set()
        for name in self.free(values, pinned):
            for step in perturbations(values[name]):
                if self.exhausted():
                    break
                other = self.run({**values, name: values[name] + step})
                if other.operation == run.operation and len(other.sizes) == len(run.sizes) and other.built:
                    for position, (size, moved) in enumerate(zip(run.sizes, other.sizes, strict=True)):
                        if size != moved:
                            moving.add(position)
                            slopes.append((name, step, size, moved - size))
                    break
        still = dict.fromkeys(size for position, size in enumerate(run.sizes) if position not in moving)
        moves: dict[tuple[str, int], None] = {}
        for name, step, size, change in slopes:
            for target in still:
                distance = (target - size) * step
                if distance % change == 0 and (value := values[name] + distance // change) > 0:
                    moves[name, value] = None
        return sorted(moves, key=lambda move: move[1] == 1)  # 1 passes nearly everything: last

    def suggested(self, values: dict[str, Any], pinned: frozenset[str]) -> list[tuple[str, Any]]:
        """Whatever the call suggests, for every unknown that is still open."""
        moves: list[tuple[str, Any]] = []
        for name in values:
            if name not in pinned:
                kinds: list[tuple[Any, ...]] = [self.problem.sizes, self.problem.structures]
                if not isinstance(values[name], int):
                    kinds.reverse()
                moves += [(name, each) for kind in kinds for each in kind]
        return moves

    def search_pairs(self, values: dict[str, Any], pinned: frozenset[str]) -> list[dict[str, Any]]:
        """Two unknowns at once, as one check of both asks for: only what passes altogether counts."""
        found: list[dict[str, Any]] = []
        for pair in itertools.combinations(self.free(values, pinned), 2):
            for chosen in itertools.product(self.problem.sizes[:MOST_TOGETHER], repeat=2):
                after = {**values, **dict(zip(pair, chosen, strict=True))}
                if self.exhausted() or len(found) > 1:
                    return found
                if self.run(after).passed:
                    found.append(after)
        return found

    def free(self, values: dict[str, Any], pinned: frozenset[str]) -> list[str]:
        return [name for name in values if name not in pinned and isinstance(values[name], int)]

    # is it an answer?

    def is_unique(self, values: dict[str, Any], pinned: frozenset[str]) -> bool:
        """Whether the call refuses other values of what was never solved for."""
        for name in self.free(values, pinned):
            if values[name] == self.problem.guesses.get(name):
                continue  # a convention speaks for it
            for step in perturbations(values[name]):
                if self.exhausted():
                    break
                other = {**values, name: values[name] + step}
                if self.run(other).passed:
                    self.alternatives = self.alternatives or [values, other]
                    return False
        return True

    def conclude(self, found: list[dict[str, Any]]) -> Solution:
        unbroadcast = [each for each in found if 1 not in each.values()] or found
        if len(unbroadcast) == 1:
            return Solution(unbroadcast[0], tried=self.tried)
        for each in unbroadcast:
            if all(each[name] == guess for name, guess in self.problem.guesses.items()) and self.problem.guesses:
                return Solution(each, tried=self.tried)
        default = {**self.problem.defaults}
        if default.keys() == set(self.problem.names) and not found and self.run(default).passed:
            return Solution(default, tried=self.tried)
        return Solution(None, unbroadcast or self.alternatives, self.tried)


def perturbations(value: int) -> tuple[int, ...]:
    """Changes that keep what a constructor may check: divisibility first."""
    return (value, 24, 8, 4, 2, 1)


def _diagonal(pools: list[list[Any]]) -> Iterator[tuple[Any, ...]]:
    """First the first of each pool, then with one of them exchanged, then with two."""
    first = tuple(pool[0] for pool in pools)
    yield first
    for position, pool in enumerate(pools):
        for other in pool[1:]:
            yield (*first[:position], other, *first[position + 1 :])
    for (i, a), (j, b) in itertools.combinations(enumerate(pools), 2):
        for x, y in itertools.product(a[1:5], b[1:5]):
            chosen = list(first)
            chosen[i], chosen[j] = x, y
            yield tuple(chosen)


def _hashable(value: Any) -> Any:
    """A key for a value of an unknown; one that has no hash is told apart by its identity."""
    key = tuple(value.items()) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value
    try:
        hash(key)
    except TypeError:
        return id(value)
    return key


# ---------------------------------------------------------------------------------------------
# What a call suggests


def suggestions(arguments: list[Any], tensors_of: Any) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """Sizes, and tuples and dicts of sizes, in the arguments of a call, the likeliest first."""
    sizes: dict[int, None] = {}
    tuples: dict[tuple[int, ...], None] = {}
    dicts: list[dict[Any, int]] = []
    groups = [list(tensors_of(each)) for each in arguments]
    for argument, group in zip(arguments, groups, strict=True):
        for dim in (1, -1):
            if all(-t.dim() <= dim < t.dim() for t in group):
                if len(group) > 1:
                    tuples[tuple(t.shape[dim] for t in group)] = None
                if isinstance(argument, Mapping) and all(isinstance(t, torch.Tensor) for t in argument.values()):
                    dicts.append({key: t.shape[dim] for key, t in argument.items()})
    every = [t for group in groups for t in group]
    for tensor in sorted(every, key=lambda t: not (t.dtype.is_floating_point or t.dtype.is_complex)):
        shape = tuple(tensor.shape)
        for part in (shape[2:], shape[1:], shape[-1:], shape[-2:], shape[-3:], shape):
            if part:
                tuples[part] = None
        for dim in (1, -1, 2, -3, 3, 0):
            if -len(shape) <= dim < len(shape):
                sizes[shape[dim]] = None
        if shape:
            sizes[tensor.numel() // max(shape[0], 1)] = None
    for each in arguments:
        if isinstance(each, int) and not isinstance(each, bool):
            sizes[each] = None
    numbers = [size for size in sizes if size > 1] + [1]
    return tuple(numbers), (*dicts, *tuples)
