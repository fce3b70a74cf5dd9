"""Modules of the user's that a trial run is the first to import: they are imported for real, and once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

from lazify._isolation.observers import in_trial, without_function_modes
from lazify._isolation.reachable_names import is_users
from lazify._isolation.snapshot import Snapshot
from lazify._torch import without_dispatch_modes

__all__ = ["imports_are_real"]


class _Finder:
    """Finds what the others find; what it finds runs outside of the trial run, which then leaves it alone."""

    def __init__(self, imported: Callable[[ModuleType], None]) -> None:
        self.imported = imported

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not in_trial() or not is_users(name):
            return None
        others = [each for each in sys.meta_path if not isinstance(each, _Finder)]
        found = (find(name, path, target) for each in others if (find := getattr(each, "find_spec", None)) is not None)
        spec: ModuleSpec | None = next((each for each in found if each is not None), None)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            vars(spec.loader)["exec_module"] = self._executing(spec.loader)
        return spec

    def _executing(self, loader: SourceFileLoader) -> Callable[[ModuleType], None]:
        def exec_module(module: ModuleType) -> None:
            del vars(loader)["exec_module"]
            with without_dispatch_modes(), without_function_modes():
                loader.exec_module(module)
                for finder in [each for each in sys.meta_path if isinstance(each, _Finder)]:  # of runs around this one
                    finder.imported(module)

        return exec_module


@contextmanager
def imports_are_real(snapshot: Snapshot) -> Iterator[None]:
    """While a trial run is under way, a module that it imports first is as if imported before, and is left alone."""
    finder: Any = _Finder(lambda module: snapshot.add(vars(module)))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
