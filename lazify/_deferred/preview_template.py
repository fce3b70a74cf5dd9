"""Templates of previews: what is the same in a module whatever the inferred values will be, found out once.

recipe, constructor arguments  ->  trial constructions with several values of the unknown parameters
  names of tensors and submodules are the same in all  ->  Template, to be copied for each lazy instance
  they differ                                          ->  NotMaterializedError: only the call determines them
"""

from __future__ import annotations

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from lazify._deferred.operation_table import RecordsOperations
from lazify._deferred.placeholders import TensorKind, kind_of, rank_of
from lazify._deferred.trial_constructions import (
    construct,
    contrasting_values,
    first_construction,
    names_unknown_error,
)
from lazify._inference.messages import format_values
from lazify._inference.problem import SENTINELS
from lazify._inference.trial_values import unknown_names
from lazify._isolation import CopySources
from lazify._module_tree import own_tensors, tensors_in, walk
from lazify._nested import all_plain, keep
from lazify._recipe.construction import slot_values
from lazify._recipe.recipe import Recipe

__all__ = ["EMPTY_TEMPLATE", "Template", "shallow_copy", "template_of"]

_CONTAINERS = (dict, list, set)
#: How many templates one class keeps.
MOST_TEMPLATES = 64
#: How many differing names an error shows.
MOST_NAMES = 8


class Template(NamedTuple):
    """A module from a trial construction, without what depends on the values to be inferred.

    Attributes:
        modules: its submodules by path, the module itself under the empty path; without those of the user, and
            without submodules of lazy instances.
        tensors: path, tensor and its kind, of the tensors in these modules, without those of the user.
        constant_attributes: attributes of the module itself that hold constructor arguments, whatever values are
            inferred (`stride`, `out_channels`).
        size_dependent_attributes: attributes of the module itself that depend on the values.
        user_ids: ids of modules and tensors in it that belong to the user: constructor arguments, and what several
            constructions share (defaults, globals, what a cache holds).
        is_shared: whether other instances get the template, too: a preview then takes a copy of its modules.
    """

    modules: dict[str, nn.Module]
    tensors: list[tuple[str, torch.Tensor, TensorKind]]
    constant_attributes: frozenset[str]
    size_dependent_attributes: frozenset[str]
    user_ids: set[int]
    is_shared: bool


EMPTY_TEMPLATE = Template({}, [], frozenset(), frozenset(), set(), False)


def template_of(recipe: Recipe, given: Mapping[str, Any], templates: dict[Any, Template]) -> Template:
    """The template for these constructor arguments, kept in `templates` if they are plain values.

    Raises:
        NotMaterializedError: if the names of the parameters depend on values that only the call determines.
    """
    if not all_plain(given.values()):
        return compare_constructions(recipe, given, may_share=False)
    key = (torch.get_default_dtype(), *((name, _typed(value)) for name, value in given.items()))
    template = templates.get(key)
    if template is None:
        template = compare_constructions(recipe, given, may_share=True)
        if template.is_shared:
            keep(templates, key, template, MOST_TEMPLATES)
    return template


def _typed(value: Any) -> Any:
    """A plain value as a key that is not equal to one of another type, as `1` and `True` are."""
    return tuple(map(_typed, value)) if type(value) is tuple else (type(value), value)


def compare_constructions(recipe: Recipe, given: Mapping[str, Any], may_share: bool) -> Template:
    """Build the module on fakes with several values of the unknown parameters: what is the same in all.

    Raises:
        NotMaterializedError: if names of tensors or submodules depend on these values.
    """
    names = unknown_names(recipe, given)
    values, module, sources = first_construction(recipe, given, names)
    tensor_names = _tensor_names(module)
    size_dependent: dict[str, set[str]] = {}
    users = {id(each) for original, _ in sources.values() for each in _contents(original)}
    varied: set[str] = set()
    for other_values in (*contrasting_values(recipe, given, values), values):
        try:
            other, _ = construct(recipe, given, other_values)
        except Exception:  # the class does not accept this value
            continue
        if tensor_names != (other_names := _tensor_names(other)):
            differing = sorted({str(name) for name, *_ in set(tensor_names) ^ set(other_names)})
            lines = [("there or not", ", ".join(differing[:MOST_NAMES]))]
            lines += [("compared", format_values(values)), ("with", format_values(other_values))]
            raise names_unknown_error(recipe, names, lines)
        _note_size_dependent(module, other, size_dependent)
        varied |= {name for name in values if name not in other_values or other_values[name] != values[name]}
        users |= _ids_inside(module) & _ids_inside(other)
    for name in recipe.defaulted - given.keys():  # attributes that depend on a default which the call may refuse
        with contextlib.suppress(Exception):
            other, _ = construct(recipe, given, {**values, name: SENTINELS[0]})
            _note_size_dependent(module, other, size_dependent)
    _replace_copies(module, sources)
    own = frozenset(size_dependent.get("", ()))
    constant = _constant_attributes(module, recipe, given, own) if varied.issuperset(names) else frozenset()
    return _template(module, size_dependent, users, may_share)._replace(
        constant_attributes=constant, size_dependent_attributes=own
    )


def _template(module: nn.Module, size_dependent: Mapping[str, set[str]], users: set[int], may_share: bool) -> Template:
    """The template made of a module, which loses its size-dependent attributes."""
    inside = dict(walk(module))
    modules = {
        path: each for path, each in inside.items() if id(each) not in users and not isinstance(each, RecordsOperations)
    }
    for path, each in modules.items():
        for name in size_dependent.get(path, ()):
            vars(each).pop(name, None)
    tensors = [(path, each, kind_of(each)) for path, each in tensors_in(modules.items()) if id(each) not in users]
    is_shared = may_share and not users and len(modules) == len(inside)
    return EMPTY_TEMPLATE._replace(modules=modules, tensors=tensors, user_ids=users, is_shared=is_shared)


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
    module: nn.Module, recipe: Recipe, given: Mapping[str, Any], size_dependent: frozenset[str]
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


# ---------------------------------------------------------------------------------------------
# Copies of a template


def shallow_copy(module: nn.Module) -> nn.Module:
    """A copy with dicts and lists of its own, which hold the same tensors, modules and other objects."""
    twin: nn.Module = object.__new__(type(module))
    vars(twin).update(
        {name: _copy_of(value) if isinstance(value, _CONTAINERS) else value for name, value in vars(module).items()}
    )
    for name, value in slot_values(module).items():
        object.__setattr__(twin, name, value)
    return twin


def _copy_of(container: Any) -> Any:
    """A copy of a container and of the containers in it."""
    twin = container.copy() if type(container) in (dict, list, set, OrderedDict) else copy.copy(container)
    if twin and not isinstance(twin, set):
        for key, value in list(twin.items() if isinstance(twin, dict) else enumerate(twin)):
            if isinstance(value, _CONTAINERS):
                twin[key] = _copy_of(value)
    return twin
