"""Trial runs: would the module take this call with these values, and if not, where does it fail?

constructor, arguments, values -> copies of all that is the user's -> built and called on fakes, unseen by anybody
                               -> how far it came; everything that code can reach is as it was before
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from lazify._isolation.copies import CopySources, copied
from lazify._isolation.disposal import collect_young, collector_off, dispose, silence
from lazify._isolation.errors_of_fakes import fails_for_fakes_alone
from lazify._isolation.fake_tensors import FailureRecorder, TrialFunctions, TrialMode
from lazify._isolation.imports import imports_are_real
from lazify._isolation.limits import memory_limit, one_at_a_time
from lazify._isolation.observers import observers_off
from lazify._isolation.real_tensors import RealTrialMode
from lazify._isolation.snapshot import Snapshot
from lazify._isolation.stand_ins import own_functions
from lazify._isolation.waiting import call_to_the_end
from lazify._module_tree import own_tensors, walk
from lazify._nested import tensors
from lazify._torch import FakeTensor, load_fakes, without_compiling

__all__ = ["Constructor", "TrialRun", "TrialRunner", "construct_on_fakes", "isolated", "real_trial"]

#: Builds the class, eagerly, from all its constructor arguments by name.
Constructor: TypeAlias = "Callable[[Mapping[str, Any]], nn.Module]"
#: How many numbers of each tensor in a result are compared with those of another run.
MOST_COMPARED = 4096


@dataclass(frozen=True, eq=False, repr=False)
class TrialRun:
    """How far one trial run came.

    Attributes:
        error: why it failed; None if the whole call passed.
        built: whether the constructor passed.
        completed_ops: operations completed before.
        sizes: sizes seen by the operation that failed, in its order; empty if none was in flight.
        operation: its name.
        results: of a call that passed, the shapes of the tensors in its result.
        shapes: of a call that passed, the shapes of the parameters and buffers of the module.
        contents: of a call that passed on real tensors, a hash of the numbers in its result.
        for_fakes_alone: whether it failed because its tensors are fakes.
    """

    error: Exception | None
    built: bool = False
    completed_ops: int = 0
    sizes: tuple[int, ...] = ()
    operation: str = ""
    results: tuple[tuple[int, ...], ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    contents: int = 0
    for_fakes_alone: bool = False

    @property
    def passed(self) -> bool:
        return self.error is None

    @property
    def rows(self) -> int | None:
        """The size of the first dimension of the first tensor in the result that has one."""
        return next((shape[0] for shape in self.results if shape), None)

    @property
    def progress(self) -> tuple[bool, bool, int]:
        """For comparing runs: further is greater."""
        return (self.passed, self.built, self.completed_ops)


@contextmanager
def isolated(*roots: Any) -> Iterator[Snapshot]:
    """Whatever runs inside leaves nothing changed that `roots` can reach: arguments, modules, functions, classes.

    Nobody hears of it, either: no mode, hook, warning filter or logger. Other threads' trial runs wait.
    """
    with one_at_a_time(), collector_off(), observers_off():
        load_fakes()
        snapshot = Snapshot(*roots)
        try:
            with own_functions(), imports_are_real(snapshot), without_compiling():
                snapshot.put_stand_ins()
                yield snapshot
        finally:
            collect_young()
            snapshot.restore()


# ---------------------------------------------------------------------------------------------
# Runs of a call


@dataclass(eq=False, repr=False)
class TrialRunner:
    """Runs of one class on one call, each with other values of the unknown parameters.

    Attributes:
        construct: builds the module.
        given: constructor arguments, by name.
        args, kwargs: the arguments of the call.
        method: which method is called.
        code: the classes whose code runs.
        real: whether values decide how the code goes on, so that runs are on real tensors.
    """

    construct: Constructor
    given: Mapping[str, Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    method: str = "__call__"
    code: tuple[Any, ...] = ()
    real: bool = False
    _module_sizes: list[int] = field(default_factory=list)

    def __call__(self, values: Mapping[str, Any]) -> TrialRun:
        """Run once; where values decide how the code goes on, on real tensors from then on.

        Raises:
            Exception: what torch raises where values decide, and the arguments of the call are fakes, without values.
        """
        run = self._run(values)
        if run.for_fakes_alone and not self.real:
            self.real = True
            run = self._run(values)
        if run.for_fakes_alone and any(map(_is_fake, tensors((self.args, dict(self.kwargs))))):
            assert run.error is not None
            raise run.error  # `materialize` then runs the whole model on real tensors
        return run

    def _run(self, values: Mapping[str, Any]) -> TrialRun:
        return contextvars.copy_context().run(self._run_here, values)

    def _run_here(self, values: Mapping[str, Any]) -> TrialRun:
        recorder, built, failure, passed, for_fakes_alone = FailureRecorder(), False, None, None, False
        module = args = kwargs = result = None
        grad = torch.is_grad_enabled()
        with isolated(self.code, self.construct, dict(self.given), self.args, dict(self.kwargs), values) as snapshot:
            try:
                with self._mode() as mode:
                    fakes = mode if isinstance(mode, TrialMode) else None
                    with TrialFunctions(fakes), torch.enable_grad():
                        module = self.construct({**_on_the_cpu(copied(dict(self.given), fakes), fakes), **values})
                    built = True
                    self._note_size(module)
                    args, kwargs = copied((self.args, dict(self.kwargs)), fakes)
                    with torch.set_grad_enabled(grad), _Operations(recorder), TrialFunctions(fakes, recorder):
                        result = call_to_the_end(getattr(module, self.method), *args, **kwargs)
                    passed = TrialRun(
                        None,
                        True,
                        recorder.completed,
                        results=_shapes(tensors(result)),
                        shapes=_shapes(_own(module)),
                        contents=_contents(result) if self.real else 0,
                    )
            except Exception as error:
                failure, for_fakes_alone = error, fails_for_fakes_alone(error)
            dispose((module, args, kwargs, result), failure, snapshot.seen)
            module = args = kwargs = result = None
        if passed is None or failure is not None:
            where = recorder.failed
            return TrialRun(failure, built, recorder.completed, *where, for_fakes_alone=for_fakes_alone)
        return passed

    def _mode(self) -> Any:
        return real_trial(self._limit()) if self.real else TrialMode(device=torch.device("cpu"))

    def _limit(self) -> int:
        found = {id(each): each for each in tensors([self.args, dict(self.kwargs), *_held(self.given)])}
        size = sum(_bytes(each) for each in found.values())
        return memory_limit(size + min(self._module_sizes, default=0))

    def _note_size(self, module: nn.Module) -> None:
        if not self.real:
            self._module_sizes.append(sum(map(_bytes, _own(module))))


@contextmanager
def real_trial(limit: int | None = None) -> Iterator[RealTrialMode]:
    """A trial run on real tensors, of at most `limit` bytes: what it wrote is undone at its end."""
    mode = RealTrialMode(limit)
    try:
        with mode:
            yield mode
    finally:
        mode.undo()


def _shapes(found: Iterable[torch.Tensor]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, each.shape)) for each in found if not is_lazy(each))


def _is_fake(tensor: torch.Tensor) -> bool:
    return type(tensor) is FakeTensor


def _contents(result: Any) -> int:
    """A hash of the first numbers of each tensor in a result; equal also where they are not numbers (NaN)."""
    with torch.no_grad():
        strided = [each for each in tensors(result) if each.layout is torch.strided and not is_lazy(each)]
        return hash(repr([each.flatten()[:MOST_COMPARED].tolist() for each in strided if not _is_fake(each)]))


def _own(module: nn.Module) -> Iterator[torch.Tensor]:
    for _, inside in walk(module):
        yield from own_tensors(inside)


def _held(given: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    for value in given.values():
        yield from _own(value) if isinstance(value, nn.Module) else tensors(value)


def _bytes(tensor: torch.Tensor) -> int:
    if is_lazy(tensor) or tensor.layout is not torch.strided:
        return 0
    return tensor.numel() * tensor.element_size()


def _on_the_cpu(given: dict[str, Any], mode: TrialMode | None) -> dict[str, Any]:
    """Constructor arguments for a run on fakes, which are all on the CPU."""
    return given if mode is None or given.get("device") is None else {**given, "device": "cpu"}


class _Operations(TorchDispatchMode):
    """Tells a recorder of each operation that torch dispatches."""

    supports_higher_order_operators = True

    def __init__(self, recorder: FailureRecorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.recorder.run(func, args, kwargs or {})


# ---------------------------------------------------------------------------------------------
# Construction alone


def construct_on_fakes(
    construct: Constructor, given: Mapping[str, Any], values: Mapping[str, Any], code: tuple[Any, ...] = ()
) -> tuple[nn.Module, CopySources]:
    """A module built on fakes with these values, and where what it holds of its arguments comes from.

    A constructor that reads values which fakes do not have runs on real tensors, within the limit of memory.

    Args:
        construct: builds the module.
        given: constructor arguments, by name.
        values: those of inferred parameters.
        code: the classes whose code runs.

    Raises:
        Exception: whatever the constructor raises.
    """
    return contextvars.copy_context().run(_constructed, construct, given, values, code)


def _constructed(
    construct: Constructor, given: Mapping[str, Any], values: Mapping[str, Any], code: tuple[Any, ...]
) -> tuple[nn.Module, CopySources]:
    failure, is_over = None, False
    for real in (False, True):
        sources: CopySources = {}
        module = None
        with isolated(code, construct, dict(given), values) as snapshot, torch.enable_grad():
            try:
                with real_trial(memory_limit(0)) if real else TrialMode(device=torch.device("cpu")) as mode:
                    fakes = mode if isinstance(mode, TrialMode) else None
                    with TrialFunctions(fakes):
                        copies = copied(dict(given), fakes, sources)
                        module = construct({**_on_the_cpu(copies, fakes), **values})
                silence(module, snapshot.seen)
                return module, sources
            except Exception as error:
                failure, is_over = error, not fails_for_fakes_alone(error)
            dispose([module], failure, snapshot.seen)
        if is_over:
            break
    assert failure is not None
    raise failure
