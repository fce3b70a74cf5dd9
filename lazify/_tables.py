"""Tables of signatures and values: as text for a terminal, as HTML for Jupyter."""

from __future__ import annotations

import html
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

from lazify.recipe import Recipe
from lazify.signatures import Source

__all__ = [
    "ExplainedParameter",
    "aligned",
    "code",
    "explained_parameters",
    "html_table",
    "side_by_side",
    "signatures_html",
]


class ExplainedParameter(NamedTuple):
    """One constructor parameter.

    Attributes:
        name: its name.
        original, lazified: how it stands in the two signatures; empty where it does not.
        rule: where its value comes from; empty where it is given.
    """

    name: str
    original: str
    lazified: str
    rule: str


def explained_parameters(recipe: Recipe) -> tuple[ExplainedParameter, ...]:
    """Those of the constructor in order, then those that only rules read."""
    original, shown = recipe.signature.parameters, recipe.lazified.parameters
    names = dict.fromkeys([*original, *shown, *recipe.rules])
    return tuple(
        ExplainedParameter(
            name,
            _written(original[name]) if name in original else "",
            _written(shown[name]) if name in shown else "",
            str(recipe.rules[name]) if name in recipe.rules else "",
        )
        for name in names
    )


def _written(p: Parameter) -> str:
    if isinstance(p.default, (type, FunctionType, BuiltinFunctionType)) and p.default is not p.empty:
        p = p.replace(default=Source(p.default.__qualname__))
    return str(p.replace(annotation=Source(p.annotation)) if isinstance(p.annotation, str) else p)


# ---------------------------------------------------------------------------------------------
# Text

#: Width of one of two columns.
COLUMN = 39


def side_by_side(rows: list[tuple[str, str]]) -> Iterator[str]:
    """Two columns that fit a terminal; the first and the last row stand at the margin."""
    for at, row in enumerate(rows):
        indent = "" if at in (0, len(rows) - 1) else "  "
        left, right = (
            textwrap.wrap(cell, COLUMN, initial_indent=indent, subsequent_indent=4 * indent[:1] + indent)
            for cell in row
        )
        for one, other in itertools.zip_longest(left, right, fillvalue=""):
            yield f"{one:<{COLUMN}}  {other}".rstrip()


def aligned(rows: list[tuple[str, str, str, str]]) -> Iterator[str]:
    """`name = value  rule  origin`, in columns."""
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    for name, value, rule, origin in rows:
        line = f"{name:<{widths[0]}} = {value:<{widths[1]}}  {rule:<{widths[2]}}  {origin}"
        yield line.rstrip()


# ---------------------------------------------------------------------------------------------
# HTML: of one's own no colour but half-transparent grey, which is readable on light and on dark

#: Jupyter's own tables are right-aligned, striped and do not break lines.
TABLE = "border-collapse: collapse; margin: 0.4em 0; text-align: left"
CAPTION = "caption-side: top; text-align: left; padding: 0 0 0.4em 0; color: inherit; white-space: nowrap"
LINE = "border-bottom: 1px solid rgba(128, 128, 128, 0.4)"
CELL = "text-align: left; vertical-align: top; padding: 0.15em 1.2em 0.15em 0; background: transparent"
CODE = "background: none; padding: 0"


def code(text: str) -> str:
    """Escaped; nothing of nothing."""
    return f'<code style="{CODE}">{html.escape(text)}</code>' if text else ""


def html_table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML, under a caption and a head that are text."""
    title = f'<caption style="{CAPTION}">{code(caption)}</caption>' if caption else ""
    top = "".join(f'<th style="{CELL}; {LINE}; font-weight: bold">{html.escape(each)}</th>' for each in head)
    body = "".join("<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    return f'<table style="{TABLE}">{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def signatures_html(
    wrapped: str, lazy: str, parameters: Iterable[ExplainedParameter], given: Mapping[str, Any], caption: str = ""
) -> str:
    """The two signatures beside each other: what is dropped struck through, with its rule; given values."""

    def line(p: ExplainedParameter) -> tuple[str, str, str]:
        dropped = p.rule and not p.lazified
        original = f"<del>{code(p.original)}</del>" if dropped else code(p.original)
        origin = f"given: {code(repr(given[p.name]))}" if p.name in given else code(p.rule)
        return original, code(p.lazified), origin

    return html_table(caption, (f"original: {wrapped}", f"lazified: {lazy}", "value"), map(line, parameters))
