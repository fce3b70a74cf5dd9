"""Iterators of `itertools` that go on where others are: from 3.14 on Python copies none of them.

Their state is read as the garbage collector reads it. Where that does not say everything (`islice`, `product`), there
is no copy.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from typing import Any

__all__ = ["continued"]


def continued(iterator: Any, copied: Callable[[Any], Any]) -> Any:
    """A new iterator with the state of this one; None where that cannot be known.

    Args:
        iterator: any object. It is left as it is.
        copied: makes copies of what the iterator reads from and yields.

    >>> numbers = itertools.count(3)
    >>> next(continued(numbers, list)), next(numbers)
    (3, 3)
    """
    make = _KINDS.get(type(iterator))
    return make and make(iterator, [each for each in gc.get_referents(iterator) if each is not type(iterator)], copied)


def _count(iterator: Any, inside: list[Any], _: Any) -> Any:
    if len(inside) == 1:  # a small number, which is no object, and the step 1
        return itertools.count(int(repr(iterator)[len("count(") : -1]))
    return itertools.count(*inside)


def _cycle(iterator: Any, inside: list[Any], copied: Callable[[Any], Any]) -> Any:
    *unread, items = inside
    if not unread:  # a whole round leads back to the same place
        return itertools.cycle(copied(list(itertools.islice(iterator, len(items)))))
    unread, items = copied((unread[0], items))
    made = itertools.cycle(itertools.chain(items, unread))
    return _advanced(made, len(items))


def _repeat(iterator: Any, inside: list[Any], copied: Callable[[Any], Any]) -> Any:
    try:
        return itertools.repeat(copied(inside[0]), iterator.__length_hint__())
    except TypeError:  # it has no end
        return itertools.repeat(copied(inside[0]))


def _chain(_: Any, inside: list[Any], copied: Callable[[Any], Any]) -> Any:
    """Of what is still to be read: the iterator of the iterables, and the iterable that is being read."""
    following, *current = copied(tuple(inside)) or ((),)
    return itertools.chain.from_iterable(itertools.chain(current, following))


def _starmap(_: Any, inside: list[Any], copied: Callable[[Any], Any]) -> Any:
    arguments, function = copied(tuple(inside))
    return itertools.starmap(function, arguments)


def _advanced(iterator: Any, steps: int) -> Any:
    next(itertools.islice(iterator, steps, steps), None)
    return iterator


_KINDS: dict[type, Callable[[Any, list[Any], Callable[[Any], Any]], Any]] = {
    itertools.count: _count,
    itertools.cycle: _cycle,
    itertools.repeat: _repeat,
    itertools.chain: _chain,
    itertools.starmap: _starmap,
}
