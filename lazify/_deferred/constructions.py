"""Trial constructions for a preview: what is the same in the module whatever the inferred values will be.

recipe, constructor arguments  ->  build on fakes with several values of the unknown parameters
  names of tensors and submodules are the same in all   ->  ComparedConstructions
  they differ                                           ->  NotMaterializedError: only the call determines them
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from lazify._deferred.operation_table import RecordsOperations
from lazify._deferred.placeholders import rank_of
from lazify._inference.call_values import derived
from lazify._inference.messages import format_values
from lazify._inference.problem import SENTINELS
from lazify._inference.trial_values import construct_preview, starting_values, unknown_names
from lazify._isolation import CopySources
from lazify._isolation.quiet import quiet
from lazify._module_tree import own_tensors, walk
from lazify._nested import all_plain
from lazify._recipe.construction import construct_new
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis
from lazify._recipe.torch_nn_table import KNOWN
from lazify.errors import NotMaterializedError, compose

__all__ = ["ComparedConstructions", "compare_constructions"]

#: The device of tensors without data.
META = torch.device("meta")
#: How many numbers are tried for one unknown parameter.
MOST_NUMBERS = 12
#: How many differing names an error shows.
MOST_NAMES = 8


class ComparedConstructions(NamedTuple):
    """A module built on fakes, and how it compares with modules built with other values.

    Attributes:
        module: the module, with the user's own modules and tensors in it.
        size_dependent_attributes: path of a submodule -> its attributes that differ between constructions.
        constant_attributes: attributes of the module itself that hold constructor arguments, the same in all.
        user_ids: ids of modules and tensors in it that belong to the user: constructor arguments, and what several
            constructions share (defaults, globals, what a cache holds).
    """

    module: nn.Module
    size_dependent_attributes: dict[str, set[str]]
    constant_attributes: frozenset[str]
    user_ids: set[int]


def compare_constructions(recipe: Recipe, given: Mapping[str, Any]) -> ComparedConstructions:
    """Build the module on fakes with several values of the unknown parameters, and compare.

    Raises:
        NotMaterializedError: if names of tensors or submodules depend on these values.
    """
    names = unknown_names(recipe, given)
    values, module, sources = _first_construction(recipe, given, names)
    tensor_names = _tensor_names(module)
    size_dependent: dict[str, set[str]] = {}
    shared: set[int] = set()
    varied: set[str] = set()
    for other_values in (*contrasting_values(recipe, given, values), values):
        try:
            other, _ = _construct(recipe, given, other_values)
        except Exception:  # the class does not accept this value
            continue
        if tensor_names != (other_names := _tensor_names(other)):
            differing = sorted({str(name) for name, *_ in set(tensor_names) ^ set(other_names)})
            lines = [("there or not", ", ".join(differing[:MOST_NAMES]))]
            lines += [("compared", format_values(values)), ("with", format_values(other_values))]
            raise _names_unknown_error(recipe, names, lines)
        _note_size_dependent(module, other, size_dependent)
        varied |= {name for name in values if name not in other_values or other_values[name] != values[name]}
        shared |= _ids_inside(module) & _ids_inside(other)
    for name in recipe.defaulted - given.keys():  # attributes that depend on a default which the call may refuse
        with contextlib.suppress(Exception):
            other, _ = construct_preview(recipe, given, {**values, name: SENTINELS[0]})
            _note_size_dependent(module, other, size_dependent)
    _replace_copies(module, sources)
    originals = {id(each) for original, _ in sources.values() for each in _contents(original)}
    constant: frozenset[str] = frozenset()
    if varied.issuperset(names):
        constant = _constant_attributes(module, recipe, given, size_dependent.get("", set()))
    return ComparedConstructions(module, size_dependent, constant, shared | originals)


def _first_construction(
    recipe: Recipe, given: Mapping[str, Any], names: list[str]
) -> tuple[dict[str, Any], nn.Module, CopySources]:
    """The first values that the constructor accepts, and the module built with them."""
    failure: Exception | None = None
    for values in starting_values(names):
        try:
            return (values, *_construct(recipe, given, values))
        except Exception as error:
            failure = failure or error
    lines = [("a trial construction", f"{type(failure).__name__}: {failure}")]
    raise _names_unknown_error(recipe, names, lines) from failure


def _construct(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[nn.Module, CopySources]:
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


def _names_unknown_error(recipe: Recipe, names: list[str], lines: list[tuple[str, str]]) -> NotMaterializedError:
    given = f"{recipe.display_name}(..., {'=..., '.join(names)}=...)"
    return NotMaterializedError(
        compose(
            f"the parameters of this {recipe.name} are not known yet: which there are depends on {', '.join(names)}",
            lines,
            f"materialize(model, input)  # or one call, first\n{given}  # or give them",
        )
    )


# ---------------------------------------------------------------------------------------------
# Comparing two modules


def _tensor_names(root: nn.Module) -> list[tuple[Any, ...]]:
    """Submodules as (path, module and name of the class); tensors as (path, first path, rank, whether not persistent).

    The first path is that under which the same tensor occurs first: it tells tied tensors from separate ones.
    """
    found: list[tuple[Any, ...]] = []
    first_paths: dict[int, str] = {}
    for path, module in walk(root):
        found.append((path, type(module).__module__, type(module).__qualname__))
        if isinstance(module, RecordsOperations):
            continue
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            tensor_path = f"{path}.{name}" if path else name
            first_path = None if tensor is None else first_paths.setdefault(id(tensor), tensor_path)
            rank = None if tensor is None else rank_of(tensor)
            found.append((tensor_path, first_path, rank, name in module._non_persistent_buffers_set))
    return found


def _note_size_dependent(one: nn.Module, other: nn.Module, size_dependent: dict[str, set[str]]) -> None:
    """Add to `size_dependent` the attributes that differ between two modules, and those that are tensors.

    (A tensor of a module built on fakes has no values.)
    """
    for (path, one_inside), (_, other_inside) in zip(walk(one), walk(other), strict=True):
        for name, value in vars(one_inside).items():
            other_value = vars(other_inside).get(name)
            same = _is_plain(other_value) and value == other_value
            if isinstance(value, torch.Tensor) or (_is_plain(value) and not same):
                size_dependent.setdefault(path, set()).add(name)


def _constant_attributes(
    module: nn.Module, recipe: Recipe, given: Mapping[str, Any], size_dependent: set[str]
) -> frozenset[str]:
    """Attributes with the name of a constructor parameter that hold its argument, or a tuple that repeats it.

    (A computed attribute may be equal for all values that were tried, and yet differ for others: `max(1, dim // 64)`.)
    """

    def is_argument(name: str, value: Any) -> bool:
        argument = given.get(name, recipe.original_signature.parameters[name].default)
        repeated = isinstance(value, tuple) and len(value) > 0 and all(each == argument for each in value)
        return bool(value == argument) or repeated

    names = (recipe.original_signature.parameters.keys() & vars(module).keys()) - size_dependent
    plain = {name: value for name in names if _is_plain(value := vars(module)[name], lists=False)}
    return frozenset(name for name, value in plain.items() if is_argument(name, value))


def _is_plain(value: Any, lists: bool = True) -> bool:
    """Whether the value is a number, a text, a dtype, a device or None, or consists of these."""
    if isinstance(value, tuple) or (lists and isinstance(value, list)):
        return all(_is_plain(each, lists) for each in value)
    return isinstance(value, (int, float, complex, str, torch.dtype, torch.device, type(None)))


# ---------------------------------------------------------------------------------------------
# The user's own modules and tensors


def _ids_inside(module: nn.Module) -> set[int]:
    """The ids of all modules and tensors in a module."""
    return {id(each) for _, inside in walk(module) for each in (inside, *own_tensors(inside))}


def _contents(original: Any) -> list[Any]:
    """A constructor argument, with the modules and tensors in it."""
    modules = [each for _, each in walk(original)] if isinstance(original, nn.Module) else []
    return [original, *modules, *(tensor for each in modules for tensor in own_tensors(each))]


def _replace_copies(root: nn.Module, sources: CopySources) -> None:
    """Replace copies of the user's modules and tensors by the originals."""
    for module in [each for _, each in walk(root) if not isinstance(each, RecordsOperations)]:
        for kind in (module._modules, module._parameters, module._buffers):
            registered = cast("dict[str, Any]", kind)
            for name, each in registered.items():
                if id(each) in sources:
                    registered[name] = sources[id(each)][0]
