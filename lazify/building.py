"""Building: the real module in the lazy instance's place, with all that was done before done to it, and taking it back.

a first call  -> constructor, what was told comes true, the journal is done again
a rehearsal   -> constructor, what decides how a call goes is done; everything is taken back after it
"""

from __future__ import annotations

import enum
import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify.construction import (
    bring_along,
    construct,
    constructing,
    eager,
    plain_surroundings,
    set_class,
    set_dict,
    slots,
    stand_bare,
    surroundings_are_plain,
)
from lazify.inference import all_plain
from lazify.journal import CONVERTING, FLAGGING, IMMEDIATE, Entry, Recorded, attached
from lazify.memory import forget, remember
from lazify.pending import PENDING, Pending, Turn, waiting
from lazify.placeholders import substitute
from lazify._isolation import trial_copy
from lazify.recipe import Recipe
from lazify.restoring import (
    Random,
    Restore,
    restorers,
)
from lazify.settling import Settlement, confirm, settle
from lazify.torch_private import GATE, unset_fake_mode
from lazify.trees import own_tensors, walk

__all__ = [
    "FirstCall",
    "FirstCalls",
    "Plan",
    "Rehearsal",
    "build",
    "plans_of",
    "rehearsed",
    "throwing_away",
    "under_way",
]

logger = logging.getLogger("lazify")


class UnderWay(list["FirstCalls | None"]):
    """First calls under way, each inside the one before, and whether all will be taken back.

    (Never empty: each time a list fills again, it takes memory from the heap where tensors live.)
    """

    rehearsal: Rehearsal | None = None

    def __init__(self) -> None:
        super().__init__([None])


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.calls = UnderWay()


under_way = _OfThread()


#: Arguments as they are remembered.
Seen: TypeAlias = "tuple[tuple[Any, ...], Mapping[str, Any]]"


class Rehearsal(enum.Enum):
    """A run that only finds values: what it builds is taken back, and nothing that users see is done to it."""

    ON_FAKES = enum.auto()
    FOR_REAL = enum.auto()  # in eval mode


@dataclass(eq=False)
class Plan:
    """What a rehearsal found for one lazy instance.

    Attributes:
        module: the instance, if it exists before the run.
        values: of its inferred parameters.
        seen: from what they were inferred.
        device: of its input, where parameters would be made elsewhere.
        inside: for lazy instances that its constructor makes, by their number.
    """

    module: nn.Module
    values: dict[str, Any]
    seen: Seen
    device: torch.device | None = None
    inside: dict[int, Plan] = field(default_factory=dict)


class FirstCalls:
    """First calls that have passed inside something that may still fail."""

    inner: list[FirstCall] | None = None

    def note(self, inner: FirstCall) -> None:
        if self.inner is None:
            self.inner = []
        self.inner.append(inner)

    def take_back(self) -> None:
        for inner in reversed(self.inner or ()):
            inner.undo()
        self.inner = None


class FirstCall(FirstCalls, Turn):
    """One first call under way: how to begin again, and how to leave the instance as it was."""

    # on the class: what most first calls never need
    made: Sequence[nn.Module] = ()  # lazy instances that the constructor made, in a rehearsal
    plan: Plan | None = None  # what a rehearsal found
    seen: Seen = ((), {})  # the arguments of the call
    device: torch.device | None = None
    arguments: Sequence[Restore] = ()
    random: Random = ()
    handles: list[tuple[RemovableHandle, tuple[Any, ...]]] | None = None
    settled: Settlement | None = None  # takes back what became of the skeleton

    # how it was before, noted when it is this call's turn
    lazy: type[nn.Module]
    state: dict[str, Any]

    def __init__(self, module: nn.Module, pending: Pending, values: dict[str, Any] | None = None) -> None:
        self.module = module
        self.pending = pending
        self.values = values  # with which it was built
        self.owner, self.released = get_ident(), None  # what `Turn` does, without a call
        self.compiled: Callable[..., Any] | None = None  # set if the constructor or the journal called `compile()`

    def keep_arguments(self) -> None:
        """Remember what constructor arguments hold now."""
        given, journal = self.pending.given.values(), self.pending.past.journal
        if under_way.calls.rehearsal is None and (journal or not all_plain(given)):
            attached = [entry.args for entry in journal]
            applies = any(entry.method == "apply" for entry in journal)
            self.arguments = restorers([*given, *attached], tensors_too=applies)

    # the gate: stands in torch's own switch in `nn.Module.__call__` until the first call has passed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Let this thread through, others wait and then look again."""
        if self.owner == get_ident():
            return (self.compiled or self.module._call_impl)(*args, **kwargs)
        with Turn(self.pending):
            pass
        if isinstance(self.module, self.lazy):  # it failed: this call is now the first
            return self.module(*args, **kwargs)
        return self.module._wrapped_call_impl(*args, **kwargs)

    def stand_again(self) -> None:
        """The constructor or the journal may have called `compile()`, which stands where the gate stood."""
        state = self.module.__dict__
        if (there := state.get(GATE)) is not self:
            self.compiled, state[GATE] = there, self

    def passed(self, calls: UnderWay) -> None:
        """Open the gate. The instance is the real module, nothing of lazify left in it."""
        if self.compiled is None:
            self.module.__dict__.pop(GATE, None)
        else:
            self.module.__dict__[GATE] = self.compiled
        if (outer := calls[-1]) is not None:
            outer.note(self)

    def rewind(self) -> None:
        """Undo all but the lazy state itself."""
        self.take_back()
        if self.settled is not None:
            self.settled.take_back()
        for handle, (hooks, number, extra) in reversed(self.handles or ()):
            handle.hooks_dict_ref, handle.id, handle.extra_dict_ref = hooks, number, extra
        for restore_argument in self.arguments:
            restore_argument()
        for restore, state in self.random:
            restore(state)
        for name in slots(type(self.module)):
            if hasattr(self.module, name):
                object.__delattr__(self.module, name)
        self.handles = self.settled = self.compiled = None

    def undo(self) -> None:
        """Make the instance lazy again. It is still this call's turn: whoever waits finds it so."""
        self.rewind()
        forget(self.module)
        set_class(self.module, self.lazy)
        set_dict(self.module, self.state)


