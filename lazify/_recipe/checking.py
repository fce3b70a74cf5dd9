"""Checks of the argument `exclude` and of the rules chosen for a class: every mistake raises a `DefinitionError`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from inspect import Parameter, Signature
from types import EllipsisType
from typing import Any, TypeAlias

from lazify._recipe.rules import Axis, Computed, Rule, Unknown
from lazify._recipe.signature_reading import VARIADIC
from lazify.errors import DefinitionError, compose

__all__ = ["Exclude", "Options", "accepts", "by_keyword", "check_rules", "normalize_exclude", "nothing_to_infer"]

Exclude: TypeAlias = str | Iterable[str] | Mapping[str, Any] | EllipsisType | None
#: The same, normalized: None where lazify decides, the Ellipsis for whatever is left out, else names and rules.
Options: TypeAlias = tuple[tuple[str, Any], ...] | EllipsisType | None


def normalize_exclude(exclude: Exclude) -> Options:
    """The argument `exclude` as a hashable, sorted tuple of pairs: name and rule, or name and None.

    >>> normalize_exclude("in_channels"), normalize_exclude({"dim": 3})
    Traceback (most recent call last):
    lazify.errors.DefinitionError: the rule for 'dim' is 3
    ...
    """
    if exclude is None or exclude is ...:
        return exclude
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


def check_rules(
    wrapped: type, chosen: Mapping[str, Any], signature: Signature, forward: Signature
) -> tuple[dict[str, Rule], dict[str, Parameter]]:
    """The rules for `wrapped`, sorted by dependency, and the extra keyword parameters that they read.

    Args:
        wrapped: the wrapped class.
        chosen: the rules by parameter, with functions as the user wrote them.
        signature: the parameters of the constructor.
        forward: the parameters of `forward`.
    """
    for name in chosen:
        _check_name(wrapped, name, signature)
    rules = {name: _as_rule(name, rule, wrapped) for name, rule in chosen.items()}
    extra_parameters = _extra_parameters(rules, signature, forward)
    for name, rule in rules.items():
        _check_rule(wrapped, name, rule, forward)
    return _ordered(wrapped, rules), extra_parameters


def accepts(signature: Signature, name: str) -> bool:
    """Whether a constructor with this signature takes an argument `name`, if need be in its `**kwargs`."""
    has_kwargs = any(p.kind is Parameter.VAR_KEYWORD for p in signature.parameters.values())
    return has_kwargs or (name in signature.parameters and signature.parameters[name].kind not in VARIADIC)


def by_keyword(wrapped: type, signature: Signature) -> Signature:
    """The signature with every parameter keyword-only.

    Raises:
        DefinitionError: if there are parameters that can only be passed by position.
    """
    parameters = list(signature.parameters.values())
    for p in parameters:
        if p.kind is Parameter.VAR_POSITIONAL:
            raise DefinitionError(
                compose(
                    f"keyword_only=True does not fit {wrapped.__name__}: *{p.name} takes arguments by position",
                    [("constructor", f"{wrapped.__name__}{signature}")],
                    f"lazify({wrapped.__name__}, exclude=[...])  # without keyword_only",
                )
            )
    return signature.replace(
        parameters=[p if p.kind is p.VAR_KEYWORD else p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
    )


def _check_name(wrapped: type, name: str, signature: Signature) -> None:
    """Raise if the constructor has no parameter `name`."""
    if accepts(signature, name):
        return
    raise DefinitionError(
        compose(
            f"{wrapped.__name__} has no constructor parameter {name!r}",
            [("constructor", f"{wrapped.__name__}{signature}")],
            f"lazify({wrapped.__name__}, exclude=[...])  # one or more of the names above",
        )
    )


def nothing_to_infer(wrapped: type, options: Options, signature: Signature) -> DefinitionError:
    """The exception for a class none of whose parameters has a rule."""
    name = wrapped.__name__
    headline = f"no parameter of {name} is known to follow from its input"
    one = next(iter(signature.parameters), "")
    fix = f"lazify({name}, exclude={{{one!r}: lambda x: ...}})  # what follows from x, an argument of forward"
    if wrapped.__module__.startswith("torch.nn.modules.") or not signature.parameters:
        headline, fix = f"{headline}: there is nothing to infer", f"{name}(...)  # as it is"
    elif options == ():
        headline = f"no parameter of {name} is named: exclude is empty"
        fix = f"lazify({name}, exclude=[{one!r}])  # for one, or lazify({name})"
    return DefinitionError(compose(headline, [("constructor", f"{name}{signature}")], fix))


def _as_rule(name: str, rule: Any, wrapped: type) -> Rule:
    """The rule that the user gave for the parameter `name`: a plain function becomes a `Computed`."""
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


def _extra_parameters(rules: Mapping[str, Rule], signature: Signature, forward: Signature) -> dict[str, Parameter]:
    """Keyword parameters for the names that rules read and that neither `forward` nor the constructor has."""
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
    """Raise if a rule reads an argument that `forward` does not have."""
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
    """The rules, sorted so that each one follows the rules whose values it reads."""
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
