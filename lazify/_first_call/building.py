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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify._deferred.operations import CONVERTING, FLAGGING, IMMEDIATE, Operation, RecordsOperations, attached
from lazify._deferred.placeholders import substitute
from lazify._deferred.state import STATE_KEY, InstanceLock, LazyState, lazy_state
from lazify._first_call.placeholder_swap import SwapTransaction, check_names_kept, swap_placeholders
from lazify._first_call.records import discard, record
from lazify._inference.call_values import all_plain
from lazify._isolation import trial_copy
from lazify._isolation.restoring import (
    Random,
    Restore,
    snapshot,
)
from lazify._module_tree import own_tensors, walk
from lazify._recipe.construction import (
    construct,
    construct_new,
    construction_context,
    contexts_are_neutral,
    move_stragglers,
    neutral_contexts,
    reset_to_uninitialized,
    set_class,
    set_dict,
    slot_names,
)
from lazify._recipe.recipe import Recipe
from lazify._torch import COMPILED_CALL, unset_fake_mode

__all__ = [
    "Completed",
    "Materialization",
    "Plan",
    "TrialKind",
    "build",
    "call_stack",
    "plans_of",
    "trial_module",
    "trial_run_scope",
]

logger = logging.getLogger("lazify")


class CallStack(list["Completed | None"]):
    """First calls under way, each inside the one before, and whether all will be taken back.

    (Never empty: each time a list fills again, it takes memory from the heap where tensors live.)
    """

    trial_kind: TrialKind | None = None

    def __init__(self) -> None:
        super().__init__([None])


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.calls = CallStack()


call_stack = _OfThread()


#: Arguments as they are remembered.
Seen: TypeAlias = "tuple[tuple[Any, ...], Mapping[str, Any]]"


class TrialKind(enum.Enum):
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


class Completed:
    """First calls that have passed inside something that may still fail."""

    inner: list[Materialization] | None = None

    def add(self, inner: Materialization) -> None:
        if self.inner is None:
            self.inner = []
        self.inner.append(inner)

    def rollback_all(self) -> None:
        for inner in reversed(self.inner or ()):
            inner.rollback()
        self.inner = None


class Materialization(Completed, InstanceLock):
    """One first call under way: how to begin again, and how to leave the instance as it was."""

    # on the class: what most first calls never need
    constructed: Sequence[nn.Module] = ()  # lazy instances that the constructor made, in a rehearsal
    plan: Plan | None = None  # what a rehearsal found
    seen: Seen = ((), {})  # the arguments of the call
    device: torch.device | None = None
    arguments: Sequence[Restore] = ()
    random: Random = ()
    handles: list[tuple[RemovableHandle, tuple[Any, ...]]] | None = None
    transaction: SwapTransaction | None = None  # takes back what became of the skeleton

    # how it was before, noted when it is this call's turn
    lazy_class: type[nn.Module]
    lazy_dict: dict[str, Any]

    def __init__(self, module: nn.Module, state: LazyState, values: dict[str, Any] | None = None) -> None:
        self.module = module
        self.state = state
        self.values = values  # with which it was built
        self.thread_id, self.release_event = get_ident(), None  # what `Turn` does, without a call
        self.compiled: Callable[..., Any] | None = None  # set if the constructor or the journal called `compile()`

    def keep_arguments(self) -> None:
        """Remember what constructor arguments hold now."""
        given, operations = self.state.given.values(), self.state.history.operations
        if operations or not all_plain(given):
            attached = [operation.args for operation in operations]
            applies = any(operation.method == "apply" for operation in operations)
            with unset_fake_mode() if call_stack.calls.trial_kind is TrialKind.ON_FAKES else nullcontext():
                self.arguments = snapshot([*given, *attached], tensors_too=applies)

    # the gate: stands in torch's own switch in `nn.Module.__call__` until the first call has passed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Let this thread through, others wait and then look again."""
        if self.thread_id == get_ident():
            return (self.compiled or self.module._call_impl)(*args, **kwargs)
        with InstanceLock(self.state):
            pass
        if isinstance(self.module, self.lazy_class):  # it failed: this call is now the first
            return self.module(*args, **kwargs)
        return self.module._wrapped_call_impl(*args, **kwargs)

    def reinstall_gate(self) -> None:
        """The constructor or the journal may have called `compile()`, which stands where the gate stood."""
        attributes = self.module.__dict__
        if (there := attributes.get(COMPILED_CALL)) is not self:
            self.compiled, attributes[COMPILED_CALL] = there, self

    def commit(self, calls: CallStack) -> None:
        """Open the gate. The instance is the real module, nothing of lazify left in it."""
        if self.compiled is None:
            self.module.__dict__.pop(COMPILED_CALL, None)
        else:
            self.module.__dict__[COMPILED_CALL] = self.compiled
        if (outer := calls[-1]) is not None:
            outer.add(self)

    def rollback_module(self) -> None:
        """Undo all but the lazy state itself."""
        self.rollback_all()
        if self.transaction is not None:
            self.transaction.rollback_all()
        for handle, (hooks, number, extra) in reversed(self.handles or ()):
            handle.hooks_dict_ref, handle.id, handle.extra_dict_ref = hooks, number, extra
        for restore_argument in self.arguments:
            restore_argument()
        for restore, before in self.random:
            restore(before)
        for name in slot_names(type(self.module)):
            if hasattr(self.module, name):
                object.__delattr__(self.module, name)
        self.handles = self.transaction = self.compiled = None

    def rollback(self) -> None:
        """Make the instance lazy again. It is still this call's turn: whoever waits finds it so."""
        self.rollback_module()
        discard(self.module)
        set_class(self.module, self.lazy_class)
        set_dict(self.module, self.lazy_dict)


