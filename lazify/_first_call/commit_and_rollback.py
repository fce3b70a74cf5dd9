"""One materialization: the lock and the gate of the instance, commit and rollback, and those in progress around it."""

from __future__ import annotations

import enum
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import get_ident
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify._deferred.copy_group import CopyGroup
from lazify._deferred.state import LazyState
from lazify._first_call.records import discard
from lazify._isolation.argument_snapshot import Restore, snapshot_arguments
from lazify._isolation.limits import wait_for_trials
from lazify._lock import InstanceLock
from lazify._nested import all_plain
from lazify._recipe.construction import set_class, set_dict, slot_values
from lazify._torch import COMPILED_CALL
from lazify.errors import NotMaterializedError

__all__ = ["Completed", "Materialization", "Plan", "TrialKind", "call_stack", "plans_of", "trial_run_scope"]


class CallStack(threading.local):
    """What first calls in one thread are part of.

    This alone belongs to a thread and is no argument: the `forward` of a model, which is the user's, stands between a
    materialization, or a trial run of the model, and the first calls inside it.

    Attributes:
        calls: materializations in progress, each inside the one before; None as the first item. (A list that becomes
            empty and fills again takes memory from the heap of the tensors.)
        trial_kind: the kind of trial run that first calls are part of; None if they are not. A first call asks once,
            and hands it on as `Materialization.trial_kind`.
    """

    def __init__(self) -> None:
        self.calls: list[Completed | None] = [None]
        self.trial_kind: TrialKind | None = None


call_stack = CallStack()


@contextmanager
def trial_run_scope(kind: TrialKind, calls: Completed | None = None) -> Iterator[None]:
    """First calls inside are part of trial runs: they have no effect on objects of the user.

    Args:
        kind: the kind of trial run.
        calls: gets the materializations, to be rolled back; None if they are those of modules made in trial runs.
    """
    before = call_stack.calls, call_stack.trial_kind
    call_stack.calls, call_stack.trial_kind = [calls], kind
    try:
        yield
    finally:
        call_stack.calls, call_stack.trial_kind = before


#: Arguments of a call, positional and by keyword, as `summarize_arguments` describes them.
Seen: TypeAlias = "tuple[tuple[Any, ...], Mapping[str, Any]]"


class TrialKind(enum.Enum):
    """A run of a model that only finds values: its materializations are rolled back, and have no effect on users."""

    ON_FAKES = enum.auto()
    FOR_REAL = enum.auto()  # in eval mode


@dataclass(eq=False)
class Plan:
    """The values for one lazy instance that a trial run of a model found.

    Attributes:
        module: the instance.
        values: the values of its inferred parameters.
        seen: the arguments of its call.
        device: the device of its input; None if it is the default device.
        inside: the plans of lazy instances that its constructor makes, by the order in which it makes them.
    """

    module: nn.Module
    values: dict[str, Any]
    seen: Seen
    device: torch.device | None = None
    inside: dict[int, Plan] = field(default_factory=dict)

    def without_modules(self) -> Plan:
        """The plan without references to modules, to be used for copies of the instance."""
        inside = {number: plan.without_modules() for number, plan in self.inside.items()}
        return replace(self, module=nn.Module(), inside=inside)


class Completed:
    """Materializations that are complete, inside something that may still fail."""

    inner: list[Materialization] | None = None

    def add(self, inner: Materialization) -> None:
        if self.inner is None:
            self.inner = []
        self.inner.append(inner)

    def commit_all(self) -> None:
        for inner in self.inner or ():
            inner.commit(None)

    def rollback_all(self) -> None:
        for inner in reversed(self.inner or ()):
            inner.rollback()
        self.inner = None


