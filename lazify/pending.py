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

from lazify.inference import PLAIN, all_plain
from lazify.journal import Entry
from lazify.recipe import Recipe
from lazify.skeleton import Part, Skeleton

__all__ = ["PENDING", "Past", "Pending", "Turn", "turns", "waiting"]

#: The one key that lazify adds to a lazy instance's `__dict__`.
PENDING = "_lazify_pending"


_next_serial = itertools.count().__next__


class Past:
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
        self.journal: list[Entry] = []
        self.stand_in: nn.Module | None = None
        self.handles: dict[int, RemovableHandle] = {}
        self.moved = False
        self.skeleton: Skeleton | None = None
        self.part: tuple[Pending, str] | None = None
        self.kin: dict[str, Any] | None = None


class _NoPast(Past):
    """That of all instances to which nothing was done: only to be read."""

    def __init__(self) -> None:
        vars(self).update(vars(Past()), journal=(), handles=MappingProxyType({}))

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"{name} of an instance without a past: write to `own_past()`")


_NO_PAST = _NoPast()
_one_at_a_time = RLock()


class Pending:
    """What a lazy instance knows before its first call.

    Attributes:
        recipe: that of its lazy class.
        given: constructor arguments, by name.
        past: what was done to it, to be read; most lazy instances have none.
        simple: whether there is no past, and what was given does not change, as far as that is known.
        serial: counts lazy instances, in the order of their construction.
    """

    __slots__ = ("given", "past", "recipe", "serial", "simple")

    def __init__(self, recipe: Recipe, given: dict[str, Any]) -> None:
        self.recipe = recipe
        self.given = given
        self.past: Past = _NO_PAST
        # its first step, without a call, is nearly always enough
        self.simple = PLAIN.issuperset(map(type, given.values())) or all_plain(given.values())
        self.serial = _next_serial()

    def own_past(self) -> Past:
        """To be added to."""
        if self.past is _NO_PAST:
            with _one_at_a_time:
                if self.past is _NO_PAST:
                    self.past, self.simple = Past(), False
        return self.past

    def copy(self, duplicate: Callable[[Any], Any]) -> Pending:
        """A copy that becomes real on its own; nobody holds handles on its hooks."""
        twin = Pending(self.recipe, duplicate(self.given))
        journal = [
            entry if self.still_registered(entry) else replace(entry, removed=True) for entry in self.past.journal
        ]
        told = self.handed_out()
        past = twin.own_past()
        past.journal, past.stand_in, copies = duplicate((journal, self.past.stand_in, told))
        past.moved = self.past.moved
        if told is not None:
            past.skeleton = Skeleton(copies, len(journal))
        return twin

    def attached(self) -> nn.Module:
        past = self.own_past()
        if past.stand_in is None:
            past.stand_in = nn.Module()
        return past.stand_in

    def told(self, module: nn.Module) -> Skeleton | None:
        """What can be told of the real module that `module`, whose state this is, will be; None if it just became so.

        Raises:
            NotMaterializedError: if that depends on what only the call tells.
        """
        with Turn(self):
            if waiting(module) is not self:  # while this thread waited
                return None
            past = self.own_past()
            if past.skeleton is None or past.skeleton.root is None:
                skeleton = past.skeleton = past.skeleton or Skeleton()
                skeleton.tell(self.recipe, self.given, past.journal, module)
                self.take(skeleton)
            return past.skeleton

    def take(self, skeleton: Skeleton) -> None:
        """From now on `skeleton` tells of this instance, and what is done to its parts is recorded here."""
        past = self.own_past()
        past.skeleton = skeleton
        skeleton.record, skeleton.handles = self.record, past.handles
        for path, part in skeleton.parts():
            if not isinstance(part, Part):
                inner: Pending = vars(part)[PENDING]
                inner.own_past().part = (self, path)
                inner.attached()
                if inner.past.skeleton is None and (told := skeleton.cut(path, len(inner.past.journal))) is not None:
                    inner.past.skeleton = told
                    told.belong(part)

    def handed_out(self) -> dict[str, tuple[Any, bool]] | None:
        """What a copy is made from, if anything: placeholders, their `requires_grad` apart from what users chose."""
        if self.past.skeleton is None:
            return None
        told = {path: (each, each.expected) for path, each in self.past.skeleton.placeholders.items()}
        for path, part in self.past.skeleton.parts():
            inside = None if isinstance(part, Part) else vars(part)[PENDING].handed_out()
            told.update({f"{path}.{name}": each for name, each in (inside or {}).items()})
        return told

    def record(self, entry: Entry, handle: RemovableHandle | None = None) -> None:
        """Note what was done: here, and where this instance is a part of another one, there too."""
        past = self.own_past()
        past.journal.append(entry)
        if handle is not None and entry.hook is not None:
            past.handles[entry.hook] = handle
        if past.skeleton is not None and not entry.path:
            past.skeleton.follow(entry)
        if past.part is not None:
            whole, path = past.part
            whole.record(replace(entry, path=f"{path}.{entry.path}" if entry.path else path), handle)

    def still_registered(self, entry: Entry) -> bool:
        """False of a hook whose handle was used to remove it."""
        handle = None if entry.hook is None else self.past.handles.get(entry.hook)
        if handle is None or entry.removed:
            return not entry.removed
        hooks = handle.hooks_dict_ref()
        return hooks is not None and handle.id in hooks


def waiting(module: nn.Module) -> Pending | None:
    """What `module` knows while it is lazy, None once it is real."""
    return module.__dict__.get(PENDING)


# ---------------------------------------------------------------------------------------------
# One thread at a time


class Turn:
    """`with Turn(pending):` one thread at a time works on a lazy instance, and inside it may do so again.

    Until two threads meet, it takes no memory outside of Python's own. A lock for each instance takes some from
    the heap where tensors live, between weights and activations: what is freed there is in pieces, and the heap grows.
    """

    def __init__(self, pending: Pending) -> None:
        self.pending = pending
        self.owner = get_ident()
        self.released: Event | None = None  # made by who waits for it

    def __enter__(self) -> None:
        # `setdefault` is atomic
        while (other := turns.setdefault(self.pending, self)) is not self and other.owner != self.owner:
            other.wait()

    def __exit__(self, *_: object) -> None:
        if turns[self.pending] is self:
            self.end()

    def end(self) -> None:
        """The next one, please."""
        del turns[self.pending]  # before it is looked whether anybody waits; who waits does it the other way round
        if self.released is not None:
            self.released.set()

    def wait(self) -> None:
        """Until it has ended."""
        with _one_at_a_time:
            self.released = released = self.released or Event()
        if turns.get(self.pending) is self:
            released.wait()


#: Whose turn it is.
turns: dict[Pending, Turn] = {}