def plans_of(calls: Completed) -> list[Plan]:
    """What the first calls of a rehearsal found, for each instance that existed before."""
    plans: list[Plan] = []
    for call in calls.inner or ():
        plan = Plan(call.module, cast("dict[str, Any]", call.values), call.seen, call.device)
        numbers = {id(each): number for number, each in enumerate(call.constructed)}
        for inner in plans_of(call):
            if (number := numbers.get(id(inner.module))) is not None:
                plan.inside[number] = inner
            else:
                plans.append(inner)
        plans.append(plan)
    return plans


# ---------------------------------------------------------------------------------------------
# Building


def build(call: Materialization, values: dict[str, Any], device: torch.device | None) -> None:
    """From lazy, bare or wrongly built to the real module, with all that was done before done to it."""
    # contexts cost microseconds, and nearly every first call stands in plain surroundings
    if device is None and contexts_are_neutral():
        _build_here(call, values)
        return
    with neutral_contexts(device):
        _build_here(call, values, device)


def _build_here(call: Materialization, values: dict[str, Any], device: torch.device | None = None) -> None:
    module, state = call.module, call.state
    recipe = state.recipe
    reset_to_uninitialized(module, recipe, call)
    call.values, call.device = values, device
    if call.plan is not None or call_stack.calls.trial_kind is not None or state.history.copy_group is not None:
        with intercept_inner_lazy(call):
            construct(module, recipe, {**state.given, **values})
    elif recipe.init_takes_keywords:
        recipe.original_init(module, **state.given, **values)
    else:
        construct(module, recipe, {**state.given, **values})
    if device is not None:
        move_stragglers(module, device)
    if len(call.lazy_dict) > 1:
        vars(module).update(direct_dict_entries(call))
    if call_stack.calls.trial_kind is not None:
        _rehearse(module, state)
    else:
        swap_and_replay(call)
    call.reinstall_gate()


def direct_dict_entries(call: Materialization) -> dict[str, Any]:
    """What stands in the lazy instance's `__dict__` past `__setattr__`: `functools.cached_property` puts it there."""
    assigned = vars(call.state.attached())
    return {name: value for name, value in call.lazy_dict.items() if name != STATE_KEY and name not in assigned}


def swap_and_replay(call: Materialization) -> None:
    """What was told and what was done before, on the module just constructed."""
    module, state = call.module, call.state
    if state.history.preview is not None:
        call.transaction = swap_placeholders(module, state.history.preview)
    if state.history.operations:
        _replay(call)
    if call.transaction is not None:
        check_names_kept(module, state, call.transaction)


@contextmanager
def intercept_inner_lazy(call: Materialization) -> Iterator[None]:
    """Follow which lazy instances the constructor makes: in a rehearsal note them, else build those with a plan."""
    constructed: list[nn.Module] = []

    def on_inner_lazy(module: nn.Module, recipe: Recipe, given: dict[str, Any]) -> bool:
        constructed.append(module)
        plan = None if call.plan is None else call.plan.inside.get(len(constructed) - 1)
        if plan is None:
            return False
        inner = Materialization(module, LazyState(recipe, given))
        inner.plan = plan
        with intercept_inner_lazy(inner):
            construct(module, recipe, {**given, **plan.values})
        record(module, recipe, given, plan.values, plan.seen)
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, plan.values)
        return True

    before, construction_context.on_inner_lazy = construction_context.on_inner_lazy, on_inner_lazy
    try:
        yield
    finally:
        construction_context.on_inner_lazy = before
        call.constructed = constructed


