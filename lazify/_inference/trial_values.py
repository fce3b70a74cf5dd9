"""Values for trial constructions, where nothing is known of a parameter yet, and the module built with them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from lazify._inference.call_values import derived, is_derived
from lazify._inference.solver import SENTINELS
from lazify._isolation import CopySources, construct_on_fakes
from lazify._recipe.construction import construct_new
from lazify._recipe.recipe import Recipe

__all__ = ["construct_preview", "format_values", "starting_values", "unknown_names"]


def unknown_names(recipe: Recipe, given: Mapping[str, Any]) -> list[str]:
    """The inferred parameters that were not given and do not follow from others."""
    return [name for name in recipe.rules if name not in given and not is_derived(recipe, name)]


def construct_preview(
    recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[nn.Module, CopySources]:
    """A throw-away module on fakes, and where its given parts come from; raises what the constructor raises."""
    return construct_on_fakes(
        functools.partial(construct_new, recipe), given, derived(recipe, given, values), (recipe.wrapped,)
    )


def starting_values(names: list[str]) -> Iterator[dict[str, Any]]:
    """Values for a first try: all different, then all the same."""
    numbers = (*SENTINELS, 64, 16, 1)
    for shift in range(len(numbers)):
        yield {name: numbers[(shift + at) % len(numbers)] for at, name in enumerate(names)}
    if len(names) > 1:
        for number in numbers:
            yield dict.fromkeys(names, number)


def format_values(values: Mapping[str, Any]) -> str:
    """Values by name, as an error shows them."""
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
