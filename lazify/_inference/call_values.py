"""From a call to values: what the rules of a recipe say about the arguments of `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch

from lazify._inference.messages import Reason, not_determined
from lazify._nested import tensors
from lazify._recipe.binding import NOT_GIVEN
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis, Computed, Rule, names_read
from lazify._recipe.signature_reading import VARIADIC

__all__ = ["GuessFailed", "derived", "has_default", "infer", "is_derived"]


class GuessFailed(Exception):
    """No rule, and no name, says what a parameter is: it takes a search."""


# ---------------------------------------------------------------------------------------------
# Reading a call


def _first_tensor(call: Mapping[str, Any]) -> torch.Tensor | None:
    """The first floating-point tensor of the call, else the first tensor."""
    first = None
    for value in call.values():
        for tensor in (value,) if isinstance(value, torch.Tensor) else tensors(value):
            if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
                return tensor
            first = tensor if first is None else first
    return first


def _argument(name: str, recipe: Recipe, call: Mapping[str, Any]) -> Any:
    """The argument of `forward` of this name, if need be from its `**kwargs`, else its default."""
    if (value := call.get(name, NOT_GIVEN)) is not NOT_GIVEN:
        return value
    for p in recipe.forward.parameters.values():
        if p.kind is p.VAR_KEYWORD and name in call[p.name]:
            return call[p.name][name]
        if p.name == name and p.kind not in VARIADIC:
            return p.default
    return NOT_GIVEN


# ---------------------------------------------------------------------------------------------
# Following the rules


def infer(recipe: Recipe, given: Mapping[str, Any], call: Mapping[str, Any], only: str | None = None) -> dict[str, Any]:
    """The values of the inferred parameters that were not given, for one call.

    Args:
        recipe: the recipe of the lazy class.
        given: constructor arguments, by name.
        call: the arguments as `forward` binds them (`Recipe.bind_forward`).

    Raises:
        InferenceError: if some rule yields no value; it names the parameter and what was seen.
        GuessFailed: if it is a guess that yields none.
    """
    values: dict[str, Any] = {}
    for name, rule in recipe.rules.items():
        if name in given or (only is not None and name != only):
            continue
        if type(rule) is Axis:
            value = _from_axis(rule, recipe, call, is_guess=name in recipe.guessed)
        elif type(rule) is Computed:
            value = _from_function(name, rule, recipe, {**given, **values}, call)
        else:
            value = Reason("neither its name nor a rule says where the value comes from")
        if type(value) is Reason:
            if name in recipe.guessed:
                if optional_input_missing(name, rule, recipe, call):
                    continue
                raise GuessFailed(name)
            raise not_determined(recipe, name, rule, value, call) from value.cause
        values[name] = value
    return values


def derived(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, and what rules make of constructor arguments alone.

    Raises:
        Exception: whatever such a rule raises.
    """
    values = dict(values)
    for name, rule in recipe.rules.items():
        if name not in given and name not in values and is_derived(recipe, name):
            value = _from_function(name, cast("Computed", rule), recipe, {**given, **values}, {})
            if isinstance(value, Reason):
                raise value.cause or ValueError(f"{name}: {value.text}")
            values[name] = value
    return values


def is_derived(recipe: Recipe, name: str) -> bool:
    """Whether the rule for `name` reads constructor arguments only, nothing of the call."""
    rule = recipe.rules[name]
    if not isinstance(rule, Computed):
        return False
    read = names_read(rule)
    return bool(read) and not any(name in recipe.forward.parameters for name in read)


def optional_input_missing(name: str, rule: Rule, recipe: Recipe, call: Mapping[str, Any]) -> bool:
    """Whether a guess looks at an optional input that this call does not have: the constructor's default holds."""
    p = recipe.original_signature.parameters.get(name)
    if p is None or not has_default(p) or not isinstance(rule, Axis) or rule.of is None:
        return False
    argument = _argument(rule.of, recipe, call)
    return argument is None or argument is NOT_GIVEN


def _from_axis(rule: Axis, recipe: Recipe, call: Mapping[str, Any], is_guess: bool) -> Any:
    if rule.of is None:
        tensor = _first_tensor(call)
    else:
        tensor = call.get(rule.of)
        if not isinstance(tensor, torch.Tensor):
            tensor = next(tensors(_argument(rule.of, recipe, call)), None)
    if tensor is None:
        return Reason("no tensor in the call" if rule.of is None else f"no tensor in the argument {rule.of!r}")
    if is_guess and not (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
        return Reason("whole numbers, as of tokens, have no features")
    try:
        return tensor.shape[rule.dim]
    except IndexError:
        return Reason(f"a tensor of shape {tuple(tensor.shape)} has no dimension {rule.dim}")


def _from_function(name: str, rule: Computed, recipe: Recipe, known: Mapping[str, Any], call: Mapping[str, Any]) -> Any:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for p in rule.signature.parameters.values():
        if p.kind in VARIADIC:
            continue
        value = _argument(p.name, recipe, call)
        if value is NOT_GIVEN or value is p.empty:
            value = _constructor_argument(p.name, recipe, known)
        if value is p.empty:
            if p.default is p.empty:
                return Reason(f"its argument {p.name!r} was not given")
            value = p.default
        if p.kind is p.POSITIONAL_ONLY:
            args.append(value)
        else:
            kwargs[p.name] = value
    try:
        value = rule.function(*args, **kwargs)
    except Exception as error:
        return Reason(f"it raised {type(error).__name__}: {error}", error)
    if value is None and not _may_be_none(recipe.original_signature.parameters.get(name)):
        return Reason("it returned None")
    return value


def _may_be_none(p: inspect.Parameter | None) -> bool:
    """Whether None is a value of a parameter, by its default or its annotation; True of one in `**kwargs`."""
    return p is None or p.default is None or any(word in str(p.annotation) for word in ("None", "Optional", "Any"))


def _constructor_argument(name: str, recipe: Recipe, known: Mapping[str, Any]) -> Any:
    if name in known:
        return known[name]
    p = recipe.original_signature.parameters.get(name) or recipe.extra_parameters.get(name)
    return p.default if p is not None else inspect.Parameter.empty


def has_default(p: inspect.Parameter) -> bool:
    """Whether a constructor parameter has a default that is a value, not a rule."""
    return p.default is not p.empty and not isinstance(p.default, Axis)
