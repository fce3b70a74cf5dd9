"""Surroundings of a trial run in which nobody hears of it: modes, hooks, warnings and loggers, of this thread only."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from lazify._torch import (
    FAKE_LOGGERS,
    GLOBAL_HOOKS,
    function_modes,
    inside_transform,
    outside_transforms,
    pop_function_mode,
    push_function_mode,
    saved_tensors_hooks_on,
    set_tracing_state,
    tracing_state,
    without_default_device,
    without_dispatch_modes,
)

__all__ = ["in_trial", "observers_off", "without_function_modes"]


class _Depth(threading.local):
    trials = 0


_depth = _Depth()


def in_trial() -> bool:
    """Whether this thread is in a trial run."""
    return _depth.trials > 0


@contextmanager
def observers_off() -> Iterator[None]:
    """No mode, hook, transform or saved-tensors hook of the surroundings sees what happens; no warning, no log line.

    Other threads are seen, warned and logged as always. Grad mode stays as it is.
    """
    grad = torch.is_grad_enabled()
    with ExitStack() as stack:
        if inside_transform() is not None:
            stack.enter_context(outside_transforms())
        stack.callback(set_tracing_state, tracing_state())
        set_tracing_state(None)
        stack.enter_context(without_dispatch_modes())
        stack.enter_context(without_function_modes())
        stack.enter_context(without_default_device())
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(grad))
        if saved_tensors_hooks_on(True) is not None:  # activation checkpointing, say: only the innermost pair is asked
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(torch.Tensor.detach, _same))
        stack.enter_context(_without_global_hooks())
        stack.enter_context(_unheard())
        yield


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


@contextmanager
def without_function_modes() -> Iterator[None]:
    modes = [pop_function_mode() for _ in range(function_modes())]
    try:
        yield
    finally:
        while function_modes():  # left by code that sets a default device
            pop_function_mode()
        for mode in reversed(modes):
            push_function_mode(mode)


# ---------------------------------------------------------------------------------------------
# Hooks of the process

_changing = threading.RLock()


class _SilentHere:
    """Stands for a global hook while some thread is in a trial run: that thread passes it by."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return None if in_trial() else self.hook(*args, **kwargs)


@contextmanager
def _without_global_hooks() -> Iterator[None]:
    if not any(GLOBAL_HOOKS):
        yield
        return
    stand_ins: list[tuple[dict[int, Any], int, _SilentHere]] = []
    with _changing:
        for hooks in GLOBAL_HOOKS:
            for number, hook in list(hooks.items()):
                hooks[number] = stand_in = _SilentHere(hook)
                stand_ins.append((hooks, number, stand_in))
    try:
        yield
    finally:
        with _changing:
            for hooks, number, stand_in in reversed(stand_ins):
                _replace(hooks, number, stand_in)


def _replace(hooks: dict[int, Any], number: int, stand_in: _SilentHere) -> None:
    """Put the hook back, also where another thread's stand-in stands for this one by now."""
    there = hooks.get(number)
    if there is stand_in:
        hooks[number] = stand_in.hook
    while isinstance(there, _SilentHere):
        if there.hook is stand_in:
            there.hook = stand_in.hook
        there = there.hook


# ---------------------------------------------------------------------------------------------
# Warnings and loggers


class _Here:
    """In the place of a filter's pattern: it matches every warning of a thread that is in a trial run."""

    def match(self, text: str) -> bool:
        return in_trial()


class _NotHere(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not in_trial()


@contextmanager
def _unheard() -> Iterator[None]:
    entry: Any = ("ignore", _Here(), Warning, None, 0)
    not_here = _NotHere()
    loggers = [logging.getLogger(name) for name in FAKE_LOGGERS]
    with _changing:
        filters: list[Any] = warnings.filters  # type: ignore[assignment]
        filters.insert(0, entry)
        for logger in loggers:
            logger.addFilter(not_here)
    _depth.trials += 1
    try:
        yield
    finally:
        _depth.trials -= 1
        with _changing:
            for each in (filters, warnings.filters):
                _remove(each, entry)
            for logger in loggers:
                logger.removeFilter(not_here)


def _remove(entries: Any, entry: Any) -> None:
    """By identity: entries of a filter list are compared with user objects otherwise."""
    for position, each in enumerate(entries):
        if each is entry:
            del entries[position]
            return
