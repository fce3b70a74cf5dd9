"""What code can reach: the names that functions of the user's packages look up, in which namespaces."""

from __future__ import annotations

import functools
import sys
from types import CodeType, ModuleType
from typing import Any

__all__ = ["is_users", "names_in", "namespaces_of"]

#: Packages whose code is not followed: what it keeps is its own affair.
_NOT_USERS = (
    frozenset({"torch", "torchgen", "functorch", "numpy", "scipy", "builtins", "lazify", "wrapt", "typing_extensions"})
    | sys.stdlib_module_names
)


def is_users(name: str | None) -> bool:
    """Whether a module of this name is the user's, or of a library that builds modules (timm, monai).

    >>> is_users("timm.layers"), is_users("torch.nn"), is_users("collections")
    (True, False, False)
    """
    return name is not None and name.partition(".")[0] not in _NOT_USERS


@functools.lru_cache(maxsize=8192)
def names_in(code: CodeType) -> tuple[str, ...]:
    """Names that a function looks up: globals and attributes, in what is defined inside it, too."""
    found = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(dict.fromkeys(names_in(constant)))
    return tuple(found)


def namespaces_of(function: Any) -> list[dict[str, Any]]:
    """Where a function looks names up: its module, and modules of the user's packages that it names."""
    here: dict[str, Any] = function.__globals__
    found = [here]
    for name in names_in(function.__code__):
        value = here.get(name)
        if isinstance(value, ModuleType) and is_users(value.__name__):
            found.append(vars(value))
    return found
