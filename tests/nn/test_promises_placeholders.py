"""What torch promises of its lazy classes holds for both: uninitialized tensors before the call."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn
from torch.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter
from torch.nn.parameter import is_lazy as is_uninitialized

from helpers.promises import CONV, FEW, LINEAR, NORM, NORMS, WEIGHTED, Kind, assert_real, both, tensors, uninitialized
from helpers.twins import assert_twins
from lazify import nn as lazifys

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
    # the old weight_norm, in its own words
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning"),
]


@both()
def test_parameters_and_statistics_are_uninitialized(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert module.has_uninitialized_params()
    for name, each in module.named_parameters():
        assert isinstance(each, UninitializedParameter)
        assert isinstance(each, Parameter)
        assert getattr(module, name) is each is module.get_parameter(name)
        assert each.requires_grad
        assert each.is_leaf
    buffers = dict(module.named_buffers())
    for name in ("running_mean", "running_var") if kind.is_norm else ():
        assert isinstance(buffers[name], UninitializedBuffer)
        assert not isinstance(buffers[name], Parameter)
        assert not buffers[name].requires_grad
        assert module.get_buffer(name) is getattr(module, name) is buffers[name]
    assert list(tensors(module)) == list(tensors(kind.eager()))
    assert all(is_uninitialized(each) for name, each in tensors(module).items() if name != "num_batches_tracked")


@both(NORMS)
def test_what_the_options_leave_out_is_none(kind: Kind, ns: ModuleType) -> None:
    takes_bias = "bias" in inspect.signature(kind.eager_class).parameters  # from 2.12
    for bias, affine, track in itertools.product((True, False)[: 1 + takes_bias], (True, False), (True, False)):
        options = {"affine": affine, "track_running_stats": track, **({"bias": bias} if takes_bias else {})}
        module, twin = kind.lazy(ns, **options), kind.eager(**options)
        assert [name for name, _ in module.named_parameters()] == ["weight"] * affine + ["bias"] * (affine and bias)
        assert list(module.state_dict()) == list(twin.state_dict())
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            assert (getattr(module, name) is None) == (getattr(twin, name) is None)
        assert module.has_uninitialized_params() == (affine or track)
        assert (module.affine, module.track_running_stats) == (affine, track)
        if not (affine or track or ns is lazifys):
            continue  # see `the open size after the call`
        out = module(kind.input())
        assert type(module) is kind.eager_class
        assert torch.equal(out, twin(kind.input()))
        assert_twins(module, twin)


@both(WEIGHTED)
def test_without_a_bias(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns, bias=False)
    assert module.bias is None
    assert list(uninitialized(module)) == list(module.state_dict()) == ["weight"]
    torch.manual_seed(1)
    out = module(kind.input())
    torch.manual_seed(1)
    twin = kind.eager(bias=False)
    assert torch.equal(out, twin(kind.input()))
    out.sum().backward()
    twin(kind.input()).sum().backward()
    assert_twins(module, twin)


@both(FEW)
def test_an_uninitialized_tensor_says_so(kind: Kind, ns: ModuleType) -> None:
    weight = kind.lazy(ns).weight
    assert is_uninitialized(weight)
    assert repr(weight) == str(weight) == "<UninitializedParameter>"
    assert (weight.dtype, weight.device) == (torch.get_default_dtype(), torch.device("cpu"))
    assert weight.grad is None
    assert hash(weight) == id(weight)
    assert weight in {weight}
    if kind.is_norm:
        assert repr(kind.lazy(ns).running_mean) == "<UninitializedBuffer>"


ARITHMETIC: dict[str, Callable[[Any], Any]] = {
    "p + p": lambda p: p + p,
    "2 * p": lambda p: 2 * p,
    "torch.add(p, p)": lambda p: torch.add(p, p),
    "torch.empty_like(p)": torch.empty_like,
    "torch.stack([p])": lambda p: torch.stack([p]),
    "p @ p": lambda p: p @ p,
    "p.sum()": lambda p: p.sum(),
    "p.clone()": lambda p: p.clone(),
    "p.numel()": lambda p: p.numel(),
    "p.fill_(1)": lambda p: p.fill_(1),
    "p.add_(1)": lambda p: p.add_(1),
    "p.reshape(-1)": lambda p: p.reshape(-1),
    "p[0]": lambda p: p[0],
    "len(p)": len,
    "p.tolist()": lambda p: p.tolist(),
    "p.numpy()": lambda p: p.detach().numpy(),
    "torch.equal(p, p)": lambda p: torch.equal(p, p),
}


@both([LINEAR, CONV, NORM])
def test_there_is_nothing_to_compute_with(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    for each in uninitialized(module).values():
        for what, compute in ARITHMETIC.items():
            with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
                pytest.fail(f"{what} is {compute(each)}")
    module(kind.input())
    assert_real(kind, module)


@both()
def test_there_is_no_shape(kind: Kind, ns: ModuleType) -> None:
    for each in uninitialized(kind.lazy(ns)).values():
        with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter or buffer"):
            _ = each.shape


INIT = ["uniform_", "normal_", "ones_", "zeros_", "trunc_normal_", "kaiming_uniform_"]
INIT_2D = ["xavier_uniform_", "xavier_normal_"]


@both()
def test_initialisers_refuse(kind: Kind, ns: ModuleType) -> None:
    for name in [*INIT, "orthogonal_", *(INIT_2D if kind.is_norm else [])]:
        with pytest.raises(ValueError):  # noqa: PT011  # in many words
            pytest.fail(f"{name} gave {getattr(torch.nn.init, name)(kind.lazy(ns).weight)}")
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        torch.nn.init.kaiming_normal_(kind.lazy(ns).weight)


@both([LINEAR, CONV])
def test_initialisers_of_matrices_refuse(kind: Kind, ns: ModuleType) -> None:
    for name in INIT_2D:
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            getattr(torch.nn.init, name)(kind.lazy(ns).weight)


@both(FEW)
def test_copies_and_pickles_of_an_uninitialized_parameter(kind: Kind, ns: ModuleType) -> None:
    weight = kind.lazy(ns, dtype=torch.float64).weight
    weight.requires_grad = False
    memo: dict[int, Any] = {}
    twin = copy.deepcopy(weight, memo)
    assert isinstance(twin, UninitializedParameter)
    assert twin is not weight
    assert (twin.requires_grad, twin.dtype, twin.device) == (False, torch.float64, weight.device)
    assert copy.deepcopy(weight, memo) is twin
    read = pickle.loads(pickle.dumps(weight))
    assert type(read) is UninitializedParameter
    assert not read.requires_grad


@both()
def test_known_attributes_are_there(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    before = {name: getattr(module, name) for name in kind.facts}
    assert before == kind.facts
    assert module.training
    module(kind.input())
    assert {name: getattr(module, name) for name in kind.facts} == before


@both(FEW)
def test_they_are_listed(kind: Kind, ns: ModuleType) -> None:
    assert {"weight", "bias", *kind.facts} <= set(dir(kind.lazy(ns)))


@both(FEW)
def test_what_there_is_not_is_an_attribute_error(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert not hasattr(module, "nonsense")
    assert getattr(module, "nonsense", 3) == 3
    with pytest.raises(AttributeError, match="nonsense"):
        module.nonsense  # noqa: B018