def _replay(call: Materialization) -> None:
    """Do again, in order, what was done to the lazy instance."""
    module, state = call.module, call.state
    for operation in state.history.operations:
        target = module.get_submodule(operation.path) if operation.path else module
        again = _attached(state) if operation.method in FLAGGING else ()
        result = getattr(target, operation.method)(*operation.args, **operation.kwargs)
        for restore_attached in again:
            restore_attached()
        if operation.hook_id is None:
            continue
        if not state.still_registered(operation):
            result.remove()
        elif (handle := state.history.handles.get(operation.hook_id)) is not None:
            before = (handle.hooks_dict_ref, handle.id, handle.extra_dict_ref)
            call.handles = [*(call.handles or ()), (handle, before)]
            handle.hooks_dict_ref, handle.id = result.hooks_dict_ref, result.id
            handle.extra_dict_ref = result.extra_dict_ref
            if isinstance(target, RecordsOperations):  # of a lazy module inside: it has its first call before it
                target._hook_handles()[handle.id] = handle


def _attached(state: LazyState) -> list[Restore]:
    """Keeps flags of what is the user's own: it got them at once when they were set, and others since, perhaps."""
    found: list[Restore] = []
    for each in attached(state.history.operations):
        inner = lazy_state(each) if isinstance(each, nn.Module) else None
        if inner is not None:
            found.append(
                functools.partial(inner.history.operations.__delitem__, slice(len(inner.history.operations), None))
            )
            found.append(functools.partial(setattr, inner.attached(), "training", inner.attached().training))
            told = () if inner.history.preview is None else inner.history.preview.placeholders.values()
            found += [functools.partial(setattr, t, "requires_grad", t.requires_grad) for t in told]
        else:
            flag = "training" if isinstance(each, nn.Module) else "requires_grad"
            found.append(functools.partial(setattr, each, flag, getattr(each, flag)))
    return found


# ---------------------------------------------------------------------------------------------
# Rehearsing


@contextmanager
def trial_run_scope() -> Iterator[None]:
    """First calls of lazy modules inside throw-away ones: nothing that users see is done to them either."""
    before, call_stack.calls = call_stack.calls, CallStack()
    call_stack.calls.trial_kind = TrialKind.ON_FAKES
    try:
        yield
    finally:
        call_stack.calls = before


def trial_module(state: LazyState, arguments: Mapping[str, Any]) -> nn.Module:
    """A throw-away module to which was done what decides how a call goes."""
    module = construct_new(state.recipe, arguments)
    _rehearse(module, state, hooks=())
    return module


#: Hooks that may decide how a call goes.
_DECIDING = ("register_forward_pre_hook", "register_forward_hook")


def _rehearse(module: nn.Module, state: LazyState, hooks: Sequence[str] = _DECIDING) -> None:
    """Do to a module that will be thrown away what decides how a call goes: modes, dtypes, what was attached."""
    users = {id(each) for value in state.given.values() if isinstance(value, nn.Module) for _, each in walk(value)}
    for operation in state.history.operations:
        target = module.get_submodule(operation.path) if operation.path else module
        if operation.method in (*IMMEDIATE, "__setattr__", "__delattr__"):
            getattr(target, operation.method)(*trial_copy(operation.args), **trial_copy(operation.kwargs))
        elif operation.method in CONVERTING and (dtype := _dtype_after(operation)) is not None:
            _cast(target, dtype, users)
        elif operation.method in hooks and state.still_registered(operation):
            getattr(target, operation.method)(*operation.args, **operation.kwargs)
    if call_stack.calls.trial_kind is TrialKind.FOR_REAL:
        module.eval()


def _cast(module: nn.Module, dtype: torch.dtype, spared: set[int]) -> None:
    """What `module.to(dtype)` does; that takes no fakes whose like is in use elsewhere."""
    inside = [each for _, each in walk(module) if lazy_state(each) is None]
    casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for tensor in (tensor for each in inside for tensor in own_tensors(each)):
        if tensor.dtype.is_floating_point:
            cast_one = tensor.detach().to(dtype)
            is_parameter = isinstance(tensor, nn.Parameter)
            casts[id(tensor)] = (tensor, nn.Parameter(cast_one, tensor.requires_grad) if is_parameter else cast_one)
    substitute(inside, casts)
    for _, each in walk(module):
        if lazy_state(each) is not None and id(each) not in spared:
            each.to(dtype)


def _dtype_after(operation: Operation) -> torch.dtype | None:
    """The floating-point dtype that a conversion leads to, from wherever; None if it leaves dtypes alone."""
    ends = set()
    for start in (torch.float32, torch.float64):
        probe = nn.Module()
        with unset_fake_mode():
            probe.probe = nn.Parameter(torch.empty(0, dtype=start))
            getattr(probe, operation.method)(*operation.args, **operation.kwargs)
        ends.add(probe.probe.dtype)
    return ends.pop() if len(ends) == 1 else None
