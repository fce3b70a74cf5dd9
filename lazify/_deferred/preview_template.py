"""Templates of previews: what lazy instances with the same constructor arguments show alike is found out once.

recipe, constructor arguments  ->  trial constructions, compared  ->  Template  ->  copied for each lazy instance
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from lazify._deferred.agreement import STRUCTURE
from lazify._deferred.constructions import compare_constructions
from lazify._deferred.operation_table import RecordsOperations
from lazify._deferred.placeholders import TensorKind, kind_of
from lazify._module_tree import tensors_in, walk
from lazify._nested import all_plain, keep
from lazify._recipe.construction import slot_values
from lazify._recipe.recipe import Recipe

__all__ = ["EMPTY_TEMPLATE", "Template", "shallow_copy", "template_of"]

_CONTAINERS = (dict, list, set)
#: How many templates one class keeps.
MOST_TEMPLATES = 64


class Template(NamedTuple):
    """A module from a trial construction, without what may depend on the values to be inferred.

    Attributes:
        modules: its submodules by path, the module itself under the empty path; without those of the user, and
            without submodules of lazy instances.
        tensors: path, tensor and its kind, of the tensors in these modules, without those of the user.
        containers: path of a module -> its lists, dicts and the like that are the same in all trial constructions.
            They are not in the modules: who reads one gets one of his own.
        open: path of a module -> its attributes that only the real module has.
        user_ids: ids of modules and tensors in it that belong to the user.
        is_shared: whether other instances get the template, too: a preview then takes a copy of its modules.
    """

    modules: dict[str, nn.Module]
    tensors: list[tuple[str, torch.Tensor, TensorKind]]
    containers: dict[str, dict[str, Any]]
    open: dict[str, set[str]]
    user_ids: set[int]
    is_shared: bool


EMPTY_TEMPLATE = Template({}, [], {}, {}, set(), False)


def template_of(recipe: Recipe, given: Mapping[str, Any], templates: dict[Any, Template]) -> Template:
    """The template for these constructor arguments, kept in `templates` if they are plain values.

    Raises:
        NotMaterializedError: if the names of the parameters depend on values that only the call determines.
    """
    if not all_plain(given.values()):
        return _new_template(recipe, given, False)
    key = (torch.get_default_dtype(), *((name, _typed(value)) for name, value in given.items()))
    template = templates.get(key)
    if template is None:
        template = _new_template(recipe, given, True)
        if template.is_shared:
            keep(templates, key, template, MOST_TEMPLATES)
    return template


def _typed(value: Any) -> Any:
    """A plain value as a key that is not equal to one of another type, as `1` and `True` are."""
    return tuple(map(_typed, value)) if type(value) is tuple else (type(value), value)


def _new_template(recipe: Recipe, given: Mapping[str, Any], may_share: bool) -> Template:
    compared = compare_constructions(recipe, given)
    users, agreement = compared.user_ids, compared.agreement
    inside = dict(walk(compared.module))
    modules = {
        path: each for path, each in inside.items() if id(each) not in users and not isinstance(each, RecordsOperations)
    }
    for path, module in modules.items():
        _keep_known(module, agreement.known[path])
    tensors = [
        (path, tensor, kind_of(tensor)) for path, tensor in tensors_in(modules.items()) if id(tensor) not in users
    ]
    is_shared = may_share and not users and len(modules) == len(inside)
    return Template(modules, tensors, agreement.containers, agreement.open, users, is_shared)


def _keep_known(module: nn.Module, known: Mapping[str, Any]) -> None:
    """Leave in a module, of the attributes that its class gave it, those that are known."""
    for name in slot_values(module):
        object.__delattr__(module, name)
    attributes = vars(module)
    for name in attributes.keys() - STRUCTURE:
        del attributes[name]
    attributes.update(known)


def shallow_copy(module: nn.Module) -> nn.Module:
    """A copy with its own dicts of tensors, submodules and hooks, which hold the same tensors, modules and hooks."""
    twin: nn.Module = object.__new__(type(module))
    vars(twin).update({name: _copy_of(value) if name in STRUCTURE else value for name, value in vars(module).items()})
    for name, value in slot_values(module).items():
        object.__setattr__(twin, name, value)
    return twin


def _copy_of(container: Any) -> Any:
    """A copy of a container and of the containers in it; of anything else, the object itself."""
    if not isinstance(container, _CONTAINERS):
        return container
    twin = container.copy() if type(container) in (dict, list, set, OrderedDict) else copy.copy(container)
    if twin and not isinstance(twin, set):
        for key, value in list(twin.items() if isinstance(twin, dict) else enumerate(twin)):
            if isinstance(value, _CONTAINERS):
                twin[key] = _copy_of(value)
    return twin
