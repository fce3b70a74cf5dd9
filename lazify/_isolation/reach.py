"""What code can reach: the names that functions of the user's packages look up, in which namespaces."""

from __future__ import annotations

import functools
import sys
from types import CellType, CodeType, ModuleType
from typing import Any

__all__ = ["is_users", "names_in", "namespaces_of"]

#: Packages whose code is not followed: what it keeps is its own affair.
_NOT_USERS = (
    frozenset({"torch", "torchgen", "functorch", "numpy", "scipy", "builtins", "lazify", "wrapt", "typing_extensions"})
    | sys.stdlib_module_names
)


def is_users(name: Any) -> bool:
    """Whether a module of this name is the user's, or of a library that builds modules (timm, monai).

    >>> is_users("timm.layers"), is_users("torch.nn"), is_users("collections")
    (True, False, False)
    """
    return isinstance(name, str) and name.partition(".")[0] not in _NOT_USERS


@functools.lru_cache(maxsize=8192)
def names_in(code: CodeType) -> tuple[str, ...]:
    """Names that a function looks up: globals and attributes, in what is defined inside it, too."""
    found = dict.fromkeys((*code.co_names, *code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(dict.fromkeys(names_in(constant)))
    return tuple(found)


def namespaces_of(function: Any) -> list[dict[str, Any]]:
    """Where a function looks names up: its module, and modules of the user's packages that it names."""
    found: dict[int, dict[str, Any]] = {id(function.__globals__): function.__globals__}
    todo: list[dict[str, Any]] = [function.__globals__, sys.modules, _cells(function)]  # `import` inside a function
    names = names_in(function.__code__)
    while todo:
        namespace = todo.pop()
        for name in names:
            value = namespace.get(name)
            if isinstance(value, ModuleType) and is_users(value.__name__) and id(vars(value)) not in found:
                found[id(vars(value))] = vars(value)
                todo.append(vars(value))
    return list(found.values())


def _cells(function: Any) -> dict[str, Any]:
    """The modules that a function holds in its closure, by the names that they have there."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if _is_assigned(cell)}


def _is_assigned(cell: CellType) -> bool:
    try:
        return isinstance(cell.cell_contents, ModuleType)
    except ValueError:
        return False
