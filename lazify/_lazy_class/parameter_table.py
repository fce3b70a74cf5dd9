"""The constructor parameters of a lazy class as data and as an HTML table, for `explain` and for lazy instances.

In: a recipe. Out: `ExplainedParameter` tuples and HTML for Jupyter. Text tables are in `lazify.explain.tables`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter, Signature
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

from lazify._recipe.recipe import Recipe
from lazify._recipe.signature_reading import RawText

__all__ = ["ExplainedParameter", "explained_parameters", "html_code", "html_table", "signature_rows", "signatures_html"]


class ExplainedParameter(NamedTuple):
    """One constructor parameter.

    Attributes:
        name: the parameter's name.
        original, lazified: the parameter as the two signatures print it; empty in a signature without it.
        rule: the rule that infers the parameter's value; empty if the user passes it.
    """

    name: str
    original: str
    lazified: str
    rule: str


def explained_parameters(recipe: Recipe) -> tuple[ExplainedParameter, ...]:
    """The parameters of the constructor in order, then the parameters that only rules read."""
    original, lazified = recipe.original_signature.parameters, recipe.signature.parameters
    names = dict.fromkeys([*original, *lazified, *recipe.rules])
    return tuple(
        ExplainedParameter(
            name,
            _parameter_text(original[name]) if name in original else "",
            _parameter_text(lazified[name]) if name in lazified else "",
            _rule_text(recipe, name) if name in recipe.rules else "",
        )
        for name in names
    )


def _rule_text(recipe: Recipe, name: str) -> str:
    when = ", if the call refuses the default" if name in recipe.defaulted else ", if left out"
    return f"{recipe.rules[name]}{when if name in recipe.optional else ''}"


def signature_rows(
    parameters: Iterable[ExplainedParameter], original: Signature, lazified: Signature
) -> Iterator[ExplainedParameter]:
    """The parameters, with the bare `*` that stands before the keyword-only ones of each signature."""
    first_original, first_lazified = _after_star(original), _after_star(lazified)
    for p in parameters:
        stars = ("*" * (p.name == first_original), "*" * (p.name == first_lazified))
        if any(stars):
            yield ExplainedParameter("*", *stars, "")
        yield p


def _after_star(signature: Signature) -> str | None:
    """The name of the parameter before which a bare `*` is printed."""
    kinds = {p.kind for p in signature.parameters.values()}
    keyword_only = [p.name for p in signature.parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    return None if Parameter.VAR_POSITIONAL in kinds or not keyword_only else keyword_only[0]


def _parameter_text(p: Parameter) -> str:
    if isinstance(p.default, (type, FunctionType, BuiltinFunctionType)) and p.default is not p.empty:
        p = p.replace(default=RawText(p.default.__qualname__))
    return str(p.replace(annotation=RawText(p.annotation)) if isinstance(p.annotation, str) else p)


# ---------------------------------------------------------------------------------------------
# HTML. The only colour set is a half-transparent grey, which is visible on light and on dark backgrounds.
# The styles override those of Jupyter's own tables, which are right-aligned, striped and do not break lines.

TABLE_STYLE = "border-collapse: collapse; margin: 0.4em 0; text-align: left"
CAPTION_STYLE = "caption-side: top; text-align: left; padding: 0 0 0.4em 0; color: inherit; white-space: nowrap"
LINE_STYLE = "border-bottom: 1px solid rgba(128, 128, 128, 0.4)"
CELL_STYLE = "text-align: left; vertical-align: top; padding: 0.15em 1.2em 0.15em 0; background: transparent"
CODE_STYLE = "background: none; padding: 0; overflow-wrap: anywhere"
#: The last column beside two signatures, which are wide: those break their lines, this one does not.
VALUE_STYLE = "min-width: 13em"


def html_code(text: str) -> str:
    """A `<code>` element with `text` escaped; empty if `text` is."""
    return f'<code style="{CODE_STYLE}">{html.escape(text)}</code>' if text else ""


def html_table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A `<table>` element. Caption and head are text and are escaped; the cells of `rows` are HTML."""
    title = f'<caption style="{CAPTION_STYLE}">{html_code(caption)}</caption>' if caption else ""
    head_style = f"{CELL_STYLE}; {LINE_STYLE}; font-weight: bold"
    top = "".join(f'<th style="{head_style}">{html.escape(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f'<td style="{CELL_STYLE}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    return f'<table style="{TABLE_STYLE}">{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def signatures_html(
    wrapped: str, lazy: str, rows: Iterable[ExplainedParameter], given: Mapping[str, Any], caption: str = ""
) -> str:
    """The original and the lazified signature as columns of an HTML table.

    A dropped parameter is struck through in the first column. The third column shows the value that the user gave,
    else the rule.
    """

    def row(p: ExplainedParameter) -> tuple[str, str, str]:
        dropped = p.rule and not p.lazified
        original = f"<del>{html_code(p.original)}</del>" if dropped else html_code(p.original)
        value = f"given: {html_code(repr(given[p.name]))}" if p.name in given else html_code(p.rule)
        return original, html_code(p.lazified), f'<div style="{VALUE_STYLE}">{value}</div>'

    return html_table(caption, (f"original: {wrapped}", f"lazified: {lazy}", "value"), map(row, rows))
