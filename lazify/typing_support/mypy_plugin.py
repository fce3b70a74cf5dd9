"""A plugin for mypy: the exact constructor of what `lazify` makes, for any `exclude` that is written out.

In the configuration of mypy:

    [tool.mypy]
    plugins = ["lazify.mypy"]

`LazyBlock = lazify(Block, exclude=["dim"])`  -> `LazyBlock` is called without `dim`, and gives a `Block`
`@lazify(exclude=["dim"])` over `class Block`  -> so is `Block`; for subclasses `super().__init__` is as written

A dropped argument may be passed by keyword, as at run time. See
https://mypy.readthedocs.io/en/stable/extending_mypy.html#extending-mypy-using-plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from inspect import Parameter, Signature
from typing import Any

from mypy import nodes
from mypy.nodes import ArgKind, Expression, FuncDef, TypeInfo
from mypy.plugin import ClassDefContext, FunctionContext, FunctionSigContext, Plugin
from mypy.types import (
    AnyType,
    CallableType,
    FunctionLike,
    Instance,
    Overloaded,
    Parameters,
    Type,
    TypeOfAny,
    get_proper_type,
)

from lazify.conventions import guess_parameters
from lazify.known import KNOWN

__all__ = ["plugin"]

LAZIFY, AXIS = "lazify.api.lazify", "lazify.rules.axis"
LAZY_CLASS = "lazify.typing_support.static_types.LazyClass"
#: Where a decorated class keeps what is dropped and added, in mypy's cache, too.
KEY = "lazify"

#: The table of known classes, by full names.
BY_NAME: Mapping[str, Iterable[str]] = {
    f"{cls.__module__}.{cls.__qualname__}": tuple(row.inferred) for cls, row in KNOWN.items()
}
KINDS = {
    ArgKind.ARG_POS: Parameter.POSITIONAL_OR_KEYWORD,
    ArgKind.ARG_OPT: Parameter.POSITIONAL_OR_KEYWORD,
    ArgKind.ARG_STAR: Parameter.VAR_POSITIONAL,
    ArgKind.ARG_NAMED: Parameter.KEYWORD_ONLY,
    ArgKind.ARG_NAMED_OPT: Parameter.KEYWORD_ONLY,
    ArgKind.ARG_STAR2: Parameter.VAR_KEYWORD,
}
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
#: A default that mypy's cache does not have.
UNREAD: Any = object()
UNKNOWN = AnyType(TypeOfAny.special_form)


def plugin(version: str) -> type[Plugin]:
    """What mypy calls to get the plugin; `version` is mypy's own."""
    return _Lazify


class _Lazify(Plugin):
    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return partial(_lazy_class, self._annotation) if fullname == LAZIFY else None

    def get_class_decorator_hook_2(self, fullname: str) -> Callable[[ClassDefContext], bool] | None:
        return _decorated if fullname == LAZIFY else None

    def get_function_signature_hook(self, fullname: str) -> Callable[[FunctionSigContext], FunctionLike] | None:
        symbol = self.lookup_fully_qualified(fullname) if "." in fullname else None
        wish = _wish_of(symbol.node) if symbol is not None and isinstance(symbol.node, TypeInfo) else None
        return None if wish is None else lambda context: wish.applied(context.default_signature, self._annotation)

    def _annotation(self, function: str, parameter: str) -> Type:
        """That of a parameter of a rule."""
        symbol = self.lookup_fully_qualified(function) if "." in function else None
        node = None if symbol is None else _function(symbol.node)
        declared = node.type if isinstance(node, FuncDef) else None
        if not isinstance(declared, CallableType) or parameter not in declared.arg_names:
            return UNKNOWN
        return declared.arg_types[declared.arg_names.index(parameter)]


# ---------------------------------------------------------------------------------------------
# What is dropped and added


@dataclass(frozen=True)
class Added:
    """A new keyword parameter, the function whose it is."""

    name: str
    required: bool
    function: str


