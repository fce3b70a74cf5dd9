"""From a checkpoint to values: the inferred parameters with which all tensors have the shapes of the saved ones.

trial construction with first values  ->  compare shapes with the saved ones
  all are equal     ->  the values, unless other values fit as well
  some differ       ->  build the module with two values of one parameter. Shapes that differ depend on it linearly:
                        solve for the value that gives the saved shape, and compare again
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from inspect import Parameter
from operator import ne
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lazify._inference.affine import perturbations, solve_affine
from lazify._inference.call_values import derived
from lazify._inference.messages import format_values
from lazify._inference.trial_values import construct_preview, starting_values, unknown_names
from lazify._module_tree import is_deferred, walk
from lazify._recipe.recipe import Recipe
from lazify.errors import InferenceError, compose

__all__ = ["saved_under", "values_in"]

Shape: TypeAlias = "tuple[int, ...]"
#: Name of a tensor in the checkpoint -> its shape in a trial construction, its shape as saved.
Pairs: TypeAlias = "dict[str, tuple[Shape, Shape]]"
#: Groups of parameters that have the same value.
Groups: TypeAlias = "tuple[tuple[str, ...], ...]"
#: How many times values are improved in one search.
MOST_ROUNDS = 12
#: How many candidate values of one parameter are tried in one round.
MOST_CANDIDATES = 4
#: How many shapes that differ an error shows.
MOST_SHOWN = 8


def saved_under(state_dict: Mapping[str, Any], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint for the module at `prefix`, without uninitialized ones."""
    return {
        name[len(prefix) :]: each
        for name, each in state_dict.items()
        if name.startswith(prefix) and isinstance(each, torch.Tensor) and not is_lazy(each)
    }


def values_in(
    recipe: Recipe, given: Mapping[str, Any], saved: Mapping[str, torch.Tensor], prefix: str = ""
) -> dict[str, Any] | None:
    """The values of the inferred parameters with which every shape is as saved; None if other values fit as well.

    Args:
        recipe: the recipe of the lazy class.
        given: constructor arguments, by name.
        saved: tensors by their names in the module.
        prefix: the path of the module in the model, with a dot at the end, for errors.

    Raises:
        InferenceError: if no values fit.
    """
    names = unknown_names(recipe, given)
    try:
        return _values_of(_ShapeSearch(recipe, given, saved, names), prefix)
    except InferenceError:
        defaulted = [name for name in recipe.rules if name in recipe.defaulted and name not in given]
        if not defaulted:
            raise
        return _values_of(_ShapeSearch(recipe, given, saved, [*names, *defaulted]), prefix)


def _values_of(search: _ShapeSearch, prefix: str) -> dict[str, Any] | None:
    initial_guesses = search.initial_guesses()
    if initial_guesses and not any(search.pairs(values) for _, values in initial_guesses):
        return None  # all saved tensors belong to lazy submodules
    found = [(groups, values) for groups, start in initial_guesses if (values := search.solve(groups, start))]
    if not found:
        raise search.error(prefix)
    groups, values = min(found, key=lambda each: search.distance(each[1]))
    return None if search.is_underdetermined(groups, values) else derived(search.recipe, search.given, values)


