"""Records: how modules were materialized, for `explain`. A record is kept outside its module, as long as that lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple
from weakref import getweakrefs, ref

import torch
from torch import nn

from lazify._nested import PLAIN, all_plain, describe
from lazify._recipe.recipe import Recipe

__all__ = ["Materialized", "OpaqueArgument", "discard", "find", "record", "record_fast", "summarize_arguments"]


class Materialized(NamedTuple):
    """The record of one module.

    Attributes:
        recipe: the recipe of its lazy class.
        given: the constructor arguments that the user passed, by name.
        values: the inferred ones, by name.
        seen: the arguments of the call, positional and by keyword: a shape for each tensor, else a description.
    """

    recipe: Recipe
    given: Mapping[str, Any]
    values: Mapping[str, Any]
    seen: tuple[tuple[Any, ...], Mapping[str, Any]]


@dataclass(frozen=True)
class OpaqueArgument:
    """A constructor argument of which the record holds only the type, since the argument might refer to the module."""

    type_name: str

    def __repr__(self) -> str:
        return f"<{self.type_name}>"


class _Record(ref[nn.Module]):
    """A weak reference to the module, which holds its record. `weakref.getweakrefs(module)` finds it."""

    __slots__ = ("fields",)
    fields: tuple[Any, ...]  # of `Materialized`, which is made when it is read: a first call must be fast

    # by identity, since the module's class may have no hash
    __hash__ = object.__hash__
    __eq__ = object.__eq__


_records: set[_Record] = set()
_gone = _records.discard


def record_fast(module: nn.Module, *fields: Any) -> None:
    """Add a record from the fields of `Materialized`, none of which refers to the module."""
    record = _Record(module, _gone)
    record.fields = fields
    _records.add(record)


def discard(module: nn.Module) -> None:
    """Remove the record of a module that was rolled back."""
    if (record := _record(module)) is not None:
        _records.discard(record)


def find(module: nn.Module) -> Materialized | None:
    """The record of a module; None if it never was lazy."""
    record = _record(module)
    return None if record is None else Materialized(*record.fields)


def _record(module: nn.Module) -> _Record | None:
    return next((each for each in getweakrefs(module) if isinstance(each, _Record)), None)


def record(module: nn.Module, recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any], call: Any) -> None:
    """Add a record from arguments and values of any kind."""
    if not all_plain(given.values()):
        given = {name: summarize(each) for name, each in given.items()}
    if not all_plain(values.values()):
        values = {name: summarize(each) for name, each in values.items()}
    record_fast(module, recipe, given, values, call)


def summarize(value: Any, outer: tuple[int, ...] = ()) -> Any:
    """A constructor argument as a record holds it: other objects than plain ones and containers are opaque."""
    if type(value) in PLAIN or isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return value
    if id(value) not in outer:
        outer = (*outer, id(value))
        if type(value) in (list, tuple, torch.Size):
            return type(value)([summarize(each, outer) for each in value])
        if type(value) is dict:
            return {name: summarize(each, outer) for name, each in value.items()}
    return OpaqueArgument(type(value).__name__)


def summarize_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Descriptions of the arguments of a call, without references to them."""
    return tuple([_short(each) for each in args]), {name: _short(each) for name, each in kwargs.items()}


def _short(value: Any) -> Any:
    return value.shape if isinstance(value, torch.Tensor) else describe(value)
