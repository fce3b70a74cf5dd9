"""The recipe: everything about a lazy class that does not depend on an instance. Frozen, made once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from inspect import Parameter, Signature
from typing import Any, TypeAlias

from torch import nn

from lazify._recipe.naming_conventions import conventional, guess_parameters
from lazify._recipe.rules import Axis, Computed, Rule, Unknown
from lazify._recipe.signature_reading import (
    ANYTHING,
    POSITIONAL,
    SELF,
    VARIADIC,
    binder,
    constructor_signature,
    method_signature,
    original_function,
    to_args_kwargs,
    without_parameters,
)
from lazify._recipe.torch_nn_table import is_unmodified_torch_class, table_row
from lazify._torch import COMPILED_CALL
from lazify.errors import DefinitionError, compose

__all__ = ["Exclude", "Recipe", "compile_recipe", "normalize_exclude"]

Exclude: TypeAlias = str | Iterable[str] | Mapping[str, Any] | None


@dataclass(frozen=True, eq=False, repr=False)
class Recipe:
    """How instances of one lazy class are constructed and what their first call determines.

    Attributes:
        wrapped: the class whose instance a lazy instance becomes.
        options: what the user asked for, hashable; with `wrapped` it identifies the recipe.
        init: the constructor of `wrapped`, unlazified.
        bare: what the `__dict__` of an instance is copied from, before its constructor; there is only room for a gate.
        signature: its parameters. `shown` are those of the lazy class.
        rules: inferred parameter -> rule, each after those it depends on.
        guessed: the inferred parameters whose rule is only what their name suggests, or unknown.
        added: constructor parameters that only rules read (`expansion_ratio`).
        forward: the parameters of `forward`.
        bind, bind_strictly, bind_forward: functions with those signatures that return what was bound.
        plain_init: whether all that is given and inferred can simply go to the constructor, by keyword.
        new: the `__new__` of a class that has its own.
        metaclass_call: the `__call__` of a metaclass that has its own.
        direct: name, dimension, and of how many at least, where the only rule is the size of a dimension of forward's
            first argument and nothing else is special about the class: its first calls go the short way.
        plain_call: whether arguments reach `forward` as they were passed.
        decorated: whether the class itself was rewritten.
        solved: what searches found: (given arguments, structure of the call) -> values. It grows.
        usual: number of positional arguments and names of the others -> a function that binds just these, if such a
            construction has passed `bind` and left something to infer. It grows, too.
    """

    wrapped: type[nn.Module]
    options: tuple[tuple[str, Any], ...] | None
    original_init: Callable[..., None]
    dict_template: dict[str, Any]
    original_signature: Signature
    signature_with_self: Signature
    rules: Mapping[str, Rule]
    guessed: frozenset[str]
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
    solutions: dict[Any, dict[str, Any]] = field(default_factory=dict)
    binders_by_call_shape: dict[tuple[int | str, ...], Callable[..., dict[str, Any]]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a lazy instance is called."""
        return f"Lazy{self.wrapped.__name__}"

    @property
    def display_name(self) -> str:
        """The name under which a user calls the lazy class: a decorated class keeps its own."""
        return self.wrapped.__name__ if self.decorated else self.name

    @property
    def signature(self) -> Signature:
        """What a call of the lazy class takes."""
        return Signature([p for name, p in self.signature_with_self.parameters.items() if name != SELF.name])

    def to_args_kwargs(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The `(args, kwargs)` for the constructor of the wrapped class."""
        return to_args_kwargs(
            self.original_signature, {n: value for n, value in arguments.items() if n not in self.extra_parameters}
        )


# ---------------------------------------------------------------------------------------------
# What the user asked for


def normalize_exclude(exclude: Exclude) -> tuple[tuple[str, Any], ...] | None:
    """`exclude` in its one hashable form: pairs of name and rule, `None` for a name alone.

    >>> normalize_exclude("in_channels"), normalize_exclude({"dim": 3})
    Traceback (most recent call last):
    lazify.errors.DefinitionError: the rule for 'dim' is 3
    ...
    """
    if exclude is None:
        return None
    if isinstance(exclude, str):
        return ((exclude, None),)
    if isinstance(exclude, Mapping):
        pairs = tuple(exclude.items())
    else:
        try:
            pairs = tuple((name, None) for name in exclude)
        except TypeError:
            raise DefinitionError(f"exclude takes names, or a mapping from names to rules, got {exclude!r}") from None
    for name, rule in pairs:
        if not isinstance(name, str):
            raise DefinitionError(f"exclude takes the names of constructor parameters, got {name!r}")
        if rule is not None and not isinstance(rule, Axis) and not callable(rule):
            raise DefinitionError(
                compose(
                    f"the rule for {name!r} is {rule!r}",
                    [("a rule is", "axis(n), axis(n, of='forward_argument') or a function")],
                    f"exclude={{{name!r}: axis(1)}}",
                )
            )
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


# ---------------------------------------------------------------------------------------------
# From the class and the wish to the recipe


def compile_recipe(
    wrapped: type[nn.Module], options: tuple[tuple[str, Any], ...] | None, decorated: bool = False
) -> Recipe:
    """Read the class, choose the rules, check that they can work; every mistake surfaces here."""
    signature = constructor_signature(wrapped)
    original_new, original_metaclass_call = (
        original_function(wrapped.__new__),
        original_function(type(wrapped).__call__),
    )
    has_new, has_metaclass_call = original_new is not object.__new__, original_metaclass_call is not type.__call__
    # torch's own `forward` only says that there is none: the constructor may set one
    forward = ANYTHING if wrapped.forward is nn.Module.forward else method_signature(wrapped, "forward")
    chosen, guessed = choose_rules(wrapped, options, signature, forward)
    for name in chosen:
        _check_name(wrapped, name, signature)
    rules = {name: _as_rule(name, rule, wrapped) for name, rule in chosen.items()}
    extra_parameters = _added(rules, signature, forward)
    for name, rule in rules.items():
        _check_rule(wrapped, name, rule, forward)
    rules = _ordered(wrapped, rules)
    with_self = signature.replace(parameters=[SELF, *signature.parameters.values()])
    signature_with_self = without_parameters(with_self, rules, extra_parameters.values())
    optional = {
        name: p.replace(default=p.default if p.default is not p.empty else None) for name, p in extra_parameters.items()
    }
    named = f"{wrapped.__qualname__ if decorated else 'Lazy' + wrapped.__name__}.__init__"
    by_keyword = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    init_takes_keywords = not (decorated or extra_parameters or has_new or has_metaclass_call) and all(
        p.kind in by_keyword for p in signature.parameters.values()
    )
    call_is_default = wrapped.__call__ is nn.Module.__call__
    return Recipe(
        wrapped=wrapped,
        options=options,
        original_init=original_function(wrapped.__init__),
        dict_template=_dict_template(wrapped),
        original_signature=signature,
        signature_with_self=signature_with_self,
        rules=rules,
        guessed=frozenset(guessed),
        extra_parameters=extra_parameters,
        forward=forward,
        bind=binder(without_parameters(with_self, rules, optional.values()), named, optional=rules),
        bind_strictly=binder(signature_with_self, named, optional=rules),
        bind_forward=binder(_with_self(forward), getattr(wrapped.forward, "__qualname__", "forward")),
        init_takes_keywords=init_takes_keywords,
        original_new=original_new if has_new else None,
        original_metaclass_call=original_metaclass_call if has_metaclass_call else None,
        call_is_default=call_is_default,
        single_axis=_single_axis(rules, forward) if init_takes_keywords and call_is_default and not guessed else None,
        decorated=decorated,
    )


def _dict_template(wrapped: type[nn.Module]) -> dict[str, Any]:
    """A `__dict__` whose copies share their keys with all instances, as that of an eager module does.

    (With keys of its own, each convolution would take up a kilobyte more, for as long as it lives.)
    """
    try:
        state = {} if hasattr(wrapped, "__del__") else object.__new__(wrapped).__dict__
    except TypeError:  # abstract, or of a base written in C
        state = {}
    state[COMPILED_CALL] = None  # an empty one is copied to one with keys of its own
    return state


def _single_axis(rules: Mapping[str, Rule], forward: Signature) -> tuple[str, int, int] | None:
    first = next(iter(forward.parameters.values()), None)
    if first is None or first.kind not in POSITIONAL or len(rules) != 1:
        return None
    ((name, rule),) = rules.items()
    if not isinstance(rule, Axis) or rule.of not in (None, first.name):
        return None
    return name, rule.dim, max(rule.dim + 1, -rule.dim)


def _with_self(signature: Signature) -> Signature:
    return signature.replace(parameters=[SELF, *signature.parameters.values()])


def choose_rules(
    wrapped: type[nn.Module],
    options: tuple[tuple[str, Any], ...] | None,
    signature: Signature,
    forward: Signature,
) -> tuple[dict[str, Any], set[str]]:
    """Inferred parameter -> rule, by what was asked for, else by defaults, table, conventions.

    And the names whose rule nobody gave: conventions, and the table where the constructor is not torch's.
    """
    marked = {p.name: p.default for p in signature.parameters.values() if isinstance(p.default, Axis)}
    row = table_row(wrapped, forward.parameters)
    if options is not None or marked:
        chosen: dict[str, Any] = {**marked, **dict(options or ())}
    elif row is not None:
        chosen = {name: rule for name, rule in row.inferred.items() if _accepts(signature, name)}
    elif wrapped.__module__.startswith("torch.nn.modules."):
        chosen = {}  # the table has every class of torch.nn that has something to infer
    else:
        chosen = dict.fromkeys(guess_parameters(signature, forward.parameters))
    if not chosen:
        raise _nothing_to_infer(wrapped, signature)
    table = {} if row is None else {**row.inferred, **(row.named or {})}
    guessed = set()
    for name, rule in chosen.items():
        if rule is None or (row is not None and rule is row.inferred.get(name)):
            chosen[name] = table.get(name) or conventional(name, forward.parameters) or Unknown()
            if name not in table or not is_unmodified_torch_class(wrapped):
                guessed.add(name)
    return chosen, guessed


def _accepts(signature: Signature, name: str) -> bool:
    has_kwargs = any(p.kind is Parameter.VAR_KEYWORD for p in signature.parameters.values())
    return has_kwargs or (name in signature.parameters and signature.parameters[name].kind not in VARIADIC)


def _check_name(wrapped: type, name: str, signature: Signature) -> None:
    if _accepts(signature, name):
        return
    raise DefinitionError(
        compose(
            f"{wrapped.__name__} has no constructor parameter {name!r}",
            [("constructor", f"{wrapped.__name__}{signature}")],
            f"lazify({wrapped.__name__}, exclude=[...])  # one or more of the names above",
        )
    )


def _nothing_to_infer(wrapped: type, signature: Signature) -> DefinitionError:
    return DefinitionError(
        compose(
            f"no parameter of {wrapped.__name__} is known to follow from its input",
            [("constructor", f"{wrapped.__name__}{signature}")],
            f"lazify({wrapped.__name__}, exclude=['...'])  # name those that the input determines",
        )
    )


def _as_rule(name: str, rule: Any, wrapped: type) -> Rule:
    if isinstance(rule, (Axis, Computed, Unknown)):
        return rule
    try:
        return Computed(rule, inspect.signature(rule))
    except (TypeError, ValueError):
        raise DefinitionError(
            compose(
                f"the rule for {name!r} of {wrapped.__name__} has no signature, so its arguments have no names",
                [("rule", repr(rule))],
                f"exclude={{{name!r}: lambda x: ...}}  # x: an argument of forward or of the constructor",
            )
        ) from None


def _added(rules: Mapping[str, Rule], signature: Signature, forward: Signature) -> dict[str, Parameter]:
    """What rules ask for by a name that neither `forward` nor the constructor has."""
    extra_parameters: dict[str, Parameter] = {}
    for rule in rules.values():
        for p in rule.signature.parameters.values() if isinstance(rule, Computed) else ():
            if p.kind in VARIADIC or p.name in forward.parameters or p.name in signature.parameters:
                continue
            if p.name == "self":
                raise DefinitionError("a rule cannot ask for 'self': there is no module before its values are known")
            if p.name not in rules and (p.name not in extra_parameters or extra_parameters[p.name].default is p.empty):
                extra_parameters[p.name] = p.replace(kind=Parameter.KEYWORD_ONLY)
    return extra_parameters


def _check_rule(wrapped: type, name: str, rule: Rule, forward: Signature) -> None:
    """A rule that names an argument of `forward` must name one that exists."""
    if not isinstance(rule, Axis) or rule.of is None or rule.of in forward.parameters:
        return
    if any(p.kind is Parameter.VAR_KEYWORD for p in forward.parameters.values()):
        return
    raise DefinitionError(
        compose(
            f"the rule {rule} for {name!r} looks at an argument that forward does not have",
            [("forward", f"{wrapped.__name__}.forward{forward}")],
            f"exclude={{{name!r}: axis({rule.dim}, of=...)}}  # one of the names above",
        )
    )


def _ordered(wrapped: type, rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """The rules, each after those whose values it reads."""
    needs = {
        name: [p for p in rule.signature.parameters if p in rules] if isinstance(rule, Computed) else []
        for name, rule in rules.items()
    }
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise DefinitionError(
            compose(
                f"the rules of {wrapped.__name__} need each other's values: {cycle}",
                [(name, str(rules[name])) for name in dict.fromkeys(error.args[1])],
                f"exclude={{{error.args[1][0]!r}: axis(1), ...}}  # one of them from the input",
            )
        ) from None
    return {name: rules[name] for name in order}
