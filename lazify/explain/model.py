"""Seeing: what a lazy class drops and why, what the lazy modules of a model became and from what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import nn

from lazify._tables import (
    ExplainedParameter,
    aligned,
    code,
    explained_parameters,
    html_table,
    side_by_side,
    signatures_html,
)
from lazify.errors import DefinitionError, compose
from lazify.journal import Recorded
from lazify.lazyclass import RECIPE, LazyInstance
from lazify.memory import Materialized, Opaque, recall
from lazify.pending import waiting
from lazify.recipe import Recipe
from lazify.rules import Axis
from lazify.trees import walk

__all__ = ["ExplainedClass", "ExplainedModel", "ExplainedModule", "ExplainedParameter", "explain", "lazy_modules"]


@dataclass(frozen=True, repr=False, eq=False)
class ExplainedClass:
    """A lazy class.

    Attributes:
        name: as users call it.
        wrapped: the class that instances become.
        original, lazified: the two signatures.
        parameters: of both, in order.
    """

    name: str
    wrapped: type[nn.Module]
    original: Signature
    lazified: Signature
    parameters: tuple[ExplainedParameter, ...]

    def __str__(self) -> str:
        rows = [(p.original, p.lazified or f"-- {p.rule}") for p in self.parameters]
        return "\n".join(side_by_side([(f"{self.wrapped.__name__}(", f"{self.name}("), *rows, (")", ")")]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return signatures_html(self.wrapped.__name__, self.name, self.parameters, {})


@dataclass(frozen=True, eq=False)
class ExplainedModule:
    """One module of a model that is lazy or was.

    Attributes:
        path: in the model; empty for the model itself.
        class_name: of what it is or will be.
        lazy: whether it still is.
        given: constructor arguments that were given.
        values: those that were inferred; empty while it is lazy.
        rules: where each inferred one comes from.
        seen: argument of the call (or name in the checkpoint) -> its shape; empty while it is lazy.
        wrapped: the class.
    """

    path: str
    class_name: str
    lazy: bool
    given: Mapping[str, Any]
    values: Mapping[str, Any]
    rules: Mapping[str, str]
    seen: Mapping[str, str]
    wrapped: type[nn.Module] = field(repr=False)
    recipe: Recipe = field(repr=False)

    def origin(self, name: str) -> str:
        """The shape that a value came from: of the argument that its rule names, else of all."""
        rule = self.recipe.rules[name]
        if isinstance(rule, Axis):
            of = rule.of if rule.of in self.seen else next(iter(self.seen), None)
            return "" if of is None else f"{of}: {self.seen[of]}"
        return ", ".join(f"{argument}: {shape}" for argument, shape in self.seen.items())


@dataclass(frozen=True, repr=False, eq=False)
class ExplainedModel:
    """The lazy modules of a model, and those that were lazy."""

    modules: tuple[ExplainedModule, ...]

    def __str__(self) -> str:
        if not self.modules:
            return "no module of this model is or was lazy"
        lines: list[str] = []
        for module in self.modules:
            state = "still lazy" if module.lazy else ""
            lines.append(f"{module.path or '(the model)'}: {module.class_name} {state}".rstrip())
            rows = [(f"  {name}", value, rule, origin) for name, value, rule, origin in _rows(module)]
            lines += aligned(rows)
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows: list[tuple[str, ...]] = []
        for module in self.modules:
            for at, (name, value, rule, origin) in enumerate(_rows(module)):
                where = (code(module.path or "(the model)"), code(module.class_name)) if at == 0 else ("", "")
                rows.append((*where, code(f"{name} = {value}"), code(rule), code(origin)))
        return html_table("", ("module", "class", "inferred", "rule", "from"), rows)

    def code(self) -> str:
        """Python code that builds each materialized module with explicit arguments: laziness can be dropped.

        Executed, it leaves a dict `modules` from paths to modules with the same parameter shapes.
        """
        writer = _Writer()
        entries = []
        for module in self.modules:
            if not module.lazy:
                try:
                    entries.append(f"    {module.path!r}: {_constructor(module, writer)},")
                except _Unwritable as what:
                    entries.append(f"    # {module.path!r}: {module.class_name}(...) was given {what}")
        return "\n".join([*writer.imports(), "", "modules = {", *entries, "}"])


def explain(subject: Any) -> Any:
    """Say what is inferred and from what: of a lazy class, or of a model with modules that are or were lazy.

    Args:
        subject: a lazy class, or a module.

    Returns:
        `ExplainedClass` or `ExplainedModel`: its `str` is a table, its fields are for programs, and Jupyter shows it
        as HTML. `ExplainedModel.code()` writes the explicit constructors.

    Raises:
        DefinitionError: (a `TypeError`) if it is neither.

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
    >>> print(explain(model).code())
    from torch import nn
    <BLANKLINE>
    modules = {
        '0': nn.Linear(in_features=8, out_features=3),
    }
    """
    if isinstance(subject, nn.Module):
        return ExplainedModel(tuple(_modules(subject)))
    recipe = getattr(subject, RECIPE, None)
    if not isinstance(subject, type) or recipe is None:
        raise DefinitionError(
            compose(f"explain takes a lazy class or a module, got {subject!r}", fix="explain(lazify(nn.Linear))")
        )
    return _explained_class(recipe)


def lazy_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of `model` that wait for their first call, by their paths.

    >>> from lazify.api import lazify
    >>> list(lazy_modules(nn.Sequential(nn.ReLU(), lazify(nn.Linear)(3))))
    ['1']
    """
    return {path: module for path, module in walk(model) if isinstance(module, LazyInstance)}


