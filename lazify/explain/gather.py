"""`explain` and `lazy_modules`: reading recipes, lazy states and materialization records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import Parameter
from typing import Any

import torch
from torch import nn

from lazify._deferred.operation_table import RecordsOperations
from lazify._deferred.state import lazy_state
from lazify._first_call.records import Materialized, find
from lazify._lazy_class.constructor import RECIPE
from lazify._lazy_class.instance import LazyInstance
from lazify._lazy_class.parameter_table import explained_parameters
from lazify._module_tree import walk
from lazify._recipe.recipe import Recipe
from lazify.errors import DefinitionError, compose
from lazify.explain.results import ExplainedClass, ExplainedModel, ExplainedModule

__all__ = ["explain", "lazy_modules"]


def explain(subject: Any) -> Any:
    """Explain what lazify infers and from what: for a lazy class, or for the modules of a model that are or were lazy.

    Args:
        subject: a lazy class, or a module.

    Returns:
        `ExplainedClass` or `ExplainedModel`: its `str` is a table, its fields are for programs, and Jupyter shows it
        as HTML. `ExplainedModel.code()` writes the explicit constructors.

    Raises:
        DefinitionError: (a `TypeError`) if `subject` is neither.

    >>> from lazify.api import lazify
    >>> LazyLinear = lazify(nn.Linear)
    >>> print(explain(LazyLinear))
    Linear(                                  LazyLinear(
      in_features: int                         -- axis(-1, of='input')
      out_features: int                        out_features: int
      bias: bool = True                        bias: bool = True
      device=None                              device=None
      dtype=None                               dtype=None
    )                                        )
    >>> model = nn.Sequential(LazyLinear(3), LazyLinear(4))
    >>> _ = model[0](torch.ones(2, 8))
    >>> print(explain(model))
    0: Linear
      in_features = 8  axis(-1, of='input')  input: (2, 8)
    1: Linear still lazy
      in_features = ?  axis(-1, of='input')
    """
    if isinstance(subject, nn.Module):
        return ExplainedModel(tuple(_explained_modules(subject)))
    if isinstance(subject, type) and (recipe := getattr(subject, RECIPE, None)) is not None:
        return _explained_class(recipe)
    message = f"explain takes a lazy class or a module, got {subject!r}"
    raise DefinitionError(compose(message, fix="explain(lazify(nn.Linear))"))


def lazy_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The lazy modules of `model`, by their paths.

    >>> from lazify.api import lazify
    >>> list(lazy_modules(nn.Sequential(nn.ReLU(), lazify(nn.Linear)(3))))
    ['1']
    """
    return {path: module for path, module in walk(model) if isinstance(module, LazyInstance)}


def _explained_class(recipe: Recipe) -> ExplainedClass:
    parameters = explained_parameters(recipe)
    return ExplainedClass(recipe.display_name, recipe.wrapped, recipe.original_signature, recipe.signature, parameters)


def _explained_modules(model: nn.Module) -> Iterator[ExplainedModule]:
    for path, module in walk(model):
        state = lazy_state(module) if isinstance(module, RecordsOperations) else None
        record = find(module)
        if state is not None:
            yield _explained_module(path, True, state.recipe, state.given, {}, {})
        elif record is not None:
            yield _explained_module(path, False, record.recipe, record.given, record.values, _call_shapes(record))


def _explained_module(
    path: str,
    lazy: bool,
    recipe: Recipe,
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    call_shapes: Mapping[str, str],
) -> ExplainedModule:
    inferred = [name for name in recipe.rules if name not in given and (name not in recipe.defaulted or name in values)]
    rules = {name: str(recipe.rules[name]) for name in inferred}
    wrapped, proofs = recipe.wrapped, getattr(values, "proofs", {})
    return ExplainedModule(
        path, wrapped.__name__, lazy, dict(given), dict(values), rules, call_shapes, proofs, wrapped, recipe
    )


def _call_shapes(record: Materialized) -> dict[str, str]:
    """Argument of `forward` in the first call -> its shape, or its description if it was no tensor."""
    args, kwargs = record.seen
    names = [name for name, p in record.recipe.forward.parameters.items() if p.kind is not Parameter.KEYWORD_ONLY]
    names += [f"argument {position}" for position in range(len(names), len(args))]
    arguments = {**dict(zip(names, args, strict=False)), **kwargs}
    return {name: str(tuple(each)) if isinstance(each, torch.Size) else str(each) for name, each in arguments.items()}
