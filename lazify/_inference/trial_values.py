"""Values for trial constructions: numbers for parameters of which nothing is known, and a module built with them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from lazify._inference.call_values import derived, is_derived
from lazify._inference.search_problem import SENTINELS
from lazify._isolation import Constructor, CopySources, construct_on_fakes
from lazify._recipe.construction import construct_new
from lazify._recipe.recipe import Recipe

__all__ = ["construct_preview", "starting_values", "unknown_names"]


def unknown_names(recipe: Recipe, given: Mapping[str, Any]) -> list[str]:
    """The inferred parameters that the user did not pass, that no rule computes from constructor arguments.

    Those with a default that stays in the signature are taken to have it.
    """
    return [name for name in recipe.left_out(given) if not is_derived(recipe, name)]


def construct_preview(
    recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any], construct: Constructor | None = None
) -> tuple[nn.Module, CopySources]:
    """A module built on fakes, and the sources of the copies in it: the user's own objects.

    Args:
        recipe: the recipe of the lazy class.
        given: constructor arguments, by name.
        values: those of inferred parameters.
        construct: builds the module from all arguments, if not as usual.

    Raises:
        Exception: whatever the constructor raises.
    """
    construct = construct or functools.partial(construct_new, recipe)
    return construct_on_fakes(construct, given, derived(recipe, given, values), (recipe.wrapped,))


def starting_values(names: list[str]) -> Iterator[dict[str, Any]]:
    """Values to start with: different ones for all names, in several orders, then one for all names."""
    numbers = (*SENTINELS, 64, 16, 1)
    for shift in range(len(numbers)):
        yield {name: numbers[(shift + index) % len(numbers)] for index, name in enumerate(names)}
    if len(names) > 1:
        for number in numbers:
            yield dict.fromkeys(names, number)
