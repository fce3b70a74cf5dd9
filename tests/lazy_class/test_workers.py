"""Lazy modules in worker processes, spawned and forked: each process materializes its own copy."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from helpers.workers import Collate, Embedded, called, network
from lazify import is_lazy

METHODS = [each for each in ("spawn", "fork") if each in multiprocessing.get_all_start_methods()]
#: From Python 3.12 on, a fork warns if there are threads; torch starts some.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.mark.parametrize("method", METHODS)
def test_workers_of_a_data_loader(method: str) -> None:
    dataset, collate = Embedded(), Collate()
    loader: Any = DataLoader(dataset, 2, collate_fn=collate, num_workers=1, multiprocessing_context=method)
    batches = list(loader)
    assert [was_lazy for _, was_lazy in batches] == [True, False]
    for batch, _ in batches:
        assert batch.shape == (2, 3)
        torch.testing.assert_close(batch.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
    assert is_lazy(dataset.embed)
    assert is_lazy(collate.norm)


@pytest.mark.parametrize("method", METHODS)
def test_lazy_models_go_to_a_process_and_come_back(method: str) -> None:
    model = network()
    list(model.parameters())
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        results = [pool.submit(called, each, asked).result() for each, asked in ((network(), True), (model, False))]
    assert all(map(is_lazy, (model[0], model[2])))
    for (was_lazy, parameters, back), asked in zip(results, (True, False), strict=True):
        assert was_lazy
        assert not any(map(is_lazy, back.modules()))
        _, expected, _ = called(network(), asked)
        assert parameters.keys() == expected.keys() == dict(back.named_parameters()).keys()
        torch.testing.assert_close(parameters, expected)  # sums may differ with the number of threads


BACKWARD_IN_A_FORK = """
import multiprocessing, torch
from helpers.workers import called, network

def backward():
    called(network(), False)

torch.set_num_threads(1)  # no fork has the threads of OpenMP either
called(network(), False)
process = multiprocessing.get_context("fork").Process(target=backward)
process.start()
process.join()
raise SystemExit(process.exitcode)
"""


@pytest.mark.skipif("fork" not in METHODS, reason="no fork here")
def test_backward_in_a_fork_after_a_search_and_a_backward() -> None:
    """Where CUDA is built in and absent, torch's own fake mode registers a device, whose thread no fork has."""
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BACKWARD_IN_A_FORK]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
