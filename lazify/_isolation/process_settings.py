"""Settings of the process: which there are, by what names code reaches them, and how they are brought back.

Each is read before a trial run and written back after it, if it is another. While there are other threads this is done
only with those that the code of the run names: what other threads set meanwhile stays.
"""

from __future__ import annotations

import copyreg
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch

from lazify._isolation.snapshot_items import SavedItem, restore_dict, restore_list, restore_torch_generator
from lazify._torch import BACKEND_SETTINGS, FUTURE, GLOBAL_HOOKS, PRINT_OPTIONS

__all__ = ["saved_settings"]


class _Setting(NamedTuple):
    """One setting: names by which code reaches it, how it is read (to something that compares), how it is written."""

    names: frozenset[str]
    read: Callable[[], Any]
    write: Callable[[Any], None]


def saved_settings(names: set[str]) -> list[SavedItem]:
    """What brings back the settings that a run of code which looks up these names may change."""
    alone = threading.active_count() == 1
    saved: list[SavedItem] = []
    for setting in (*_EVERYWHERE, *_ONLY_BY_NAME):
        if (alone and setting in _EVERYWHERE) or not setting.names.isdisjoint(names):
            saved.append((_restore, setting, setting.read()))
    if alone or not _SEEDING.isdisjoint(names):
        saved += [(restore_torch_generator, each, each.get_state()) for each in _torch_generators()]
    if alone or not _FILTERING.isdisjoint(names):
        saved.append((restore_list, warnings.filters, list(warnings.filters)))
    if alone or "finalize" in names:
        registry = getattr(weakref.finalize, "_registry", {})
        saved.append((restore_dict, registry, _items(registry)))
    if alone or not _HOOKING.isdisjoint(names):
        saved += [(restore_dict, hooks, _items(hooks)) for hooks in GLOBAL_HOOKS]
    if "modules" in names:
        saved.append((_forget_made_modules, sys.modules, set(sys.modules)))
    return saved


