"""From a checkpoint to values: what the shapes of saved tensors say about constructor arguments.

throw-away module -> its shapes beside those saved -> an argument moves some of them (two constructions tell how):
solve for the value that makes them equal -> go on until all are equal -> would other values fit, too?
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

from lazify._inference.call_values import derived
from lazify._inference.solver import perturbations
from lazify._inference.trial_values import construct_preview, format_values, starting_values, unknown_names
from lazify._module_tree import is_deferred, walk
from lazify._recipe.recipe import Recipe
from lazify.errors import InferenceError, compose

__all__ = ["saved_under", "values_in"]

Shape: TypeAlias = "tuple[int, ...]"
#: Name of a tensor in the checkpoint -> its shape in a throw-away module, its shape as saved.
Pairs: TypeAlias = "dict[str, tuple[Shape, Shape]]"
#: Parameters that are solved for together, having the same value.
Groups: TypeAlias = "tuple[tuple[str, ...], ...]"
#: Limits of one search.
MOST_ROUNDS = 12
#: Of shapes that fit nothing: how many an error shows.
MOST_SHOWN = 8


def saved_under(state_dict: Mapping[str, Any], prefix: str) -> dict[str, torch.Tensor]:
    """What a checkpoint holds for one module, without what is uninitialized there, too."""
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
        prefix: its path in the model, for errors.

    Raises:
        InferenceError: if none fit.
    """
    search = _Search(recipe, given, saved)
    initial_guesses = search.initial_guesses()
    if initial_guesses and not any(search.pairs(start) for _, start in initial_guesses):
        return None  # nothing of it is of this module itself
    found = [(groups, values) for groups, start in initial_guesses if (values := search.solved(groups, start))]
    if not found:
        raise search.unsolved(prefix)
    groups, values = min(found, key=lambda each: search.distance(each[1]))
    return None if search.is_underdetermined(groups, values) else derived(recipe, given, values)