class Materialization(Completed, InstanceLock):
    """One materialization: it holds the instance lock, and can roll back."""

    # defaults on the class, for what most materializations do not need
    constructed: Sequence[nn.Module] = ()  # lazy instances that the constructor made, in a trial run
    plan: Plan | None = None  # what a trial run of the model found
    copy_group: CopyGroup | None = None  # that of the instance; not in a trial run, which is none of the group
    trial_kind: TrialKind | None = None  # the kind of trial run that will roll it back; None if none will
    has_passed = False  # inside something that may still fail
    is_used_elsewhere = False  # by another thread
    device: torch.device | None = None
    before: Sequence[Restore] = ()  # brings arguments and random states to what they were before the call
    undo: list[Restore] | None = None  # undoes changes to placeholders, submodules and handles, the last one first

    # class and `__dict__` before
    lazy_class: type[nn.Module]
    lazy_dict: dict[str, Any]

    def __init__(
        self, module: nn.Module, state: LazyState, values: dict[str, Any] | None = None, seen: Seen = ((), {})
    ) -> None:
        self.module = module
        self.state = state
        self.values = values or {}  # with which it is built
        self.seen = seen  # the arguments of the call
        self.thread_id, self.release_event = get_ident(), None  # as `InstanceLock.__init__` does, without a call
        self.compiled: Callable[..., Any] | None = None  # set if the constructor or an operation called `compile()`

    def prepare_rollback(self) -> None:
        """Note the contents of constructor arguments, to restore them; a trial run restores them itself."""
        given, operations = self.state.given.values(), self.state.history.operations
        if self.trial_kind is None and (operations or not all_plain(given)):
            attached = [operation.args for operation in operations]
            applies = any(operation.method == "apply" for operation in operations)
            self.before = snapshot_arguments([*given, *attached], tensors_too=applies)

    # the gate: stands in torch's own switch in `nn.Module.__call__` until the first call, and all around it, has passed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Let this thread through, others wait and then look again."""
        if self.thread_id == get_ident() or self._is_to_be_used():
            return (self.compiled or self.module._call_impl)(*args, **kwargs)
        if isinstance(self.module, self.lazy_class):  # rolled back: this call is now the first one
            return self.module(*args, **kwargs)
        return self.module._wrapped_call_impl(*args, **kwargs)

    def __deepcopy__(self, memo: Any) -> Any:
        return self.compiled

    def _is_to_be_used(self) -> bool:
        """Wait for the thread that materializes this module; whether the module is built, though that may still fail.

        It is, too, if that thread waits for this one. From then on the module stays as it is, whatever fails.
        """
        with InstanceLock(self.state) as is_free:
            if self.trial_kind is not None or (is_free and self.module.__dict__.get(COMPILED_CALL) is not self):
                is_used = False
            else:
                is_used = self.is_used_elsewhere = True
        if self.trial_kind is not None and not wait_for_trials():
            raise NotMaterializedError("this module is in a trial run of a thread that waits for this one")
        return is_used

    def reinstall_gate(self) -> None:
        """Install the gate again, after a `compile()` in the constructor or in an operation has replaced it."""
        attributes = self.module.__dict__
        self.compiled, attributes[COMPILED_CALL] = attributes.get(COMPILED_CALL), self

    def on_rollback(self, undo: Restore) -> None:
        """Let a rollback undo one more change, before those of earlier calls of this method."""
        if self.undo is None:
            self.undo = []
        self.undo.append(undo)

    def redirect(self, handle: RemovableHandle, to: RemovableHandle) -> None:
        """Let the user's handle on a hook refer to the hook of the real module."""
        self.on_rollback(functools.partial(vars(handle).update, dict(vars(handle))))
        vars(handle).update(vars(to))

    def commit(self, outer: Completed | None) -> None:
        """Open the gate, if nothing around may still fail: then nothing of lazify is left in the real module."""
        if outer is not None:
            self.has_passed = True
            outer.add(self)
            return
        if self.inner is not None:
            self.commit_all()
        if self.compiled is None:
            self.module.__dict__.pop(COMPILED_CALL, None)
        else:
            self.module.__dict__[COMPILED_CALL] = self.compiled

    def rollback_module(self) -> None:
        """Undo everything except class and `__dict__` of the instance."""
        self.rollback_all()
        for restore in (*reversed(self.undo or ()), *self.before):
            restore()
        if self.copy_group is not None and self.copy_group.built_first is self.state:
            self.copy_group.forget()
        for name in slot_values(self.module):
            object.__delattr__(self.module, name)
        self.undo = self.compiled = None

    def rollback(self) -> None:
        """Make the instance lazy again, before its lock is released. What another thread has used stays as it is."""
        with InstanceLock(self.state):
            if self.is_used_elsewhere:
                self.commit(None)
                return
            self.rollback_module()
            discard(self.module)
            set_class(self.module, self.lazy_class)
            set_dict(self.module, self.lazy_dict)


def plans_of(calls: Iterable[Materialization]) -> list[Plan]:
    """The plans of the instances that existed before a trial run, with those of the instances that they construct."""
    plans: list[Plan] = []
    for call in calls:
        plan = Plan(call.module, call.values, call.seen, call.device)
        numbers = {id(each): number for number, each in enumerate(call.constructed)}
        for inner in plans_of(call.inner or ()):
            if (number := numbers.get(id(inner.module))) is not None:
                plan.inside[number] = inner
            else:
                plans.append(inner)
        plans.append(plan)
    return plans
