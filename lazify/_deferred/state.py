"""What a lazy instance knows before its first call."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from threading import Event, RLock, get_ident
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify._deferred.operations import Operation
from lazify._deferred.preview import Preview, PreviewSubmodule
from lazify._inference.call_values import PLAIN, all_plain
from lazify._module_tree import STATE_KEY
from lazify._recipe.recipe import Recipe

__all__ = ["STATE_KEY", "History", "InstanceLock", "LazyState", "lazy_state", "lock_holders"]


_next_construction_index = itertools.count().__next__


class History:
    """What was done to a lazy instance before its first call, and what was told of it.

    Attributes:
        journal: what was done, in order.
        stand_in: a bare module that holds what was attached meanwhile (hooks, attributes, submodules);
            made when first needed.
        handles: hook id -> the handle that the user holds, to be pointed at the real module.
        moved: whether a device was chosen.
        skeleton: what was told of the real module's parameters and submodules, if somebody asked.
        part: of a lazy instance that is only in the skeleton of another one: that one, and the path in it.
        kin: shared with its deep copies: what the first of them to become real was made from.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.attached_to: nn.Module | None = None
        self.handles: dict[int, RemovableHandle] = {}
        self.device_is_explicit = False
        self.preview: Preview | None = None
        self.owner: tuple[LazyState, str] | None = None
        self.copy_group: dict[str, Any] | None = None


class _EmptyHistory(History):
    """That of all instances to which nothing was done: only to be read."""

    def __init__(self) -> None:
        vars(self).update(vars(History()), operations=(), handles=MappingProxyType({}))

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"{name} of a lazy state without a history: write to `writable_history()`")


_EMPTY_HISTORY = _EmptyHistory()
_one_at_a_time = RLock()


