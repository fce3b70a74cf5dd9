"""The recipe of a lazy class: everything that does not depend on an instance. It is made once per class and frozen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from typing import Any

from torch import nn

from lazify._recipe.binding import NOT_GIVEN, binder, required_after_defaults, to_args_kwargs
from lazify._recipe.checking import Options, accepts, by_keyword, check_rules, nothing_to_infer
from lazify._recipe.naming_conventions import Sizes, any_size, conventional, sizes_of
from lazify._recipe.rules import Axis, Rule, Unknown
from lazify._recipe.signature_reading import (
    ANYTHING,
    POSITIONAL,
    SELF,
    OpenSignature,
    constructor_signature,
    method_signature,
    original_function,
    without_parameters,
)
from lazify._recipe.torch_nn_table import inherits_constructor, is_unmodified_torch_class, table_row
from lazify._torch import COMPILED_CALL

__all__ = ["Recipe", "compile_recipe"]


@dataclass(frozen=True, eq=False, repr=False)
class Recipe:
    """Description of one lazy class: how to construct an instance, and how to infer the missing arguments.

    Attributes:
        wrapped: the class of the module that a lazy instance becomes.
        options: the normalized `exclude`; with `wrapped` and `keyword_only` it identifies the recipe.
        keyword_only: whether the lazy class takes all its arguments by keyword.
        original_init: the `__init__` of `wrapped`, as it was before `@lazify` replaced it.
        dict_template: the `__dict__` of an instance before `original_init` runs, to be copied.
        original_signature: the parameters of `original_init`, without `self`.
        signature_with_self: the parameters of the lazy class, with `self`.
        rules: the rule of each inferred parameter; a rule follows those whose values it reads.
        guessed: the inferred parameters whose rule is unknown or only suggested by their name.
        optional: the inferred parameters that stay in the signature of the lazy class: what is given is taken, what is
            left out is inferred.
        defaulted: those of them with a default, which is taken unless the call refuses it.
        extra_parameters: parameters of the lazy class that only rules read (`expansion_ratio`).
        forward: the parameters of `forward`, without `self`.
        bind: function that binds the arguments of the lazy class. The inferred parameters are optional, and so are the
            extra parameters.
        bind_strictly: like `bind`, but extra parameters without a default are required.
        bind_forward: function that binds the arguments of `forward`.
        init_takes_keywords: whether an instance can be constructed by `original_init(**arguments)`: the class is not
            decorated, has no extra parameters, no `__new__` and no metaclass `__call__`, and its parameters are
            neither positional-only nor variadic.
        original_new: the `__new__` of `wrapped`, None if it is `object.__new__`.
        original_metaclass_call: the `__call__` of the metaclass of `wrapped`, None if it is `type.__call__`.
        call_is_default: whether `wrapped` has the `__call__` of `nn.Module`.
        single_axis: (parameter, dimension, least number of dimensions) if the only rule is the size of one dimension
            of the first argument of `forward`, and the class has nothing else that the fast path does not support.
        decorated: whether `@lazify` changed `wrapped` itself.
        lazy_classes: the lazy class, once it is made, for its name.
    """

    wrapped: type[nn.Module]
    options: Options
    keyword_only: bool
    original_init: Callable[..., None]
    dict_template: dict[str, Any]
    original_signature: Signature
    signature_with_self: Signature
    rules: Mapping[str, Rule]
    guessed: frozenset[str]
    optional: frozenset[str]
    defaulted: frozenset[str]
    extra_parameters: Mapping[str, Parameter]
    forward: Signature
    bind: Callable[..., dict[str, Any]]
    bind_strictly: Callable[..., dict[str, Any]]
    bind_forward: Callable[..., dict[str, Any]]
    init_takes_keywords: bool
    original_new: Callable[..., Any] | None
    original_metaclass_call: Callable[..., Any] | None
    call_is_default: bool
    single_axis: tuple[str, int, int] | None
    decorated: bool
    lazy_classes: list[type[nn.Module]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Class name of a lazy instance in its `repr`. Users may rename the class: `LazyExpand.__name__ = ...`."""
        return self.lazy_classes[0].__name__ if self.lazy_classes else f"Lazy{self.wrapped.__name__}"

    @property
    def display_name(self) -> str:
        """Class name by which users construct lazy instances: a decorated class keeps its own name."""
        return self.wrapped.__name__ if self.decorated else self.name

    @property
    def dropped(self) -> list[str]:
        """The inferred parameters that are not in the signature of the lazy class."""
        return [name for name in self.rules if name not in self.optional]

    def left_out(self, given: Mapping[str, Any]) -> list[str]:
        """The inferred parameters that are not given, without those that keep a default unless the call refuses it."""
        return [name for name in self.rules if name not in given and name not in self.defaulted]

    @property
    def signature(self) -> Signature:
        """Signature of a call of the lazy class."""
        kept = [p for name, p in self.signature_with_self.parameters.items() if name != SELF.name]
        return self.signature_with_self.replace(parameters=kept)

    def to_args_kwargs(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The `(args, kwargs)` for the constructor of the wrapped class."""
        if self.init_takes_keywords:
            return (), {name: arguments[name] for name in self.original_signature.parameters if name in arguments}
        return to_args_kwargs(
            self.original_signature, {n: value for n, value in arguments.items() if n not in self.extra_parameters}
        )


def compile_recipe(
    wrapped: type[nn.Module],
    options: Options,
    decorated: bool = False,
    keyword_only: bool = False,
    signature: Signature | None = None,
) -> Recipe:
    """Recipe for `wrapped`: reads its signatures (unless one is given), chooses the rules and checks them."""
    signature, forward = signature or constructor_signature(wrapped), _forward_signature(wrapped)
    sizes = choose_sizes(wrapped, options, signature, forward)
    chosen, guessed = choose_rules(wrapped, options, signature, forward, sizes)
    rules, extra_parameters = check_rules(wrapped, chosen, signature, forward)
    shown = _with_self(by_keyword(wrapped, signature) if keyword_only else signature)
    with_self, kept = with_optional(shown, sizes.optional), {*sizes.optional, *sizes.defaulted}
    dropped, init_name = [name for name in rules if name not in kept], f"{wrapped.__qualname__}.__init__"
    signature_with_self = without_parameters(with_self, dropped, extra_parameters.values())
    optional = [p.replace(default=None) if p.default is p.empty else p for p in extra_parameters.values()]
    init_takes_keywords = not decorated and not extra_parameters and _takes_keywords(wrapped, signature)
    return Recipe(
        wrapped=wrapped,
        options=options,
        keyword_only=keyword_only,
        original_signature=signature,
        signature_with_self=signature_with_self,
        rules=rules,
        guessed=frozenset(guessed),
        optional=frozenset(kept),
        defaulted=frozenset(sizes.defaulted),
        extra_parameters=extra_parameters,
        forward=forward,
        bind=binder(without_parameters(with_self, dropped, optional), init_name, optional=dropped),
        bind_strictly=binder(signature_with_self, init_name, optional=dropped),
        bind_forward=binder(_with_self(forward), getattr(wrapped.forward, "__qualname__", "forward")),
        init_takes_keywords=init_takes_keywords,
        single_axis=_single_axis(wrapped, rules, forward) if init_takes_keywords and not guessed else None,
        decorated=decorated,
        **_methods(wrapped),
    )


def _methods(wrapped: type[nn.Module]) -> dict[str, Any]:
    """The fields of a recipe that say how instances of the class itself are made and called."""
    return {
        "original_init": original_function(wrapped.__init__),
        "original_new": _original_new(wrapped),
        "original_metaclass_call": _original_metaclass_call(wrapped),
        "call_is_default": wrapped.__call__ is nn.Module.__call__,
        "dict_template": _dict_template(wrapped),
    }


def _forward_signature(wrapped: type[nn.Module]) -> Signature:
    """Signature of `forward`. A class without a `forward` accepts anything: its constructor may set one."""
    return ANYTHING if wrapped.forward is nn.Module.forward else method_signature(wrapped, "forward")


def _original_new(wrapped: type) -> Callable[..., Any] | None:
    """The undecorated `__new__` of `wrapped`, None if it is `object.__new__`."""
    new: Callable[..., Any] = original_function(wrapped.__new__)
    return None if new is object.__new__ else new


def _original_metaclass_call(wrapped: type) -> Callable[..., Any] | None:
    """The undecorated `__call__` of the metaclass of `wrapped`, None if it is `type.__call__`."""
    call: Callable[..., Any] = original_function(type(wrapped).__call__)
    return None if call is type.__call__ else call


def _takes_keywords(wrapped: type[nn.Module], signature: Signature) -> bool:
    """Whether `__init__` alone makes an instance, and every parameter can be passed by keyword."""
    by_keyword = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    is_type_call = _original_new(wrapped) is None and _original_metaclass_call(wrapped) is None
    return is_type_call and all(p.kind in by_keyword for p in signature.parameters.values())


def choose_sizes(wrapped: type[nn.Module], options: Options, signature: Signature, forward: Signature) -> Sizes:
    """The parameters that may be inferred: dropped from the signature, or to be left out by those who like to.

    The dropped ones are those in `options` and those with an `axis` as their default; without either, those in the
    table of torch.nn; without a row there, those whose names can mean nothing else.
    """
    marked = [p.name for p in signature.parameters.values() if isinstance(p.default, Axis)]
    if isinstance(options, tuple) or (marked and options is None):
        return Sizes(tuple(dict.fromkeys([*marked, *(name for name, _ in options or ())])))
    row = table_row(wrapped, forward.parameters)
    by_row = [] if row is None else [name for name in row.inferred if accepts(signature, name)]
    if options is ...:
        sizes = any_size(signature, forward.parameters)
    elif inherits_constructor(wrapped) or wrapped.__module__.startswith("torch.nn.modules."):
        return Sizes(tuple(by_row))  # a class of torch.nn without a row has no parameter to infer
    else:
        sizes = sizes_of(signature, forward.parameters)
    dropped = dict.fromkeys([*marked, *sizes.dropped, *(by_row if is_unmodified_torch_class(wrapped) else ())])
    return Sizes(
        tuple(dropped),
        tuple(name for name in sizes.optional if name not in dropped),
        tuple(name for name in sizes.defaulted if name not in dropped),
    )


def choose_rules(
    wrapped: type[nn.Module], options: Options, signature: Signature, forward: Signature, sizes: Sizes
) -> tuple[dict[str, Any], set[str]]:
    """Rules by inferred parameter, and the names of the parameters whose rule is a guess.

    A rule is a guess if it comes from naming conventions, or from the table for a class that overrides torch's
    constructor or `forward`.
    """
    names = (*sizes.dropped, *sizes.optional, *sizes.defaulted)
    if not names:
        raise nothing_to_infer(wrapped, options, signature)
    parameters, named = signature.parameters, dict(options) if isinstance(options, tuple) else {}
    row = table_row(wrapped, forward.parameters)
    table = {} if row is None else {**row.inferred, **(row.named or {})}
    chosen: dict[str, Any] = {}
    guessed = set()
    for name in names:
        default = parameters[name].default if name in parameters else None
        rule = named.get(name) or (default if isinstance(default, Axis) else None)
        if rule is None:
            rule = table.get(name) or conventional(name, forward.parameters) or Unknown()
            if name not in table or not is_unmodified_torch_class(wrapped):
                guessed.add(name)
        chosen[name] = rule
    return chosen, guessed


def with_optional(signature: Signature, names: Collection[str]) -> Signature:
    """Signature in which the parameters `names` may be left out: their default is shown as `?`.

    >>> def init(dim, heads): ...
    >>> import inspect
    >>> print(with_optional(inspect.signature(init), ["dim"]))
    (dim=?, heads)
    """
    if not names:
        return signature
    parameters = [p.replace(default=NOT_GIVEN) if p.name in names else p for p in signature.parameters.values()]
    kind = OpenSignature if required_after_defaults(parameters) else Signature
    return kind(parameters, return_annotation=signature.return_annotation)


def _dict_template(wrapped: type[nn.Module]) -> dict[str, Any]:
    """A `__dict__` to copy for each instance, with room for torch's compiled call.

    CPython lets the instances of a class share the keys of their `__dict__`. A copy of this dict keeps the shared keys;
    with keys of its own, each convolution would take about a kilobyte more memory.
    """
    try:
        state = {} if hasattr(wrapped, "__del__") else object.__new__(wrapped).__dict__
    except TypeError:  # an abstract class, or a base class written in C
        state = {}
    state[COMPILED_CALL] = None  # a copy of an empty dict would not share the keys
    return state


def _single_axis(
    wrapped: type[nn.Module], rules: Mapping[str, Rule], forward: Signature
) -> tuple[str, int, int] | None:
    """The value of `Recipe.single_axis` for a class without other special features."""
    first = next(iter(forward.parameters.values()), None)
    call_is_default = wrapped.__call__ is nn.Module.__call__
    if first is None or first.kind not in POSITIONAL or len(rules) != 1 or not call_is_default:
        return None
    ((name, rule),) = rules.items()
    if not isinstance(rule, Axis) or rule.of not in (None, first.name):
        return None
    return name, rule.dim, max(rule.dim + 1, -rule.dim)


def _with_self(signature: Signature) -> Signature:
    """Signature with `self` as an additional first parameter."""
    return signature.replace(parameters=[SELF, *signature.parameters.values()])
