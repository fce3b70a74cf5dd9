"""Each operation before the first call ends as on an eager model, or is refused without a loss."""

from __future__ import annotations

import warnings

import pytest
import torch

from helpers import parity
from helpers.twins import assert_twins
from helpers.versions import only_on_the_pinned_torch
from lazify import InferenceError, NotMaterializedError

#: What is not the same, and why.
REFUSED = {
    "`load_state_dict` of another architecture": InferenceError,  # a RuntimeError, as torch's
    "`share_memory()`": RuntimeError,  # the rest need values that are not there
    "`torch.jit.script`": RuntimeError,
    "`parameters_to_vector`": ValueError,
    "counting: `p.numel()`": ValueError,
    "`weight_norm`": ValueError,
    "`spectral_norm`": ValueError,
    "`parametrizations.orthogonal`": ValueError,
    "`prune.l1_unstructured`": NotMaterializedError,
    "`DistributedDataParallel`": RuntimeError,
    "`fully_shard`": RuntimeError,
}
REFUSED = {name: error for name, error in REFUSED.items() if name in parity.OPERATIONS}
#: Kind of lazy model -> the eager model with which it is compared.
KINDS = {"lazify": "eager", "lazify, one class": "eager, one class"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", parity.OPERATIONS)
def test_parity(name: str, kind: str) -> None:
    expected, reference = parity.run(KINDS[kind], parity.OPERATIONS[name])
    outcome, observed = parity.run(kind, parity.OPERATIONS[name])
    if name in REFUSED:
        assert outcome == "error"
        assert type(observed) is REFUSED[name]
    else:
        assert outcome == expected == "ok", observed
        assert observed == reference


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_loses_nothing(name: str, kind: str) -> None:
    torch.manual_seed(0)
    eager = parity.MODELS[KINDS[kind]]()
    model = parity.MODELS[kind]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates some of them
        with pytest.raises(REFUSED[name]):
            parity.OPERATIONS[name](model, [])
    torch.manual_seed(0)
    assert torch.equal(model(parity.X), eager(parity.X))
    for mine, twins in zip(
        model.children(), eager.children(), strict=True
    ):  # fully_shard leaves its own mark on the container
        assert_twins(mine, twins)


@only_on_the_pinned_torch
def test_the_table_on_the_page_is_what_runs() -> None:
    assert parity.block() == parity.table()
