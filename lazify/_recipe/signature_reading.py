"""Signatures of constructors and methods: how they are read, and how parameters are removed from them.

The module does not import torch. One `inspect.Signature` is the only description of a constructor: the signature that
users see, the function that binds a call and the arguments of the original constructor are all derived from it.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from typing_extensions import get_overloads

from lazify._recipe.keywords_read import keywords_read

__all__ = [
    "ANYTHING",
    "ORIGINAL_KEY",
    "POSITIONAL",
    "SELF",
    "VARIADIC",
    "OpenSignature",
    "RawText",
    "annotations_of",
    "call_signature",
    "constructor_signature",
    "method_signature",
    "original_function",
    "overloads_in_source",
    "without_parameters",
]

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
#: The attribute of a replaced method that holds the method of the undecorated class.
ORIGINAL_KEY = "_lazify_original"
SELF = Parameter("self", Parameter.POSITIONAL_ONLY)
ANYTHING = Signature([Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)])


class OpenSignature(Signature):
    """A signature in which a parameter without a default may follow one that may be left out: `(dim=?, heads)`.

    Python's syntax has no such functions, but a binder can be one.
    """

    def __init__(self, parameters: Any = None, *, return_annotation: Any = Signature.empty, **_: bool) -> None:
        unchecked: dict[str, Any] = {"__validate_parameters__": False}
        super().__init__(parameters, return_annotation=return_annotation, **unchecked)


class RawText(str):
    """Text that a `Signature` prints without quotes, as an annotation or a default."""

    __repr__ = str.__str__


# ---------------------------------------------------------------------------------------------
# Reading


def call_signature(function: Callable[..., Any]) -> Signature:
    """Signature of a method called on an instance, that is, without its first parameter.

    >>> def forward(self, x, *, mask=None): ...
    >>> call_signature(forward)
    <Signature (x, *, mask=None)>
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin without a text signature
        return ANYTHING
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].kind in POSITIONAL:
        parameters = parameters[1:]
    return signature.replace(parameters=parameters)


def method_signature(cls: type, name: str) -> Signature:
    """Signature of the method `name` called on an instance of `cls`. Static and class methods are supported.

    >>> class Doubling:
    ...     @staticmethod
    ...     def forward(x): ...
    >>> method_signature(Doubling, "forward")
    <Signature (x)>
    """
    if isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod)):
        return inspect.signature(getattr(cls, name))
    return call_signature(getattr(cls, name))


def constructor_signature(cls: type) -> Signature:
    """Signature of `cls(...)`, read from `__init__`.

    Where `__init__` only passes `*args` or `**kwargs` on to another `__init__`, the parameters of the other one stand
    in their place.

    >>> class Base:
    ...     def __init__(self, width, bias=True): ...
    >>> class Scaled(Base):
    ...     def __init__(self, scale=1.0, **kwargs):
    ...         super().__init__(**kwargs)
    >>> constructor_signature(Scaled)
    <Signature (scale=1.0, *, width, bias=True)>
    """
    return _read(getattr(cls, "__init__"), cls)


def original_function(function: Any) -> Any:
    """The method that `@lazify` replaced by `function`; `function` itself if it replaces none."""
    return getattr(function, ORIGINAL_KEY, function)


def _read(init: Callable[..., Any], cls: type) -> Signature:
    """Signature of one `__init__` found on `cls` or on one of its bases."""
    init = original_function(init)
    signature = _with_keywords_taken(call_signature(init), init)
    variadic = [p for p in signature.parameters.values() if p.kind in VARIADIC]
    if not variadic:
        return signature
    if len(variadic) == len(signature.parameters):
        marked = get_overloads(inspect.unwrap(init))
        if not marked and sys.version_info < (3, 11):
            marked = overloads_in_source(inspect.unwrap(init))
        if overloads := [call_signature(overload) for overload in marked]:
            return max(overloads, key=lambda each: len(each.parameters))
        if (inner := _decorated_init(init)) is not None:
            return _read(inner, cls)
    tree = _tree(inspect.unwrap(init))
    read, names_read = ([], set()) if tree is None else keywords_read(tree)
    added = [p for p in read if p.name not in signature.parameters]
    signature = signature.replace(parameters=sorted([*signature.parameters.values(), *added], key=lambda p: p.kind))
    passed = None if tree is None else _passes_on(tree, names_read)
    target = None if passed is None else _target(passed, init, cls)
    if passed is None or target is None:
        return signature
    return _merge(signature, passed, _resolved(_read(target, cls), target)) or signature


