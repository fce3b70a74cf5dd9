"""Throwing modules of a trial run away: no finalizer of theirs runs, and no error keeps them alive."""

from __future__ import annotations

import gc
import sys
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

import torch
from torch import nn

from lazify._isolation.reachable_names import is_users
from lazify._recipe.construction import set_class, subclass_without_hooks

__all__ = ["collect_young", "collector_off", "dispose", "silence"]


class _DisposedModule(nn.Module):
    """What a module of a trial run is in the end: one without `__del__`."""


class _Disposed:
    """What any other object of a trial run with a `__del__` is in the end."""


def dispose(made: Iterable[Any], failure: BaseException | None, spared: Container[int]) -> None:
    """Let modules, copies, and what an error's frames hold, go without any `__del__`; `spared` are ids of what stays.

    The error is kept, with the lines that it came through, except those between the user's code and the operator.
    """
    for each in _inside([*made, *_locals_in(failure)], spared):
        kind = type(each)
        if hasattr(kind, "__del__") and is_users(kind.__module__):
            try:
                set_class(each, _DisposedModule if isinstance(each, nn.Module) else _Disposed)
            except TypeError:  # of another layout: Python lets no other class in its place
                continue
    for error in _chain(failure):
        error.__traceback__ = _emptied(error.__traceback__)


_NOT_SHOWN = ("lazify.", "torch._", "torch.utils._")


def _emptied(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without frames of lazify and of how torch calls an operator, and with nothing in the others."""
    kept: list[TracebackType] = []
    while traceback is not None:
        with suppress(RuntimeError):  # still running
            traceback.tb_frame.clear()
            _ = traceback.tb_frame.f_locals  # what was read before is forgotten, too
        if not str(traceback.tb_frame.f_globals.get("__name__")).startswith(_NOT_SHOWN):
            kept.append(traceback)
        traceback = traceback.tb_next
    for one, following in zip(kept, [*kept[1:], None], strict=False):
        one.tb_next = following
    return kept[0] if kept else None


def silence(module: nn.Module, spared: Container[int]) -> None:
    """Let no `__del__` run when a module of a trial run goes, whenever that is; its classes look as they did."""
    for each in _inside([module], spared):
        kind = type(each)
        if hasattr(kind, "__del__") and is_users(kind.__module__) and not issubclass(kind, _Silent):
            with suppress(TypeError):
                set_class(each, _silent_class(kind))


class _Silent:
    """First base of what replaces the class of such an object."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """No registry of subclasses hears of it."""

    def __del__(self) -> None:
        """Nothing, instead of what the class does."""


def _silent_class(kind: type) -> type:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    made: type = subclass_without_hooks(type(kind), kind.__name__, (_Silent, kind), names)
    return made


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


# ---------------------------------------------------------------------------------------------
# Objects that only hold each other


@contextmanager
def collector_off() -> Iterator[None]:
    """No automatic collection: what a run makes stays young, and finalizers of earlier objects do not run in it."""
    enabled = gc.isenabled()
    collect_young()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def collect_young() -> None:
    """Finalize what was made since the last collection and is held only by itself."""
    gc.collect(0)
