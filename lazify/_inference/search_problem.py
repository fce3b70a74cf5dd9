"""The problem of a search: which values are to be found, and what constructor and call say about them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lazify._isolation import TrialRun
from lazify._nested import tensors

__all__ = [
    "SENTINELS",
    "Problem",
    "Solution",
    "first_values",
    "in_order",
    "nested_sizes",
    "sides",
    "suggestions",
    "tuples_of_numbers",
]

#: First values for what nothing is known of: highly divisible, distinct, no power of two times another.
SENTINELS = (48, 72, 120, 168, 80, 112)


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """What is to be found.

    Attributes:
        names: the parameters.
        guesses: what conventions say of some of them, and what arguments of the call are named like.
        likely: values of all of them to begin with.
        defaults: of those that the constructor has a default for, the default, where it need not be proved.
        sizes: whole numbers that the call suggests, the likeliest first.
        sides: those whose square it suggests.
        structures: tuples and dicts of sizes that the call suggests.
        nested: those of them that hold one size of each tensor of a nested argument.
        sequences: the names whose annotation asks for a tuple or list, and which of both.
        lengths: how many entries an annotation asks for (`tuple[int, int]`).
        whole: the names whose annotation asks for a whole number.
        batch: size of the first dimension of the first tensor of the call; None if there is none.
        rivals: where the call has several tensors, the sizes of their second and last dimensions.
        inputs: the names that mean the size of an input and nothing else: all of it, not a part.
        in_order: values of all of them that are sizes of the tensors in order, where there are three or more.
    """

    names: tuple[str, ...]
    guesses: Mapping[str, Any]
    likely: tuple[Mapping[str, Any], ...]
    defaults: Mapping[str, Any]
    sizes: tuple[int, ...]
    structures: tuple[Any, ...]
    nested: tuple[Any, ...]
    sequences: Mapping[str, type]
    lengths: Mapping[str, int] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    sides: tuple[int, ...] = ()
    batch: int | None = None
    rivals: tuple[int, ...] = ()
    inputs: frozenset[str] = frozenset()
    in_order: tuple[Mapping[str, Any], ...] = ()

    def holds(self, value: Sequence[Any]) -> bool:
        """Whether a list or tuple of sizes is in the call as it is."""
        return tuple(value) in self.structures

    def structures_for(self, name: str) -> list[Any]:
        """The structures, as lists where the annotation of the parameter asks for one, and as long as it says."""
        kind, length = self.sequences.get(name, tuple), self.lengths.get(name)
        fitting = [each for each in self.structures if length is None or len(each) == length]
        return [kind(each) if isinstance(each, tuple) else each for each in fitting]


@dataclass(eq=False, repr=False)
class Solution:
    """What a search found, and what it tried on the way.

    Attributes:
        values: values with which the whole call passes; None if none were found.
        refused: of a parameter that the call determines, another value, with which the call fails.
        open: of a parameter that the call leaves open, other values of all parameters with which it passes as well.
        tried: (values, run) in order.
        limit: which limit ended the search, if one did.
    """

    values: dict[str, Any] | None = None
    refused: dict[str, Any] = field(default_factory=dict)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)
    tried: list[tuple[dict[str, Any], TrialRun]] = field(default_factory=list)
    limit: str = ""


# ---------------------------------------------------------------------------------------------
# What a call suggests


def nested_sizes(arguments: list[Any]) -> tuple[Any, ...]:
    """One size of each tensor, as a tuple or a dict, for each argument that holds several: channels, then features."""
    tuples: dict[tuple[int, ...], None] = {}
    dicts: list[dict[Any, int]] = []
    for argument in arguments:
        group = list(tensors(argument))
        for dim in (1, -1):
            if group and all(-t.dim() <= dim < t.dim() for t in group):
                if len(group) > 1:
                    tuples[tuple(t.shape[dim] for t in group)] = None
                if isinstance(argument, Mapping) and all(isinstance(t, torch.Tensor) for t in argument.values()):
                    dicts.append({key: t.shape[dim] for key, t in argument.items()})
    return (*dicts, *tuples)


def suggestions(arguments: list[Any]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Sizes and parts of shapes in the arguments of a call, the likeliest first.

    >>> suggestions([torch.empty(2, 16, 12), 5])[0]
    (16, 12, 2, 192, 5, 1)
    >>> suggestions([torch.empty(2, 6, 8, 12), (6, 8)])[1][:4]
    ((6, 8), (8, 12), (6, 8, 12), (12,))
    """
    sizes: dict[int, None] = {}
    tuples: dict[tuple[int, ...], None] = dict.fromkeys(tuples_of_numbers(arguments))
    for tensor in sorted(tensors(arguments), key=lambda t: not (t.dtype.is_floating_point or t.dtype.is_complex)):
        shape = tuple(tensor.shape)
        channels_last = shape[1:-1] if len(shape) > 3 else ()
        for part in (shape[2:], shape[1:], shape[-1:], shape[-2:], shape[-3:], shape, channels_last):
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
    return tuple(numbers), tuple(tuples)


