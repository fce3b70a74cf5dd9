"""For how many real module classes lazify finds the values: `python -m benchmarks.corpus [--min] [FILE ...]`.

A case counts only if, under one seed, the lazy instance becomes exactly the wrapped class, holds the eager
module's parameters bit for bit, and gives its output. `named`: the inferred parameters are named, nothing more.
`auto`: nothing is named, and the signature must still show every argument that the case gives. Where the call
determines nothing (tag "nothing"), all arguments are given, and leaving out any one size must end in an error.
`silent` counts what is wrong without an error, or has lost an argument.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from lazify import LazifyError, lazify

CORPUS = Path(__file__).parent.parent / "tests" / "corpus"
#: Which libraries each file needs; None and numpy are there for all tests.
FILES = {
    "torch_nn": None,
    "handwritten": "numpy",
    "tutorials": None,
    "free_sizes": None,
    "torchvision": "torchvision",
    "monai": "monai",
    "pyg": "torch_geometric",
    "x_transformers": "x_transformers",
    "vit_pytorch": "einops",
    "diffusion": "einops",
    "lightly": "torchvision",
    "tcn": "pytorch_tcn",
}
#: What must be reached over all files.
LEAST = {"named": 0.985, "auto": 0.94}
#: How many cases may be wrong without an error, or lose an argument, over all files: as many as do now.
#: None should: each one that is mended lowers it.
MOST_SILENT = 4


@dataclass(frozen=True)
class Result:
    case: Any
    mode: str
    why: str  # empty: it works
    seconds: float
    silent: bool = False  # wrong, and no error says so


def cases(name: str) -> list[Any]:
    """The cases of one file; raises ImportError where its library is not installed."""
    if str(CORPUS) not in sys.path:
        sys.path.insert(0, str(CORPUS))
    library = FILES[name]
    if library == "torchvision":
        importlib.import_module("tv_shim")
    elif library is not None:
        importlib.import_module(library)
    found: list[Any] = importlib.import_module(f"cases_{name}").CASES
    return found


def results(found: Iterable[Any], mode: str) -> Iterator[Result]:
    left_aside = {"named": "nothing", "auto": "names-needed"}[mode]  # no name to give; nothing that a signature shows
    found = [case for case in found if left_aside not in case.tags]
    inferable: dict[str, set[str]] = defaultdict(set)
    for case in found:
        inferable[case.target] |= set(case.infer)
    for case in found:
        start = time.perf_counter()
        silent = False
        try:
            why = difference(case, mode, inferable[case.target])
            if not why and "nothing" in case.tags:
                why = without_error(case)
            silent = why != ""
        except Exception as error:
            first = next(iter(str(error).strip().splitlines()), "")
            why = f"{type(error).__name__}: {first[:120]}"
        yield Result(case, mode, why, time.perf_counter() - start, silent)


def difference(case: Any, mode: str, inferable: set[str]) -> str:
    """What tells the materialized module from the eager one; empty if nothing does."""
    cls = case.cls()
    lazy_cls: Any = lazify(cls) if mode == "auto" else lazify(cls, exclude=list(case.infer))
    shown = inspect.signature(lazy_cls).parameters
    lost = [name for name in case.kwargs() if name not in shown and name not in inferable]
    if mode == "auto" and lost and not any(p.kind is p.VAR_KEYWORD for p in shown.values()):
        return f"the signature lost {lost}"
    torch.manual_seed(7)
    args, call_kwargs = case.args(), case.call_kwargs()
    torch.manual_seed(0)
    eager = cls(**case.infer, **case.kwargs()).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        want = eager(*args, **call_kwargs)
    torch.manual_seed(7)
    args, call_kwargs = case.args(), case.call_kwargs()
    torch.manual_seed(0)
    lazy = lazy_cls(**case.kwargs()).eval()
    with torch.no_grad():
        lazy(*args, **call_kwargs)
    if type(lazy) is not cls:
        return f"became {type(lazy).__name__}"
    if (why := _states_differ(eager.state_dict(), lazy.state_dict(), case.deterministic)) != "":
        return why
    torch.manual_seed(7)
    args, call_kwargs = case.args(), case.call_kwargs()
    torch.manual_seed(1)
    with torch.no_grad():
        got = lazy(*args, **call_kwargs)
    return "" if not case.deterministic or _same(want, got) else "other output"


def without_error(case: Any) -> str:
    """The required sizes of a case whose call determines nothing that may be left out without an error."""
    cls = case.cls()
    lazy_cls: Any = lazify(cls)
    parameters = inspect.signature(cls).parameters
    accepted = []
    for name, value in case.kwargs().items():
        if type(value) is not int or name not in parameters or parameters[name].default is not inspect.Parameter.empty:
            continue
        try:
            lazy = lazy_cls(**{other: each for other, each in case.kwargs().items() if other != name}).eval()
            with torch.no_grad():
                lazy(*case.args(), **case.call_kwargs())
        except (TypeError, LazifyError):
            continue
        accepted.append(name)
    return f"accepted without {accepted}" if accepted else ""


def _states_differ(eager: dict[str, Any], lazy: dict[str, Any], deterministic: bool) -> str:
    if eager.keys() != lazy.keys():
        return f"other parameters: {sorted(eager.keys() ^ lazy.keys())[:4]}"
    for name, value in eager.items():
        if not isinstance(value, torch.Tensor):
            continue
        if value.shape != lazy[name].shape:
            return f"{name}: {tuple(lazy[name].shape)}, eager {tuple(value.shape)}"
        if deterministic and not torch.equal(_numbers(value), _numbers(lazy[name])):
            return f"{name}: other values"
    return ""


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.nan_to_num() if tensor.is_floating_point() else tensor


def _same(want: Any, got: Any) -> bool:
    a, b = tree_flatten(want)[0], tree_flatten(got)[0]
    return len(a) == len(b) and all(
        x.shape == y.shape
        and x.dtype == y.dtype
        and torch.allclose(*(t.to_dense() if t.is_sparse else t for t in (x, y)), equal_nan=True)
        for x, y in zip(a, b, strict=True)
        if isinstance(x, torch.Tensor)
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"of {', '.join(FILES)}; all by default")
    least = f"{LEAST}, above {MOST_SILENT} silent"
    parser.add_argument("--min", action="store_true", help=f"fail below {least}, or if a library is missing")
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    good: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    slowest, missing = 0.0, []
    silent: dict[str, int] = defaultdict(int)
    for name in options.files or FILES:
        try:
            found = cases(name)
        except ImportError as error:
            print(f"{name:12} not measured: {error}")
            missing.append(name)
            continue
        for mode in LEAST:
            counted = [r for r in results(found, mode) if "loose" not in r.case.tags]
            for result in counted:
                if result.why:
                    print(f"  {mode:5} {result.case.id}: {result.why}")
            works = sum(not r.why for r in counted)
            silent[mode] += sum(r.silent for r in counted)
            slowest = max(slowest, *(r.seconds for r in counted))
            print(f"{name:12} {mode:5} {works:3} of {len(counted):3} = {works / len(counted):.1%}", flush=True)
            good[mode] += works
            total[mode] += len(counted)
    for mode in total:
        print(f"{'all':12} {mode:5} {good[mode]:3} of {total[mode]:3} = {good[mode] / total[mode]:.1%}")
        print(f"{'all':12} {mode:5} {silent[mode]:3} wrong without an error, or an argument lost")
    print(f"slowest case: {slowest:.2f} s")
    short = [mode for mode in total if good[mode] < LEAST[mode] * total[mode] or silent[mode] > MOST_SILENT]
    return int(options.min and bool(short or missing))


if __name__ == "__main__":
    sys.exit(main())
