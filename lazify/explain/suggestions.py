"""`suggest`: from one call to the line of code that lazifies a class, for those who prefer it written out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import Parameter
from typing import Any

import torch

from lazify._inference.call_values import GuessFailed, infer
from lazify._inference.search import Findings, investigate
from lazify._isolation import TrialRunner
from lazify._lazy_class.constructor import RECIPE
from lazify._recipe.construction import construct_new
from lazify._recipe.recipe import Recipe, compile_recipe
from lazify._recipe.rules import Axis
from lazify._recipe.signature_reading import VARIADIC, constructor_signature
from lazify.errors import DefinitionError, InferenceError, compose
from lazify.explain.tables import aligned

__all__ = ["Suggestion", "suggest"]


@dataclass(frozen=True)
class Suggestion:
    """Which constructor parameters one call determines, and the line that says so.

    Attributes:
        name: the name of the class.
        determined: the parameters that the call determines, with their values.
        refused: of each of them, another value, with which the call fails.
        open: the parameters that the call leaves open, which are to be given.
        code: the call of `lazify` to write.
    """

    name: str
    determined: Mapping[str, Any]
    refused: Mapping[str, Any]
    open: tuple[str, ...]
    code: str

    def __str__(self) -> str:
        rows = [
            (name, repr(value), f"determined: the call fails with {self.refused[name]!r}")
            for name, value in self.determined.items()
        ]
        rows += [(name, "?", "open: give it") for name in self.open]
        return "\n".join([*aligned(rows, [" = ", "  "]), "", self.code])


def suggest(module_cls: Any, /, *args: Any, **kwargs: Any) -> Suggestion:
    """Which constructor parameters of a class one call determines, and the line of code that lazifies it so.

    Args:
        module_cls: an `nn.Module` class, or `functools.partial` of one with the constructor arguments that are chosen.
        args, kwargs: the arguments of the call; a `torch.Size` stands for a tensor of this shape. So does a tuple of
            sizes, if no argument is a tensor.

    Returns:
        A `Suggestion`; its `str` is for reading, its `code` for pasting.

    Raises:
        DefinitionError: if a parameter that is no size is missing, or the class has none that could be inferred.
        InferenceError: if no values make the call pass.
        TypeError: if `forward` does not take these arguments.

    >>> from torch import nn
    >>> print(suggest(functools.partial(nn.Conv2d, kernel_size=3), torch.Size([2, 3, 16, 16])))
    in_channels  = 3  determined: the call fails with 6
    out_channels = ?  open: give it
    <BLANKLINE>
    LazyConv2d = lazify(Conv2d, exclude={'in_channels': axis(-3, of='input')})
    """
    cls, given = _class_and_arguments(module_cls)
    recipe = compile_recipe(cls, ...)
    _check_no_size_missing(recipe, given)
    _check_call(recipe, args, kwargs)
    args, kwargs = _with_tensors(args, kwargs)
    runner = TrialRunner(functools.partial(construct_new, recipe), given, args, kwargs, code=(cls,))
    found = investigate(_all_guessed(recipe), given, runner)
    values, refused, is_open = found.solution.values or {}, found.solution.refused, found.solution.open
    determined = {name: value for name, value in values.items() if name in refused and name not in is_open}
    return Suggestion(
        cls.__name__,
        determined,
        {name: refused[name] for name in determined},
        tuple(name for name in values if name in is_open and name not in found.problem.defaults),
        _code(recipe, given, determined, found),
    )


def _class_and_arguments(module_cls: Any) -> tuple[type[torch.nn.Module], dict[str, Any]]:
    """The class as it was before lazify, and the constructor arguments that are chosen, by name."""
    cls, args, kwargs = module_cls, (), {}
    if isinstance(module_cls, functools.partial):
        cls, args, kwargs = module_cls.func, module_cls.args, module_cls.keywords
    if not isinstance(cls, type) or not issubclass(cls, torch.nn.Module):
        raise DefinitionError(compose(f"suggest takes an nn.Module class, got {cls!r}", fix="suggest(nn.Conv2d, x)"))
    cls = getattr(cls, RECIPE).wrapped if hasattr(cls, RECIPE) else cls
    return cls, dict(constructor_signature(cls).bind_partial(*args, **kwargs).arguments)


def _check_no_size_missing(recipe: Recipe, given: Mapping[str, Any]) -> None:
    """Raise if a required parameter that no call can determine was not chosen."""
    for name, p in recipe.original_signature.parameters.items():
        if name not in given and name not in recipe.rules and p.default is Parameter.empty and p.kind not in VARIADIC:
            name_of_class = recipe.wrapped.__name__
            raise DefinitionError(
                compose(
                    f"suggest needs a value for {name!r} of {name_of_class}, which is no size",
                    fix=f"suggest(functools.partial({name_of_class}, {name}=...), ...)",
                )
            )


def _all_guessed(recipe: Recipe) -> Recipe:
    """The recipe with every rule to be proved."""
    return replace(recipe, guessed=frozenset(recipe.rules))


def _check_call(recipe: Recipe, args: Any, kwargs: Mapping[str, Any]) -> None:
    """Raise Python's own error for arguments that `forward` does not take."""
    try:
        recipe.bind_forward(None, *args, **kwargs)
    except TypeError as error:
        name = recipe.wrapped.__name__
        meant = [each for each in kwargs if each in recipe.original_signature.parameters]
        written = ", ".join(f"{each}={kwargs[each]!r}" for each in meant)
        fix = f"suggest(functools.partial({name}, {written}), ...)  # an argument of the constructor" if meant else ""
        raise TypeError(compose(str(error), fix=fix)) from None


def _with_tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, with tensors for what stands for one."""
    has_tensors = any(isinstance(each, (torch.Tensor, torch.Size)) for each in (*args, *kwargs.values()))
    stands = _tensor if has_tensors else _tensor_of_any_shape
    return tuple(map(stands, args)), {name: stands(each) for name, each in kwargs.items()}


def _tensor(value: Any) -> Any:
    return torch.empty(value) if isinstance(value, torch.Size) else value


def _tensor_of_any_shape(value: Any) -> Any:
    is_shape = type(value) in (tuple, list) and value and all(type(each) is int and each >= 0 for each in value)
    return torch.empty(tuple(value)) if is_shape else _tensor(value)


def _code(recipe: Recipe, given: Mapping[str, Any], determined: Mapping[str, Any], found: Findings) -> str:
    """The call of `lazify`: with a rule for each parameter if there is one for all, else with the names."""
    name = recipe.wrapped.__name__
    rules = {each: _axis(recipe, given, each, value, found.call) for each, value in determined.items()}
    if not rules:
        return f"# the call determines no parameter of {name}"
    written = repr(list(rules)) if None in rules.values() else str(rules)
    return f"Lazy{name} = lazify({name}, exclude={written})"


def _axis(recipe: Recipe, given: Mapping[str, Any], name: str, value: Any, call: Mapping[str, Any]) -> Axis | None:
    """The rule that gives this value: that of the table or of naming conventions, or the one dimension of this size."""
    rule = recipe.rules[name]
    try:
        if isinstance(rule, Axis) and infer(recipe, given, call, only=name).get(name) == value:
            return rule
    except (GuessFailed, InferenceError):
        pass
    inputs = {argument: each for argument, each in call.items() if isinstance(each, torch.Tensor)}
    fitting = [
        Axis(dim, None if len(inputs) == 1 else argument)
        for argument, tensor in inputs.items()
        for dim, size in enumerate(tensor.shape)
        if dim and size == value
    ]
    return fitting[0] if len(fitting) == 1 else None
