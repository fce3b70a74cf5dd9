"""More effects: on classes and functions of libraries, on what caches hold, on what is registered somewhere."""

from __future__ import annotations

import abc
import contextvars
import decimal
import functools
import gc
import sys
import types
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from helpers.trial_effects import Effect

LIST: contextvars.ContextVar[list[int]] = contextvars.ContextVar("LIST")


class PatchedLibraries(Effect):
    """Attributes of classes and functions that are not the user's."""

    relu, tanh = nn.ReLU.extra_repr, nn.Tanh.extra_repr

    def __init__(self) -> None:
        self.patched: list[bool] = []

    def construct(self, module: nn.Module) -> None:
        self.patched.append(nn.ReLU.extra_repr is PatchedLibraries.relu)
        nn.ReLU.extra_repr = lambda _: "patched"  # type: ignore[method-assign]
        self._assign(nn.Tanh, "extra_repr", PatchedLibraries.relu)

    def _assign(self, holder: Any, name: str, value: Any) -> None:
        self.patched.append(getattr(holder, name) is PatchedLibraries.tanh)
        setattr(holder, name, value)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        counted: Any = nn.functional.hardtanh
        counted.calls = getattr(counted, "calls", 0) + 1
        return x

    def observed(self) -> Any:
        found = nn.ReLU.extra_repr is PatchedLibraries.relu, nn.Tanh.extra_repr is PatchedLibraries.tanh
        nn.ReLU.extra_repr, nn.Tanh.extra_repr = PatchedLibraries.relu, PatchedLibraries.tanh  # type: ignore[method-assign]
        counted: Any = vars(nn.functional.hardtanh)
        return found, self.patched, counted.pop("calls")


@functools.lru_cache
def options(name: str = "a", *, size: int = 1) -> Any:
    return types.SimpleNamespace(factor=1, norm=nn.BatchNorm1d(5))


class CachedSingletons(Effect):
    """Objects that a cache holds are the same ones in a trial run, and are used once."""

    def __init__(self) -> None:
        options.cache_clear()
        options(size=2).factor = 3

    def construct(self, module: nn.Module) -> None:
        options("new").made = 1
        self.kept = options("new").made

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        assert options(size=2) is options(size=2)
        options(size=2).norm.eval()
        options(size=2).factor *= 2
        return x * (options(size=2).factor - 5)  # type: ignore[no-any-return]

    def observed(self) -> Any:
        kept = options(size=2)
        return kept.factor, kept.norm.training, getattr(options("new"), "made", None), options.cache_info().currsize


class Registered(Effect):
    """What is registered with abstract classes, modules of Python and hooks of the process."""

    def __init__(self) -> None:
        class Interface(abc.ABC):  # noqa: B024
            pass

        class Implementation:
            pass

        self.interface, self.implementation = Interface, Implementation
        self.known: list[bool] = []

    def construct(self, module: nn.Module) -> None:
        self.known += [issubclass(self.implementation, self.interface), "lazify_tests_made" in sys.modules]
        self.interface.register(self.implementation)
        sys.modules["lazify_tests_made"] = types.ModuleType("lazify_tests_made")
        self.handle = torch_modules.register_module_forward_hook(lambda *_: None)

    def observed(self) -> Any:
        count = len(torch_modules._global_forward_hooks)
        if self.known:
            self.handle.remove()
            del sys.modules["lazify_tests_made"]
        return self.known, count, len(torch_modules._global_forward_hooks)


class BuiltInObjects(Effect):
    """What has no `__dict__`, and what a context variable holds."""

    def __init__(self) -> None:
        self.context = decimal.Context(prec=5)
        LIST.set([])
        self.before = gc.get_threshold(), sys.getswitchinterval()

    def construct(self, module: nn.Module) -> None:
        gc.set_threshold(gc.get_threshold()[0] + 1)
        sys.setswitchinterval(sys.getswitchinterval() * 2)

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.context.prec += 1
        LIST.get().append(1)
        return x

    def observed(self) -> Any:
        now = gc.get_threshold()[0] - self.before[0][0], sys.getswitchinterval() / self.before[1]
        gc.set_threshold(*self.before[0])
        sys.setswitchinterval(self.before[1])
        return self.context.prec, LIST.get(), now


class Conversions(Effect):
    """Parameters that the constructor converts, in a setting of matrix products that torch reports as contradictory."""

    def __init__(self) -> None:
        self.precision = torch.get_float32_matmul_precision()

    def construct(self, module: nn.Module) -> None:
        module.double()
        module.float()
        torch.set_float32_matmul_precision("high")

    def observed(self) -> Any:
        now = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.precision)
        return now


class Finalizers(Effect):
    """Objects that tell when they go: of the module and on their own, in cycles, and one that replaces another."""

    def __init__(self) -> None:
        self.gone = gone = []  # type: ignore[var-annotated]

        class Telling:
            def __del__(self) -> None:
                gone.append(1)

        self.make, self.last = Telling, None

    def construct(self, module: nn.Module) -> None:
        module._own = self.make()
        module._own.cycle = module._own  # type: ignore[union-attr, assignment]
        dropped = self.make()
        dropped.cycle = dropped  # type: ignore[attr-defined]

    def forward(self, module: nn.Module, x: Tensor) -> Tensor:
        self.last = self.make()  # type: ignore[assignment]
        return x

    def observed(self) -> Any:
        gc.collect()
        return len(self.gone)


class DrawnNumbers(Effect):
    """Numbers that a constructor draws and reads."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(4)

    def construct(self, module: nn.Module) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(9)
            module.rates = [torch.rand(1).item(), *torch.rand(2, generator=self.generator).tolist()]  # type: ignore[assignment]

    def observed(self) -> Any:
        return torch.rand(1, generator=self.generator).item()


SHARED: list[type[Effect]] = [
    PatchedLibraries,
    CachedSingletons,
    Registered,
    BuiltInObjects,
    Conversions,
    Finalizers,
    DrawnNumbers,
]
