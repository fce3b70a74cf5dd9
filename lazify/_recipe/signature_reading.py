"""Signatures in, signatures out: reading constructors, dropping parameters, binding calls.

Nothing here knows torch. One `inspect.Signature` is the sole truth: what is shown, what is bound and
what is handed to the constructor are all derived from it.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, cast

from typing_extensions import get_overloads

__all__ = [
    "ANYTHING",
    "NOT_GIVEN",
    "ORIGINAL_KEY",
    "POSITIONAL",
    "VARIADIC",
    "RawText",
    "annotations_of",
    "binder",
    "call_signature",
    "constructor_signature",
    "function_with_signature",
    "method_signature",
    "original_function",
    "overloads_in_source",
    "positional_binder",
    "to_args_kwargs",
    "without_parameters",
]

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
#: Where a rewritten function keeps the one it stands for.
ORIGINAL_KEY = "_lazify_original"
SELF = Parameter("self", Parameter.POSITIONAL_ONLY)
ANYTHING = Signature([Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)])


class RawText(str):
    """Text that a `Signature` shows as it is, without quotes."""

    __repr__ = str.__str__


class _NotGiven:
    """Default of every parameter of a binder: tells 'not passed' from 'passed its default'."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Any = _NotGiven()


# ---------------------------------------------------------------------------------------------
# Reading


def call_signature(function: Callable[..., Any]) -> Signature:
    """Signature of a method as seen on an instance, i.e. without its first parameter.

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
    """Signature of the method `name` as seen on an instance of `cls`, static and class methods included.

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
    """Signature of `cls(...)` as its `__init__` has it.

    A constructor that only passes `*args` or `**kwargs` on is followed to the one it passes them to.

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
    """The function that a decorated class had under this name before."""
    return getattr(function, ORIGINAL_KEY, function)


def _read(init: Callable[..., Any], cls: type) -> Signature:
    init = original_function(init)
    signature = call_signature(init)
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
    passed = _passes_on(inspect.unwrap(init))
    target = None if passed is None else _target(passed, init, cls)
    if passed is None or target is None:
        return signature
    return _merge(signature, passed, _resolved(_read(target, cls), target)) or signature


def overloads_in_source(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """What `typing.overload` marks in the source of a class; before 3.11 Python itself keeps nothing of it."""
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
    return any(ast.unparse(each).rpartition(".")[2] == "overload" for each in node.decorator_list)


def _decorated_init(init: Callable[..., Any]) -> Callable[..., Any] | None:
    """The `__init__` behind a decorator that forgot `functools.wraps`: the one in its closure."""
    cells = getattr(init, "__closure__", None) or ()
    held = [cell.cell_contents for cell in cells if getattr(cell, "cell_contents", None) is not None]
    inits = [each for each in held if isinstance(each, types.FunctionType) and each.__name__ == "__init__"]
    return inits[0] if len(inits) == 1 else None


@dataclass(frozen=True)
class _PassedOn:
    """How a constructor hands its variadic parameters to another: `target(1, *args, k=2, **kwargs)`."""

    target: str  # "super", or the name of a class
    positional: int  # arguments given before *args
    keywords: frozenset[str]  # given by name
    args: bool
    kwargs: bool


def _passes_on(init: Callable[..., Any]) -> _PassedOn | None:
    """Read the source: are `*args` / `**kwargs` used for nothing but one `__init__` call?"""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    names = {a.arg for a in (tree.args.vararg, tree.args.kwarg) if a is not None}
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_init_call(n, names)]
    if len(calls) != 1:
        return None
    call = calls[0]
    starred = {a.value.id for a in call.args if isinstance(a, ast.Starred) and isinstance(a.value, ast.Name)}
    double = {k.value.id for k in call.keywords if k.arg is None and isinstance(k.value, ast.Name)}
    tested = {id(c) for n in ast.walk(tree) if isinstance(n, ast.Compare) for c in n.comparators}
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in names and id(n) not in tested]
    if len(uses) != len(starred | double) or (starred | double) != names:
        return None  # popped, read or changed on the way: not merely passed on
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
    """`<something>.__init__(...)` with one of the variadic names unpacked in it."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"):
        return False
    unpacked = [a.value for a in call.args if isinstance(a, ast.Starred)]
    unpacked += [k.value for k in call.keywords if k.arg is None]
    return any(isinstance(u, ast.Name) and u.id in names for u in unpacked)


