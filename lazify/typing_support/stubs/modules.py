"""An imported module and its source: the source file, the syntax tree, the lazy classes."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

from torch import nn

from lazify._lazy_class.constructor import RECIPE
from lazify.errors import LazifyError
from lazify.typing_support.stubs.syntax import stored_names

__all__ = ["lazy_classes", "source_file", "syntax_tree"]


def lazy_classes(module: ModuleType) -> dict[str, type[nn.Module]]:
    """The lazy classes that a module itself defines, by their names in the module.

    >>> import lazify.nn
    >>> lazy_classes(lazify.nn)["LazyLSTM"]
    <class 'lazify.nn.LazyLSTM'>
    """
    assigned = stored_names(syntax_tree(module))
    found = {}
    for name, value in vars(module).items():
        if not isinstance(value, type) or RECIPE not in vars(value):
            continue
        is_decorated = vars(value)[RECIPE].decorated
        if (value.__module__ == module.__name__) if is_decorated else name in assigned:
            found[name] = value
    return found


def source_file(module: ModuleType) -> Path:
    """The path of the module's `.py` file.

    Raises:
        LazifyError: if there is none.
    """
    file = Path(getattr(module, "__file__", None) or "")
    if file.suffix != ".py":
        raise LazifyError(f"there is no source of {module.__name__!r} to make a stub from")
    return file


def syntax_tree(module: ModuleType) -> ast.Module:
    """The syntax tree of the module's source.

    Raises:
        LazifyError: if there is no source.
    """
    return ast.parse(source_file(module).read_text(encoding="utf-8"))
