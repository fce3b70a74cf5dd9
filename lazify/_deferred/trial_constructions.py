"""Trial constructions for a preview: the module, built on fakes with values for what only the call determines.

`first_construction` finds values that the constructor accepts; `contrasting_values` are others, to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from lazify._inference.call_values import derived
from lazify._inference.problem import SENTINELS
from lazify._inference.trial_values import construct_preview, starting_values
from lazify._isolation import CopySources
from lazify._isolation.quiet import quiet
from lazify._nested import all_plain
from lazify._recipe.construction import construct_new
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis
from lazify._recipe.torch_nn_table import KNOWN
from lazify.errors import NotMaterializedError, compose

__all__ = ["construct", "contrasting_values", "first_construction", "names_unknown_error"]

#: The device of tensors without data.
META = torch.device("meta")
#: How many numbers are tried for one unknown parameter.
MOST_NUMBERS = 12


def first_construction(
    recipe: Recipe, given: Mapping[str, Any], names: list[str]
) -> tuple[dict[str, Any], nn.Module, CopySources]:
    """The first values that the constructor accepts, and the module built with them."""
    failure: Exception | None = None
    for values in starting_values(names):
        try:
            return (values, *construct(recipe, given, values))
        except Exception as error:
            failure = failure or error
    lines = [("a trial construction", f"{type(failure).__name__}: {failure}")]
    raise names_unknown_error(recipe, names, lines) from failure


def construct(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[nn.Module, CopySources]:
    """A module without real tensors, and the sources of the copies in it: the user's own modules and tensors.

    The constructors of torch's own classes have no effect on anything else: they need no fakes and no snapshot.

    Raises:
        Exception: whatever the constructor raises.
    """
    if recipe.wrapped not in KNOWN or not all_plain(given.values()):
        return construct_preview(recipe, given, values)
    arguments = derived(recipe, given, values)
    if "device" in given:
        arguments["device"] = META
    with quiet(), META, torch.enable_grad():
        return construct_new(recipe, {**given, **arguments}), {}


def contrasting_values(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Values that may take another branch in the constructor.

    Other numbers; numbers equal to an argument (`if a != b:`) or to a multiple of one; the default.
    """
    parameters = recipe.original_signature.parameters
    defaults = [p.default for p in parameters.values() if p.default is not p.empty]
    known = dict.fromkeys(number for each in (*given.values(), *defaults) for number in _numbers(each))
    multiples = [factor * number for factor in (4, 2) for number in known]  # `if in_channels != 4 * width:`
    numbers = dict.fromkeys([*SENTINELS[:2], *known, *multiples][:MOST_NUMBERS])
    for name in values:
        for number in numbers:
            if number != values[name]:
                yield {**values, name: number}
        p = parameters.get(name)
        if p is not None and p.default is not p.empty and not isinstance(p.default, Axis):
            yield {other: value for other, value in values.items() if other != name}
    if len(values) > 1:
        yield dict.fromkeys(values, SENTINELS[0])


def _numbers(value: Any) -> Iterator[int]:
    """The positive integers in an argument."""
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int) and not isinstance(value, bool) and value > 0:
        yield value


def names_unknown_error(recipe: Recipe, names: list[str], lines: list[tuple[str, str]]) -> NotMaterializedError:
    """The exception for a module whose names of tensors or submodules depend on the parameters `names`."""
    given = f"{recipe.display_name}(..., {'=..., '.join(names)}=...)"
    return NotMaterializedError(
        compose(
            f"the parameters of this {recipe.name} are not known yet: which there are depends on {', '.join(names)}",
            lines,
            f"materialize(model, input)  # or one call, first\n{given}  # or give them",
        )
    )
