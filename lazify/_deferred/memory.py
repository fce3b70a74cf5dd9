"""What is found out about a lazy class once it is in use. It stands on the class, beside the recipe, which is frozen.

first construction or call of its kind  ->  found, kept in the `Memory`  ->  later ones look it up
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MEMORY", "Memory", "memory_of"]

#: Class attribute of a lazy class that holds its memory.
MEMORY = "_lazify_memory"


@dataclass(frozen=True, eq=False)
class Memory:
    """The caches of one lazy class. No table of all classes: what they hold may refer to the class, and keep it alive.

    Attributes:
        binders: fast functions that bind the arguments of a construction, by its number of positional arguments and
            its keywords.
        templates: templates of previews, by constructor arguments.
        solutions: values that a search found, by constructor arguments and shapes of the call.
    """

    binders: dict[tuple[int | str, ...], Callable[..., dict[str, Any]]] = field(default_factory=dict)
    templates: dict[Any, Any] = field(default_factory=dict)
    solutions: dict[Any, dict[str, Any]] = field(default_factory=dict)


def memory_of(lazy: type) -> Memory:
    """The memory of a lazy class."""
    memory: Memory = getattr(lazy, MEMORY)
    return memory
