"""What laziness costs: `python -m benchmarks` measures everything and writes a table and plots.

Eager modules, torch's own `Lazy*` classes, torchlayers (if it is installed) and lazify run in one process, in
interleaved rounds; all is said in ratios to eager. Nothing is asserted: times depend on the machine.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent
if not __package__:  # `python benchmarks`
    sys.path[0] = str(ROOT)

import torch  # noqa: E402

from benchmarks.contenders import OURS, torchlayers  # noqa: E402
from benchmarks.measures import FULL, MEASURES, QUICK  # noqa: E402
from benchmarks.report import Results, block, heading, here, load, save, table, with_block  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
#: The figures that `benchmarks/README.md` shows.
FIGURES = {
    "costs.svg": "First call, later calls, memory and materialize as ratios to eager",
    "scale.svg": "Cost per module, from 100 to 6,400 modules",
    "solving.svg": "What a search costs: the first block, the hundredth, a hundred together",
}


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few and small rounds: does it run at all?")
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="WHAT", help=f"of {', '.join(MEASURES)}")
    where = f"{_short(RESULTS)}, unless --quick or --only says that this is not everything"
    parser.add_argument("--write", type=Path, metavar="DIR", help=f"where results.json, table.md, *.svg go: {where}")
    parser.add_argument("--redraw", action="store_true", help="measure nothing: table and plots from results.json")
    parser.add_argument(
        "--readme",
        type=Path,
        nargs="?",
        const=ROOT / "benchmarks" / "README.md",
        metavar="FILE",
        help="measure nothing: put the table and the plots of results.json into benchmarks/README.md",
    )
    options = parser.parse_args(argv)
    directory = options.write or RESULTS
    if options.readme:
        into_readme(options.readme, directory)
        return
    if options.redraw:
        write(load(directory / "results.json"), directory)
        return
    results = measured(options.quick, options.only or list(MEASURES), " ".join(["python -m benchmarks", *argv]))
    print(f"{heading(results)}\n\n{table(results)}\n")
    print("\n".join(results.notes))
    if options.write or not (options.quick or options.only):
        write(results, directory)


def measured(quick: bool, names: list[str], command: str) -> Results:
    warnings.filterwarnings("ignore", message="Lazy modules are a new feature")  # torch's own
    torch.set_num_threads(1)
    other, note = torchlayers()
    contenders = OURS if other is None else (*OURS, other)
    rows = []
    for name in names:
        gc.collect()
        gc.freeze()  # what is there stays: the collections between rounds need not look at it, and empty no caches
        for row in MEASURES[name](QUICK if quick else FULL, contenders):
            print(f"{row.group}: {row.measured}", file=sys.stderr, flush=True)
            rows.append(row)
    return here(command, (note,), tuple(rows))


def write(results: Results, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    save(results, directory / "results.json")
    (directory / "table.md").write_text(f"{heading(results)}:\n\n{table(results)}\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is None:
        print("no plots: matplotlib is not installed", file=sys.stderr)
        return
    from benchmarks.plots import draw

    draw(results, directory)


def into_readme(readme: Path, directory: Path) -> None:
    results = load(directory / "results.json")
    figures = {os.path.relpath(directory / name, readme.parent): words for name, words in FIGURES.items()}
    changed = with_block(readme.read_text(encoding="utf-8"), block(results, figures))
    readme.write_text(changed, encoding="utf-8")


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
