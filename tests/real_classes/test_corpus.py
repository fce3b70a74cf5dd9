"""Real module classes, named and with nothing named: every case works, or is listed below with the reason."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

import pytest
import torch

from benchmarks.corpus import FILES, LEAST, MOST_SILENT, cases, results

#: Why a case cannot count, or does not yet.
ASIDE = {
    "hand/AnyNorm-group": "its __new__ makes an instance of another class, as the eager one does",
    "hand/LazyHeadInside": "torch's own lazy layer inside draws at the call, not at the construction",
}
#: Classes that copy their `**kwargs` to read a size: no signature shows it.
NEEDS_NAMES = ["KwargsDict"]
#: What an older torch does not have.
LACKING = set()
if not hasattr(torch.nn, "LinearCrossEntropyLoss"):
    LACKING |= {"nn/LinearCrossEntropyLoss", "nn/LinearCrossEntropyLoss-probabilities"}
if "bias" not in inspect.signature(torch.nn.GroupNorm).parameters:
    LACKING |= {"nn/GroupNorm-nobias-kwarg"}
MISSES = {
    ("torch_nn", "named"): LACKING,
    ("torch_nn", "auto"): LACKING - {"nn/LinearCrossEntropyLoss-probabilities"},  # counts with names only
    ("tutorials", "named"): set(),
    ("tutorials", "auto"): {"tutorial/MLPGenerator"},  # `latent_dim`, a width inside by its name, stays required
    ("free_sizes", "named"): {"free/SplitTwo"},  # `x[:, n:]` is empty with the first value that fits `x[:, :n]`
    ("free_sizes", "auto"): {"free/SplitTwo", "free/EquivariantLayer-edges"},  # the other takes 0 for no edges
    ("handwritten", "named"): set(ASIDE),
    ("handwritten", "auto"): {*ASIDE, *(f"hand/{name}" for name in NEEDS_NAMES)},
}


@functools.cache
def measured(name: str, mode: str) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, not of lazify
        return [r for r in results(cases(name), mode) if "loose" not in r.case.tags]


@pytest.mark.parametrize(("name", "mode"), list(MISSES))
def test_every_case_but_the_known(name: str, mode: str) -> None:
    failed = {r.case.id: r.why for r in measured(name, mode) if r.why}
    assert failed.keys() == MISSES[name, mode], failed


def test_all_of_torch_nn_without_rules_too() -> None:
    """The solver alone, without table and conventions, on classes that have both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lazify._recipe.recipe.table_row", lambda cls, forward: None)
        patch.setattr("lazify._recipe.recipe.conventional", lambda name, forward: None)
        found = [case for case in cases("torch_nn") if "conv" in case.tags or "linear" in case.tags]
        failed = {r.case.id: r.why for r in results(found, "named") if r.why}
    assert len(failed) <= 0.1 * len(found), failed


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(LEAST))
def test_over_all_libraries(mode: str) -> None:
    for library in filter(None, FILES.values()):
        pytest.importorskip(library) if library != "torchvision" else None
    every = [r for name in FILES for r in measured(name, mode)]
    works = sum(not r.why for r in every)
    assert works >= LEAST[mode] * len(every), [(r.case.id, r.why) for r in every if r.why]
    assert sum(r.silent for r in every) <= MOST_SILENT, [(r.case.id, r.why) for r in every if r.silent]