@dataclass(frozen=True)
class Wish:
    """What leaves the signature, and what only rules read.

    Attributes:
        dropped: names.
        added: parameters.
        written: all names in order, those of positional-only parameters, too, which mypy does not keep.
        is_open: whether there is a rule whose parameters cannot be read: any keyword may be one.
    """

    dropped: tuple[str, ...]
    added: tuple[Added, ...] = ()
    written: tuple[str, ...] = ()
    is_open: bool = False

    def applied(self, constructor: CallableType, annotation: Callable[[str, str], Type]) -> CallableType:
        taken = [*zip(constructor.arg_types, constructor.arg_kinds, constructor.arg_names, strict=True)]
        written = self.written if len(self.written) == len(taken) else [None] * len(taken)
        names = [argument[2] or name for argument, name in zip(taken, written, strict=True)]
        rest = [argument for argument, name in zip(taken, names, strict=True) if name not in self.dropped]
        keywords = [argument for argument in rest if argument[1] == ArgKind.ARG_STAR2]
        if self.is_open and not keywords:
            keywords = [(UNKNOWN, ArgKind.ARG_STAR2, "rules")]
        now = [
            *(argument for argument in rest if argument[1] != ArgKind.ARG_STAR2),
            *((annotation(p.function, p.name), _named(p.required), p.name) for p in self.added),
            *((each[0], _named(False), name) for each, name in zip(taken, names, strict=True) if name in self.dropped),
            *keywords,
        ]
        return constructor.copy_modified(
            arg_types=[each[0] for each in now],
            arg_kinds=[each[1] for each in now],
            arg_names=[each[2] for each in now],
        )


def _named(required: bool) -> ArgKind:
    return ArgKind.ARG_NAMED if required else ArgKind.ARG_NAMED_OPT


def _wish_of(cls: TypeInfo) -> Wish | None:
    """That of the decorated class whose constructor `cls` has, if it is one."""
    for base in cls.mro:
        if KEY in base.metadata:
            stored = base.metadata[KEY]
            added = tuple(Added(**each) for each in stored["added"])
            return Wish(tuple(stored["dropped"]), added, tuple(stored["written"]), stored["is_open"])
        if "__init__" in base.names:
            return None
    return None


def _wish(cls: TypeInfo, exclude: Expression | None, fail: Callable[[str], None]) -> Wish | None:
    """From the class and the `exclude` as written; None where that cannot be told."""
    is_later = "dataclass_tag" in cls.metadata and "__init__" not in cls.names  # a dataclass gets its constructor later
    constructor, forward = _fields(cls) if is_later else _signature(cls, "__init__"), _signature(cls, "forward")
    rules = _rules(exclude)
    if rules is None or cls.fallback_to_any:
        return None
    names = tuple(rules or _decided(cls, constructor, forward))
    unknown = [name for name in names if name not in constructor.parameters]
    if unknown and not any(p.kind in VARIADIC for p in constructor.parameters.values()):
        fail(
            f'"{cls.name}" has no constructor parameter {", ".join(map(repr, unknown))}; '
            f"it has {', '.join(constructor.parameters)}"
        )
        return None
    added = _added(rules, {*forward.parameters, *constructor.parameters})
    is_open = any(_parameters(rule) is None for rule in rules.values())
    return Wish(names, added, () if is_later else tuple(constructor.parameters), is_open) if names else None


def _added(rules: Mapping[str, Expression | None], known: set[str]) -> tuple[Added, ...]:
    """The parameters of rules that are neither arguments of `forward` nor of the constructor."""
    found = (
        Added(p.name, p.default is p.empty, rule.fullname if isinstance(rule, nodes.RefExpr) else "")
        for rule in rules.values()
        for p in _parameters(rule) or ()
        if p.kind not in VARIADIC
        if p.name not in known and p.name not in rules
    )
    return tuple({each.name: each for each in found}.values())