class _ShapeSearch:
    """The search for the values of one module.

    Attributes:
        recipe: the recipe of the lazy class.
        given: constructor arguments, by name.
        saved: the saved tensors, on the meta device.
        names: the parameters whose values are to be found.
        results: values -> the shapes of the trial construction beside the saved ones, or the constructor's error.
        lazy_prefixes: paths of lazy submodules, which load their own tensors.
    """

    def __init__(
        self, recipe: Recipe, given: Mapping[str, Any], saved: Mapping[str, torch.Tensor], names: list[str]
    ) -> None:
        self.recipe, self.given, self.names = recipe, given, names
        self.saved = {name: torch.empty_like(each, device="meta") for name, each in saved.items()}
        self.results: dict[tuple[Any, ...], Pairs | Exception] = {}
        self.lazy_prefixes: set[str] = set()

    def pairs(self, values: Mapping[str, Any]) -> Pairs | None:
        """The shapes of a trial construction beside the saved ones; None if the constructor fails."""
        key = tuple(values.items())
        if key not in self.results:
            try:
                module, _ = construct_preview(self.recipe, self.given, values)
                self.lazy_prefixes |= {f"{path}." for path, each in walk(module) if is_deferred(each)}
                self.results[key] = _pairs(module, self.saved)
            except Exception as error:
                self.results[key] = error
        result = self.results[key]
        return None if isinstance(result, Exception) else result

    def distance(self, values: Mapping[str, Any]) -> float:
        """How many dimensions differ, plus two for each unexpected tensor; infinite if the constructor fails."""
        pairs = self.pairs(values)
        if pairs is None:
            return math.inf
        differing = (
            sum(map(ne, built, saved)) if len(built) == len(saved) else len(saved) for built, saved in pairs.values()
        )
        return sum(differing) + 2 * len(self.unexpected(pairs))

    def unexpected(self, pairs: Pairs) -> list[str]:
        """Names of saved tensors that the module does not have."""
        return [name for name in self.saved if name not in pairs and not name.startswith(tuple(self.lazy_prefixes))]

    def initial_guesses(self) -> list[tuple[Groups, dict[str, Any]]]:
        """Groups and values to start with, the nearest to the checkpoint first.

        One group for each parameter; one for each parameter without a default; one group of all parameters.
        """
        names = self.names
        parameters = self.recipe.original_signature.parameters
        required = [n for n in names if n not in parameters or parameters[n].default is Parameter.empty]
        each_name, each_required = tuple((n,) for n in names), tuple((n,) for n in required)
        guesses: list[tuple[Groups, dict[str, Any]]] = []
        for groups in dict.fromkeys((each_name, each_required, (tuple(names),))):
            by_first_name = starting_values([group[0] for group in groups if group])
            by_name = ({n: start[group[0]] for group in groups for n in group} for start in by_first_name)
            guesses += [(groups, values) for values in itertools.islice(filter(self.constructor_accepts, by_name), 1)]
        return sorted(guesses, key=lambda each: self.distance(each[1]))

    def constructor_accepts(self, values: Mapping[str, Any]) -> bool:
        return self.pairs(values) is not None

    def solve(self, groups: Groups, values: dict[str, Any]) -> dict[str, Any] | None:
        """Improve the values round by round until all shapes are as saved; None if no candidate comes nearer."""
        for _ in range(MOST_ROUNDS):
            distance = self.distance(values)
            if not any(built != saved for built, saved in (self.pairs(values) or {}).values()):
                return values
            nearest = min(self.candidates(groups, values), key=self.distance, default=values)
            if self.distance(nearest) >= distance:
                return None
            values = nearest
        return None

    def candidates(self, groups: Groups, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Values that differ in one group, with which a size that depends on this group is as saved."""
        pairs = self.pairs(values) or {}
        for group in groups:
            votes: Counter[Any] = Counter()
            for step, perturbed in itertools.islice(self.perturbations(group, values), 1):
                for name, (built, saved) in pairs.items():
                    if built != saved and name in perturbed:
                        votes.update(candidate_values(built, perturbed[name][0], saved, values[group[0]], step))
            for value, _ in votes.most_common(MOST_CANDIDATES):
                yield {**values, **dict.fromkeys(group, value)}

    def perturbations(
        self, group: tuple[str, ...], values: dict[str, Any], small: bool = False
    ) -> Iterator[tuple[int, Pairs]]:
        """Steps by which the value of a group may change, and the shapes with the changed value; `small`: sorted."""
        value = values[group[0]]
        if isinstance(value, int):
            for step in sorted(perturbations(value)) if small else perturbations(value):
                pairs = self.pairs({**values, **dict.fromkeys(group, value + step)})
                if pairs is not None:
                    yield step, pairs

    def is_underdetermined(self, groups: Groups, values: dict[str, Any]) -> bool:
        """Whether other values give the same shapes."""
        return any(
            perturbed == self.pairs(values)
            for group in groups
            for _, perturbed in itertools.islice(self.perturbations(group, values, small=True), 1)
        )

    def error(self, prefix: str) -> InferenceError:
        """The error that no values fit, with the nearest values found."""
        names = self.names
        lines: list[tuple[str, object]] = [("module", prefix.rstrip("."))] if prefix else []
        if not self.initial_guesses():
            failure = next(each for each in self.results.values() if isinstance(each, Exception))
            lines.append(("a trial construction", f"{type(failure).__name__}: {failure}"))
        else:
            nearest = min((dict(key) for key in self.results), key=self.distance)
            pairs = self.pairs(nearest) or {}
            lines.append(("nearest", format_values(nearest)))
            differing = [(n, f"{built}, saved {saved}") for n, (built, saved) in pairs.items() if built != saved]
            lines += differing[:MOST_SHOWN]
            unexpected = self.unexpected(pairs)
            lines += [("saved, no place for it", ", ".join(unexpected[:MOST_SHOWN]))] if unexpected else []
        wrapped, display_name = self.recipe.wrapped.__name__, self.recipe.display_name
        fix = f"{display_name}(...)  # with the arguments of the module that was saved, then load"
        return InferenceError(compose(f"the checkpoint fits no value of {', '.join(names)} of {wrapped}", lines, fix))


def candidate_values(built: Shape, perturbed: Shape, saved: Shape, value: int, step: int) -> Iterator[Any]:
    """Values of a parameter with which a shape may be as saved.

    Args:
        built: the shape with `value`.
        perturbed: the shape with `value + step`.
        saved: the shape as saved.
        value: the value of the parameter.
        step: the change of the value.
    """
    if len(built) != len(perturbed) or built == perturbed:
        return
    if len(built) != len(saved):
        yield saved  # `normalized_shape` and the like: the value is the whole shape
        return
    for before, after, target in zip(built, perturbed, saved, strict=True):
        if after == before or target == before:
            continue
        if (exact := solve_affine(value, step, before, after, target)) is not None:
            yield exact
        yield round(value * math.sqrt(target / before)) or 1  # a quadratic size: `flat = channels * size ** 2`


def _pairs(module: nn.Module, saved: Mapping[str, torch.Tensor], prefix: str = "") -> Pairs:
    """Shapes of the module's tensors beside the saved ones, under the names that `load_state_dict` looks up.

    The module's `load_state_dict` pre-hooks run, since they may rename saved tensors.
    """
    found: Pairs = {}
    if is_deferred(module):
        return found
    state = dict(saved)
    for hook in module._load_state_dict_pre_hooks.values():
        hook(state, prefix, {}, False, [], [], [])
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if (
            tensor is not None
            and not is_lazy(tensor)
            and prefix + name in state
            and name not in module._non_persistent_buffers_set
        ):
            found[prefix + name] = (tuple(tensor.shape), tuple(state[prefix + name].shape))
    for name, child in module._modules.items():
        inner_prefix = f"{prefix}{name}."
        if child is not None:
            inner_state = {n: each for n, each in state.items() if n.startswith(inner_prefix)}
            found |= _pairs(child, inner_state, inner_prefix)
    return found