def plans_of(calls: FirstCalls) -> list[Plan]:
    """What the first calls of a rehearsal found, for each instance that existed before."""
    plans: list[Plan] = []
    for call in calls.inner or ():
        plan = Plan(call.module, cast("dict[str, Any]", call.values), call.seen, call.device)
        numbers = {id(each): number for number, each in enumerate(call.made)}
        for inner in plans_of(call):
            if (number := numbers.get(id(inner.module))) is not None:
                plan.inside[number] = inner
            else:
                plans.append(inner)
        plans.append(plan)
    return plans


# ---------------------------------------------------------------------------------------------
# Building


def build(call: FirstCall, values: dict[str, Any], device: torch.device | None) -> None:
    """From lazy, bare or wrongly built to the real module, with all that was done before done to it."""
    # contexts cost microseconds, and nearly every first call stands in plain surroundings
    if device is None and surroundings_are_plain():
        _build_here(call, values)
        return
    with plain_surroundings(device):
        _build_here(call, values, device)


def _build_here(call: FirstCall, values: dict[str, Any], device: torch.device | None = None) -> None:
    module, pending = call.module, call.pending
    recipe = pending.recipe
    stand_bare(module, recipe, call)
    call.values, call.device = values, device
    if call.plan is not None or under_way.calls.rehearsal is not None or pending.past.kin is not None:
        with _observed(call):
            construct(module, recipe, {**pending.given, **values})
    elif recipe.plain_init:
        recipe.init(module, **pending.given, **values)
    else:
        construct(module, recipe, {**pending.given, **values})
    if device is not None:
        bring_along(module, device)
    if len(call.state) > 1:
        vars(module).update(_written_directly(call))
    if under_way.calls.rehearsal is not None:
        _rehearse(module, pending)
    else:
        _bring_up_to_date(call)
    call.stand_again()


def _written_directly(call: FirstCall) -> dict[str, Any]:
    """What stands in the lazy instance's `__dict__` past `__setattr__`: `functools.cached_property` puts it there."""
    assigned = vars(call.pending.attached())
    return {name: value for name, value in call.state.items() if name != PENDING and name not in assigned}


def _bring_up_to_date(call: FirstCall) -> None:
    """What was told and what was done before, on the module just constructed."""
    module, pending = call.module, call.pending
    if pending.past.skeleton is not None:
        call.settled = settle(module, pending.past.skeleton)
    if pending.past.journal:
        _replay(call)
    if call.settled is not None:
        confirm(module, pending, call.settled)


@contextmanager
def _observed(call: FirstCall) -> Iterator[None]:
    """Follow which lazy instances the constructor makes: in a rehearsal note them, else build those with a plan."""
    made: list[nn.Module] = []

    def observer(module: nn.Module, recipe: Recipe, given: dict[str, Any]) -> bool:
        made.append(module)
        plan = None if call.plan is None else call.plan.inside.get(len(made) - 1)
        if plan is None:
            return False
        inner = FirstCall(module, Pending(recipe, given))
        inner.plan = plan
        with _observed(inner):
            construct(module, recipe, {**given, **plan.values})
        remember(module, recipe, given, plan.values, plan.seen)
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, plan.values)
        return True

    before, constructing.observer = constructing.observer, observer
    try:
        yield
    finally:
        constructing.observer = before
        call.made = made


