"""Every class of `torch.nn` in the table: the lazy module becomes what the eager one is, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._pytree import tree_leaves

from helpers.torch_nn_cases import BOTH, CASES, Call, Case
from helpers.twins import assert_twins
from lazify import axis, is_lazy, lazify

pytestmark = [  # what torch says of the eager modules too
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning"),
]


def lazy_class(case: Case, mode: str) -> type[nn.Module]:
    if mode == "auto":
        return lazify(case.cls)
    return lazify(case.cls, exclude=case.rules or list(case.inferred))


def eager(case: Case) -> nn.Module:
    torch.manual_seed(1)
    return case.cls(**case.inferred, **case.given).train(case.training)


def inputs(case: Case) -> Call:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return case.call()


def assert_same_output(mine: Any, twins: Any) -> None:
    ours, theirs = tree_leaves(mine), tree_leaves(twins)
    assert type(mine) is type(twins)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(other, torch.Tensor):
            assert one.dtype == other.dtype
            assert one.requires_grad == other.requires_grad
            assert torch.equal(one, other) or bool(other.isnan().any())
        elif isinstance(other, PackedSequence):  # a leaf before 2.8
            assert_same_output(tuple(one), tuple(other))
        else:
            assert one == other


@pytest.mark.parametrize(("case", "mode"), BOTH)
def test_becomes_the_eager_module(case: Case, mode: str) -> None:
    """Same class, parameters, statistics, output and random state after one call, and after the next."""
    args, kwargs = inputs(case)
    module = lazy_class(case, mode)(**case.given).train(case.training)
    assert is_lazy(module)
    twin = eager(case)
    expected = twin(*args, **kwargs)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    found = module(*args, **kwargs)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(module) is case.cls
    assert_same_output(found, expected)
    assert_twins(module, twin)
    outputs = []
    for each in (module, twin):  # once more, and back
        torch.set_rng_state(state)
        outputs.append(each(*args, **kwargs))
        total = [t.abs().sum() for t in tree_leaves(outputs[-1]) if isinstance(t, torch.Tensor) and t.requires_grad]
        if total:
            torch.stack(total).sum().backward()
    assert_same_output(*outputs)
    assert_twins(module, twin)


@pytest.mark.parametrize(("case", "mode"), BOTH)
def test_state_dicts_go_both_ways(case: Case, mode: str) -> None:
    args, kwargs = inputs(case)
    module = lazy_class(case, mode)(**case.given).train(case.training)
    module(*args, **kwargs)
    twin = eager(case)
    assert list(module.state_dict()) == list(twin.state_dict())
    module.load_state_dict(twin.state_dict())
    assert_twins(module, twin)
    other = case.cls(**case.inferred, **case.given).train(case.training)
    other.load_state_dict(module.state_dict())
    assert_twins(other, module)


@pytest.mark.parametrize(("case", "mode"), BOTH)
def test_copies_before_and_after(case: Case, mode: str) -> None:
    args, kwargs = inputs(case)
    module = lazy_class(case, mode)(**case.given).train(case.training)
    copy = deepcopy(module)
    assert is_lazy(copy)
    assert type(copy) is type(module)
    for each in (module, copy):
        torch.manual_seed(1)
        each(*args, **kwargs)
    assert type(copy) is case.cls
    assert_twins(copy, module)
    assert not {id(p) for p in copy.parameters()} & {id(p) for p in module.parameters()}
    assert_twins(deepcopy(module), module)


@pytest.mark.parametrize("case", [case for case in CASES if case.auto], ids=str)
def test_all_given_is_eager_at_once(case: Case) -> None:
    torch.manual_seed(1)
    module = lazify(case.cls)(**case.inferred, **case.given).train(case.training)
    assert type(module) is case.cls
    assert_twins(module, eager(case))


@pytest.mark.parametrize(
    ("lazy", "batched", "unbatched"),
    [
        (lambda: lazify(nn.Linear)(3), (4, 6), (6,)),
        (lambda: lazify(nn.Conv1d)(3, 2), (4, 6, 5), (6, 5)),
        (lambda: lazify(nn.Conv2d)(3, 2), (4, 6, 5, 7), (6, 5, 7)),
        (lambda: lazify(nn.Conv3d)(3, 2), (4, 6, 5, 7, 8), (6, 5, 7, 8)),
        (lambda: lazify(nn.ConvTranspose1d)(3, 2), (4, 6, 5), (6, 5)),
        (lambda: lazify(nn.ConvTranspose2d)(3, 2), (4, 6, 5, 7), (6, 5, 7)),
        (lambda: lazify(nn.ConvTranspose3d)(3, 2), (4, 6, 5, 7, 8), (6, 5, 7, 8)),
        (lambda: lazify(nn.InstanceNorm1d)(affine=True), (4, 6, 5), (6, 5)),
        (lambda: lazify(nn.InstanceNorm2d)(affine=True), (4, 6, 5, 7), (6, 5, 7)),
        (lambda: lazify(nn.InstanceNorm3d)(affine=True), (4, 6, 5, 7, 8), (6, 5, 7, 8)),
        (lambda: lazify(nn.LSTM)(3, batch_first=True), (4, 5, 6), (5, 6)),
        (lambda: lazify(nn.GRUCell)(3), (4, 6), (6,)),
        (lambda: lazify(nn.TransformerEncoderLayer)(2, 8, batch_first=True), (4, 5, 6), (5, 6)),
    ],
)
def test_unbatched_input_gives_the_values_of_batched(
    lazy: Callable[[], nn.Module], batched: tuple[int, ...], unbatched: tuple[int, ...]
) -> None:
    one, other = lazy(), lazy()
    one(torch.randn(batched))
    other(torch.randn(unbatched))
    assert repr(one) == repr(other)
    assert [p.shape for p in one.parameters()] == [p.shape for p in other.parameters()]


def test_a_packed_sequence_comes_back_packed() -> None:
    output, _ = lazify(nn.GRU)(4)(pack_sequence([torch.randn(4, 6), torch.randn(2, 6)]))
    assert isinstance(output, PackedSequence)


def test_attention_over_itself_has_one_projection_matrix() -> None:
    """`kdim` and `vdim` inferred as `embed_dim` mean what leaving them out means."""
    module = lazify(nn.MultiheadAttention, exclude=["embed_dim", "kdim", "vdim"])(3)
    x = torch.randn(4, 2, 6)
    module(x, x, x)
    assert list(module.state_dict()) == list(nn.MultiheadAttention(6, 3).state_dict())
    assert module.in_proj_weight.shape == (18, 6)


@pytest.mark.parametrize("cls", [nn.ReLU, nn.Identity, nn.Dropout, nn.Sequential, nn.Embedding, nn.Flatten])
def test_classes_without_an_inferable_parameter_say_so(cls: type[nn.Module]) -> None:
    with pytest.raises(TypeError, match=f"no parameter of {cls.__name__} is known to follow from its input"):
        lazify(cls)


def test_a_subclass_uses_the_row_of_its_base() -> None:
    class Standardized(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)

    module = lazify(Standardized)(4, 3)
    module(torch.randn(6, 9, 8))  # unbatched: channels are counted from the end
    assert module.in_channels == 6


def test_the_table_gives_rules_for_names_it_does_not_drop_by_itself() -> None:
    module = lazify(nn.LSTM, exclude=["input_size", "hidden_size"])()
    module(torch.randn(5, 2, 6), (torch.randn(1, 2, 4), torch.randn(1, 2, 4)))
    assert (module.input_size, module.hidden_size) == (6, 4)


def test_a_rule_of_ones_own_goes_before_the_table() -> None:
    module = lazify(nn.Linear, exclude={"in_features": axis(0)})(3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        module(torch.randn(4, 6))
    assert is_lazy(module)
    module(torch.randn(6, 6))
    assert module.in_features == 6
