"""What a lazy instance knows before its first call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify.recipe import Recipe

__all__ = ["PENDING", "Entry", "Pending", "waiting"]

#: The one key that lazify adds to a lazy instance's `__dict__`.
PENDING = "_lazify_pending"


@dataclass
class Entry:
    """One thing done to a lazy instance, to be done again to the real module."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    hook: int | None = None  # id of the hook that it registered


class Pending:
    """What a lazy instance knows before its first call.

    Attributes:
        recipe: that of its lazy class.
        given: constructor arguments, by name.
        journal: what was done to the instance, in order.
        stand_in: a bare module that holds what was attached meanwhile (hooks, attributes, submodules);
            made when first needed.
        handles: hook id -> the handle that the user holds, to be pointed at the real module.
        moved: whether a device was chosen before the first call.
        lock: held during the first call.
    """

    __slots__ = ("given", "handles", "journal", "lock", "moved", "recipe", "stand_in")

    def __init__(self, recipe: Recipe, given: dict[str, Any]) -> None:
        self.recipe = recipe
        self.given = given
        self.journal: list[Entry] = []
        self.stand_in: nn.Module | None = None
        self.handles: dict[int, RemovableHandle] = {}
        self.moved = False
        self.lock = RLock()

    def copy(self, duplicate: Callable[[Any], Any]) -> Pending:
        """A copy with its own lock; nobody holds handles on its hooks."""
        twin = Pending(self.recipe, duplicate(self.given))
        twin.journal, twin.stand_in = duplicate((self.journal, self.stand_in))
        twin.moved = self.moved
        return twin

    def attached(self) -> nn.Module:
        if self.stand_in is None:
            self.stand_in = nn.Module()
        return self.stand_in


def waiting(module: nn.Module) -> Pending | None:
    """What `module` knows while it is lazy, None once it is real."""
    return module.__dict__.get(PENDING)