class LazyState:
    """What a lazy instance knows before its first call.

    Attributes:
        recipe: that of its lazy class.
        given: constructor arguments, by name.
        past: what was done to it, to be read; most lazy instances have none.
        simple: whether there is no past, and what was given does not change, as far as that is known.
        serial: counts lazy instances, in the order of their construction.
    """

    __slots__ = ("construction_index", "given", "history", "is_untouched", "recipe")

    def __init__(self, recipe: Recipe, given: dict[str, Any]) -> None:
        self.recipe = recipe
        self.given = given
        self.history: History = _EMPTY_HISTORY
        # its first step, without a call, is nearly always enough
        self.is_untouched = PLAIN.issuperset(map(type, given.values())) or all_plain(given.values())
        self.construction_index = _next_construction_index()

    def writable_history(self) -> History:
        """To be added to."""
        if self.history is _EMPTY_HISTORY:
            with _one_at_a_time:
                if self.history is _EMPTY_HISTORY:
                    self.history, self.is_untouched = History(), False
        return self.history

    def copy(self, duplicate: Callable[[Any], Any]) -> LazyState:
        """A copy that becomes real on its own; nobody holds handles on its hooks."""
        twin = LazyState(self.recipe, duplicate(self.given))
        operations = [
            operation if self.still_registered(operation) else replace(operation, hook_removed=True)
            for operation in self.history.operations
        ]
        preview_for = self.copyable_placeholders()
        past = twin.writable_history()
        past.operations, past.attached_to, copies = duplicate((operations, self.history.attached_to, preview_for))
        past.device_is_explicit = self.history.device_is_explicit
        if preview_for is not None:
            past.preview = Preview(copies, len(operations))
        return twin

    def attached(self) -> nn.Module:
        past = self.writable_history()
        if past.attached_to is None:
            past.attached_to = nn.Module()
        return past.attached_to

    def preview_for(self, module: nn.Module) -> Preview | None:
        """What can be told of the real module that `module`, whose state this is, will be; None if it just became so.

        Raises:
            NotMaterializedError: if that depends on what only the call tells.
        """
        with InstanceLock(self):
            if lazy_state(module) is not self:  # while this thread waited
                return None
            past = self.writable_history()
            if past.preview is None or past.preview.module is None:
                preview = past.preview = past.preview or Preview()
                preview.build(self.recipe, self.given, past.operations, module)
                self.adopt_preview(preview)
            return past.preview

    def adopt_preview(self, preview: Preview) -> None:
        """From now on `skeleton` tells of this instance, and what is done to its parts is recorded here."""
        past = self.writable_history()
        past.preview = preview
        preview.record, preview.handles = self.record, past.handles
        for path, owner in preview.submodules():
            if not isinstance(owner, PreviewSubmodule):
                inner: LazyState = vars(owner)[STATE_KEY]
                inner.writable_history().owner = (self, path)
                inner.attached()
                if (
                    inner.history.preview is None
                    and (preview_for := preview.split_off(path, len(inner.history.operations))) is not None
                ):
                    inner.history.preview = preview_for
                    preview_for.set_owner(owner)

    def copyable_placeholders(self) -> dict[str, tuple[Any, bool]] | None:
        """What a copy is made from, if anything: placeholders, their `requires_grad` apart from what users chose."""
        if self.history.preview is None:
            return None
        preview_for = {
            path: (each, each.default_requires_grad) for path, each in self.history.preview.placeholders.items()
        }
        for path, owner in self.history.preview.submodules():
            inside = None if isinstance(owner, PreviewSubmodule) else vars(owner)[STATE_KEY].copyable_placeholders()
            preview_for.update({f"{path}.{name}": each for name, each in (inside or {}).items()})
        return preview_for

    def record(self, operation: Operation, handle: RemovableHandle | None = None) -> None:
        """Note what was done: here, and where this instance is a part of another one, there too."""
        past = self.writable_history()
        past.operations.append(operation)
        if handle is not None and operation.hook_id is not None:
            past.handles[operation.hook_id] = handle
        if past.preview is not None and not operation.path:
            past.preview.apply(operation)
        if past.owner is not None:
            whole, path = past.owner
            whole.record(replace(operation, path=f"{path}.{operation.path}" if operation.path else path), handle)

    def still_registered(self, operation: Operation) -> bool:
        """False of a hook whose handle was used to remove it."""
        handle = None if operation.hook_id is None else self.history.handles.get(operation.hook_id)
        if handle is None or operation.hook_removed:
            return not operation.hook_removed
        hooks = handle.hooks_dict_ref()
        return hooks is not None and handle.id in hooks


def lazy_state(module: nn.Module) -> LazyState | None:
    """What `module` knows while it is lazy, None once it is real."""
    return module.__dict__.get(STATE_KEY)


# ---------------------------------------------------------------------------------------------
# One thread at a time


class InstanceLock:
    """`with Turn(state):` one thread at a time works on a lazy instance, and inside it may do so again.

    Until two threads meet, it takes no memory outside of Python's own. A lock for each instance takes some from
    the heap where tensors live, between weights and activations: what is freed there is in pieces, and the heap grows.
    """

    def __init__(self, state: LazyState) -> None:
        self.state = state
        self.thread_id = get_ident()
        self.release_event: Event | None = None  # made by who waits for it

    def __enter__(self) -> None:
        # `setdefault` is atomic
        while (other := lock_holders.setdefault(self.state, self)) is not self and other.thread_id != self.thread_id:
            other.wait_released()

    def __exit__(self, *_: object) -> None:
        if lock_holders[self.state] is self:
            self.release()

    def release(self) -> None:
        """The next one, please."""
        del lock_holders[self.state]  # before it is looked whether anybody waits; who waits does it the other way round
        if self.release_event is not None:
            self.release_event.set()

    def wait_released(self) -> None:
        """Until it has ended."""
        with _one_at_a_time:
            self.release_event = release_event = self.release_event or Event()
        if lock_holders.get(self.state) is self:
            release_event.wait()


#: Whose turn it is.
lock_holders: dict[LazyState, InstanceLock] = {}