def _with_keywords_taken(signature: Signature, init: Callable[..., Any]) -> Signature:
    """Signature with the `**kwargs` of the code, where a `__signature__` that hides them was given to the function.

    fastcore's `delegates` does so. (What passes any arguments on, as decorators do, stands for another function.)
    """
    if not isinstance(init, types.FunctionType) or "__signature__" not in vars(init) or hasattr(init, "__wrapped__"):
        return signature
    code = init.__code__
    if not code.co_flags & inspect.CO_VARKEYWORDS or code.co_flags & inspect.CO_VARARGS:
        return signature
    taken = Parameter(code.co_varnames[code.co_argcount + code.co_kwonlyargcount], Parameter.VAR_KEYWORD)
    has_keywords = any(each.kind is Parameter.VAR_KEYWORD for each in signature.parameters.values())
    return signature if has_keywords else signature.replace(parameters=[*signature.parameters.values(), taken])


def overloads_in_source(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The `typing.overload` variants of a method, compiled from its source: Python records them only since 3.11."""
    module = sys.modules.get(function.__module__)
    try:
        body = ast.parse(inspect.getsource(module)).body  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        return []
    *classes, name = function.__qualname__.split(".")
    for each in classes:
        body = next((node.body for node in body if isinstance(node, ast.ClassDef) and node.name == each), [])
    found = []
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == name and _is_overload(node):
            node.decorator_list = []
            code = compile(ast.Module([node], []), "<overload>", "exec", annotations.compiler_flag)
            made: dict[str, Any] = {}
            exec(code, vars(module), made)
            made[name].__annotations__ = annotations_of(_resolved(inspect.signature(made[name]), function))
            found.append(made[name])
    return found


def _is_overload(node: ast.FunctionDef) -> bool:
    """Whether a function definition is decorated with `overload`."""
    return any(ast.unparse(each).rpartition(".")[2] == "overload" for each in node.decorator_list)


def _decorated_init(init: Callable[..., Any]) -> Callable[..., Any] | None:
    """The `__init__` in the closure of a decorator that does not use `functools.wraps`."""
    cells = getattr(init, "__closure__", None) or ()
    held = [cell.cell_contents for cell in cells if getattr(cell, "cell_contents", None) is not None]
    inits = [each for each in held if isinstance(each, types.FunctionType) and each.__name__ == "__init__"]
    return inits[0] if len(inits) == 1 else None


@dataclass(frozen=True)
class _PassedOn:
    """The call by which an `__init__` passes its variadic parameters on: `target(1, *args, k=2, **kwargs)`."""

    target: str  # "super", or the name of a class
    positional: int  # number of arguments before *args
    keywords: frozenset[str]  # names of arguments passed by keyword
    args: bool  # whether *args is passed on
    kwargs: bool  # whether **kwargs is passed on


def _tree(init: Callable[..., Any]) -> ast.FunctionDef | None:
    """The syntax tree of an `__init__`; None if there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    return tree if isinstance(tree, ast.FunctionDef) else None


def _passes_on(tree: ast.FunctionDef, read: set[int]) -> _PassedOn | None:
    """The `__init__` call that `*args` and `**kwargs` are passed to; None if they have uses that are not in `read`."""
    names = {a.arg for a in (tree.args.vararg, tree.args.kwarg) if a is not None}
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_init_call(n, names)]
    if len(calls) != 1:
        return None
    call = calls[0]
    starred = {a.value.id for a in call.args if isinstance(a, ast.Starred) and isinstance(a.value, ast.Name)}
    double = {k.value.id for k in call.keywords if k.arg is None and isinstance(k.value, ast.Name)}
    tested = {id(c) for n in ast.walk(tree) if isinstance(n, ast.Compare) for c in n.comparators} | read
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in names and id(n) not in tested]
    if len(uses) != len(starred | double) or (starred | double) != names:
        return None  # the body has other uses for them
    assert isinstance(call.func, ast.Attribute)
    explicit = sum(not isinstance(a, ast.Starred) for a in call.args)
    base = call.func.value
    is_super = isinstance(base, ast.Call)
    return _PassedOn(
        target="super" if is_super else ast.unparse(base),
        positional=explicit if is_super else explicit - 1,  # Base.__init__(self, ...)
        keywords=frozenset(k.arg for k in call.keywords if k.arg is not None),
        args=bool(starred),
        kwargs=bool(double),
    )


