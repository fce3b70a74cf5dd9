"""Throwing modules of a trial run away: no finalizer of theirs runs, and no error keeps them alive."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Iterator
from types import TracebackType
from typing import Any

import torch
from torch import nn

from lazify._isolation.reach import is_users

__all__ = ["dispose"]

_set_class = vars(object)["__class__"].__set__


class _DisposedModule(nn.Module):
    """What a module of a trial run is in the end: one without `__del__`."""


class _Disposed:
    """What any other object of a trial run with a `__del__` is in the end."""


def dispose(module: nn.Module | None, failure: BaseException | None, spared: Container[int]) -> None:
    """Let a module, and what an error's frames hold, go without any `__del__`; `spared` are ids of what existed before.

    The error is kept, without its frames.
    """
    roots = [module, *_locals_in(failure)]
    for each in _inside(roots, spared):
        kind = type(each)
        if hasattr(kind, "__del__") and is_users(kind.__module__):
            try:
                _set_class(each, _DisposedModule if isinstance(each, nn.Module) else _Disposed)
            except TypeError:  # of another layout: Python lets no other class in its place
                continue
    for error in _chain(failure):
        error.__traceback__ = None


def _chain(failure: BaseException | None) -> Iterator[BaseException]:
    """An error, and those it was raised from or while handling, without what is being handled around the run."""
    around = sys.exc_info()[1]
    seen = {id(around)}
    todo = [failure]
    while todo:
        error = todo.pop()
        if error is not None and id(error) not in seen:
            seen.add(id(error))
            yield error
            todo += [error.__cause__, error.__context__]


def _locals_in(failure: BaseException | None) -> Iterator[Any]:
    for error in _chain(failure):
        traceback: TracebackType | None = error.__traceback__
        while traceback is not None:
            if is_users(traceback.tb_frame.f_globals.get("__name__")):
                yield from traceback.tb_frame.f_locals.values()
            traceback = traceback.tb_next


def _inside(roots: Iterable[Any], spared: Container[int]) -> list[Any]:
    """Objects of user classes, and what holds them, as far as they are of this run."""
    found: list[Any] = []
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        value = todo.pop()
        if id(value) in seen or id(value) in spared or isinstance(value, (torch.Tensor, type, str, int, float)):
            continue
        seen.add(id(value))
        found.append(value)
        if isinstance(value, dict):
            todo += dict.values(value)
        elif isinstance(value, (list, tuple, set)):
            todo += list(value)
        elif isinstance(value, nn.Module) or is_users(type(value).__module__):
            state = getattr(value, "__dict__", None)
            todo += list(state.values()) if isinstance(state, dict) else ()
    return found
