"""Stand-ins: of what cannot be brought back (caches, iterators, locks, random states of the process) a run has its own.

A stand-in takes the place of such a thing while a trial run is under way. In the thread of the run it goes to the run's
own copy, in every other thread to the thing itself.
"""

from __future__ import annotations

import atexit
import copy
import functools
import gc
import queue
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, cast

import torch

from lazify._isolation.observers import in_trial
from lazify._isolation.waiting import UncopyableError, own_threads

__all__ = ["CACHED", "UncopyableError", "kept_results", "own_functions", "stand_in", "thread_private"]

CACHED: type = type(functools.lru_cache(in_trial))


# ---------------------------------------------------------------------------------------------
# Functions


def _dispatching(original: Any, private: Callable[..., Any]) -> Callable[..., Any]:
    """A function that calls `private` in a trial run, else `original`."""

    @functools.wraps(original)
    def function(*args: Any, **kwargs: Any) -> Any:
        return (private if in_trial() else original)(*args, **kwargs)

    function._lazify_original = original  # type: ignore[attr-defined]
    return function


def _with_own_cache(cached: Any) -> Callable[..., Any]:
    """Stands for an `lru_cache`d function: in a trial run it has a cache of its own, with what the other one holds."""
    kept, keyword_mark = kept_results(cached)
    typed = cached.cache_parameters()["typed"]

    def compute(*args: Any, **kwargs: Any) -> Any:
        key = (*args, *((keyword_mark, *(each for pair in kwargs.items() for each in pair)) if kwargs else ()))
        if typed:
            key += (*map(type, args), *map(type, kwargs.values()))
        elif len(key) == 1 and type(key[0]) in (int, str):
            key = key[0]
        return kept[key] if key in kept else cached.__wrapped__(*args, **kwargs)

    function: Any = _dispatching(cached, functools.lru_cache(cached.cache_parameters()["maxsize"], typed)(compute))
    function.__wrapped__ = cached.__wrapped__  # in a trial run inside a trial run this one stands for a cached one, too
    for name in ("cache_info", "cache_clear", "cache_parameters"):
        setattr(function, name, getattr(cached, name))
    return function  # type: ignore[no-any-return]


def kept_results(cached: Any) -> tuple[dict[Any, Any], Any]:
    """What an `lru_cache` holds, by its keys, and the mark before keywords in a key.

    It is read as the garbage collector reads it, since to ask the function would count; nothing where Python hides it.
    """
    inside = gc.get_referents(cached)
    size = cached.cache_info().currsize
    own = [getattr(cached, "__dict__", None)]
    found: dict[Any, Any] = next((each for each in inside if type(each) is dict and each is not own[0]), {})
    mark = next((each for each in inside if type(each) is object), None)
    if not size or len(found) != size:
        return {}, mark
    if cached.cache_parameters()["maxsize"] is None:
        return dict(found), mark
    link = type(next(iter(found.values())))
    after = [at for at, each in enumerate(inside) if each is link and at > 1][:size]  # key, result, class of the link
    pairs = {inside[at - 2]: inside[at - 1] for at in after}
    return (pairs if pairs.keys() == found.keys() else {}), mark


# ---------------------------------------------------------------------------------------------
# Objects


class StandIn:
    """Stands for an object: in a trial run it is a copy, made when it is first used, else the object."""

    __slots__ = ("_lazify_copy", "_lazify_make", "_lazify_original")
    # what `isinstance` asks
    __class__ = cast("Any", property(lambda self: self._lazify_original.__class__))  # pyright: ignore[reportIncompatibleMethodOverride]

    def __init__(self, original: Any, make: Callable[[Any], Any]) -> None:
        object.__setattr__(self, "_lazify_original", original)
        object.__setattr__(self, "_lazify_make", make)

    def _lazify_here(self) -> Any:
        if not in_trial():
            return self._lazify_original
        try:
            return self._lazify_copy
        except AttributeError:
            object.__setattr__(self, "_lazify_copy", self._lazify_make(self._lazify_original))
            return self._lazify_copy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_lazify_"):
            raise AttributeError(name)
        return getattr(self._lazify_here(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._lazify_here(), name, value)

    def __enter__(self) -> Any:
        return self._lazify_here().__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._lazify_here().__exit__(*error)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self._lazify_here())

    def __deepcopy__(self, memo: Any) -> Any:
        return copy.deepcopy(self._lazify_here(), memo)


