"""The figures, from what was measured: SVG that reads on a white page and on a dark one, the same each time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.contenders import CONTROL, LAZIFY, TORCH, TORCHLAYERS
from benchmarks.report import Results, number
from benchmarks.rounds import Row

__all__ = ["draw"]

GREY = "#767b82"  # as far from white as from GitHub's dark page
#: Of Okabe and Ito, which the colour-blind can tell apart, and none too light or too dark.
COLOURS = {LAZIFY: "#2f8fd8", TORCH: "#d55e00", TORCHLAYERS: "#c074a6", CONTROL: GREY}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lazify",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 10,
    "axes.edgecolor": GREY,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
} | dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), GREY)


def draw(results: Results, directory: Path) -> list[Path]:
    """Writes each figure of which something was measured."""
    written = []
    for name, figure in (("costs", costs), ("scale", scale), ("solving", solving)):
        with matplotlib.rc_context(STYLE):
            drawn = figure(results)
            if drawn is not None:
                written.append(directory / f"{name}.svg")
                drawn.savefig(written[-1], transparent=True, metadata={"Date": None, "Creator": None})
    return written


def _of(results: Results, *groups: str) -> list[Row]:
    return [row for row in results.rows if row.group in groups]


def _present(rows: Iterable[Row]) -> list[str]:
    rows = list(rows)
    return [name for name in COLOURS if any(row.ratios.get(name) for row in rows)]


def _eager(axes: Any, line: Any) -> None:
    line(1.0, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)


def costs(results: Results) -> Figure | None:
    """Bars: what there is to pay once, and afterwards."""
    rows = _of(results, "first call", "later call", "memory", "materialize")
    if not rows:
        return None
    bars = [[name for name in COLOURS if row.ratios.get(name)] for row in rows]
    gap = 0.9
    height = sum(map(len, bars)) + gap * len(bars)
    figure = Figure(figsize=(8.4, 0.21 * height + 0.8), layout="constrained")
    axes = figure.subplots()
    at, ticks = 0.0, []
    for row, names in zip(rows, bars, strict=True):
        ticks.append(at + (len(names) - 1) / 2)
        for name in names:
            ratio = row.ratios[name]
            error = [[ratio.median - ratio.low], [ratio.high - ratio.median]]
            axes.barh(at, ratio.median, 0.86, linewidth=0.8, **_fill(name))
            axes.errorbar(ratio.median, at, xerr=error, color=GREY, linewidth=1.2, capsize=2)
            beside = (max(ratio.high, 1.0), at)  # and beside the line, if need be
            axes.annotate(number(ratio.median), beside, (5, 0), textcoords="offset points", va="center", fontsize=9)
            at += 1
        at += gap
    axes.set_yticks(ticks, [row.measured.replace(", ", ",\n", 1) for row in rows])
    axes.set_ylim(at - gap, -1)
    axes.set_xlabel("ratio to eager (dashed: as eager); whiskers: quartiles of the rounds")
    _eager(axes, axes.axvline)
    axes.spines["left"].set_visible(False)
    _legend(figure, _present(rows))
    return figure


def scale(results: Results) -> Figure | None:
    """Lines: the ratio as the number of modules grows."""
    groups = [group for group in ("construct + first call", "materialize") if _of(results, f"{group}, scale")]
    if not groups:
        return None
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, group in zip(panels, groups, strict=True):
        rows = _of(results, f"{group}, scale")
        for name in _present(rows):
            points = [(row.modules, ratio) for row in rows if (ratio := row.ratios.get(name))]
            modules, ratios = zip(*points, strict=True)
            axes.plot(modules, [r.median for r in ratios], color=COLOURS[name], marker="o", markersize=4)
            axes.fill_between(
                modules, [r.low for r in ratios], [r.high for r in ratios], color=COLOURS[name], alpha=0.25, linewidth=0
            )
        axes.set_xscale("log")
        axes.set_xticks([row.modules for row in rows], [f"{row.modules:,}" for row in rows])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_title(group)
        axes.set_xlabel("modules")
        _eager(axes, axes.axhline)
    panels[0].set_ylabel("ratio to eager")
    _legend(figure, _present(_of(results, *(f"{group}, scale" for group in groups))))
    return figure


def solving(results: Results) -> Figure | None:
    """Dots: the first block pays for a search, the others do not."""
    rows = _of(results, "search")
    if not rows:
        return None
    parts = [row.measured.rsplit(", ", 1) for row in rows]
    problems, blocks = (list(dict.fromkeys(names)) for names in zip(*parts, strict=True))
    marks = dict(zip(blocks, (("o", 8), ("D", 8), ("s", -15)), strict=True))  # and how far off the number is
    figure = Figure(figsize=(8.4, 0.5 * len(problems) + 1.2), layout="constrained")
    axes = figure.subplots()
    for row, (problem, block) in zip(rows, parts, strict=True):
        ratio, at, (marker, above) = row.ratios[LAZIFY], problems.index(problem), marks[block]
        axes.plot([ratio.low, ratio.high], [at, at], color=COLOURS[LAZIFY], linewidth=5, alpha=0.4)
        axes.plot(ratio.median, at, color=COLOURS[LAZIFY], marker=marker, markersize=6)
        axes.annotate(
            number(ratio.median), (ratio.median, at), (0, above), textcoords="offset points", ha="center", fontsize=9
        )
    axes.set_xscale("log")
    axes.set_xlim(left=0.8)
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.minorticks_off()
    axes.set_yticks(range(len(problems)), problems)
    axes.set_ylim(len(problems) - 0.5, -0.7)
    axes.set_xlabel("ratio to constructing and calling eager blocks (logarithmic)")
    _eager(axes, axes.axvline)
    axes.spines["left"].set_visible(False)
    handles = [Line2D([], [], color=COLOURS[LAZIFY], marker=m, linestyle="none") for m, _ in marks.values()]
    figure.legend(handles, blocks, loc="outside upper center", ncols=len(blocks), fontsize=9)
    return figure


def _fill(name: str) -> dict[str, str]:
    return {"facecolor": "none" if name == CONTROL else COLOURS[name], "edgecolor": COLOURS[name]}


def _legend(figure: Figure, names: list[str]) -> None:
    handles = [Patch(**_fill(name)) for name in names]
    labels = {CONTROL: "control: eager, each layer constructed right before its call"}
    figure.legend(handles, [labels.get(n, n) for n in names], loc="outside upper center", ncols=len(names), fontsize=9)