def _items(registry: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """What a dict holds from which a collected object may take itself at any time."""
    while True:
        try:
            return list(registry.items())
        except RuntimeError:  # it changed size during iteration
            continue


def _forget_made_modules(modules: dict[str, Any], before: set[str]) -> None:
    """Take out what code has put there; what was imported stays, since it is imported once."""
    for name, module in _items(modules):
        if name not in before and getattr(module, "__spec__", None) is None:
            modules.pop(name, None)


def _restore(setting: _Setting, before: Any) -> None:
    if setting.read() != before:
        setting.write(before)


_SEEDING = frozenset(["default_generator"])
_HOOKING = frozenset(
    f"register_module_{kind}_hook"
    for kind in """
        forward_pre forward full_backward_pre full_backward backward buffer_registration module_registration
        parameter_registration
    """.split()
)
_FILTERING = frozenset("simplefilter filterwarnings resetwarnings catch_warnings filters".split())


def _named(names: str, read: Callable[[], Any], write: Callable[[Any], Any]) -> _Setting:
    return _Setting(frozenset(names.split()), read, write)


# ---------------------------------------------------------------------------------------------
# Random states: the functions that draw have states of their own in a trial run (`stand_ins`)


def _torch_generators() -> list[torch.Generator]:
    return [torch.default_generator, *(torch.cuda.default_generators if torch.cuda.is_initialized() else ())]


def _numpy_state() -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    kind, key, *rest = numpy.random.get_state()
    return (kind, key.tobytes(), *rest)


def _set_numpy_state(state: Any) -> None:
    numpy: Any = sys.modules["numpy"]
    if state is not None:
        kind, key, *rest = state
        numpy.random.set_state((kind, numpy.frombuffer(key, dtype=numpy.uint32), *rest))


# ---------------------------------------------------------------------------------------------
# Others


def _backends() -> list[Any]:
    return [_read_backend(read) for read, _ in BACKEND_SETTINGS]


def _read_backend(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except RuntimeError:  # set by older and newer functions of torch that contradict each other
        return None


def _set_backends(before: list[Any]) -> None:
    for _ in range(2):  # some write others, too
        for (read, write), value in zip(BACKEND_SETTINGS, before, strict=True):
            if value is not None and _read_backend(read) != value:
                write(value)


def _autocast() -> list[Any]:
    each = [(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]
    return [*each, torch.is_autocast_cache_enabled()]


def _set_autocast(before: list[Any]) -> None:
    *kinds, cache = before
    for kind, enabled, dtype in kinds:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)
    torch.set_autocast_cache_enabled(cache)


def _set_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _set_collector(before: tuple[bool, tuple[int, int, int]]) -> None:
    (gc.enable if before[0] else gc.disable)()
    gc.set_threshold(*before[1])


_CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _decimal() -> Any:
    context = decimal.getcontext()
    return [getattr(context, name) for name in _CONTEXT], dict(context.traps), dict(context.flags)


def _set_decimal(before: Any) -> None:
    context = decimal.getcontext()
    for name, value in zip(_CONTEXT, before[0], strict=True):
        setattr(context, name, value)
    context.traps.update(before[1])
    context.flags.update(before[2])


def _loggers() -> Iterable[logging.Logger]:
    made = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(each for each in made if isinstance(each, logging.Logger))]


def _logging() -> Any:
    return logging.root.manager.disable, {
        logger: (logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled)
        for logger in _loggers()
    }


def _set_logging(before: Any) -> None:
    logging.disable(before[0])
    for logger in _loggers():
        level, handlers, filters, logger.propagate, logger.disabled = before[1].get(logger, (0, [], [], True, False))
        logger.setLevel(level)
        logger.handlers[:], logger.filters[:] = handlers, filters


def _handlers() -> dict[int, Any]:
    return {each: signal.getsignal(each) for each in signal.valid_signals()}


def _set_handlers(before: dict[int, Any]) -> None:
    """Only the main thread can set handlers; one that was not set by Python is None and stays."""
    for each, handler in before.items():
        if handler is not None and signal.getsignal(each) is not handler:
            signal.signal(each, handler)


_LOCALES = (locale.LC_CTYPE, locale.LC_COLLATE, locale.LC_TIME, locale.LC_MONETARY, locale.LC_NUMERIC)


def _set_locales(before: list[str]) -> None:
    for category, value in zip(_LOCALES, before, strict=True):
        locale.setlocale(category, value)


def _umask() -> int:
    """The mask for the modes of new files, which can only be read by setting it."""
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


def _set_fault_handler(enabled: bool) -> None:
    faulthandler.enable() if enabled else faulthandler.disable()


def _set_pickling(before: dict[Any, Any]) -> None:
    restore_dict(copyreg.dispatch_table, list(before.items()))


_FUTURE = ("overwrite_module_params_on_conversion", "swap_module_params_on_conversion")


def _set_future(before: list[bool]) -> None:
    for name, value in zip(_FUTURE, before, strict=True):
        getattr(FUTURE, f"set_{name}")(value)


_EVERYWHERE = (
    _named("_inst", random.getstate, random.setstate),
    _named("mtrand", _numpy_state, _set_numpy_state),
    _named("set_default_dtype set_default_tensor_type", torch.get_default_dtype, torch.set_default_dtype),
    _named("set_num_threads", torch.get_num_threads, torch.set_num_threads),
    _named("backends set_float32_matmul_precision sdp_kernel sdpa_kernel", _backends, _set_backends),
    _named(
        "use_deterministic_algorithms set_deterministic_debug_mode",
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    _named(
        "set_detect_anomaly set_anomaly_enabled detect_anomaly",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda before: torch.set_anomaly_enabled(*before),
    ),
    _named("set_autocast_enabled set_autocast_dtype set_autocast_cache_enabled", _autocast, _set_autocast),
    _named("set_printoptions", lambda: dict(vars(PRINT_OPTIONS)), vars(PRINT_OPTIONS).update),
    _named("setrecursionlimit", sys.getrecursionlimit, sys.setrecursionlimit),
    _named("gc", lambda: (gc.isenabled(), gc.get_threshold()), _set_collector),
    _named("setswitchinterval", sys.getswitchinterval, sys.setswitchinterval),
    _named("decimal getcontext localcontext setcontext", _decimal, _set_decimal),
)
_ONLY_BY_NAME = (
    _named("environ putenv unsetenv", lambda: dict(os.environ), _set_environment),
    _named("chdir fchdir", os.getcwd, os.chdir),
    _named("logging getLogger setLevel basicConfig addHandler", _logging, _set_logging),
    _named("signal", _handlers, _set_handlers),
    _named("setlocale", lambda: [locale.setlocale(each) for each in _LOCALES], _set_locales),
    _named("umask", _umask, os.umask),
    _named("setdefaulttimeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
    _named("faulthandler", faulthandler.is_enabled, _set_fault_handler),
    _named("copyreg", lambda: dict(copyreg.dispatch_table), _set_pickling),
    _named(
        "set_start_method",
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda before: multiprocessing.set_start_method(before, force=True),
    ),
    _named(
        " ".join(f"set_{name}" for name in _FUTURE),
        lambda: [getattr(FUTURE, f"get_{name}")() for name in _FUTURE],
        _set_future,
    ),
)
