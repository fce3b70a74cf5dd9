"""Functions that bind the arguments of a call to the parameters of a signature. The module does not import torch."""

from __future__ import annotations

import builtins
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, cast

from lazify._recipe.signature_reading import POSITIONAL, VARIADIC, annotations_of

__all__ = [
    "NOT_GIVEN",
    "binder",
    "function_with_signature",
    "positional_binder",
    "required_after_defaults",
    "to_args_kwargs",
]


class _NotGiven:
    """The one object that stands for an argument that is left out.

    It is the default of every parameter of a binder, so that an omitted argument is told from one that equals the
    default. In the signature of a lazy class it is the default, shown as `?`, of a size that may be left out because
    the first call may determine it. To pass it is to leave the argument out.

    >>> NOT_GIVEN
    ?
    """

    def __repr__(self) -> str:
        return "?"

    def __reduce__(self) -> str:  # copies and pickles are the same object
        return "NOT_GIVEN"


NOT_GIVEN: Any = _NotGiven()


def _template() -> dict[str, Any]:
    """Function whose code object `_function` copies, each time with other parameters."""
    return locals()


#: Of the parameters in a code object, by kind.
_ORDER = (*POSITIONAL, Parameter.KEYWORD_ONLY, *VARIADIC)
_WITHOUT_VARIADIC = ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)


def binder(signature: Signature, name: str, optional: Iterable[str] = ()) -> Callable[..., dict[str, Any]]:
    """A function with this signature that returns its bound arguments.

    Python itself binds the arguments: a wrong call raises Python's own `TypeError`. Each default is replaced by
    `NOT_GIVEN`. The names in `optional` are additional keyword parameters. Where a required parameter follows one that
    may be left out, positional arguments that are just as many as the required ones are these, as in `range(stop)`.

    >>> def init(self, out_channels, *, bias=True): ...
    >>> bind = binder(inspect.signature(init), "Conv.__init__", optional=["in_channels"])
    >>> bind(None, 8, in_channels=3)
    {'self': None, 'out_channels': 8, 'bias': ?, 'in_channels': 3}
    >>> bind(None)
    Traceback (most recent call last):
    TypeError: Conv.__init__() missing 1 required positional argument: 'out_channels'
    """
    parameters = [p if p.default is p.empty else p.replace(default=NOT_GIVEN) for p in signature.parameters.values()]
    parameters += [Parameter(o, Parameter.KEYWORD_ONLY, default=NOT_GIVEN) for o in optional]
    late = required_after_defaults(parameters)
    if not late:
        return _function(parameters, name)
    bind = _function(parameters, name)
    by_keyword = [p.replace(kind=Parameter.KEYWORD_ONLY) if _has_default(p) else p for p in parameters]
    refuse = _function(by_keyword, name)
    required = [p.name for p in parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD and not _has_default(p)]

    def bind_and_check(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        __tracebackhide__ = True
        bound = bind(self, *args, **kwargs)
        if any(bound[each] is NOT_GIVEN for each in late):
            if len(missing := [each for each in required if each not in kwargs]) == len(args):  # as in `range(stop)`
                return bind(self, **dict(zip(missing, args, strict=True)), **kwargs)
            given = {each: value for each, value in bound.items() if value is not NOT_GIVEN}
            refuse(given.pop("self"), **given)  # raises Python's own error
        return bound

    return bind_and_check


def required_after_defaults(parameters: Iterable[Parameter]) -> list[str]:
    """Names of positional parameters without a default behind one with a default, which Python's syntax cannot say."""
    positional = [p for p in parameters if p.kind in POSITIONAL]
    first = next((place for place, p in enumerate(positional) if _has_default(p)), len(positional))
    return [p.name for p in positional[first:] if not _has_default(p)]


def _has_default(p: Parameter) -> bool:
    return p.default is not Parameter.empty


def function_with_signature(signature: Signature) -> Callable[..., dict[str, Any]]:
    """A function whose code, defaults, annotations and `__signature__` all agree with `signature`.

    >>> def init(self, *, bias=True): ...
    >>> copy = function_with_signature(inspect.signature(init))
    >>> inspect.signature(copy), copy.__code__.co_varnames, copy.__kwdefaults__
    (<Signature (self, *, bias=True)>, ('self', 'bias'), {'bias': True})
    """
    function: Any = _function(list(signature.parameters.values()), "__init__")
    function.__annotations__ = annotations_of(signature)
    function.__signature__ = signature
    return cast("Callable[..., dict[str, Any]]", function)


def positional_binder(names: Iterable[str]) -> Callable[..., dict[str, Any]]:
    """A function with the required parameters `names` that returns its arguments by name.

    >>> positional_binder(["out_channels", "bias"])(8, bias=False)
    {'out_channels': 8, 'bias': False}
    """
    return _function([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names], "positional_binder")


def _function(parameters: Sequence[Parameter], name: str) -> Callable[..., dict[str, Any]]:
    """A function with these parameters that returns its bound arguments."""
    parameters = sorted(parameters, key=lambda p: _ORDER.index(p.kind))
    kinds, names = [p.kind for p in parameters], tuple(p.name for p in parameters)
    positional = [p for p in parameters if p.kind in POSITIONAL]
    code = _template.__code__
    code = code.replace(
        co_name=name.rpartition(".")[2],
        co_argcount=len(positional),
        co_posonlyargcount=kinds.count(Parameter.POSITIONAL_ONLY),
        co_kwonlyargcount=kinds.count(Parameter.KEYWORD_ONLY),
        co_varnames=names,
        co_nlocals=len(names),
        co_flags=code.co_flags & _WITHOUT_VARIADIC
        | (inspect.CO_VARARGS if Parameter.VAR_POSITIONAL in kinds else 0)
        | (inspect.CO_VARKEYWORDS if Parameter.VAR_KEYWORD in kinds else 0),
    )
    late = required_after_defaults(positional)
    defaults = tuple(
        NOT_GIVEN if p.name in late else p.default for p in positional if p.name in late or _has_default(p)
    )
    names_in_reach = {"locals": locals, "__builtins__": builtins.__dict__}  # Dynamo looks for the second one
    function = types.FunctionType(code, names_in_reach, name, defaults or None)
    function.__qualname__ = name
    keyword_only = [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
    function.__kwdefaults__ = {p.name: p.default for p in keyword_only if _has_default(p)} or None
    return function


def to_args_kwargs(signature: Signature, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The `(args, kwargs)` that pass `arguments`, a mapping by parameter name, to a function with this signature.

    Arguments are passed by keyword wherever the signature allows it.

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
    """Parameters to pass by position: all before a non-empty `*args`, else the positional-only up to the last given."""
    positional = [p for p in signature.parameters.values() if p.kind in POSITIONAL]
    star = [p.name for p in signature.parameters.values() if p.kind is Parameter.VAR_POSITIONAL]
    if star and arguments.get(star[0]):
        return {p.name for p in positional}
    only = [p.name for p in positional if p.kind is Parameter.POSITIONAL_ONLY]
    last = max((place for place, name in enumerate(only) if name in arguments), default=-1)
    return set(only[: last + 1])