def sides(arguments: list[Any]) -> tuple[int, ...]:
    """The sides of squares of patches, beside which one token more may stand.

    >>> sides([torch.empty(2, 16, 12), torch.empty(2, 26, 7)])
    (4, 5)
    """
    patches = [size for tensor in tensors(arguments) for size in tensor.shape[1:-1]]
    roots = [math.isqrt(size) for size in patches if size - math.isqrt(size) ** 2 in (0, 1)]
    return tuple(dict.fromkeys(root for root in roots if root > 1))


def tuples_of_numbers(value: Any, depth: int = 0) -> Iterator[tuple[int, ...]]:
    """Tuples and lists of whole numbers among the arguments of a call, such as the height and width of a map."""
    if isinstance(value, (list, tuple)) and value and all(type(each) is int for each in value):
        yield tuple(value)
    elif isinstance(value, (list, tuple)) and depth < 2:
        for each in value:
            yield from tuples_of_numbers(each, depth + 1)


def in_order(names: list[str], shapes: list[tuple[int, ...]]) -> tuple[dict[str, int], ...]:
    """Sizes of the tensors for three names or more, in order: a check of them all passes with all or with none.

    They are those of one tensor, one of each tensor, or those of all tensors.

    >>> [tuple(each.values()) for each in in_order(["rows", "columns", "features"], [(2, 5, 6, 7)])]
    [(5, 6, 7), (6, 7, 5), (7, 5, 6)]
    >>> [tuple(each.values()) for each in in_order(["image", "text", "audio"], [(2, 5), (2, 8), (2, 9)])]
    [(5, 8, 9)]
    """
    if len(names) < 3:
        return ()
    found: dict[tuple[int, ...], None] = {}
    for shape in shapes:
        inner = shape[1:]
        found |= dict.fromkeys((inner, (*inner[1:], *inner[:1]), (*inner[-1:], *inner[:-1])))  # channels first and last
    for dim in (-1, 1):
        found[tuple(shape[dim] for shape in shapes if len(shape) > 1)] = None
    found[tuple(size for shape in shapes for size in shape[1:])] = None
    return tuple(dict(zip(names, each, strict=True)) for each in found if len(each) == len(names))


# ---------------------------------------------------------------------------------------------
# Where a search begins


def first_values(problem: Problem) -> Iterator[dict[str, Any]]:
    """The likely ones, then guesses, sentinels and sizes of the call; each name for itself, then all alike."""
    yield from map(dict, problem.likely)
    names, pools = problem.names, []
    for position, name in enumerate(names):
        numbers = [*SENTINELS[position:], *SENTINELS[:position], *problem.sizes[:4], 64, 16]
        lists = problem.structures_for(name)[:8]
        guess = [problem.guesses[name]] if name in problem.guesses else []
        if name in problem.sequences:
            pools.append([*guess, *lists, *numbers])
        elif name in problem.whole:
            pools.append([*guess, *numbers, *lists])
        else:
            pools.append([*guess, *_in_turn([numbers, lists])])
    for chosen in _diagonal(pools):
        yield dict(zip(names, chosen, strict=True))
    if len(names) > 1:
        for same in (*problem.sizes[:4], *SENTINELS[:2]):
            yield dict.fromkeys(names, same)


def _in_turn(pools: Iterable[Iterable[Any]]) -> Iterator[Any]:
    """The first of each, then the second of each, and so on.

    >>> list(_in_turn([[1, 2, 3], "ab"]))
    [1, 'a', 2, 'b', 3]
    """
    nothing = object()
    for row in itertools.zip_longest(*pools, fillvalue=nothing):
        yield from (each for each in row if each is not nothing)


def _diagonal(pools: list[list[Any]]) -> Iterator[tuple[Any, ...]]:
    """First the first of each pool, then with one of them exchanged, then with two."""
    first = tuple(pool[0] for pool in pools)
    yield first
    yield from _in_turn(
        [(*first[:position], other, *first[position + 1 :]) for other in pool[1:]]
        for position, pool in enumerate(pools)
    )
    for (i, a), (j, b) in itertools.combinations(enumerate(pools), 2):
        for x, y in itertools.product(a[1:5], b[1:5]):
            chosen = list(first)
            chosen[i], chosen[j] = x, y
            yield tuple(chosen)
