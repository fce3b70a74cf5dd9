"""Functions on syntax trees: names that statements bind, and functions and declarations as stubs have them."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

__all__ = [
    "ANY",
    "FUNCTIONS",
    "Function",
    "absolute_reexport",
    "argument_annotations",
    "assigned_targets",
    "assignments",
    "bound_names",
    "declaration",
    "decorator_names",
    "default_text",
    "expression",
    "function_stub",
    "overloads_only",
    "positional_arguments",
    "statement",
    "stored_names",
    "without_value",
]

ANY = "typing.Any"
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
#: Methods that return None, annotated or not.
METHODS_RETURNING_NONE = frozenset(
    "__init__ __init_subclass__ __post_init__ __setattr__ __delattr__ __setitem__ __delitem__".split()
)


def statement(text: str) -> ast.stmt:
    """The syntax tree of one statement."""
    return ast.parse(text).body[0]


def expression(text: str) -> ast.expr:
    """The syntax tree of one expression."""
    return ast.parse(text, mode="eval").body


def declaration(name: str, annotation: str) -> ast.stmt:
    """The statement `name: annotation`."""
    return statement(f"{name}: {annotation}")


# ---------------------------------------------------------------------------------------------
# Names


def stored_names(tree: ast.AST) -> list[str]:
    """The variables to which the code in `tree` assigns, functions, classes and imports left out.

    >>> stored_names(ast.parse("(a, b), c = d, e"))
    ['c', 'a', 'b']
    """
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def assigned_targets(node: ast.Assign) -> list[str]:
    """The variables to which an assignment assigns, with those in nested tuples behind the others of their target."""
    return [name for target in node.targets for name in stored_names(target)]


def bound_names(body: Iterable[ast.stmt]) -> set[str]:
    """The names that statements bind: variables, functions, classes and imports."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(each.asname or each.name).split(".")[0] for each in node.names}
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
        else:
            names.update(stored_names(node))
    return names


def assignments(method: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None, str]]:
    """Target, value and annotation of every assignment; `a, b = c, d` counts as two assignments."""
    for node in ast.walk(method):
        if isinstance(node, ast.AnnAssign):
            yield node.target, node.value, ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield from ((part, value, "") for part, value in _unpacked(target, node.value))


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Targets with their values; None for a value that unpacking takes from somewhere else than a display."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        yield target, value
        return
    values: list[ast.expr] = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
    same_length = len(values) == len(target.elts)
    yield from ((part, values[number] if same_length else None) for number, part in enumerate(target.elts))


# ---------------------------------------------------------------------------------------------
# Statements of a stub


def absolute_reexport(node: ast.Import | ast.ImportFrom, package: str) -> ast.Import | ast.ImportFrom:
    """An import in a module of `package` as stubs have it: `from package import name as name`.

    In a stub, only names imported with `as` can be imported from there. The import becomes absolute, because a stub
    in another folder does not have all modules of the package beside it.
    """
    if isinstance(node, ast.ImportFrom) and node.level:
        above = package.split(".")[: package.count(".") + 2 - node.level]
        node.module, node.level = ".".join([*above, *([node.module] if node.module else [])]), 0
    for alias in node.names:
        if alias.name != "*" and (isinstance(node, ast.ImportFrom) or "." not in alias.name):
            alias.asname = alias.asname or alias.name
    return node


def overloads_only(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements without the implementations of overloaded functions, which stubs do not have."""
    overloaded = set()
    for node in body:
        if isinstance(node, FUNCTIONS):
            if any(name.endswith("overload") for name in decorator_names(node)):
                overloaded.add(node.name)
            elif node.name in overloaded:
                continue
        yield node


def without_value(node: ast.AnnAssign) -> ast.AnnAssign:
    """An annotated assignment with `...` as its value, unless type checkers read the value.

    Type checkers read the values of type aliases, final variables and dataclass fields.
    """
    is_field = isinstance(node.value, ast.Call) and ast.unparse(node.value.func).endswith("field")
    is_alias_or_final = any(word in ast.unparse(node.annotation) for word in ("TypeAlias", "Final"))
    if node.value is not None and not is_field and not is_alias_or_final:
        node.value = ast.Constant(...)
    return node


# ---------------------------------------------------------------------------------------------
# Functions


def positional_arguments(function: Function) -> list[ast.arg]:
    """The parameters that can be passed by position, `*args` left out."""
    return [*function.args.posonlyargs, *function.args.args]


def argument_annotations(function: Function) -> dict[str, str]:
    """The annotated parameters, `*args` and `**kwargs` left out -> annotation."""
    arguments = [*positional_arguments(function), *function.args.kwonlyargs]
    return {each.arg: ast.unparse(each.annotation) for each in arguments if each.annotation is not None}


def decorator_names(function: Function) -> list[str]:
    """The decorators as written."""
    return [ast.unparse(each) for each in function.decorator_list]


def function_stub(node: Function, in_class: bool) -> Function:
    """A function without its body, annotated with `typing.Any` where the source has no annotation."""
    arguments = node.args
    positional = positional_arguments(node)
    bound = positional[:1] if in_class and "staticmethod" not in decorator_names(node) else []
    variadic = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    for each in (*positional, *arguments.kwonlyargs, *variadic):
        if each.annotation is None and each not in bound:
            each.annotation = expression(ANY)
    with_default = positional[-len(arguments.defaults) or len(positional) :]
    arguments.defaults = [_default(*pair) for pair in zip(with_default, arguments.defaults, strict=True)]
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    arguments.kw_defaults = [default and _default(each, default) for each, default in keywords]
    if node.returns is None:
        node.returns = expression("None" if node.name in METHODS_RETURNING_NONE else ANY)
    if isinstance(node, ast.AsyncFunctionDef) and any(isinstance(each, ast.Yield) for each in ast.walk(node)):
        node = ast.FunctionDef(**dict(ast.iter_fields(node)))  # a body without `yield` is no asynchronous generator
    node.body = [ast.Expr(ast.Constant(...))]
    return node


def _default(argument: ast.arg, default: ast.expr) -> ast.expr:
    try:
        value = ast.literal_eval(default)
    except ValueError:
        value = ...
    return expression(default_text(value, ast.unparse(argument.annotation) if argument.annotation is not None else ANY))


def default_text(value: Any, annotation: str) -> str:
    """The default of a parameter in a stub: a literal of one word that fits the annotation, else `...`.

    >>> default_text(3, "int"), default_text(None, "int"), default_text([], "list")
    ('3', '...', '...')
    """
    if value is None:
        return "None" if annotation == ANY or "None" in annotation or "Optional" in annotation else "..."
    is_literal = type(value) in (bool, int, str, float) and (type(value) is not float or math.isfinite(value))
    return repr(value) if is_literal else "..."