def _target(passed: _PassedOn, init: Callable[..., Any], cls: type) -> Callable[..., Any] | None:
    if passed.target != "super":
        named = getattr(inspect.unwrap(init), "__globals__", {}).get(passed.target)
        return getattr(named, "__init__", None) if isinstance(named, type) else None
    mro = cls.__mro__
    own = [place for place, c in enumerate(mro) if original_function(c.__dict__.get("__init__")) is init]
    if not own:
        return None
    # the last: `super()` means the class that wrote the function, whoever took it over by assignment
    after = (c.__dict__["__init__"] for c in mro[own[-1] + 1 :] if "__init__" in c.__dict__ and c is not object)
    return next(after, None)


def _resolved(signature: Signature, function: Callable[..., Any]) -> Signature:
    """Annotations written as text mean what they mean in the module that wrote them."""
    namespace = getattr(inspect.unwrap(function), "__globals__", {})

    def resolve(annotation: Any) -> Any:
        if not isinstance(annotation, str):
            return annotation
        try:
            return eval(annotation, namespace)
        except Exception:  # a name that exists for type checkers only
            return annotation

    return signature.replace(
        parameters=[p.replace(annotation=resolve(p.annotation)) for p in signature.parameters.values()]
    )


def _merge(own: Signature, passed: _PassedOn, parent: Signature) -> Signature | None:
    """`own` with the parameters of `parent` where its `*args` and `**kwargs` stood."""
    taken = set(own.parameters) | passed.keywords
    parents = list(parent.parameters.values())
    positional = [p for p in parents if p.kind in POSITIONAL]
    left = [p for p in parents if p not in positional[: passed.positional] and p.name not in taken]
    mine = [p for p in own.parameters.values() if p.kind not in VARIADIC]
    defaulted = any(p.default is not Parameter.empty for p in mine if p.kind in POSITIONAL)
    theirs = []
    for p in left:
        if p.kind is Parameter.VAR_POSITIONAL and not passed.args:
            continue
        if p.kind is Parameter.VAR_KEYWORD and not passed.kwargs:
            continue
        if p.kind is Parameter.KEYWORD_ONLY and not passed.kwargs:
            continue
        if p.kind in POSITIONAL and not passed.args:
            p = p.replace(kind=Parameter.KEYWORD_ONLY)
        elif p.kind is Parameter.POSITIONAL_OR_KEYWORD and not passed.kwargs:
            p = p.replace(kind=Parameter.POSITIONAL_ONLY)
        elif p.kind in POSITIONAL and defaulted and p.default is Parameter.empty:
            p = p.replace(kind=Parameter.KEYWORD_ONLY)  # would stand behind a default
        theirs.append(p)
    try:
        return own.replace(parameters=sorted(mine + theirs, key=lambda p: p.kind))
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------------
# Rewriting


def without_parameters(signature: Signature, drop: Iterable[str], add: Iterable[Parameter] = ()) -> Signature:
    """`signature` without the parameters `drop`, with the keyword-only parameters `add`.

    >>> def init(in_channels, out_channels, *, bias=True): ...
    >>> without_parameters(inspect.signature(init), ["in_channels"])
    <Signature (out_channels, *, bias=True)>
    """
    dropped = set(drop)
    kept = [p for p in signature.parameters.values() if p.name not in dropped]
    return signature.replace(parameters=sorted([*kept, *add], key=lambda p: p.kind))


def annotations_of(signature: Signature) -> dict[str, Any]:
    """What `__annotations__` of a function with this signature holds.

    >>> def init(self, width: int) -> None: ...
    >>> sorted(annotations_of(inspect.signature(init)))
    ['return', 'width']
    """
    found = {p.name: p.annotation for p in signature.parameters.values() if p.annotation is not p.empty}
    returned = signature.return_annotation
    return found if returned is Signature.empty else {**found, "return": returned}


# ---------------------------------------------------------------------------------------------
# Binding


def _template() -> dict[str, Any]:
    return locals()


_OPEN_FLAGS = ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)


def binder(signature: Signature, name: str, optional: Iterable[str] = ()) -> Callable[..., dict[str, Any]]:
    """A function with exactly this signature that returns its bound arguments.

    Python itself binds, so a wrong call fails in Python's own words, and at its speed. Defaults are
    replaced by `NOT_GIVEN`; the names in `optional` are accepted by keyword beside the signature.

    >>> def init(self, out_channels, *, bias=True): ...
    >>> bind = binder(inspect.signature(init), "Conv.__init__", optional=["in_channels"])
    >>> bind(None, 8, in_channels=3)
    {'self': None, 'out_channels': 8, 'bias': NOT_GIVEN, 'in_channels': 3}
    >>> bind(None)
    Traceback (most recent call last):
    TypeError: Conv.__init__() missing 1 required positional argument: 'out_channels'
    """
    parameters = [p if p.default is p.empty else p.replace(default=NOT_GIVEN) for p in signature.parameters.values()]
    parameters += [Parameter(o, Parameter.KEYWORD_ONLY, default=NOT_GIVEN) for o in optional]
    return _function(parameters, name)


