"""The plugin's hooks: `lazify(cls, ...)` as a function, and `@lazify` as a decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from mypy import nodes
from mypy.nodes import ArgKind, FuncDef, TypeInfo
from mypy.plugin import ClassDefContext, FunctionContext, FunctionSigContext, MethodSigContext, Plugin
from mypy.types import CallableType, FunctionLike, Instance, Overloaded, Parameters, Type, get_proper_type

from lazify.typing_support.mypy_plugin.call_forms import as_called
from lazify.typing_support.mypy_plugin.reading import LazifyOptions, undecorated
from lazify.typing_support.mypy_plugin.signature_change import UNKNOWN_TYPE, RuleParameterType, SignatureChange

__all__ = ["plugin"]

LAZIFY = "lazify.api.lazify"
LAZY_CLASS = "lazify._lazy_class.static_types.LazyClass"


def plugin(version: str) -> type[Plugin]:
    """The entry point that mypy calls to get the plugin; `version` is mypy's own."""
    return _LazifyPlugin


class _LazifyPlugin(Plugin):
    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return partial(_lazy_class, self._rule_parameter_type) if fullname == LAZIFY else None

    def get_class_decorator_hook_2(self, fullname: str) -> Callable[[ClassDefContext], bool] | None:
        return _store_change if fullname == LAZIFY else None

    def get_function_signature_hook(self, fullname: str) -> Callable[[FunctionSigContext], FunctionLike] | None:
        symbol = self.lookup_fully_qualified(fullname) if "." in fullname else None
        if symbol is None or not isinstance(symbol.node, TypeInfo):
            return None
        change = SignatureChange.of_decorated(symbol.node)
        if change is None:
            return None
        return lambda context: as_called(
            change.apply(context.default_signature, self._rule_parameter_type), context.context
        )

    def get_method_signature_hook(self, fullname: str) -> Callable[[MethodSigContext], FunctionLike] | None:
        if fullname != f"{LAZY_CLASS}.__call__":
            return None
        return lambda context: as_called(context.default_signature, context.context)

    def _rule_parameter_type(self, function: str, parameter: str) -> Type:
        symbol = self.lookup_fully_qualified(function) if "." in function else None
        node = None if symbol is None else undecorated(symbol.node)
        declared = node.type if isinstance(node, FuncDef) else None
        if not isinstance(declared, CallableType) or parameter not in declared.arg_names:
            return UNKNOWN_TYPE
        return declared.arg_types[declared.arg_names.index(parameter)]


# ---------------------------------------------------------------------------------------------
# The function form


def _lazy_class(rule_parameter_type: RuleParameterType, context: FunctionContext) -> Type:
    """The type of `lazify(cls, ...)`: `LazyClass` with the exact parameters."""
    result = get_proper_type(context.default_return_type)
    if not isinstance(result, Instance) or result.type.fullname != LAZY_CLASS:
        return result
    arguments = zip(context.callee_arg_names, context.args, strict=True)
    options = LazifyOptions.of({name: given[0] for name, given in arguments if name and given})
    constructor = _only_meaningful_overload(get_proper_type(context.arg_types[0][0]))
    if constructor is None:
        return _with_any_parameters(result)
    if not constructor.is_type_obj() or constructor.variables:  # the constructor of a generic class stays as it is
        return result

    def report(message: str) -> None:
        with _errors_reported_despite_overloads(context.api):
            context.api.fail(message, options.exclude or context.context)

    change = SignatureChange.from_source(constructor.type_object(), options, report)
    if change is None:
        return _with_any_parameters(result)
    changed = change.apply(constructor, rule_parameter_type)
    return _with_parameters(result, Parameters(changed.arg_types, changed.arg_kinds, changed.arg_names))


def _only_meaningful_overload(constructor: Any) -> CallableType | None:
    """The constructor, or its one overload that does not take anything (torch's `RNN` has one that does)."""
    items = constructor.items if isinstance(constructor, Overloaded) else [constructor]
    items = [each for each in items if isinstance(each, CallableType) and not all(map(_is_variadic, each.arg_kinds))]
    return items[0] if len(items) == 1 else None


def _is_variadic(kind: ArgKind) -> bool:
    return kind in (ArgKind.ARG_STAR, ArgKind.ARG_STAR2)


def _with_any_parameters(lazy_class: Instance) -> Instance:
    kinds = [ArgKind.ARG_STAR, ArgKind.ARG_STAR2]
    any_parameters = Parameters([UNKNOWN_TYPE, UNKNOWN_TYPE], kinds, [None, None], is_ellipsis_args=True)
    return _with_parameters(lazy_class, any_parameters)


def _with_parameters(lazy_class: Instance, parameters: Parameters) -> Instance:
    return lazy_class.copy_modified(args=[lazy_class.args[0], parameters])


@contextmanager
def _errors_reported_despite_overloads(api: Any) -> Iterator[None]:
    """Report errors at once: mypy, while it tries the overloads of `lazify`, would take them for a mismatch."""
    errors: Any = api.msg.errors
    watchers, errors._watchers = errors._watchers, []
    try:
        yield
    finally:
        errors._watchers = watchers


# ---------------------------------------------------------------------------------------------
# The decorator form


def _store_change(context: ClassDefContext) -> bool:
    """Store with a decorated class what its constructor loses and gains."""
    decorator = context.reason
    written = decorator if isinstance(decorator, nodes.CallExpr) else None
    arguments = zip(written.arg_names, written.args, strict=True) if written else ()
    options = LazifyOptions.of({name: given for name, given in arguments if name})

    def report(message: str) -> None:
        context.api.fail(message, options.exclude or decorator)

    change = SignatureChange.from_source(context.cls.info, options, report)
    if change is not None:
        change.store(context.cls.info)
    return True
