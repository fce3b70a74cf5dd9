"""Keyword parameters that no signature shows: a constructor reads them from its `**kwargs` in its body.

The module does not import torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from inspect import Parameter

__all__ = ["keywords_read"]

#: What a construction may not come by.
_CONDITIONAL = (ast.IfExp, ast.BoolOp, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
#: Methods that change a dict by keys that are not its reader's.
_CHANGING = ("setdefault", "update", "clear", "popitem")


def keywords_read(tree: ast.FunctionDef) -> tuple[list[Parameter], set[int]]:
    """The keywords that every construction reads, and the ids of the names in the tree by which they are read.

    What is read under a condition, is asked for before (`"dim" in kwargs`) or has a default that is no literal is left
    out, and so is everything where the body changes its `**kwargs` otherwise.

    >>> tree = ast.parse("def __init__(self, **kw): self.dim, self.bias = kw['dim'], kw.pop('bias', True)").body[0]
    >>> [str(each) for each in keywords_read(tree)[0]]
    ['dim', 'bias=True']
    """
    if tree.args.kwarg is None:
        return [], set()
    kwargs, nodes = tree.args.kwarg.arg, list(ast.walk(tree))
    if any(_changes(node, kwargs) for node in nodes):
        return [], set()
    reads = [read for node in nodes if (read := _read(node, kwargs)) is not None]
    asked = {n.left.value for n in nodes if isinstance(n, ast.Compare) and isinstance(n.left, ast.Constant)}
    simple = [each for each in tree.body if isinstance(each, (ast.Assign, ast.AnnAssign, ast.Expr))]
    always = {id(node) for statement in simple for node in _unconditional(statement)}
    found: dict[str, Parameter] = {}
    for name, key, default in reads:
        if id(name) in always and key not in asked and default is not Ellipsis:
            found.setdefault(key, Parameter(key, Parameter.KEYWORD_ONLY, default=default))
    return list(found.values()), {id(name) for name, _, _ in reads}


def _read(node: ast.AST, kwargs: str) -> tuple[ast.Name, str, object] | None:
    """The name of the dict, the key and the default of one read; the Ellipsis for a default that is no literal."""
    default: object
    if isinstance(node, ast.Subscript):
        held, arguments, default = node.value, [node.slice], Parameter.empty
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
        held, arguments, default = node.func.value, node.args, None if node.func.attr == "get" else Parameter.empty
    else:
        return None
    key = arguments[0].value if arguments and isinstance(arguments[0], ast.Constant) else None
    if not (isinstance(held, ast.Name) and held.id == kwargs and isinstance(key, str) and key.isidentifier()):
        return None
    return held, key, default if len(arguments) == 1 else _literal(arguments[1])


def _literal(node: ast.expr) -> object:
    try:
        value: object = ast.literal_eval(node)
    except ValueError:
        return Ellipsis
    return value


def _changes(node: ast.AST, kwargs: str) -> bool:
    """Whether an expression writes to the dict `kwargs`, other than by taking keys out of it."""
    if isinstance(node, ast.Name):
        return node.id == kwargs and not isinstance(node.ctx, ast.Load)
    if not isinstance(node, (ast.Subscript, ast.Attribute)):
        return False
    if not (isinstance(node.value, ast.Name) and node.value.id == kwargs):
        return False
    return node.attr in _CHANGING if isinstance(node, ast.Attribute) else not isinstance(node.ctx, ast.Load)


def _unconditional(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below that are reached whenever this one is."""
    yield node
    if not isinstance(node, _CONDITIONAL):
        for child in ast.iter_child_nodes(node):
            yield from _unconditional(child)
