"""What `explain` returns: dataclasses whose `str` is a text table and whose `_repr_html_` is a table for Jupyter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Signature
from typing import Any

from torch import nn

from lazify._lazy_class.parameter_table import (
    ExplainedParameter,
    html_code,
    html_table,
    signature_rows,
    signatures_html,
)
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis
from lazify.explain.code import CodeWriter, NotExpressibleError
from lazify.explain.tables import aligned, side_by_side

__all__ = ["ExplainedClass", "ExplainedModel", "ExplainedModule"]


@dataclass(frozen=True, repr=False, eq=False)
class ExplainedClass:
    """A lazy class.

    Attributes:
        name: the name of the lazy class.
        wrapped: the class that instances become.
        original, lazified: the signatures of the constructors of `wrapped` and of the lazy class.
        parameters: the parameters of both signatures, in order.
    """

    name: str
    wrapped: type[nn.Module]
    original: Signature
    lazified: Signature
    parameters: tuple[ExplainedParameter, ...]

    def __str__(self) -> str:
        rows = [(p.original, p.lazified or (p.rule and f"-- {p.rule}")) for p in self._rows()]
        return "\n".join(side_by_side([(f"{self.wrapped.__name__}(", f"{self.name}("), *rows, (")", ")")]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return signatures_html(self.wrapped.__name__, self.name, self._rows(), {})

    def _rows(self) -> Iterator[ExplainedParameter]:
        return signature_rows(self.parameters, self.original, self.lazified)


@dataclass(frozen=True, eq=False)
class ExplainedModule:
    """One module of a model that is or was lazy.

    Attributes:
        path: the module's path in the model; empty for the model itself.
        class_name: the name of the wrapped class.
        lazy: whether the module is still lazy.
        given: the constructor arguments that the user passed.
        values: the inferred constructor arguments; empty while the module is lazy.
        rules: name of an inferred constructor argument -> its rule.
        seen: argument of the first call (or tensor name in the checkpoint) -> its shape; empty while the module is
            lazy.
        proofs: name of an argument that trial runs found -> where in the call it stands, and what the call refuses.
        wrapped: the class that the module is or will be.
    """

    path: str
    class_name: str
    lazy: bool
    given: Mapping[str, Any]
    values: Mapping[str, Any]
    rules: Mapping[str, str]
    seen: Mapping[str, str]
    proofs: Mapping[str, str]
    wrapped: type[nn.Module] = field(repr=False)
    recipe: Recipe = field(repr=False)

    def origin(self, name: str) -> str:
        """From what the value of an inferred argument follows.

        If trial runs found it, where in the call it stands, and another value with which the call fails. By an `axis`
        rule, the shape of the argument that the rule reads. By other rules, all shapes.
        """
        if name in self.proofs:
            return self.proofs[name]
        rule = self.recipe.rules[name]
        if isinstance(rule, Axis):
            argument = rule.of if rule.of in self.seen else next(iter(self.seen), None)
            return "" if argument is None else f"{argument}: {self.seen[argument]}"
        return ", ".join(f"{argument}: {shape}" for argument, shape in self.seen.items())


@dataclass(frozen=True, repr=False, eq=False)
class ExplainedModel:
    """The modules of a model that are or were lazy."""

    modules: tuple[ExplainedModule, ...]

    def __str__(self) -> str:
        if not self.modules:
            return "no module of this model is or was lazy"
        lines: list[str] = []
        for module in self.modules:
            state = "still lazy" if module.lazy else ""
            lines.append(f"{_path_text(module)}: {module.class_name} {state}".rstrip())
            rows = [(f"  {name}", value, rule, origin) for name, value, rule, origin in _inferred_rows(module)]
            lines += aligned(rows, [" = ", "  ", "  "])
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows: list[tuple[str, ...]] = []
        for module in self.modules:
            module_cells = (html_code(_path_text(module)), html_code(module.class_name))
            for name, value, rule, origin in _inferred_rows(module):
                rows.append((*module_cells, html_code(f"{name} = {value}"), html_code(rule), html_code(origin)))
                module_cells = ("", "")  # the rows below are of the same module
        return html_table("", ("module", "class", "inferred", "rule", "from"), rows)

    def code(self) -> str:
        """Python code that constructs each materialized module with explicit arguments, without lazify.

        The code assigns a dict `modules` from paths to modules with the same parameter shapes. Those that are still
        lazy are named in comments.

        >>> import torch
        >>> from lazify.api import lazify
        >>> from lazify.explain import explain
        >>> linear = lazify(nn.Linear)(3)
        >>> _ = linear(torch.ones(2, 8))
        >>> print(explain(nn.Sequential(linear)).code())
        from torch import nn
        <BLANKLINE>
        modules = {
            '0': nn.Linear(in_features=8, out_features=3),
        }
        """
        writer = CodeWriter()
        entries = [
            f"    # {module.path!r}: {module.class_name} is still lazy" if module.lazy else _code_entry(module, writer)
            for module in self.modules
        ]
        return "\n".join([*writer.import_lines(), "", "modules = {", *entries, "}"])


def _path_text(module: ExplainedModule) -> str:
    return module.path or "(the model)"


def _inferred_rows(module: ExplainedModule) -> Iterator[tuple[str, str, str, str]]:
    """Name, value, rule and origin of each inferred argument."""
    for name, rule in module.rules.items():
        value = repr(module.values[name]) if name in module.values else "?" if module.lazy else "its default"
        yield name, value, rule, module.origin(name)


def _code_entry(module: ExplainedModule, writer: CodeWriter) -> str:
    """The line of a dict that constructs the module, or a comment if an argument has no Python expression."""
    try:
        call = writer.constructor_call(module.recipe, {**module.given, **module.values})
    except NotExpressibleError as error:
        return f"    # {module.path!r}: {module.class_name}(...) was given {error}"
    return f"    {module.path!r}: {call},"
