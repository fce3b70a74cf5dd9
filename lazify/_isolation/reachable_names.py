"""What code can reach: the names that functions of the user's packages look up, in which namespaces."""

from __future__ import annotations

import dis
import functools
import sys
from types import CellType, CodeType, ModuleType
from typing import Any

__all__ = ["is_looked_into", "is_users", "names_in", "namespaces_of", "stored_in"]

#: Packages that run code, and that are named in it (`assert` in a test).
_RUNNERS = frozenset({"_pytest", "pytest", "pluggy", "hypothesis", "IPython", "ipykernel"})
#: Packages whose code is not followed: what it keeps is its own affair.
_NOT_USERS = (
    frozenset({"torch", "torchgen", "functorch", "numpy", "scipy", "builtins", "lazify", "wrapt", "typing_extensions"})
    | _RUNNERS
    | sys.stdlib_module_names
)


def is_users(name: Any) -> bool:
    """Whether a module of this name is the user's, or of a library that may build modules (timm, monai).

    >>> is_users("timm.layers"), is_users("torch.nn"), is_users("collections")
    (True, False, False)
    """
    if not isinstance(name, str):
        return False
    root = name.partition(".")[0]
    return root not in _NOT_USERS and root not in _large_without_torch(len(sys.modules))


#: An installed package of so many modules, none of which has torch (pandas, matplotlib), holds no part of a model.
LARGE_PACKAGE = 40


@functools.lru_cache(maxsize=8)
def _large_without_torch(_: int) -> frozenset[str]:
    """Such packages among the modules that are loaded; they change where the number of these does."""
    modules: dict[str, list[ModuleType]] = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType):
            modules.setdefault(name.partition(".")[0], []).append(module)
    large = {root: each for root, each in modules.items() if len(each) >= LARGE_PACKAGE and root not in _NOT_USERS}
    return frozenset(root for root, each in large.items() if _is_installed(root) and not any(map(_has_torch, each)))


def _is_installed(root: str) -> bool:
    places = [str(each) for each in getattr(sys.modules.get(root), "__path__", ())]
    return any("site-packages" in each or "dist-packages" in each for each in places)


def _has_torch(module: ModuleType) -> bool:
    return "torch" in vars(module)


#: Libraries of which no object is looked into, and the parts of torch of which objects are.
_OPAQUE = frozenset(
    """
    threading _thread concurrent asyncio multiprocessing importlib _frozen_importlib _frozen_importlib_external ctypes
    inspect typing types abc ast builtins lazify wrapt torchgen functorch typing_extensions
    """.split()
)
_OPEN_IN_TORCH = ("torch.optim", "torch.utils.data", "torch.distributions", "torch.amp", "torch.nn")


@functools.lru_cache(maxsize=4096)
def is_looked_into(name: Any) -> bool:
    """Whether what objects of a library's class hold belongs to who made them: queues, optimizers, loggers.

    >>> is_looked_into("torch.optim.sgd"), is_looked_into("collections"), is_looked_into("threading")
    (True, True, False)
    """
    root = str(name).partition(".")[0]
    return str(name).startswith(_OPEN_IN_TORCH) if root == "torch" else root not in _OPAQUE and root not in _RUNNERS


#: More functions, and those inside them, than one walk looks at: a smaller cache would forget each before its next use.
_CACHED_CODE = 2**16


@functools.lru_cache(maxsize=_CACHED_CODE)
def names_in(code: CodeType) -> tuple[str, ...]:
    """Names that a function looks up: globals and attributes, also by texts (`getattr`), in functions inside, too."""
    found = dict.fromkeys((*code.co_names, *code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.update(dict.fromkeys(names_in(constant)))
        elif isinstance(constant, str) and constant.isidentifier():
            found[constant] = None
    return tuple(found)


_STORING = frozenset({dis.opmap["STORE_ATTR"], dis.opmap["DELETE_ATTR"]})


@functools.lru_cache(maxsize=_CACHED_CODE)
def stored_in(code: CodeType) -> frozenset[str]:
    """Names of attributes that a function assigns, except those that a method assigns to its `self`."""
    found = set()
    before = None
    stores = not _STORING.isdisjoint(code.co_code[::2])  # to read all instructions takes a hundred times as long
    for instruction in dis.get_instructions(code) if stores else ():
        if instruction.opcode in _STORING and before != ("LOAD_FAST", "self"):
            found.add(instruction.argval)
        before = (instruction.opname.partition("_BORROW")[0], instruction.argval)
    if "setattr" in code.co_names or "patch" in code.co_names:
        found.update(each for each in code.co_consts if isinstance(each, str))
    return frozenset(found.union(*(stored_in(each) for each in code.co_consts if isinstance(each, CodeType))))


def namespaces_of(function: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Where a function looks names up: its module and modules of the user's packages that it names; those of others."""
    found: dict[int, dict[str, Any]] = {id(function.__globals__): function.__globals__}
    libraries: dict[int, dict[str, Any]] = {}
    todo: list[dict[str, Any]] = [function.__globals__, sys.modules, _cells(function)]  # `import` inside a function
    names = names_in(function.__code__)
    while todo:
        namespace = todo.pop()
        for name in names:
            value = namespace.get(name)
            if isinstance(value, ModuleType) and id(vars(value)) not in found and id(vars(value)) not in libraries:
                (found if is_users(value.__name__) else libraries)[id(vars(value))] = vars(value)
                todo.append(vars(value))
    return list(found.values()), list(libraries.values())


def _cells(function: Any) -> dict[str, Any]:
    """The modules that a function holds in its closure, by the names that they have there."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if _is_assigned(cell)}


def _is_assigned(cell: CellType) -> bool:
    try:
        return isinstance(cell.cell_contents, ModuleType)
    except ValueError:
        return False