class _Search:
    def __init__(self, recipe: Recipe, given: Mapping[str, Any], saved: Mapping[str, torch.Tensor]) -> None:
        self.recipe, self.given = recipe, given
        self.saved = {name: torch.empty_like(each, device="meta") for name, each in saved.items()}
        self.seen: dict[tuple[Any, ...], Pairs | Exception] = {}
        self.inside: set[str] = set()  # paths of lazy modules inside: what they load is theirs

    def pairs(self, values: Mapping[str, Any]) -> Pairs | None:
        """The shapes of a throw-away module beside those saved; None if none can be built with these values."""
        key = tuple(values.items())
        if key not in self.seen:
            try:
                module, _ = construct_preview(self.recipe, self.given, values)
                self.inside |= {f"{path}." for path, each in walk(module) if is_deferred(each)}
                self.seen[key] = _pairs(module, self.saved)
            except Exception as error:
                self.seen[key] = error
        found = self.seen[key]
        return None if isinstance(found, Exception) else found

    def distance(self, values: Mapping[str, Any]) -> float:
        """How much differs: dimensions, and tensors without a place."""
        pairs = self.pairs(values)
        if pairs is None:
            return math.inf
        wrong = (sum(map(ne, own, saved)) if len(own) == len(saved) else len(saved) for own, saved in pairs.values())
        return sum(wrong) + 2 * len(self.unexpected(pairs))

    def unexpected(self, pairs: Pairs) -> list[str]:
        """Saved tensors for which there is no place."""
        return [name for name in self.saved if name not in pairs and not name.startswith(tuple(self.inside))]

    def initial_guesses(self) -> list[tuple[Groups, dict[str, Any]]]:
        """First values, those that come nearest first: all different, all the same, some left to their defaults."""
        names = unknown_names(self.recipe, self.given)
        parameters = self.recipe.original_signature.parameters
        needed = [n for n in names if n not in parameters or parameters[n].default is Parameter.empty]
        apart, needed_apart = tuple((n,) for n in names), tuple((n,) for n in needed)
        found: list[tuple[Groups, dict[str, Any]]] = []
        for groups in dict.fromkeys((apart, needed_apart, (tuple(names),))):
            numbers = starting_values([group[0] for group in groups if group])
            spread = ({n: start[group[0]] for group in groups for n in group} for start in numbers)
            found += [(groups, start) for start in itertools.islice(filter(self.builds, spread), 1)]
        return sorted(found, key=lambda each: self.distance(each[1]))

    def builds(self, values: Mapping[str, Any]) -> bool:
        return self.pairs(values) is not None

    def solved(self, groups: Groups, values: dict[str, Any]) -> dict[str, Any] | None:
        for _ in range(MOST_ROUNDS):
            distance = self.distance(values)
            if not any(own != saved for own, saved in (self.pairs(values) or {}).values()):
                return values
            after = min(self.moves(groups, values), key=self.distance, default=values)
            if self.distance(after) >= distance:
                return None
            values = after
        return None

    def moves(self, groups: Groups, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Values that make some size that moves with an argument as saved."""
        here = self.pairs(values) or {}
        for group in groups:
            candidates: Counter[Any] = Counter()
            for step, there in self.perturbations(group, values):
                for name, (own, saved) in here.items():
                    if own != saved and name in there:
                        candidates.update(candidate_values(own, there[name][0], saved, values[group[0]], step))
                break
            for value, _ in candidates.most_common(4):
                yield {**values, **dict.fromkeys(group, value)}

    def perturbations(
        self, group: tuple[str, ...], values: dict[str, Any], small: bool = False
    ) -> Iterator[tuple[int, Pairs]]:
        value = values[group[0]]
        if isinstance(value, int):
            for step in sorted(perturbations(value)) if small else perturbations(value):
                there = self.pairs({**values, **dict.fromkeys(group, value + step)})
                if there is not None:
                    yield step, there

    def is_underdetermined(self, groups: Groups, found: dict[str, Any]) -> bool:
        """Whether other values fit as well."""
        return any(
            there == self.pairs(found)
            for group in groups
            for _, there in itertools.islice(self.perturbations(group, found, small=True), 1)
        )

    # errors

    def unsolved(self, prefix: str) -> InferenceError:
        names = unknown_names(self.recipe, self.given)
        facts: list[tuple[str, object]] = [("module", prefix.rstrip("."))] if prefix else []
        initial_guesses = self.initial_guesses()
        if not initial_guesses:
            failure = next(each for each in self.seen.values() if isinstance(each, Exception))
            facts.append(("a throw-away module", f"{type(failure).__name__}: {failure}"))
        else:
            nearest = min((dict(key) for key in self.seen), key=self.distance)
            pairs = self.pairs(nearest) or {}
            facts.append(("nearest", format_values(nearest)))
            facts += [(n, f"{own}, saved {was}") for n, (own, was) in pairs.items() if own != was][:MOST_SHOWN]
            lost = self.unexpected(pairs)
            facts += [("saved, no place for it", ", ".join(lost[:MOST_SHOWN]))] if lost else []
        wrapped, display_name = self.recipe.wrapped.__name__, self.recipe.display_name
        fix = f"{display_name}(...)  # with the arguments of the module that was saved, then load"
        return InferenceError(compose(f"the checkpoint fits no value of {', '.join(names)} of {wrapped}", facts, fix))


def candidate_values(own: Shape, moved: Shape, saved: Shape, value: int, step: int) -> Iterator[Any]:
    """Values with which a shape that went from `own` to `moved` in one step would be as saved."""
    if len(own) != len(moved) or own == moved:
        return
    if len(own) != len(saved):
        yield saved  # `normalized_shape` and the like: the whole shape
        return
    for before, after, target in zip(own, moved, saved, strict=True):
        change, distance = after - before, (target - before) * step
        if not change or target == before:
            continue
        if distance % change == 0 and value + distance // change > 0:
            yield value + distance // change
        yield round(value * math.sqrt(target / before)) or 1  # areas: `flat = channels * size ** 2`


def _pairs(module: nn.Module, saved: Mapping[str, torch.Tensor], prefix: str = "") -> Pairs:
    """As `load_state_dict` walks: hooks of the module's own may rename what was saved."""
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
        inner = f"{prefix}{name}."
        if child is not None:
            found |= _pairs(child, {n: each for n, each in state.items() if n.startswith(inner)}, inner)
    return found
