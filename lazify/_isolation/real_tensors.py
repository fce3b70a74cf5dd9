"""Trial runs on real tensors, for code whose way depends on values: bounded in memory, every write undone."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from lazify._isolation.fake_tensors import TrialMode
from lazify._isolation.limits import TrialMemoryError
from lazify._nested import tensors
from lazify._torch import HigherOrderOperator, no_torch_function, set_versions, without_dispatch_modes

__all__ = ["RealTrialMode"]

#: Arguments that batch normalization writes to and its schema does not say so.
_SILENTLY_WRITTEN = ("running_mean", "running_var")
#: Results that can be no larger than this, in bytes, are not predicted.
SMALL = 2**20


class RealTrialMode(TorchDispatchMode):
    """Sees every operation of a trial run on real tensors.

    Random numbers come from a generator of its own. Before the first write to a tensor that the run did not make its
    values are kept; `undo` brings them back. What an operation will take is known, from a run of it on fakes, before
    it is taken.
    """

    supports_higher_order_operators = True

    def __init__(self, limit: int | None, copies: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limit = limit
        self.generators: dict[torch.device, torch.Generator] = {}
        self.own: dict[StorageWeakRef, int] = {}
        self.written: dict[StorageWeakRef, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}  # with a copy
        self.changed: dict[int, tuple[torch.Tensor, _Facts]] = {}  # id -> tensor, and how it was
        for tensor in copies:
            self._note(tensor)

    def __deepcopy__(self, memo: Any) -> RealTrialMode:
        return self

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if isinstance(func, HigherOrderOperator):  # `torch.cond`: branches write to nothing but what they make
            return func(*args, **kwargs)
        with no_torch_function():
            writes, draws = _writes_and_draws(func)
            if writes:
                for tensor in tensors([kwargs.get(name, _at(args, at)) for at, name in writes]):
                    self._keep(tensor)
            if self.limit is not None and not writes:
                self._refuse_or_pass(func, args, kwargs)
            made = self._drawn(func, args, kwargs, draws) if draws else func(*args, **kwargs)
            given = {id(each) for each in tensors([args, kwargs])}
            if not func.is_view:  # a view, or an argument that comes back, is no memory of the run's own
                for tensor in tensors(made):
                    if id(tensor) not in given:
                        self._note(tensor)
            return made

    # random numbers

    def _drawn(self, func: Any, args: Any, kwargs: Any, draws: str) -> Any:
        device = next((each.device for each in tensors([args, kwargs])), torch.device(kwargs.get("device") or "cpu"))
        if draws == "generator":
            kwargs = {**kwargs, "generator": kwargs.get("generator") or self._generator(device)}
            return func(*args, **kwargs)
        if draws == "overload" and device.type == "cpu":
            return func.overloadpacket.generator(*args, generator=self._generator(device), **kwargs)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return func(*args, **kwargs)

    def _generator(self, device: torch.device) -> torch.Generator:
        if (generator := self.generators.get(device)) is None:
            generator = self.generators[device] = torch.Generator(device)
        return generator

    # writes

    def _keep(self, tensor: torch.Tensor) -> None:
        if tensor.layout is not torch.strided:
            return
        storage = StorageWeakRef(tensor.untyped_storage())
        if storage in self.own:
            return
        if storage not in self.written:
            self.written[storage] = (tensor.untyped_storage(), tensor.untyped_storage().clone())
        for each in (tensor,) if tensor._base is None else (tensor, tensor._base):
            if id(each) not in self.changed:
                self.changed[id(each)] = (each, _facts_of(each))

    def undo(self) -> None:
        """Give tensors that the run changed their values back."""
        with without_dispatch_modes(), no_torch_function(), torch.no_grad():
            for storage, before in self.written.values():
                if storage.nbytes() != before.nbytes():
                    storage.resize_(before.nbytes())
                storage.copy_(before)
            for tensor, facts in self.changed.values():
                _restore(tensor, facts)
        self.written.clear()
        self.changed.clear()

    # memory

    def _note(self, tensor: torch.Tensor) -> None:
        if tensor.layout is torch.strided and not tensor.is_meta:
            storage = tensor.untyped_storage()
            self.own.setdefault(StorageWeakRef(storage), storage.nbytes())

    def _refuse_or_pass(self, func: Any, args: Any, kwargs: Any) -> None:
        assert self.limit is not None
        numels = [each.numel() for each in tensors([args, kwargs])]
        if func.is_view or (numels and 16 * math.prod(numels) < SMALL):
            return
        if (more := _predicted(func, args, kwargs)) < SMALL:
            return
        if sum(self.own.values()) + more > self.limit:
            self.own = {ref: size for ref, size in self.own.items() if not ref.expired()}
            if (taken := sum(self.own.values())) + more > self.limit:
                raise TrialMemoryError(
                    f"a trial run on real tensors may take {self.limit // 2**20} MB, "
                    f"has {taken // 2**20} MB and asked for {more // 2**20} MB more"
                )


class _Facts(NamedTuple):
    """What may become of a tensor besides a write to its values."""

    version: int
    requires_grad: bool
    storage: torch.UntypedStorage
    layout: tuple[int, torch.Size, tuple[int, ...]]


def _facts_of(tensor: torch.Tensor) -> _Facts:
    version = 0 if tensor.is_inference() else tensor._version
    layout = (int(tensor.storage_offset()), tensor.size(), tensor.stride())
    return _Facts(version, tensor.requires_grad, tensor.untyped_storage(), layout)


def _restore(tensor: torch.Tensor, before: _Facts) -> None:
    now = _facts_of(tensor)
    if now.layout != before.layout or now.storage.data_ptr() != before.storage.data_ptr():
        tensor.set_(before.storage, *before.layout)
    if now.requires_grad and not before.requires_grad and tensor._base is None:
        tensor.detach_()  # it was drawn into a graph
    if not tensor.is_inference():
        set_versions((tensor,), (before.version,))


def _predicted(func: Any, args: Any, kwargs: Any) -> int:
    """Bytes that the results of an operation will take, 0 if that depends on values."""
    try:
        with without_dispatch_modes(), TrialMode() as mode:
            made = func(*mode.faked(tuple(args)), **mode.faked(kwargs))
    except Exception:
        return 0
    return sum(each.numel() * each.element_size() for each in tensors(made))


@functools.lru_cache(maxsize=1024)
def _writes_and_draws(func: Any) -> tuple[tuple[tuple[int, str], ...], str]:
    """The arguments that an operation writes to, and how it can be told where to draw random numbers from."""
    schema = func._schema
    writes = tuple(
        (at, each.name)
        for at, each in enumerate(schema.arguments)
        if (each.alias_info and each.alias_info.is_write) or each.name in _SILENTLY_WRITTEN
    )
    if any(each.name == "generator" for each in schema.arguments if each.kwarg_only):
        return writes, "generator"
    if func._overloadname == "default" and hasattr(func.overloadpacket, "generator"):
        return writes, "overload"
    return writes, "global" if torch.Tag.nondeterministic_seeded in func.tags else ""


def _at(args: Any, position: int) -> Any:
    return args[position] if position < len(args) else None