class _Event(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        return True


class _Barrier(threading.Barrier):
    def wait(self, timeout: float | None = None) -> int:
        return 0


class _Condition(threading.Condition):
    def wait(self, timeout: float | None = None) -> bool:
        raise UncopyableError("values are found by trial runs of the call, and this one would wait for another thread")


def _event(original: threading.Event) -> threading.Event:
    made = _Event()
    if original.is_set():
        made.set()
    return made


def _semaphore(original: Any) -> Any:
    made = threading.Semaphore(original._value)
    vars(made)["_cond"] = _Condition(threading.Lock())
    return made


def _queue(original: Any) -> Any:
    made: Any = queue.Queue() if isinstance(original, queue.SimpleQueue) else original.__class__(original.maxsize)
    if not isinstance(original, queue.SimpleQueue):
        made.queue, made.unfinished_tasks = copy.copy(original.queue), original.unfinished_tasks
    for name in ("not_empty", "not_full", "all_tasks_done"):
        vars(made)[name] = _Condition(made.mutex)
    return made


#: What threads wait for or with, and how a run's own is made: alone in it, the run never waits.
_OF_THREADS: dict[type, Callable[[Any], Any]] = {
    type(threading.Lock()): lambda _: threading.Lock(),
    type(threading.RLock()): lambda _: threading.RLock(),
    **dict.fromkeys((threading.Event, _Event), _event),
    **dict.fromkeys((threading.Barrier, _Barrier), lambda original: _Barrier(original.parties)),
    **dict.fromkeys((threading.Condition, _Condition), lambda _: _Condition()),
    threading.Semaphore: _semaphore,
    threading.BoundedSemaphore: _semaphore,
    queue.Queue: _queue,
    queue.LifoQueue: _queue,
    queue.PriorityQueue: _queue,
    queue.SimpleQueue: _queue,
}


def thread_private(value: Any) -> Any:
    """A run's own lock, event, queue and so on; None for anything else."""
    make = _OF_THREADS.get(type(value))
    return None if make is None else make(value)


def stand_in(value: Any, copied: Callable[[Any], Any]) -> Any:
    """What takes the place of a value in a trial run; None where the value may stay.

    Args:
        value: any object.
        copied: makes a run's own copy of an iterator.
    """
    kind = type(value)
    if kind is StandIn:  # of a run around this one: what it has there is as good as the thing itself
        return StandIn(value, value._lazify_make)
    if kind is CACHED:
        return _with_own_cache(value)
    if (make := _OF_THREADS.get(kind)) is not None:
        return StandIn(value, make)
    if _is_used_up(cast("Any", kind)):
        return StandIn(value, copied)
    return _functions_by_id(*_now()).get(id(value))


@functools.lru_cache(maxsize=4096)
def _is_used_up(kind: type) -> bool:
    """Whether it is an iterator of Python's own, or a generator: to read from it changes it."""
    if kind in (GeneratorType, AsyncGeneratorType, CoroutineType):
        return True
    return kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__")


# ---------------------------------------------------------------------------------------------
# Functions of the process: random states, threads


class _States(threading.local):
    """The random states of this thread's trial runs, each made when it is first drawn from."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}


_states = _States()


def _own_state(which: str) -> Any:
    if (state := _states.made.get(which)) is None:
        if which == "random":
            state = random.Random(0)
        elif which == "numpy":
            state = sys.modules["numpy"].random.RandomState(0)
        else:
            state = torch.Generator()
        _states.made[which] = state
    return state


#: Functions of torch that seed, and the methods of a generator that do the same.
_SEEDING = {
    "manual_seed": "manual_seed",
    "seed": "seed",
    "initial_seed": "initial_seed",
    "get_rng_state": "get_state",
    "set_rng_state": "set_state",
}


@functools.lru_cache(maxsize=4)
def _functions(with_numpy: bool, _: Any) -> tuple[tuple[Any, str, Any, Any], ...]:
    """Functions that a run has its own of: (module or class, name, function, its stand-in).

    They draw from, or seed, random states of the process, start threads and wait for them, or have something done when
    the process ends. (Dynamo, when it is imported, puts another function in the place of `torch.manual_seed`.)
    """
    numpy: Any = sys.modules["numpy"] if with_numpy else None
    states = {id(getattr(random, "_inst", None)): "random"}
    if with_numpy:
        states[id(numpy.random.mtrand._rand)] = "numpy"
    found: list[tuple[Any, str, Any, Any]] = [
        (cls, name, vars(cls)[name], _dispatching(vars(cls)[name], own))
        for cls, name, own in own_threads(lambda: _states.made.setdefault("threads", {}))
    ]
    for name in ("register", "unregister"):
        function = getattr(atexit, name)
        found.append((atexit, name, function, _dispatching(function, _as_it_is)))
    for module in (random, numpy.random, torch, torch.random) if with_numpy else (random, torch, torch.random):
        for name, value in vars(module).items():
            which, method = states.get(id(getattr(value, "__self__", None))), name
            if with_numpy and value is numpy.random.seed:
                which = "numpy"
            elif getattr(value, "__module__", None) == "torch.random" and name in _SEEDING:
                which, method = "torch", _SEEDING[name]
            if which is not None:
                found.append((module, name, value, _dispatching(value, functools.partial(_drawn, which, method))))
    return tuple(found)


def _as_it_is(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Of what is to run when the process ends, nothing is noted in a trial run."""
    return function


def _drawn(which: str, method: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(_own_state(which), method)(*args, **kwargs)


@functools.lru_cache(maxsize=4)
def _functions_by_id(*key: Any) -> dict[int, Any]:
    return {id(function): made for _, _, function, made in _functions(*key)}


def _now() -> tuple[bool, Any]:
    """What the functions depend on: whether numpy is loaded, and which function of torch seeds."""
    return "numpy" in sys.modules, getattr(torch.manual_seed, "_lazify_original", torch.manual_seed)


@contextmanager
def own_functions() -> Iterator[None]:
    """In this thread, what draws, seeds or starts threads leaves random states and threads of others alone."""
    changed = []
    for each in _functions(*_now()):
        holder, name, function, made = each
        if vars(holder).get(name) is function:  # else a run inside a run, or the user's own
            setattr(holder, name, made)
            changed.append(each)
    try:
        yield
    finally:
        for holder, name, function, made in changed:
            if vars(holder).get(name) is made:
                setattr(holder, name, function)
        if changed:
            _states.made.clear()
