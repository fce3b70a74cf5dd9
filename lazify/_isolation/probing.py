"""Throw-away runs: would the module take this call with these values, and if not, where does it fail?

A run builds the class on fake tensors and calls it with fakes of the inputs, so nothing is allocated or
computed. Where values decide what happens, which fakes cannot follow, it is repeated on real tensors without
gradients. Either way the random states, the inputs and the constructor arguments are afterwards what they were.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lazify._module_tree import walk
from lazify._torch import FAKE_LOGGERS, FakeMode, fakes_cannot_follow, in_fake_mode, unset_fake_mode

__all__ = ["Make", "Origins", "Probe", "Run", "aside", "outline", "thrown_away"]

#: Builds the class, eagerly, from all its constructor arguments by name.
Make = Callable[[Mapping[str, Any]], nn.Module]


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """How far one run came.

    Attributes:
        error: why it failed; None if the whole call passed.
        built: whether the constructor passed.
        steps: operations completed before.
        sizes: sizes seen by the operation that failed, in its order; empty if none was in flight.
        operation: its name.
    """

    error: Exception | None
    built: bool = False
    steps: int = 0
    sizes: tuple[int, ...] = ()
    operation: str = ""

    @property
    def passed(self) -> bool:
        return self.error is None

    @property
    def reach(self) -> tuple[bool, bool, int]:
        """For comparing runs: further is greater."""
        return (self.passed, self.built, self.steps)


@dataclass(eq=False, repr=False)
class Probe:
    """Runs of one class on one call, each with other values of the unknown parameters."""

    make: Make
    given: Mapping[str, Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    method: str = "__call__"
    real: bool = False

    def __call__(self, values: Mapping[str, Any]) -> Run:
        run = self._run(values)
        if run.error is not None and not self.real and fakes_cannot_follow(run.error):
            self.real = True
            run = self._run(values)
        return run

    def _run(self, values: Mapping[str, Any]) -> Run:
        tracer = FailureRecorder()
        built = False
        with aside():
            try:
                mode, module = self._made(values)
                built = True
                with mode, torch.no_grad():
                    args, kwargs = _throw_away((self.args, dict(self.kwargs)), fake=not self.real)
                    with _Functions(tracer), _Dispatched(tracer):
                        getattr(module, self.method)(*args, **kwargs)
            except Exception as error:
                return Run(error, built, tracer.steps, *tracer.failed)
        return Run(None, True, tracer.steps)

    def _made(self, values: Mapping[str, Any]) -> tuple[Any, nn.Module]:
        if self.real:
            return ExitStack(), self.make({**_throw_away(dict(self.given), fake=False), **values})
        mode = FakeMode()
        with mode:
            return mode, _made_of_fakes(self.make, self.given, values, {})


#: id of a copy -> (what it is a copy of, the copy itself, so that the id stays taken)
Origins: TypeAlias = "dict[int, tuple[Any, Any]]"


def outline(make: Make, given: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[nn.Module, Origins]:
    """A throw-away module built on fakes with these values, and where its given parts come from.

    Raises:
        Exception: whatever the constructor raises.
    """
    origins: Origins = {}
    with aside(), FakeMode(), torch.enable_grad():
        return _made_of_fakes(make, given, values, origins), origins


def _made_of_fakes(make: Make, given: Mapping[str, Any], values: Mapping[str, Any], origins: Origins) -> nn.Module:
    """Build the class in the fake mode that is on."""
    copies = _throw_away(dict(given), fake=True, origins=origins)
    if copies.get("device") is not None:
        copies["device"] = "cpu"  # where the fakes are
    try:
        return make({**copies, **values})
    except Exception as error:
        if not fakes_cannot_follow(error):
            raise  # a constructor that refuses a size refuses it on real memory, too
        with unset_fake_mode():  # it may read values that it computes (`torch.linspace(...).tolist()`)
            return make({**_throw_away(dict(given), fake=False, origins=origins), **values})


# ---------------------------------------------------------------------------------------------
# Surroundings


@contextmanager
def aside() -> Iterator[None]:
    """A run leaves no trace: random states and dtype restored, nothing logged, nothing warned of."""
    numpy = sys.modules.get("numpy")
    python_state = random.getstate()
    numpy_state = None if numpy is None else numpy.random.get_state()
    dtype = torch.get_default_dtype()
    disabled = [(logger, logger.disabled) for logger in map(logging.getLogger, FAKE_LOGGERS)]
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        for logger, _ in disabled:
            logger.disabled = True
        with torch.random.fork_rng(devices=cuda), torch.inference_mode(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, before in disabled:
            logger.disabled = before
        random.setstate(python_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        torch.set_default_dtype(dtype)


def thrown_away(value: Any) -> Any:
    """Such a copy as this moment asks for: of fakes in a fake mode, else real."""
    return _throw_away(value, fake=in_fake_mode())


def _throw_away(value: Any, fake: bool, origins: Origins | None = None) -> Any:
    """A copy of a nested argument that a run may spoil: fresh containers, tensors and modules."""
    if isinstance(value, (torch.Tensor, nn.Module)):
        return _throw_away_leaf(value, fake, {} if origins is None else origins)
    renew = functools.partial(_throw_away, fake=fake, origins=origins)
    if type(value) in (list, tuple, set):
        return type(value)(renew(each) for each in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(renew(each) for each in value))
    if isinstance(value, dict):
        renewed = copy.copy(value)
        renewed.update((key, renew(each)) for key, each in value.items())
        return renewed
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        twin: Any = copy.copy(value)
        for f in dataclasses.fields(value):
            if hasattr(value, f.name):
                object.__setattr__(twin, f.name, renew(getattr(value, f.name)))
        return twin
    return value


def _throw_away_leaf(value: torch.Tensor | nn.Module, fake: bool, origins: Origins) -> Any:
    if isinstance(value, torch.Tensor):
        twin = _fake_held(value) if fake else value.detach().clone()
        origins[id(twin)] = (value, twin)
        return twin
    memo: dict[int, Any] = {id(t): _fake_held(t) for t in _held(value)} if fake else {}
    twins = copy.deepcopy(value, memo)
    for inside in (*(each for _, each in walk(value)), *_held(value)):
        if id(inside) in memo:
            origins[id(memo[id(inside)])] = (inside, memo[id(inside)])
    return twins


def _held(given: nn.Module) -> Iterator[torch.Tensor]:
    """The tensors of a module and of those inside it."""
    for _, module in walk(given):
        for container in (vars(module), *(each for each in vars(module).values() if isinstance(each, dict))):
            yield from (each for each in container.values() if isinstance(each, torch.Tensor))


def _fake_held(tensor: torch.Tensor) -> torch.Tensor:
    if torch.nn.parameter.is_lazy(tensor):
        return tensor
    fake = _fake(tensor)
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake


def _fake(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.layout is not torch.strided:
        return tensor  # the mode converts it when an operation meets it
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="cpu")


# ---------------------------------------------------------------------------------------------
# Tracing


class FailureRecorder:
    """Counts the operations that pass, keeps the sizes that the failing one saw."""

    def __init__(self) -> None:
        self.steps = 0
        self.failed: tuple[tuple[int, ...], str] = ((), "")

    def run(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
        except Exception:
            if not self.failed[1]:  # the innermost is the first to know
                self.failed = (tuple(_sizes((args, kwargs))), getattr(function, "__name__", str(function)))
            raise
        self.steps += 1
        self.failed = ((), "")
        return result


class _Functions(TorchFunctionMode):
    """Sees the composite call in flight, whose own checks fail before anything is dispatched."""

    def __init__(self, tracer: FailureRecorder) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.tracer.run(func, args, kwargs or {})


class _Dispatched(TorchDispatchMode):
    def __init__(self, tracer: FailureRecorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracer = tracer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.tracer.run(func, args, kwargs or {})


def _sizes(value: Any) -> Iterator[int]:
    """Every size in the arguments of an operation: dimensions and elements of tensors, whole numbers."""
    if isinstance(value, torch.Tensor):
        if value.layout is torch.strided:
            yield from value.shape
            yield value.numel()
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _sizes(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _sizes(each)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value
