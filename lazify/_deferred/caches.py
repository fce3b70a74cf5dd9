"""The caches of a lazy class: they stand on the class, beside its recipe, which is frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CACHES", "Caches", "caches_of"]

#: Class attribute of a lazy class that holds its caches.
CACHES = "_lazify_caches"


@dataclass(frozen=True, eq=False)
class Caches:
    """What constructions, previews and first calls have found out about one lazy class, for later ones.

    (In a table of all classes it would keep the class alive, to which it may refer.)

    Attributes:
        binders: fast functions that bind the arguments of a construction, by its number of positional arguments and
            its keywords.
        templates: templates of previews, by constructor arguments.
        solutions: values that a search found, by constructor arguments and shapes of the call.
    """

    binders: dict[tuple[int | str, ...], Callable[..., dict[str, Any]]] = field(default_factory=dict)
    templates: dict[Any, Any] = field(default_factory=dict)
    solutions: dict[Any, dict[str, Any]] = field(default_factory=dict)

    def __reduce__(self) -> Any:
        """A class that is pickled by value takes no caches along."""
        return Caches, ()


def caches_of(lazy: type) -> Caches:
    """The caches of a lazy class."""
    caches: Caches = getattr(lazy, CACHES)
    return caches
