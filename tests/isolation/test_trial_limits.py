"""Ends: runs and processor time are counted, the clock on the wall is not; memory is refused before it is taken."""

from __future__ import annotations

import copy
import gc
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.modules import Searched
from lazify import AmbiguousInferenceError, InferenceError, lazify
from lazify._isolation import Budget, TrialMemoryError, TrialRunner
from lazify._isolation import limits as limits_module
from lazify._isolation.real_tensors import RealTrialMode


def test_runs_are_counted() -> None:
    budget = Budget(runs=2, seconds=100)
    for said in ("", "2 runs"):
        budget.count()
        assert budget.exceeded == said


def test_processor_time_is_counted_and_waiting_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(runs=10**6, seconds=0.02)
    now = time.thread_time()
    monkeypatch.setattr(limits_module.time, "monotonic", lambda: pytest.fail("the clock on the wall was asked"))
    time.sleep(0.03)
    assert not budget.exceeded
    while time.thread_time() - now < 0.03:
        pass
    assert budget.exceeded == "0.02 s of processor time"


def test_an_error_says_which_limit_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(nn.Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(a, 3), nn.Linear(b, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x)) @ torch.ones(11, 2)

    monkeypatch.setattr("lazify._inference.solver.MAX_RUNS", 12)
    with pytest.raises(InferenceError, match="after 12 runs"):
        lazify(Never, exclude=["a", "b"])()(torch.ones(2, 5))


def test_no_limit_lets_a_value_pass_that_the_call_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    class Inside(nn.Module):
        def __init__(self, zzz: int) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(5, zzz), nn.Linear(zzz, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    monkeypatch.setattr("lazify._inference.solver.MAX_RUNS", 1)
    with pytest.raises(AmbiguousInferenceError, match="leaves 'zzz' of Inside open"):
        lazify(Inside, exclude=["zzz"])()(torch.ones(2, 5))


def run(cls: type[nn.Module], value: int, *args: Any) -> Any:
    runner = TrialRunner(lambda values: cls(**values), {}, args, {}, code=(cls,))
    return runner, runner({"zzz": value})


def test_a_constructor_that_refuses_is_not_run_on_real_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Searched):
        def __init__(self, zzz: int) -> None:
            super().__init__(zzz)
            raise ValueError("not this size")

    monkeypatch.setattr(RealTrialMode, "__init__", lambda *_: pytest.fail("ran on real tensors"))
    _, result = run(Refusing, 48, torch.ones(2, 48))
    assert str(result.error) == "not this size"
    assert not result.built
    with pytest.raises(RuntimeError, match="not known yet"):
        list(lazify(Refusing, exclude=["zzz"])().parameters())


def test_a_run_on_real_tensors_is_refused_memory_before_it_takes_it() -> None:
    class Large(Searched):
        def __init__(self, zzz: int) -> None:
            super().__init__(zzz)
            self.large = nn.Parameter(torch.empty(2**40 if zzz == 48 else 1))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if x.sum() < 1e9 else x

    runner, result = run(Large, 5, torch.ones(2, 5))
    assert runner.real
    assert result.passed
    assert isinstance(runner({"zzz": 48}).error, TrialMemoryError)


def test_results_of_operations_count_and_what_is_freed_does_not() -> None:
    with RealTrialMode(limit=8 * 2**20):
        column = torch.ones(1024, 1)
        for _ in range(8):
            column @ column.T  # 4 MB, and gone
        kept = column @ column.T
        with pytest.raises(TrialMemoryError, match="may take 8 MB"):
            [kept, column @ column.T, column @ column.T]


def test_random_numbers_of_real_runs_are_their_own() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    mode = RealTrialMode(limit=None)
    with mode:
        torch.randn(3)
        torch.empty(3).normal_()
        torch.randperm(4)
        nn.functional.dropout(torch.ones(8), 0.5)
        torch.multinomial(torch.ones(4), 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_writes_to_real_tensors_are_undone() -> None:
    buffer, norm = torch.zeros(4), nn.BatchNorm1d(4)
    version = buffer._version
    mode = RealTrialMode(limit=None)
    with mode:
        buffer[1:].add_(1)
        norm(torch.randn(3, 4))
        buffer.add_(torch.ones(4, requires_grad=True))
    mode.undo()
    assert buffer.tolist() == [0, 0, 0, 0]
    assert (buffer._version, buffer.requires_grad, int(norm.num_batches_tracked)) == (version, False, 0)
    assert norm.running_mean is not None
    assert norm.running_mean.tolist() == [0, 0, 0, 0]


def test_constructors_that_copy_layers_corrupt_no_memory() -> None:
    class Stack(nn.Module):
        def __init__(self, zzz: int, depth: int = 2) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.stem, self.norm = nn.Linear(zzz, 16), copy.deepcopy(nn.BatchNorm1d(3))
            self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
            self.more = copy.deepcopy(self.layers)

        def forward(self, x: Tensor) -> Tensor:
            return self.more(self.layers(self.norm(self.stem(x))))  # type: ignore[no-any-return]

    for width in range(5, 8):
        module = lazify(Stack, exclude=["zzz"])()
        list(module.parameters())
        assert module(torch.randn(2, 3, width)).shape == (2, 3, 16)
        gc.collect()


def test_what_is_remembered_of_a_class_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazify._first_call.find_values.MOST_SOLUTIONS", 3)
    lazy_cls: Any = lazify(Searched, exclude=["zzz"])
    for width in range(5, 12):
        lazy_cls()(torch.ones(2, width))
    assert len(lazy_cls._lazify_caches.solutions) <= 3


def test_an_error_that_no_value_changes_is_raised_itself() -> None:
    class Refused(Exception):
        pass

    class Layer(Searched):
        def forward(self, x: Tensor, mask: Any = None) -> Tensor:
            if mask is None:
                raise Refused("a mask is needed")
            return super().forward(x)

    module = lazify(Layer, exclude=["zzz"])()
    with pytest.raises(Refused, match="a mask is needed") as caught:
        module(torch.ones(2, 5))
    assert isinstance(caught.value.__cause__, InferenceError)
    assert module(torch.ones(2, 5), 1).shape == (2, 4)
