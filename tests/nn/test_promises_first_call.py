"""What torch promises of its lazy classes holds for both: the first call, dtypes and devices."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn
from torch.nn.parameter import Parameter

from helpers.promises import (
    CONV,
    FEW,
    KINDS,
    LINEAR,
    NAMESPACES,
    NORM,
    NORMS,
    WEIGHTED,
    Kind,
    assert_real,
    both,
    tensors,
)
from helpers.twins import assert_twins
from lazify import nn as lazifys

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
    # the old weight_norm, in its own words
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning"),
]


# ---------------------------------------------------------------------------------------------
# The first call


@both()
def test_the_first_call_makes_it_the_eager_module(kind: Kind, ns: ModuleType) -> None:
    """The same object, parameters and hooks; bit for bit what the eager module is under the same seed."""
    module = kind.lazy(ns)
    same, weight, watched = module, module.weight, weakref.ref(module)
    torch.manual_seed(1)
    out = module(kind.input())
    state = torch.get_rng_state()
    assert module is same is watched()
    assert module.weight is weight
    assert type(weight) is Parameter
    assert not isinstance(module, kind.lazy_class(ns))
    assert not hasattr(module, "cls_to_become")
    assert not hasattr(module, "has_uninitialized_params")
    assert_real(kind, module)
    torch.manual_seed(1)
    twin = kind.eager()
    assert torch.equal(out, twin(kind.input()))
    assert torch.equal(torch.get_rng_state(), state)
    assert_twins(module, twin)
    assert torch.equal(module(kind.input()), twin(kind.input()))
    assert repr(module) == repr(twin)
    assert_twins(module, twin)


@both()
def test_no_hook_is_left(kind: Kind, ns: ModuleType) -> None:
    module = kind.called(ns)
    assert not any(value for name, value in vars(module).items() if "hook" in name and value is not None)


@both()
def test_the_input_may_go_by_name(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    torch.manual_seed(1)
    out = module(input=kind.input())
    torch.manual_seed(1)
    assert torch.equal(out, kind.eager()(input=kind.input()))
    assert_real(kind, module)


@both([LINEAR, CONV, NORM])
def test_an_empty_batch_has_a_size_too(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert module(kind.input()[:0]).shape[0] == 0
    assert_real(kind, module)


@both(WEIGHTED)
def test_unbatched_input_has_the_same_size(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module(kind.input()[0])
    assert_real(kind, module)


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_a_transposed_convolution_takes_the_size_of_its_output(ns: ModuleType) -> None:
    for args, options in (([[11, 11]], {}), ([], {"output_size": [12, 12]})):
        module = ns.LazyConvTranspose2d(4, 3, stride=2)
        assert module(torch.randn(2, 6, 5, 5), *args, **options).shape == (2, 4, *(args or [[12, 12]])[0])
        assert module.in_channels == 6


@both()
def test_arguments_that_forward_does_not_take(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    with pytest.raises(TypeError):
        module()
    assert module.has_uninitialized_params()
    module(kind.input())
    assert_real(kind, module)


@both([kind for kind in KINDS if kind.wrong is not None])
def test_a_wrong_number_of_dimensions(kind: Kind, ns: ModuleType) -> None:
    """The state of the module after it differs: see `a first call that fails in forward` in the differences."""
    assert kind.wrong is not None
    module = kind.lazy(ns)
    with pytest.raises(kind.error, match=kind.words):
        module(torch.randn(kind.wrong))
    if ns is lazifys or not kind.is_norm:
        assert module.has_uninitialized_params()
        assert type(module) is kind.lazy_class(ns)
        module(kind.input(8))
        assert_real(kind, module, 8)


@both([kind for kind in WEIGHTED if kind is not LINEAR])
def test_channels_that_the_groups_do_not_divide(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    with pytest.raises(ValueError, match="in_channels must be divisible by groups"):
        module(kind.input(5))
    assert module.has_uninitialized_params()
    module(kind.input())
    assert_real(kind, module)


@both()
def test_eval_and_train_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert module.eval() is module
    assert not module.training
    module(kind.input())
    assert_real(kind, module)
    assert not module.training
    if kind.is_norm:
        assert module.num_batches_tracked == 0
        assert torch.equal(module.running_mean, torch.zeros(6))


@both(NORMS)
def test_a_first_call_in_train_mode_counts_as_one(kind: Kind, ns: ModuleType) -> None:
    module, twin = kind.lazy(ns), kind.eager()
    for each in (module, twin):
        each(kind.input())
    assert torch.equal(module.num_batches_tracked, twin.num_batches_tracked)
    assert torch.equal(module.running_mean, twin.running_mean)
    assert torch.equal(module.running_var, twin.running_var)


@both(FEW)
def test_no_grad_leaves_trainable_parameters(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    with torch.no_grad():
        assert not module(kind.input()).requires_grad
    assert all(each.requires_grad for each in module.parameters())
    module(kind.input()).square().sum().backward()
    assert all(each.grad is not None for each in module.parameters())


# ---------------------------------------------------------------------------------------------
# Dtypes and devices

CONVERSIONS: dict[str, tuple[Callable[[Any], Any], torch.dtype]] = {
    "double()": (lambda m: m.double(), torch.float64),
    "half().float()": (lambda m: m.half().float(), torch.float32),
    "to(float64)": (lambda m: m.to(torch.float64), torch.float64),
    "to(cpu, float64)": (lambda m: m.to("cpu", torch.float64), torch.float64),
    "to(tensor)": (lambda m: m.to(torch.ones(1, dtype=torch.float64)), torch.float64),
    "cpu().double()": (lambda m: m.cpu().double(), torch.float64),
    "half()": (lambda m: m.half(), torch.float16),
}


@both()
def test_converted_before(kind: Kind, ns: ModuleType) -> None:
    for convert, dtype in CONVERSIONS.values():
        module = kind.lazy(ns)
        assert convert(module) is module
        assert {each.dtype for each in tensors(module).values()} - {torch.int64} == {dtype}
        assert module.has_uninitialized_params()
        assert module(kind.input(dtype=dtype)).dtype is dtype
        assert_real(kind, module)
        assert {each.dtype for each in module.parameters()} == {dtype}
        if kind.is_norm:
            assert module.running_mean.dtype is dtype
            assert module.num_batches_tracked.dtype is torch.int64


@both()
def test_dtype_as_an_argument(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns, dtype=torch.float64)
    assert module.weight.dtype is torch.float64
    torch.manual_seed(1)
    module(kind.input(dtype=torch.float64))
    torch.manual_seed(1)
    twin = kind.eager(dtype=torch.float64)
    twin(kind.input(dtype=torch.float64))
    assert_twins(module, twin)


@both()
def test_device_as_an_argument(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns, device="meta")
    assert module(kind.input(device="meta")).is_meta
    assert_real(kind, module)
    assert all(each.is_meta for each in tensors(module).values())


@both(FEW)
def test_device_as_an_argument_shows_in_the_placeholders(kind: Kind, ns: ModuleType) -> None:
    assert all(each.is_meta for each in tensors(kind.lazy(ns, device="meta")).values())


@both(FEW)
def test_a_move_to_meta_shows_in_the_placeholders(kind: Kind, ns: ModuleType) -> None:
    assert all(each.is_meta for each in tensors(kind.lazy(ns).to("meta")).values())


@both(FEW)
def test_the_default_dtype_and_device_are_those_of_eager(kind: Kind, ns: ModuleType) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        module = kind.lazy(ns)
        assert module.weight.dtype is torch.float64
        module(kind.input())
    finally:
        torch.set_default_dtype(torch.float32)
    assert_real(kind, module)
    assert module.weight.dtype is torch.float64
