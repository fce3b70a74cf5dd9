"""More effects: on settings of the process, on objects of libraries, on what can only be read once."""

from __future__ import annotations

import atexit
import collections
import contextlib
import copyreg
import decimal
import gc
import itertools
import logging
import os
import queue
import random
import signal
import socket
import sys
import tempfile
import threading
import types
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from helpers.trial_effects import Effect
from helpers.versions import IS_2_4

LOGGER = "lazify.tests.effects"


class Environment(Effect):
    def __init__(self) -> None:
        os.environ.pop("LAZIFY_TESTS", None)
        sys.path[:] = [each for each in sys.path if each != "/lazify_tests"]

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        os.environ["LAZIFY_TESTS"] = os.environ.get("LAZIFY_TESTS", "") + "1"
        sys.path.append("/lazify_tests")
        return x

    def observed(self) -> Any:
        return os.environ.pop("LAZIFY_TESTS"), sys.path.count("/lazify_tests")


class Loggers(Effect):
    def __init__(self) -> None:
        logger = logging.getLogger(LOGGER)
        logger.handlers.clear()
        logger.setLevel(0)

    def construct(self, module: nn.Module) -> None:
        logger = logging.getLogger(LOGGER)
        logger.addHandler(logging.NullHandler())
        logger.setLevel(logger.level + 1)

    def observed(self) -> Any:
        logger = logging.getLogger(LOGGER)
        return logger.level, len(logger.handlers)


class SettingsOfTheProcess(Effect):
    """Each is turned around: two uses would leave it as it was."""

    def __init__(self) -> None:
        self.limit, self.precision = sys.getrecursionlimit(), decimal.getcontext().prec

    def construct(self, module: nn.Module) -> None:
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        torch.autograd.set_detect_anomaly(not torch.is_anomaly_enabled())  # type: ignore[no-untyped-call]
        sys.setrecursionlimit(sys.getrecursionlimit() + 1)
        decimal.getcontext().prec += 1
        (gc.disable if gc.isenabled() else gc.enable)()

    def observed(self) -> Any:
        seen = [torch.backends.cudnn.benchmark, torch.is_anomaly_enabled(), gc.isenabled()]
        seen += [sys.getrecursionlimit() - self.limit, decimal.getcontext().prec - self.precision]
        torch.backends.cudnn.benchmark = False
        torch.autograd.set_detect_anomaly(False)  # type: ignore[no-untyped-call]
        gc.enable()
        sys.setrecursionlimit(self.limit)
        decimal.getcontext().prec = self.precision
        return seen


class _Pickled:
    """A class of which pickling is told how often a constructor ran."""


class HandlersOfTheProcess(Effect):
    """What is to be done at a signal, at the end, or by pickle, and how files and sockets are made."""

    def __init__(self) -> None:
        self.mask = os.umask(0o22)
        os.umask(self.mask)
        self.at_end = atexit._ncallbacks()  # type: ignore[attr-defined]

    def construct(self, module: nn.Module) -> None:
        signal.signal(signal.SIGUSR2, self.handle)
        atexit.register(self.handle)
        copyreg.pickle(_Pickled, lambda each: (_Pickled, ()))
        socket.setdefaulttimeout((socket.getdefaulttimeout() or 0) + 1)
        os.umask(os.umask(0o22) ^ 0o11)

    def handle(self, *args: Any) -> None: ...

    def observed(self) -> Any:
        mask = os.umask(self.mask)
        seen = [signal.getsignal(signal.SIGUSR2) == self.handle, atexit._ncallbacks() - self.at_end]  # type: ignore[attr-defined]
        seen += [_Pickled in copyreg.dispatch_table, socket.getdefaulttimeout(), mask == self.mask]
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        atexit.unregister(self.handle)
        copyreg.dispatch_table.pop(_Pickled, None)
        socket.setdefaulttimeout(None)
        return seen


class NamesInTexts(Effect):
    """Globals that no name in the code says: by `globals`, `setattr`, and an attribute of a library's module."""

    def __init__(self) -> None:
        globals()["by_text"] = 0
        threading.lazify_tests = 0  # type: ignore[attr-defined]

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        globals()["by_text"] += 1
        globals().setdefault("kept", []).append(type(x.detach()).__name__)
        setattr(threading, "lazify_tests", getattr(threading, "lazify_tests") + 1)
        return x

    def observed(self) -> Any:
        return globals()["by_text"], globals().pop("kept"), threading.lazify_tests  # type: ignore[attr-defined]


class FirstImport(Effect):
    """The first to import a module, which makes a tensor and counts its uses."""

    name = "lazify_tests_first_import"

    def __init__(self) -> None:
        sys.modules.pop(self.name, None)
        self.folder = tempfile.mkdtemp()
        (Path(self.folder) / f"{self.name}.py").write_text("import torch\nCONSTANT = torch.ones(5)\nuses = 0\n")

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        sys.path.insert(0, self.folder)
        try:
            import lazify_tests_first_import as imported  # type: ignore[import-not-found]
        finally:
            sys.path.remove(self.folder)
        imported.uses += 1
        return x * imported.CONSTANT

    def observed(self) -> Any:
        imported = sys.modules[self.name]
        return imported.uses, imported.CONSTANT


COUNTED = itertools.count()