def _fields(cls: TypeInfo) -> Signature:
    """Of a dataclass, the names: what is annotated in it and in its bases."""
    variables = {
        name: symbol.node
        for base in reversed(cls.mro)
        for name, symbol in base.names.items()
        if "dataclass_tag" in base.metadata
    }
    names = [n for n, each in variables.items() if isinstance(each, nodes.Var) and not each.is_classvar]
    return Signature([Parameter(name, Parameter.KEYWORD_ONLY) for name in names])


def _decided(cls: TypeInfo, constructor: Signature, forward: Signature) -> Iterable[str]:
    """What lazify decides where nothing is named: rules as defaults, the table, conventions."""
    marked = [p.name for p in constructor.parameters.values() if p.default is AXIS]
    if marked:
        return marked
    for base in cls.mro:
        if base.fullname in BY_NAME:
            return [name for name in BY_NAME[base.fullname] if name in constructor.parameters]
    if any(p.default is UNREAD for p in constructor.parameters.values()):
        return []  # of a class from mypy's cache: a default may be a rule
    return guess_parameters(constructor, forward.parameters)


# ---------------------------------------------------------------------------------------------
# Reading what is written


def _rules(exclude: Expression | None) -> dict[str, Expression | None] | None:
    """Names and rules; empty where lazify decides, None where they are not written out."""
    if exclude is None or (isinstance(exclude, nodes.NameExpr) and exclude.fullname == "builtins.None"):
        return {}
    if isinstance(exclude, nodes.StrExpr):
        return {exclude.value: None}
    if isinstance(exclude, (nodes.ListExpr, nodes.TupleExpr, nodes.SetExpr)):
        pairs: list[tuple[Expression | None, Expression | None]] = [(item, None) for item in exclude.items]
    elif isinstance(exclude, nodes.DictExpr):
        pairs = list(exclude.items)
    else:
        return None
    names = [name.value for name, _ in pairs if isinstance(name, nodes.StrExpr)]
    return dict(zip(names, (rule for _, rule in pairs), strict=True)) if len(names) == len(pairs) else None


def _parameters(rule: Expression | None) -> Iterable[Parameter] | None:
    """Those of a rule; None of one that cannot be read: an object that can be called, a method, ..."""
    if rule is None or (isinstance(rule, nodes.CallExpr) and _is_axis(rule)):
        return []
    if isinstance(rule, nodes.LambdaExpr):
        return _read(rule).parameters.values()
    function = rule.node if isinstance(rule, nodes.RefExpr) else None
    return _read(function).parameters.values() if isinstance(function, FuncDef) and not function.info else None


def _is_axis(call: nodes.CallExpr) -> bool:
    return isinstance(call.callee, nodes.RefExpr) and call.callee.fullname == AXIS


def _function(node: Any) -> Any:
    return node.func if isinstance(node, nodes.Decorator) else node


def _signature(cls: TypeInfo, method: str) -> Signature:
    """Of a method as seen on an instance; of overloads the longest, as at run time."""
    symbol = cls.get(method)
    node = symbol.node if symbol is not None else None
    items = node.items if isinstance(node, nodes.OverloadedFuncDef) else [node]
    found = [_read(function) for function in map(_function, items) if isinstance(function, FuncDef)]
    longest = max(found, key=lambda each: len(each.parameters), default=Signature())
    return longest.replace(parameters=list(longest.parameters.values())[1:])


def _read(function: FuncDef | nodes.LambdaExpr) -> Signature:
    """What is written; of a function from mypy's cache, all but the defaults."""
    declared = function.type if isinstance(function.type, CallableType) else function.unanalyzed_type
    types: list[Any] = list(declared.arg_types) if isinstance(declared, CallableType) else []
    arguments: list[nodes.Argument] = getattr(function, "arguments", None) or []
    defaults = {argument.variable.name: argument.initializer for argument in arguments}
    names = [argument.variable.name for argument in arguments] or function.arg_names
    parameters = []
    for number, (name, kind) in enumerate(zip(names, function.arg_kinds, strict=True)):
        annotation = str(types[number]) if number < len(types) else Parameter.empty
        annotation = Parameter.empty if annotation == "Any" else annotation
        default = _value(defaults[name or ""]) if name in defaults else UNREAD
        default = default if kind.is_optional() else Parameter.empty
        parameters.append(Parameter(name or f"_{number}", KINDS[kind], default=default, annotation=annotation))
    return Signature(parameters, __validate_parameters__=False)


