"""`continued`: new iterators with the state of others."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from lazify._isolation.iterators import continued

KINDS: dict[str, Callable[[], Any]] = {
    "count": itertools.count,
    "count of large numbers": lambda: itertools.count(2**70),
    "count of other numbers": lambda: itertools.count(1.5, 0.5),
    "cycle": lambda: itertools.cycle("abc"),
    "repeat": lambda: itertools.repeat("a"),
    "repeat some times": lambda: itertools.repeat("a", 4),
    "chain": lambda: itertools.chain([1], [2, 3], [4]),
    "chain.from_iterable": lambda: itertools.chain.from_iterable([[1], [2, 3]]),
    "starmap": lambda: itertools.starmap(max, [(1, 2), (4, 3)]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", range(5))
def test_both_go_on_alike(kind: str, steps: int) -> None:
    iterator = KINDS[kind]()
    list(itertools.islice(iterator, steps))
    first, second = continued(iterator, copy.deepcopy), continued(iterator, copy.deepcopy)
    expected = list(itertools.islice(second, 8))
    assert list(itertools.islice(iterator, 8)) == expected == list(itertools.islice(first, 8))


def test_what_is_read_from_is_copied() -> None:
    rows = [[1], [2]]
    twin = continued(itertools.cycle(rows), copy.deepcopy)
    assert next(twin) == [1]
    assert next(twin) is not rows[1]


@pytest.mark.parametrize("iterator", [itertools.islice([1, 2], 1), itertools.product([1, 2]), iter([1]), [1], "a", 7])
def test_of_others_there_is_none(iterator: Any) -> None:
    assert continued(iterator, copy.deepcopy) is None
