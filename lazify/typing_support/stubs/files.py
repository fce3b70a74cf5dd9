"""Writing `.pyi` files: of a module, or of a package and its modules."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from lazify.errors import LazifyError, compose
from lazify.typing_support.stubs.modules import lazy_classes, source_file
from lazify.typing_support.stubs.statements import stub

__all__ = ["write"]


def write(name: str, directory: Path | None = None) -> list[Path]:
    """Write the stubs of a module, or of a package and all modules in it that have lazy classes.

    Args:
        name: the dotted name of the module, which is imported.
        directory: the folder to write to, with subfolders for packages and an `__init__.pyi` in each, without which
            type checkers ignore them. Left out: each stub is written beside its source.

    Returns:
        The paths of the files, sorted.

    Raises:
        LazifyError: if there are no lazy classes, or no source.
    """
    modules = {each.__name__: each for each in _module_tree(importlib.import_module(name)) if lazy_classes(each)}
    if not modules:
        raise LazifyError(compose(f"there are no lazy classes in {name!r}", fix="LazyBlock = lazify(Block)"))
    if directory is not None:
        modules = {package: importlib.import_module(package) for package in _packages_around(modules)} | modules
    written = []
    for module in modules.values():
        path = _stub_path(module, directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stub(module), encoding="utf-8")
        written.append(path)
    return sorted(written)


def _module_tree(module: ModuleType) -> Iterator[ModuleType]:
    """The module and, if it is a package, all modules in it."""
    yield module
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{module.__name__}."):
        if not found.name.endswith("__main__"):
            yield from _module_tree(importlib.import_module(found.name))


def _packages_around(names: Iterable[str]) -> set[str]:
    """The names of all packages that contain one of the modules.

    >>> sorted(_packages_around(["a.b.c", "a.d", "e"]))
    ['a', 'a.b']
    """
    parts = [name.split(".") for name in names]
    return {".".join(each[:end]) for each in parts for end in range(1, len(each))}


def _stub_path(module: ModuleType, directory: Path | None) -> Path:
    if directory is None:
        return source_file(module).with_suffix(".pyi")
    parts = [*module.__name__.split("."), *(["__init__"] if hasattr(module, "__path__") else [])]
    return directory.joinpath(*parts).with_suffix(".pyi")