class Iterators(Effect):
    def __init__(self) -> None:
        globals()["COUNTED"] = itertools.count()
        self.iterator, self.cycle = iter(range(100)), itertools.cycle("abc")
        self.mapped = map(len, ["", "a", "ab", "abc"])

    def construct(self, module: nn.Module, number: Any = itertools.count()) -> None:  # noqa: B008
        next(number)
        module.read = next(COUNTED), next(self.iterator), next(self.cycle), next(self.mapped)  # type: ignore[assignment]

    def observed(self) -> Any:
        return next(COUNTED), next(self.iterator), next(self.cycle), next(self.mapped)


class LibraryObjects(Effect):
    def __init__(self) -> None:
        self.user_list, self.chained = collections.UserList([1]), collections.ChainMap({}, {"a": 1})
        self.error, self.stack, self.ended = ValueError([1]), contextlib.ExitStack(), []  # type: ignore[var-annotated]
        self.proxy = types.MappingProxyType({"a": [1]})
        self.by_number: Any = weakref.WeakValueDictionary()
        self.optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.user_list.append(2)
        self.chained["b"] = x.dim()  # type: ignore[index]
        self.error.args[0].append(2)
        self.error.note = [*getattr(self.error, "note", []), 1]  # type: ignore[attr-defined]
        self.stack.callback(self.ended.append, 1)
        self.proxy["a"].append(2)
        self.by_number[len(self.by_number)] = module
        self.optimizer.param_groups[0]["lr"] *= 0.5
        self.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
        return x

    def observed(self) -> Any:
        self.stack.close()
        found = list(self.user_list), dict(self.chained), self.error.args, vars(self.error), self.ended, self.proxy["a"]
        return *found, len(self.by_number), len(self.optimizer.param_groups), self.optimizer.param_groups[0]["lr"]


class OfThreads(Effect):
    """Locks, events and queues: a trial run has its own, and wakes or keeps nobody."""

    def __init__(self) -> None:
        self.lock, self.event, self.barrier = threading.RLock(), threading.Event(), threading.Barrier(1)
        self.queue: Any = queue.Queue()
        self.simple: Any = queue.SimpleQueue()

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        with self.lock:
            self.queue.put(x.dim())
            self.simple.put(x.dim())
        self.barrier.wait()
        self.was_set = self.event.is_set()
        self.event.set()
        self.event.wait()
        return x

    def observed(self) -> Any:
        return list(self.queue.queue), self.simple.qsize(), self.event.is_set(), getattr(self, "was_set", None)


class OddTensors(Effect):
    def __init__(self) -> None:
        self.tensor, self.leaf = torch.ones(5), nn.Parameter(torch.ones(5))
        self.grown, self.other, self.hooked = torch.zeros(2, 3), torch.zeros(4), []  # type: ignore[var-annotated]

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.tensor.note = getattr(self.tensor, "note", 0) + 1  # type: ignore[attr-defined]
        self.leaf.grad = torch.ones(5) if self.leaf.grad is None else self.leaf.grad + 1
        self.leaf.register_hook(lambda grad: self.hooked.append(1))
        self.grown.resize_(6)
        self.other.set_(torch.ones(3))  # type: ignore[call-overload]
        return x * self.tensor

    def observed(self) -> Any:
        note = getattr(self.tensor, "note", None)
        self.leaf.sum().backward()
        return note, self.leaf.grad, len(self.hooked), tuple(self.grown.shape), self.grown, self.other


class Memory(Effect):
    def __init__(self) -> None:
        self.objects = np.array([[1], [2, 3]], dtype=object)
        self.large, self.buffer = np.zeros(3_000_000), bytearray(4)
        self.bits = np.random.PCG64(3)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.objects[0].append(9)
        self.objects[1] = 5
        self.large[5] += 1
        memoryview(self.buffer)[0] += 1
        self.bits.random_raw()
        return x

    def observed(self) -> Any:
        return self.objects.tolist(), self.large[5], bytes(self.buffer), int(self.bits.random_raw())


class LazyLayersOfTorch(Effect):
    def __init__(self) -> None:
        self.linear, self.norm = nn.LazyLinear(2), nn.LazyBatchNorm1d()

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.linear(x.detach())
        self.norm(x.detach())
        return x

    def observed(self) -> Any:
        return type(self.linear).__name__, type(self.norm).__name__, tuple(self.linear.weight.shape)


class BoundRandomFunctions(Effect):
    """Functions that draw, held elsewhere than in the modules that they are from."""

    draw = (random.random,)
    table = {"numpy": np.random.normal}

    def __init__(self) -> None:
        random.seed(2)
        np.random.seed(2)

    def construct(self, module: nn.Module) -> None:
        module.bound = float(self.table["numpy"]()), random.choice([1, 2, 3, 4, 5, 6])  # type: ignore[assignment]

    def observed(self) -> Any:
        return random.random(), float(np.random.random())


OUTSIDE: list[type[Effect]] = [
    Environment,
    Loggers,
    SettingsOfTheProcess,
    HandlersOfTheProcess,
    NamesInTexts,
    FirstImport,
    Iterators,
    LibraryObjects,
    OfThreads,
    OddTensors,
    Memory,
    *(() if IS_2_4 else (LazyLayersOfTorch,)),  # its lazy buffers cannot be taken back from real tensors
    BoundRandomFunctions,
]