def _replay(call: FirstCall) -> None:
    """Do again, in order, what was done to the lazy instance."""
    module, pending = call.module, call.pending
    for entry in pending.past.journal:
        target = module.get_submodule(entry.path) if entry.path else module
        again = _attached(pending) if entry.method in FLAGGING else ()
        result = getattr(target, entry.method)(*entry.args, **entry.kwargs)
        for restore_attached in again:
            restore_attached()
        if entry.hook is None:
            continue
        if not pending.still_registered(entry):
            result.remove()
        elif (handle := pending.past.handles.get(entry.hook)) is not None:
            before = (handle.hooks_dict_ref, handle.id, handle.extra_dict_ref)
            call.handles = [*(call.handles or ()), (handle, before)]
            handle.hooks_dict_ref, handle.id = result.hooks_dict_ref, result.id
            handle.extra_dict_ref = result.extra_dict_ref
            if isinstance(target, Recorded):  # of a lazy module inside: it has its first call before it
                target._lazify_handles()[handle.id] = handle


def _attached(pending: Pending) -> list[Restore]:
    """Keeps flags of what is the user's own: it got them at once when they were set, and others since, perhaps."""
    found: list[Restore] = []
    for each in attached(pending.past.journal):
        inner = waiting(each) if isinstance(each, nn.Module) else None
        if inner is not None:
            found.append(functools.partial(inner.past.journal.__delitem__, slice(len(inner.past.journal), None)))
            found.append(functools.partial(setattr, inner.attached(), "training", inner.attached().training))
            told = () if inner.past.skeleton is None else inner.past.skeleton.placeholders.values()
            found += [functools.partial(setattr, t, "requires_grad", t.requires_grad) for t in told]
        else:
            flag = "training" if isinstance(each, nn.Module) else "requires_grad"
            found.append(functools.partial(setattr, each, flag, getattr(each, flag)))
    return found


# ---------------------------------------------------------------------------------------------
# Rehearsing


@contextmanager
def throwing_away() -> Iterator[None]:
    """First calls of lazy modules inside throw-away ones: nothing that users see is done to them either."""
    before, under_way.calls = under_way.calls, UnderWay()
    under_way.calls.rehearsal = Rehearsal.ON_FAKES
    try:
        yield
    finally:
        under_way.calls = before


def rehearsed(pending: Pending, arguments: Mapping[str, Any]) -> nn.Module:
    """A throw-away module to which was done what decides how a call goes."""
    module = eager(pending.recipe, arguments)
    _rehearse(module, pending, hooks=())
    return module


#: Hooks that may decide how a call goes.
_DECIDING = ("register_forward_pre_hook", "register_forward_hook")


def _rehearse(module: nn.Module, pending: Pending, hooks: Sequence[str] = _DECIDING) -> None:
    """Do to a module that will be thrown away what decides how a call goes: modes, dtypes, what was attached."""
    users = {id(each) for value in pending.given.values() if isinstance(value, nn.Module) for _, each in walk(value)}
    for entry in pending.past.journal:
        target = module.get_submodule(entry.path) if entry.path else module
        if entry.method in (*IMMEDIATE, "__setattr__", "__delattr__"):
            getattr(target, entry.method)(*trial_copy(entry.args), **trial_copy(entry.kwargs))
        elif entry.method in CONVERTING and (dtype := _dtype_after(entry)) is not None:
            _cast(target, dtype, users)
        elif entry.method in hooks and pending.still_registered(entry):
            getattr(target, entry.method)(*entry.args, **entry.kwargs)
    if under_way.calls.rehearsal is Rehearsal.FOR_REAL:
        module.eval()


def _cast(module: nn.Module, dtype: torch.dtype, spared: set[int]) -> None:
    """What `module.to(dtype)` does; that takes no fakes whose like is in use elsewhere."""
    inside = [each for _, each in walk(module) if waiting(each) is None]
    casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for tensor in (tensor for each in inside for tensor in own_tensors(each)):
        if tensor.dtype.is_floating_point:
            cast_one = tensor.detach().to(dtype)
            is_parameter = isinstance(tensor, nn.Parameter)
            casts[id(tensor)] = (tensor, nn.Parameter(cast_one, tensor.requires_grad) if is_parameter else cast_one)
    substitute(inside, casts)
    for _, each in walk(module):
        if waiting(each) is not None and id(each) not in spared:
            each.to(dtype)


def _dtype_after(entry: Entry) -> torch.dtype | None:
    """The floating-point dtype that a conversion leads to, from wherever; None if it leaves dtypes alone."""
    ends = set()
    for start in (torch.float32, torch.float64):
        probe = nn.Module()
        with unset_fake_mode():
            probe.probe = nn.Parameter(torch.empty(0, dtype=start))
            getattr(probe, entry.method)(*entry.args, **entry.kwargs)
        ends.add(probe.probe.dtype)
    return ends.pop() if len(ends) == 1 else None
