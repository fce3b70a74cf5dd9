"""Reading mypy's syntax trees: the `exclude` of a call, signatures of methods and of rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from mypy import nodes
from mypy.nodes import ArgKind, Expression, FuncDef, TypeInfo
from mypy.types import CallableType

__all__ = [
    "AXIS",
    "DEFAULT_NOT_CACHED",
    "POSITIONAL",
    "LazifyOptions",
    "excluded",
    "method_signature",
    "rule_parameters",
    "undecorated",
]

#: The full name of the function `axis`, and the value of a default that is a call of `axis`.
AXIS = "lazify._recipe.rules.axis"
#: The value of a default in a signature from mypy's cache, which does not keep defaults.
DEFAULT_NOT_CACHED: Any = object()
#: The kinds of parameters that can be passed by position.
POSITIONAL = (ArgKind.ARG_POS, ArgKind.ARG_OPT)
PARAMETER_KINDS = {
    ArgKind.ARG_POS: Parameter.POSITIONAL_OR_KEYWORD,
    ArgKind.ARG_OPT: Parameter.POSITIONAL_OR_KEYWORD,
    ArgKind.ARG_STAR: Parameter.VAR_POSITIONAL,
    ArgKind.ARG_NAMED: Parameter.KEYWORD_ONLY,
    ArgKind.ARG_NAMED_OPT: Parameter.KEYWORD_ONLY,
    ArgKind.ARG_STAR2: Parameter.VAR_KEYWORD,
}


@dataclass(frozen=True)
class LazifyOptions:
    """The options written in a call of `lazify`.

    Attributes:
        exclude: the expression passed as `exclude`.
        keyword_only: the value of `keyword_only`; None if it is not written out.
    """

    exclude: Expression | None
    keyword_only: bool | None

    @classmethod
    def of(cls, arguments: Mapping[str, Expression]) -> LazifyOptions:
        """The options, from the arguments by keyword."""
        keyword_only = arguments.get("keyword_only")
        value = keyword_only is not None and _default_value(keyword_only)
        return cls(arguments.get("exclude"), value if isinstance(value, bool) else None)


def excluded(exclude: Expression | None) -> dict[str, Expression | None] | None:
    """Name of an excluded parameter -> rule, or None for a name without a rule.

    Returns:
        An empty dict if no names are given, None if the names are not written out.
    """
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
    rules = {name.value: rule for name, rule in pairs if isinstance(name, nodes.StrExpr)}
    return rules if all(isinstance(name, nodes.StrExpr) for name, _ in pairs) else None


def rule_parameters(rule: Expression | None) -> Iterable[Parameter] | None:
    """The parameters of a rule's function; None for a rule that cannot be read: a callable object, a method, ..."""
    if rule is None or (isinstance(rule, nodes.CallExpr) and _is_axis(rule)):
        return []
    if isinstance(rule, nodes.LambdaExpr):
        return _function_signature(rule).parameters.values()
    function = rule.node if isinstance(rule, nodes.RefExpr) else None
    if not isinstance(function, FuncDef) or function.info:
        return None
    return _function_signature(function).parameters.values()


def _is_axis(call: nodes.CallExpr) -> bool:
    return isinstance(call.callee, nodes.RefExpr) and call.callee.fullname == AXIS


def undecorated(node: Any) -> Any:
    """The function inside a decorated function; any other node as it is."""
    return node.func if isinstance(node, nodes.Decorator) else node


def method_signature(cls: TypeInfo, method: str) -> Signature:
    """The signature of a method as seen on an instance; of an overloaded method the longest, as at run time."""
    symbol = cls.get(method)
    node = symbol.node if symbol is not None else None
    items = node.items if isinstance(node, nodes.OverloadedFuncDef) else [node]
    overloads = [_function_signature(each) for each in map(undecorated, items) if isinstance(each, FuncDef)]
    longest = max(overloads, key=lambda each: len(each.parameters), default=Signature())
    return longest.replace(parameters=list(longest.parameters.values())[1:])


def _function_signature(function: FuncDef | nodes.LambdaExpr) -> Signature:
    """The signature of a function as written; without the defaults if the function comes from mypy's cache."""
    declared = function.type if isinstance(function.type, CallableType) else function.unanalyzed_type
    types: list[Any] = list(declared.arg_types) if isinstance(declared, CallableType) else []
    arguments: list[nodes.Argument] = getattr(function, "arguments", None) or []
    defaults = {argument.variable.name: argument.initializer for argument in arguments}
    names = [argument.variable.name for argument in arguments] or function.arg_names
    parameters = []
    for number, (name, kind) in enumerate(zip(names, function.arg_kinds, strict=True)):
        annotation = str(types[number]) if number < len(types) else Parameter.empty
        annotation = Parameter.empty if annotation == "Any" else annotation
        default = _default_value(defaults[name or ""]) if name in defaults else DEFAULT_NOT_CACHED
        default = default if kind.is_optional() else Parameter.empty
        parameters.append(
            Parameter(name or f"_{number}", PARAMETER_KINDS[kind], default=default, annotation=annotation)
        )
    return Signature(parameters, __validate_parameters__=False)


def _default_value(default: Expression | None) -> Any:
    """The value of a default if it is a number, text, a truth value or a call of `axis` (then `AXIS`), else None."""
    if isinstance(default, (nodes.IntExpr, nodes.FloatExpr, nodes.StrExpr)):
        return default.value
    if isinstance(default, nodes.UnaryExpr) and default.op == "-" and isinstance(default.expr, nodes.IntExpr):
        return -default.expr.value
    if isinstance(default, nodes.NameExpr) and default.fullname in ("builtins.True", "builtins.False"):
        return default.fullname == "builtins.True"
    return AXIS if isinstance(default, nodes.CallExpr) and _is_axis(default) else None