# ---------------------------------------------------------------------------------------------
# Gathering


def _explained_class(recipe: Recipe) -> ExplainedClass:
    parameters = explained_parameters(recipe)
    return ExplainedClass(recipe.called, recipe.wrapped, recipe.signature, recipe.lazified, parameters)


def _modules(model: nn.Module) -> Iterator[ExplainedModule]:
    for path, module in walk(model):
        pending = waiting(module) if isinstance(module, Recorded) else None
        kept = recall(module)
        if pending is not None:
            yield _explained(path, True, pending.recipe, pending.given, {}, {})
        elif kept is not None:
            yield _explained(path, False, kept.recipe, kept.given, kept.values, _named(kept))


def _explained(
    path: str,
    lazy: bool,
    recipe: Recipe,
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    seen: Mapping[str, str],
) -> ExplainedModule:
    rules = {name: str(rule) for name, rule in recipe.rules.items() if name not in given}
    wrapped = recipe.wrapped
    return ExplainedModule(path, wrapped.__name__, lazy, dict(given), dict(values), rules, seen, wrapped, recipe)


def _named(kept: Materialized) -> dict[str, str]:
    """What was seen, by the names of forward's arguments."""
    args, kwargs = kept.seen
    names = [name for name, p in kept.recipe.forward.parameters.items() if p.kind is not Parameter.KEYWORD_ONLY]
    names += [f"argument {at}" for at in range(len(names), len(args))]
    every = {**dict(zip(names, args, strict=False)), **kwargs}
    return {name: str(tuple(each)) if isinstance(each, torch.Size) else str(each) for name, each in every.items()}


def _rows(module: ExplainedModule) -> Iterator[tuple[str, str, str, str]]:
    for name, rule in module.rules.items():
        value = repr(module.values[name]) if name in module.values else "?" if module.lazy else "its default"
        yield name, value, rule, module.origin(name)


# ---------------------------------------------------------------------------------------------
# Code


class _Unwritable(Exception):
    """A value that has no expression."""


def _constructor(module: ExplainedModule, writer: _Writer) -> str:
    arguments = {**module.given, **module.values}
    names = [n for n in module.recipe.signature.parameters if n in arguments]
    names += [n for n in arguments if n not in names and n not in module.recipe.added]
    args, kwargs = module.recipe.arrange(arguments)
    by_position = _needs_positions(module.recipe)
    positional = [writer.value(each) for each in args] if by_position else []
    named = kwargs if by_position else {name: arguments[name] for name in names}
    written = [*positional, *(f"{name}={writer.value(each)}" for name, each in named.items())]
    return f"{writer.name(module.wrapped)}({', '.join(written)})"


def _needs_positions(recipe: Recipe) -> bool:
    kinds = {p.kind for p in recipe.signature.parameters.values()}
    return Parameter.POSITIONAL_ONLY in kinds or Parameter.VAR_POSITIONAL in kinds


class _Writer:
    """Writes values as expressions, and collects what they need imported."""

    def __init__(self) -> None:
        self.lines: dict[str, None] = {}

    def imports(self) -> list[str]:
        return sorted(self.lines)

    def name(self, thing: Any) -> str:
        """A class or function, as it is reached by its name."""
        module, name = thing.__module__, thing.__qualname__
        if "<" in name:
            raise _Unwritable(name)
        if isinstance(thing, type) and getattr(nn, name, None) is thing:
            self.lines["from torch import nn"] = None
            return f"nn.{name}"
        top = name.partition(".")[0]
        self.lines[f"from {module} import {top}"] = None
        return str(name)

    def value(self, value: Any) -> str:
        if isinstance(value, (torch.dtype, torch.device, torch.Size)):
            self.lines["import torch"] = None
            return f"torch.device({str(value)!r})" if isinstance(value, torch.device) else str(value)
        if type(value) in (list, tuple):
            inside = ", ".join(map(self.value, value))
            comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
            return f"[{inside}]" if isinstance(value, list) else f"({inside}{comma})"
        if type(value) is dict:
            return "{" + ", ".join(f"{self.value(k)}: {self.value(v)}" for k, v in value.items()) + "}"
        if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
            return self.name(value)
        if isinstance(value, Opaque):
            raise _Unwritable(value)
        return repr(value)