def function_with_signature(signature: Signature) -> Callable[..., dict[str, Any]]:
    """A function that has this signature wherever one may look: in its code, its defaults, its annotations.

    >>> shown = function_with_signature(Signature([SELF, Parameter("bias", Parameter.KEYWORD_ONLY, default=True)]))
    >>> inspect.signature(shown), shown.__code__.co_varnames, shown.__kwdefaults__
    (<Signature (self, /, *, bias=True)>, ('self', 'bias'), {'bias': True})
    """
    function: Any = _function(list(signature.parameters.values()), "__init__")
    function.__annotations__ = annotations_of(signature)
    function.__signature__ = signature
    return cast("Callable[..., dict[str, Any]]", function)


def positional_binder(names: Iterable[str]) -> Callable[..., dict[str, Any]]:
    """A function that returns its arguments by these names, each passed in its place or by keyword.

    >>> positional_binder(["out_channels", "bias"])(8, bias=False)
    {'out_channels': 8, 'bias': False}
    """
    return _function([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names], "positional_binder")


def _function(parameters: Sequence[Parameter], name: str) -> Callable[..., dict[str, Any]]:
    """A function with these parameters that returns its bound arguments."""
    of_kind: dict[Any, list[Parameter]] = {kind: [] for kind in (*POSITIONAL, Parameter.KEYWORD_ONLY, *VARIADIC)}
    for p in parameters:
        of_kind[p.kind].append(p)
    positional = of_kind[Parameter.POSITIONAL_ONLY] + of_kind[Parameter.POSITIONAL_OR_KEYWORD]
    keyword = of_kind[Parameter.KEYWORD_ONLY]
    star, double = of_kind[Parameter.VAR_POSITIONAL], of_kind[Parameter.VAR_KEYWORD]
    names = tuple(p.name for p in positional + keyword + star + double)
    code = _template.__code__
    code = code.replace(
        co_name=name.rpartition(".")[2],
        co_argcount=len(positional),
        co_posonlyargcount=len(of_kind[Parameter.POSITIONAL_ONLY]),
        co_kwonlyargcount=len(keyword),
        co_varnames=names,
        co_nlocals=len(names),
        co_flags=code.co_flags & _OPEN_FLAGS
        | (inspect.CO_VARARGS if star else 0)
        | (inspect.CO_VARKEYWORDS if double else 0),
    )
    defaults = tuple(p.default for p in positional if p.default is not Parameter.empty) or None
    function = types.FunctionType(code, {"locals": locals}, name, defaults)
    function.__qualname__ = name
    function.__kwdefaults__ = {p.name: p.default for p in keyword if p.default is not Parameter.empty} or None
    return function


def to_args_kwargs(signature: Signature, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The `(args, kwargs)` that pass `arguments` (by parameter name) to a function of this signature.

    Everything goes by keyword unless the signature forbids it.

    >>> def init(first, *rest, bias=True, **options): ...
    >>> to_args_kwargs(inspect.signature(init), {"first": 1, "rest": (2, 3), "options": {"k": 4}})
    ((1, 2, 3), {'k': 4})
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    parameters = signature.parameters
    by_position = _by_position(signature, arguments)
    for name, p in parameters.items():
        if p.kind is Parameter.VAR_KEYWORD:
            kwargs.update(arguments.get(name, {}))
        elif p.kind is Parameter.VAR_POSITIONAL:
            args.extend(arguments.get(name, ()))
        elif name in by_position:
            args.append(arguments.get(name, p.default))
        elif name in arguments:
            kwargs[name] = arguments[name]
    kwargs.update((name, value) for name, value in arguments.items() if name not in parameters)  # for **kwargs
    return tuple(args), kwargs


def _by_position(signature: Signature, arguments: Mapping[str, Any]) -> set[str]:
    """The parameters to pass by position: all before `*args`, or the positional-only up to the last given."""
    positional = [p for p in signature.parameters.values() if p.kind in POSITIONAL]
    star = [p.name for p in signature.parameters.values() if p.kind is Parameter.VAR_POSITIONAL]
    if star and arguments.get(star[0]):
        return {p.name for p in positional}
    only = [p.name for p in positional if p.kind is Parameter.POSITIONAL_ONLY]
    last = max((place for place, name in enumerate(only) if name in arguments), default=-1)
    return set(only[: last + 1])
