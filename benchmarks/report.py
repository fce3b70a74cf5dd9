"""What was measured, with how and where: as JSON, as a table, and in the README."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders import CONTROL, LAZIFY, TORCH, TORCHLAYERS
from benchmarks.rounds import EAGER, Row, Spread
from lazify import __version__

__all__ = ["Results", "block", "here", "load", "save", "table", "with_block"]

#: Contenders in the order of the columns, and their headings; the last two are eager's.
COLUMNS = {
    LAZIFY: "lazify",
    TORCH: "torch's `Lazy*`",
    TORCHLAYERS: "torchlayers",
    CONTROL: "control",
    EAGER: "eager",
}
EXPLAINED = """\
Every number without a unit is a ratio to eager (smaller is better), of CPU time on one thread: in each round every
contender runs once, in changing order, and is divided by eager's time in that round; shown is the median of the rounds.
Before each first call that counts comes one that does not, so that the processor's caches hold what the contender
needs; the rows "right after another" have none. "eager" is what the ratios are ratios of (at the cost per module: its
own growth). "control" is eager, too, but each layer is constructed right before its first call, as
laziness must. The targets are what lazify aims at; a row above its target is not there yet."""


@dataclass(frozen=True)
class Results:
    date: str
    command: str
    versions: Mapping[str, str]
    machine: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]


def here(command: str, notes: tuple[str, ...], rows: tuple[Row, ...]) -> Results:
    """What was measured today, on this machine."""
    versions = {"lazify": __version__, "torch": torch.__version__, "Python": platform.python_version()}
    machine = f"{_processor()}, {platform.system()} {platform.machine()}"
    return Results(date.today().isoformat(), command, versions, machine, notes, rows)


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or "unknown processor"


# ---------------------------------------------------------------------------------------------
# As JSON


def save(results: Results, path: Path) -> None:
    path.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    read = json.loads(path.read_text(encoding="utf-8"))
    return Results(**{**read, "notes": tuple(read["notes"]), "rows": tuple(map(_row, read["rows"]))})


def _row(read: dict[str, Any]) -> Row:
    ratios = {name: _spread(each) for name, each in read["ratios"].items()}
    return Row(**{**read, "ratios": ratios, "base": _spread(read["base"])})


def _spread(read: dict[str, Any] | None) -> Spread | None:
    return None if read is None else Spread(**read)


# ---------------------------------------------------------------------------------------------
# As a table


def heading(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return f"{results.date}, {versions}, {results.machine}; `{results.command}`"


def table(results: Results) -> str:
    columns = {name: title for name, title in COLUMNS.items() if any(name in row.ratios for row in results.rows)}
    columns[EAGER] = COLUMNS[EAGER]
    lines = [["measured (ratio to eager)", *columns.values(), "target"]]
    lines += [[row.measured, *(cell(row, name) for name in columns), row.target] for row in results.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def cell(row: Row, name: str) -> str:
    if name == EAGER and row.base is not None:
        return quantity(row.base.median, row.unit)
    if name not in row.ratios:
        return ""
    ratio = row.ratios[name]
    if ratio is None:
        return "fails"
    absolute = row.absolute and name == LAZIFY and row.base is not None
    return number(ratio.median) + (f" ({quantity(ratio.median * row.base.median, row.unit)})" if absolute else "")


def number(ratio: float) -> str:
    """
    >>> number(0.0142), number(1.234), number(17.23), number(512.3)
    ('0.014', '1.23', '17.2', '512')
    """
    return f"{ratio:.{3 if ratio < 0.1 else 2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


def quantity(value: float, unit: str) -> str:
    """
    >>> quantity(0.00021, "s"), quantity(2.34, "s"), quantity(400e6, "B")
    ('210 us', '2.3 s', '400 MB')
    """
    scales = {"s": (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)), "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))}[unit]
    name, scale = next((each for each in scales if value >= each[1]), scales[-1])
    shown = value / scale
    return f"{shown:.{1 if shown < 10 else 0}f} {name}"


# ---------------------------------------------------------------------------------------------
# In the README

BEGIN, END = "<!-- benchmarks: python -m benchmarks --readme -->", "<!-- end -->"
BLOCK = re.compile(rf"({re.escape(BEGIN)}\n)(?:.*?\n)??({re.escape(END)})", re.S)


def block(results: Results, figures: Mapping[str, str]) -> str:
    """What the README shows: path of a figure -> what it says in words."""
    images = [f"![{words}]({path})" for path, words in figures.items()]
    notes = " ".join((EXPLAINED, *results.notes))
    return "\n\n".join([f"{heading(results)}:", *images, table(results), notes])


def with_block(readme: str, content: str) -> str:
    """
    Raises:
        ValueError: if the two comments are not there.
    """
    if not BLOCK.search(readme):
        raise ValueError(f"no place for the table: it goes between {BEGIN} and {END}, each on a line of its own")
    return BLOCK.sub(lambda found: f"{found[1]}{content}\n{found[2]}", readme)
