"""The statements that were executed when a module was imported: in the branches taken of `if`, `try` and `with`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from types import ModuleType

from lazify.typing_support.stubs.syntax import bound_names

__all__ = ["executed_statements"]


def executed_statements(body: Iterable[ast.stmt], module: ModuleType) -> Iterator[ast.stmt]:
    """The statements of `body` and of the branches that were taken in it.

    The branches for type checkers (`if TYPE_CHECKING:`) count as taken. Of `try`, the statements that bind names which
    the `try` branch does not bind come along from the handlers.
    """
    for node in body:
        if isinstance(node, ast.If):
            yield from executed_statements(node.body if _is_true(node.test, module) else node.orelse, module)
        elif isinstance(node, ast.Try):
            tried = executed_statements([*node.body, *node.orelse], module)
            succeeded = [each for each in tried if not _is_failed_import(each, module)]
            yield from succeeded
            handlers = (each for handler in node.handlers for each in handler.body)
            for each in executed_statements(handlers, module):
                if not bound_names([each]) & bound_names(succeeded):
                    yield each
        elif isinstance(node, ast.With):
            yield from executed_statements(node.body, module)
        else:
            yield node


def _is_failed_import(node: ast.stmt, module: ModuleType) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom)) and not bound_names([node]) <= {*vars(module), "*"}


def _is_true(test: ast.expr, module: ModuleType) -> bool:
    """The value of a condition, from the variables of the module; True where it cannot be evaluated without calls."""
    if any(isinstance(each, ast.Call) for each in ast.walk(test)):
        return True
    scope = {**vars(module), "TYPE_CHECKING": True}
    try:
        return bool(eval(compile(ast.Expression(test), "<condition>", "eval"), scope))
    except Exception:
        return True
