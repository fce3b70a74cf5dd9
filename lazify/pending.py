"""What a lazy instance knows before its first call."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from threading import RLock
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify.journal import Entry
from lazify.recipe import Recipe
from lazify.skeleton import Part, Skeleton

__all__ = ["PENDING", "Pending", "waiting"]

#: The one key that lazify adds to a lazy instance's `__dict__`.
PENDING = "_lazify_pending"


_serials = itertools.count()
_Lock: Any = type(RLock())  # which is made by a Python function


class Pending:
    """What a lazy instance knows before its first call.

    Attributes:
        recipe: that of its lazy class.
        given: constructor arguments, by name.
        plain: whether these do not change, as far as that is known.
        journal: what was done to the instance, in order.
        stand_in: a bare module that holds what was attached meanwhile (hooks, attributes, submodules);
            made when first needed.
        handles: hook id -> the handle that the user holds, to be pointed at the real module.
        moved: whether a device was chosen before the first call.
        skeleton: what was told of the real module's parameters and submodules, if somebody asked.
        part: of a lazy instance that is only in the skeleton of another one: that one, and the path in it.
        serial: counts lazy instances, in the order of their construction.
        kin: shared with its deep copies: what the first of them to become real was made from.
        lock: held during the first call.
    """

    __slots__ = (
        "given",
        "handles",
        "journal",
        "kin",
        "lock",
        "moved",
        "part",
        "plain",
        "recipe",
        "serial",
        "skeleton",
        "stand_in",
    )

    def __init__(self, recipe: Recipe, given: dict[str, Any], plain: bool = False) -> None:
        self.recipe = recipe
        self.given = given
        self.plain = plain
        self.journal: list[Entry] = []
        self.stand_in: nn.Module | None = None
        self.handles: dict[int, RemovableHandle] = {}
        self.moved = False
        self.skeleton: Skeleton | None = None
        self.part: tuple[Pending, str] | None = None
        self.kin: dict[str, Any] | None = None
        self.serial = next(_serials)
        self.lock = _Lock()

    def copy(self, duplicate: Callable[[Any], Any]) -> Pending:
        """A copy with its own lock; nobody holds handles on its hooks."""
        twin = Pending(self.recipe, duplicate(self.given))
        journal = [entry if self.still_registered(entry) else replace(entry, removed=True) for entry in self.journal]
        told = self.handed_out()
        twin.journal, twin.stand_in, copies = duplicate((journal, self.stand_in, told))
        twin.moved = self.moved
        if told is not None:
            twin.skeleton = Skeleton(copies, len(journal))
        return twin

    def attached(self) -> nn.Module:
        if self.stand_in is None:
            self.stand_in = nn.Module()
        return self.stand_in

    def told(self, module: nn.Module) -> Skeleton | None:
        """What can be told of the real module that `module`, whose state this is, will be; None if it just became so.

        Raises:
            NotMaterializedError: if that depends on what only the call tells.
        """
        with self.lock:
            if waiting(module) is not self:  # while this thread waited
                return None
            if self.skeleton is None or self.skeleton.root is None:
                skeleton = self.skeleton = self.skeleton or Skeleton()
                skeleton.tell(self.recipe, self.given, self.journal, module)
                self.take(skeleton)
            return self.skeleton

    def take(self, skeleton: Skeleton) -> None:
        """From now on `skeleton` tells of this instance, and what is done to its parts is recorded here."""
        self.skeleton = skeleton
        skeleton.record, skeleton.handles = self.record, self.handles
        for path, part in skeleton.parts():
            if not isinstance(part, Part):
                inner: Pending = vars(part)[PENDING]
                inner.part = (self, path)
                inner.attached()
                if inner.skeleton is None and (told := skeleton.cut(path, len(inner.journal))) is not None:
                    inner.skeleton = told
                    told.belong(part)

    def handed_out(self) -> dict[str, tuple[Any, bool]] | None:
        """What a copy is made from, if anything: placeholders, their `requires_grad` apart from what users chose."""
        if self.skeleton is None:
            return None
        told = {path: (each, each.expected) for path, each in self.skeleton.placeholders.items()}
        for path, part in self.skeleton.parts():
            inside = None if isinstance(part, Part) else vars(part)[PENDING].handed_out()
            told.update({f"{path}.{name}": each for name, each in (inside or {}).items()})
        return told

    def record(self, entry: Entry, handle: RemovableHandle | None = None) -> None:
        """Note what was done: here, and where this instance is a part of another one, there too."""
        self.journal.append(entry)
        if handle is not None and entry.hook is not None:
            self.handles[entry.hook] = handle
        if self.skeleton is not None and not entry.path:
            self.skeleton.follow(entry)
        if self.part is not None:
            whole, path = self.part
            whole.record(replace(entry, path=f"{path}.{entry.path}" if entry.path else path), handle)

    def still_registered(self, entry: Entry) -> bool:
        """False of a hook whose handle was used to remove it."""
        handle = None if entry.hook is None else self.handles.get(entry.hook)
        if handle is None or entry.removed:
            return not entry.removed
        hooks = handle.hooks_dict_ref()
        return hooks is not None and handle.id in hooks


def waiting(module: nn.Module) -> Pending | None:
    """What `module` knows while it is lazy, None once it is real."""
    return module.__dict__.get(PENDING)
