"""Text tables for a terminal."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["aligned", "side_by_side"]

#: Width of each of the two columns of `side_by_side`.
COLUMN_WIDTH = 39


def side_by_side(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Lines of a table with two columns that fits a terminal. All rows are indented but the first and the last.

    >>> print(*side_by_side([("Linear(", "LazyLinear("), ("bias=True", "bias=True"), (")", ")")]), sep="\\n")
    Linear(                                  LazyLinear(
      bias=True                                bias=True
    )                                        )
    """
    for number, row in enumerate(rows):
        indent = "" if number in (0, len(rows) - 1) else "  "
        left, right = (
            textwrap.wrap(cell, COLUMN_WIDTH, initial_indent=indent, subsequent_indent=3 * indent) for cell in row
        )
        for left_line, right_line in itertools.zip_longest(left, right, fillvalue=""):
            yield f"{left_line:<{COLUMN_WIDTH}}  {right_line}".rstrip()


def aligned(rows: Iterable[Sequence[str]], separators: Iterable[str]) -> Iterator[str]:
    """Lines of a table whose columns are as wide as their widest cell, with `separators` between the columns.

    >>> print(*aligned([("dim", "8", "axis(1)"), ("groups", "16", "")], [" = ", "  "]), sep="\\n")
    dim    = 8   axis(1)
    groups = 16
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    after = [*separators, ""]
    for row in rows:
        cells = zip(row, widths, after, strict=True)
        yield "".join(f"{cell:<{width}}{separator}" for cell, width, separator in cells).rstrip()