def _is_init_call(call: ast.Call, names: set[str]) -> bool:
    """Whether a call is `<something>.__init__(...)` and unpacks one of the variadic parameters `names`."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"):
        return False
    unpacked = [a.value for a in call.args if isinstance(a, ast.Starred)]
    unpacked += [k.value for k in call.keywords if k.arg is None]
    return any(isinstance(u, ast.Name) and u.id in names for u in unpacked)


def _target(passed: _PassedOn, init: Callable[..., Any], cls: type) -> Callable[..., Any] | None:
    """The `__init__` that `init`, a method of `cls` or of one of its bases, passes its arguments to."""
    if passed.target != "super":
        named = getattr(inspect.unwrap(init), "__globals__", {}).get(passed.target)
        return getattr(named, "__init__", None) if isinstance(named, type) else None
    mro = cls.__mro__
    own = [place for place, c in enumerate(mro) if original_function(c.__dict__.get("__init__")) is init]
    if not own:
        return None
    # the last class: `super()` refers to the class that defines `init`, not to a subclass that assigned it to itself
    after = (c.__dict__["__init__"] for c in mro[own[-1] + 1 :] if "__init__" in c.__dict__ and c is not object)
    return next(after, None)


def _resolved(signature: Signature, function: Callable[..., Any]) -> Signature:
    """Signature with each string annotation evaluated in the module that defines `function`."""
    namespace = getattr(inspect.unwrap(function), "__globals__", {})

    def resolve(annotation: Any) -> Any:
        if not isinstance(annotation, str):
            return annotation
        try:
            return eval(annotation, namespace)
        except Exception:  # a name imported only under TYPE_CHECKING
            return annotation

    return signature.replace(
        parameters=[p.replace(annotation=resolve(p.annotation)) for p in signature.parameters.values()]
    )


def _merge(own: Signature, passed: _PassedOn, parent: Signature) -> Signature | None:
    """Signature `own` with the parameters of `parent` in place of its `*args` and `**kwargs`; None if impossible."""
    mine = [p for p in own.parameters.values() if p.kind not in VARIADIC]
    taken = {*(p.name for p in mine), *passed.keywords}
    parents = list(parent.parameters.values())
    positional = [p for p in parents if p.kind in POSITIONAL]
    left = [p for p in parents if p not in positional[: passed.positional] and p.name not in taken]
    defaulted = any(p.default is not Parameter.empty for p in mine if p.kind in POSITIONAL)
    theirs = []
    for p in left:
        if not (passed.args if p.kind is Parameter.VAR_POSITIONAL else passed.kwargs or p.kind in POSITIONAL):
            continue
        if p.kind in POSITIONAL and not passed.args:
            p = p.replace(kind=Parameter.KEYWORD_ONLY)
        elif p.kind is Parameter.POSITIONAL_OR_KEYWORD and not passed.kwargs:
            p = p.replace(kind=Parameter.POSITIONAL_ONLY)
        elif p.kind in POSITIONAL and defaulted and p.default is Parameter.empty:
            p = p.replace(kind=Parameter.KEYWORD_ONLY)  # Python allows no required parameter after a default
        theirs.append(p)
    try:
        return own.replace(parameters=sorted(mine + theirs, key=lambda p: p.kind))
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------------
# Removing and adding parameters


def without_parameters(signature: Signature, drop: Iterable[str], add: Iterable[Parameter] = ()) -> Signature:
    """Signature without the parameters `drop`, with the additional keyword-only parameters `add`.

    >>> def init(in_channels, out_channels, *, bias=True): ...
    >>> without_parameters(inspect.signature(init), ["in_channels"])
    <Signature (out_channels, *, bias=True)>
    """
    dropped = set(drop)
    kept = [p for p in signature.parameters.values() if p.name not in dropped]
    return signature.replace(parameters=sorted([*kept, *add], key=lambda p: p.kind))


def annotations_of(signature: Signature) -> dict[str, Any]:
    """The `__annotations__` of a function with this signature.

    >>> def init(self, width: int) -> None: ...
    >>> sorted(annotations_of(inspect.signature(init)))
    ['return', 'width']
    """
    found = {p.name: p.annotation for p in signature.parameters.values() if p.annotation is not p.empty}
    returned = signature.return_annotation
    return found if returned is Signature.empty else {**found, "return": returned}