def _value(default: Expression | None) -> Any:
    """A default as conventions look at it: numbers, text, truth values, a rule."""
    if isinstance(default, (nodes.IntExpr, nodes.FloatExpr, nodes.StrExpr)):
        return default.value
    if isinstance(default, nodes.UnaryExpr) and default.op == "-" and isinstance(default.expr, nodes.IntExpr):
        return -default.expr.value
    if isinstance(default, nodes.NameExpr) and default.fullname in ("builtins.True", "builtins.False"):
        return default.fullname == "builtins.True"
    return AXIS if isinstance(default, nodes.CallExpr) and _is_axis(default) else None


# ---------------------------------------------------------------------------------------------
# The two forms


def _lazy_class(annotation: Callable[[str, str], Type], context: FunctionContext) -> Type:
    """Of `lazify(cls, ...)`: `LazyClass` with the exact parameters."""
    result = get_proper_type(context.default_return_type)
    if not isinstance(result, Instance) or result.type.fullname != LAZY_CLASS:
        return result
    given = dict(zip(context.callee_arg_names, context.args, strict=True))
    exclude = next(iter(given.get("exclude", ())), None)
    constructor = _one(get_proper_type(context.arg_types[0][0]))
    if constructor is None:
        return _unchecked(result)
    if not constructor.is_type_obj() or constructor.variables:  # of a generic class, mypy's own answer
        return result
    cls = constructor.type_object()

    def fail(message: str) -> None:
        with _seen_through_overloads(context.api):
            context.api.fail(message, exclude or context.context)

    wish = _wish(cls, exclude, fail)
    if wish is None:
        return _unchecked(result)
    new = wish.applied(constructor, annotation)
    return result.copy_modified(args=[result.args[0], Parameters(new.arg_types, new.arg_kinds, new.arg_names)])


def _one(constructor: Any) -> CallableType | None:
    """Of overloads the one that says something (torch's `RNN` has another that takes anything), if it is one."""
    items = constructor.items if isinstance(constructor, Overloaded) else [constructor]
    items = [each for each in items if isinstance(each, CallableType) and not all(map(_is_variadic, each.arg_kinds))]
    return items[0] if len(items) == 1 else None


def _is_variadic(kind: ArgKind) -> bool:
    return kind in (ArgKind.ARG_STAR, ArgKind.ARG_STAR2)


def _unchecked(result: Instance) -> Instance:
    anything = Parameters(
        [UNKNOWN, UNKNOWN], [ArgKind.ARG_STAR, ArgKind.ARG_STAR2], [None, None], is_ellipsis_args=True
    )
    return result.copy_modified(args=[result.args[0], anything])


@contextmanager
def _seen_through_overloads(api: Any) -> Iterator[None]:
    """An error reported while mypy tries the overloads of `lazify` would only make it try the next."""
    errors: Any = api.msg.errors
    watchers, errors._watchers = errors._watchers, []
    try:
        yield
    finally:
        errors._watchers = watchers


def _decorated(context: ClassDefContext) -> bool:
    """Of a decorated class: note what its constructor lost."""
    decorator = context.reason
    exclude: Expression | None = None
    if isinstance(decorator, nodes.CallExpr) and "exclude" in decorator.arg_names:
        exclude = decorator.args[decorator.arg_names.index("exclude")]
    wish = _wish(context.cls.info, exclude, lambda message: context.api.fail(message, exclude or decorator))
    if wish is not None:
        context.cls.info.metadata[KEY] = asdict(wish)
    return True
