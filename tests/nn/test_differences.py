"""Where `lazify.nn` differs on purpose from torch's lazy classes: both sides of each line of the list."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn
from torch.nn.parameter import Parameter, UninitializedBuffer
from torch.nn.parameter import is_lazy as is_uninitialized

import lazify as toolkit
from helpers.differences import DIFFERENCES, Difference
from helpers.promises import (
    CONV,
    FLAGS,
    KINDS,
    LINEAR,
    NORM,
    NORMS,
    WEIGHTED,
    assert_real,
    knows_its_size_when_loaded,
    tensors,
    uninitialized,
)
from helpers.twins import assert_twins
from lazify import nn as lazifys
from lazify.errors import DefinitionError, InferenceError, NotMaterializedError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
    # the old weight_norm, in its own words
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning"),
]

torchs = torch.nn

SHOWN: dict[str, Callable[[], None]] = {}


def shows(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(test: Callable[[], None]) -> Callable[[], None]:
        assert name not in SHOWN
        SHOWN[name] = test
        return test

    return keep


def test_every_difference_is_listed_and_shown() -> None:
    assert [difference.name for difference in DIFFERENCES] == list(SHOWN)
    assert all(difference.torchs != difference.lazifys and difference.why for difference in DIFFERENCES)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_a_difference_is_what_the_list_says(difference: Difference) -> None:
    SHOWN[difference.name]()


@shows("the open size before the call")
def _() -> None:
    for kind in KINDS:
        assert getattr(kind.lazy(torchs), kind.size) == 0
        assert not hasattr(kind.lazy(lazifys), kind.size)
        with pytest.raises(NotMaterializedError, match=f"attribute '{kind.size}' is not known yet") as caught:
            getattr(kind.lazy(lazifys), kind.size)
        assert isinstance(caught.value, AttributeError)


@shows("defaults of InstanceNorm")
def _() -> None:
    for kind in (each for each in KINDS if "InstanceNorm" in each.name):
        flags = [getattr(kind.lazy_class(ns)(), name) for ns in (torchs, lazifys) for name in FLAGS]
        assert flags == [True, True, False, False]
        assert all(f"{name}: " in (kind.lazy_class(torchs).__doc__ or "") for name in FLAGS)
        assert (kind.lazy_class(torchs).__doc__ or "").count("Default: ``False``") == 2
        module = kind.lazy_class(lazifys)(affine=True, track_running_stats=True)
        assert list(module.state_dict()) == list(kind.lazy_class(torchs)().state_dict())


@shows("values that the constructor refuses")
def _() -> None:
    with pytest.raises(ValueError, match=r"padding.mode"):
        CONV.lazy(torchs, padding_mode="mirror")
    module = CONV.lazy(lazifys, padding_mode="mirror")
    with pytest.raises(ValueError, match=r"padding.mode"):
        module(CONV.input())


@shows("the open size after the call")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            module.load_state_dict(kind.eager().state_dict())
        ours(kind.input())
        assert_real(kind, ours)
        with pytest.raises(ValueError, match="to match num_features") if "Instance" in kind.name else nullcontext():
            theirs(kind.input())
        assert_real(kind, theirs, sized=knows_its_size_when_loaded(kind, torchs))
    for kind in NORMS:
        ours = kind.lazy(lazifys, affine=False, track_running_stats=False)
        ours(kind.input())
        assert ours.num_features == 6
        theirs = kind.lazy(torchs, affine=False, track_running_stats=False)
        with pytest.warns(UserWarning, match="num_feat") if "Instance" in kind.name else nullcontext():
            theirs(kind.input())
        assert (type(theirs), theirs.num_features) == (kind.eager_class, 0)


@shows("num_batches_tracked before the call")
def _() -> None:
    for kind in NORMS:
        assert torch.equal(kind.lazy(torchs).num_batches_tracked, torch.tensor(0))
        assert isinstance(kind.lazy(lazifys).num_batches_tracked, UninitializedBuffer)
        assert kind.lazy(lazifys).num_batches_tracked.dtype is torch.int64
        kind.lazy(lazifys).load_state_dict(kind.lazy(torchs).state_dict())
        with pytest.raises(RuntimeError, match="shape of an uninitialized"):
            kind.lazy(torchs).load_state_dict(kind.lazy(lazifys).state_dict())


@shows("isinstance of norms")
def _() -> None:
    for kind in NORMS:
        assert not isinstance(kind.lazy(torchs), kind.eager_class)
        assert not issubclass(kind.lazy_class(torchs), kind.eager_class)
        assert isinstance(kind.lazy(lazifys), kind.eager_class)
        assert issubclass(kind.lazy_class(lazifys), kind.eager_class)


@shows("repr")
def _() -> None:
    assert repr(torchs.LazyConv2d(4, 3)) == "LazyConv2d(0, 4, kernel_size=(3, 3), stride=(1, 1))"
    assert repr(lazifys.LazyConv2d(4, 3)) == "LazyConv2d(in_channels=?, out_channels=4, kernel_size=3)"
    assert repr(torchs.LazyLinear(4)) == "LazyLinear(in_features=0, out_features=4, bias=True)"
    assert repr(lazifys.LazyLinear(4)) == "LazyLinear(in_features=?, out_features=4)"


@shows("extra_repr()")
def _() -> None:
    for kind in KINDS:
        assert "0" in kind.lazy(torchs).extra_repr()
        with pytest.raises((NotMaterializedError, KeyError), match=kind.size):
            kind.lazy(lazifys).extra_repr()


@shows("load_state_dict of a real checkpoint")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            module.load_state_dict(kind.eager().state_dict())
        assert (type(theirs), getattr(theirs, kind.size)) == (kind.lazy_class(torchs), 0)
        assert_real(kind, ours)


@shows("load_state_dict of another architecture")
def _() -> None:
    other = torch.nn.Linear(6, 5).state_dict()
    theirs, ours = torchs.LazyLinear(3), lazifys.LazyLinear(3)
    theirs.load_state_dict(other)
    assert (theirs.out_features, theirs.weight.shape) == (3, (5, 6))
    with pytest.raises(InferenceError, match="the checkpoint fits no value of in_features"):
        ours.load_state_dict(other)
    assert toolkit.is_lazy(ours)


@shows("load_state_dict of a part")
def _() -> None:
    for kind in KINDS:
        state = {"bias": torch.full_like(kind.eager().bias, 7)}
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            assert "weight" in module.load_state_dict(state, strict=False).missing_keys
        assert next(iter(uninitialized(theirs))) == "weight"
        assert not is_uninitialized(theirs.bias)
        with pytest.raises((AttributeError, AssertionError)):
            theirs(kind.input())
        ours(kind.input())
        assert_real(kind, ours)
        assert torch.equal(ours.bias, state["bias"])


@shows("apply")
def _() -> None:
    def ones(module: Any) -> None:
        torch.nn.init.ones_(module.weight)

    for kind in KINDS:
        met: list[type] = []
        for ns, then in ((torchs, [kind.lazy_class(torchs)]), (lazifys, [])):
            module = kind.lazy(ns).apply(lambda each: met.append(type(each)))  # noqa: B023
            assert met == then
            module(kind.input())
            assert met == (then or [kind.eager_class])
            met.clear()
        with pytest.raises(ValueError, match="uninitialized parameter"):
            kind.lazy(torchs).apply(ones)
        ours = kind.lazy(lazifys).apply(ones)
        ours(kind.input())
        assert torch.equal(ours.weight, torch.ones_like(ours.weight))


@shows("reset_parameters")
def _() -> None:
    for kind in WEIGHTED:
        once, twice = kind.eager(), kind.eager()
        for ns, twin in ((torchs, once), (lazifys, twice)):
            torch.manual_seed(1)
            for _ in range(1 if twin is once else 2):
                twin.reset_parameters()
            module = kind.lazy(ns)
            module.reset_parameters()
            torch.manual_seed(1)
            module(kind.input())
            assert torch.equal(module.weight, twin.weight)
        assert not torch.equal(once.weight, twice.weight)


@shows("requires_grad_(False)")
def _() -> None:
    for kind in KINDS:
        with pytest.raises(ValueError, match="uninitialized parameter"):
            kind.lazy(torchs).requires_grad_(False)
        module = kind.lazy(lazifys).requires_grad_(False)
        module(kind.input())
        assert not any(each.requires_grad for each in module.parameters())


@shows("bfloat16(), type(...), to_empty(...)")
def _() -> None:
    for kind in KINDS:
        for convert, dtype in (
            (lambda m: m.bfloat16(), torch.bfloat16),
            (lambda m: m.type(torch.float64), torch.float64),
            (lambda m: m.to_empty(device="cpu"), torch.float32),
        ):
            with pytest.raises(ValueError, match="uninitialized parameter"):
                convert(kind.lazy(torchs))
            module = convert(kind.lazy(lazifys)).eval()
            module(kind.input(dtype=dtype))
            assert_real(kind, module)
            assert module.weight.dtype is dtype


@shows("to('meta')")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs).to("meta"), kind.lazy(lazifys).to("meta")
        assert type(theirs.weight) is Parameter
        assert theirs.weight.shape == (0,)
        with pytest.raises((AssertionError, IndexError, RuntimeError)):
            theirs(kind.input(device="meta"))
        assert ours(kind.input(device="meta")).is_meta
        assert_real(kind, ours)
        assert all(each.is_meta for each in tensors(ours).values())


@shows("deepcopy of norms")
def _() -> None:
    for kind in NORMS:
        with pytest.raises(ValueError, match="uninitialized parameter"):
            copy.deepcopy(kind.lazy(torchs))
        module = kind.lazy(lazifys)
        twin = copy.deepcopy(module)
        twin(kind.input())
        assert_real(kind, twin)
        assert toolkit.is_lazy(module)


@shows("an attribute set before the call")
def _() -> None:
    x = CONV.input()
    theirs, ours, eager = torchs.LazyConv2d(4, 3), lazifys.LazyConv2d(4, 3), torch.nn.Conv2d(6, 4, 3)
    for module in (theirs, ours, eager):
        module.out_channels = 8
        module(x)
        assert module.out_channels == 8
    assert [module.weight.shape[0] for module in (theirs, ours, eager)] == [8, 4, 4]


@shows("a parameter set before the call")
def _() -> None:
    for kind in KINDS:
        weight = Parameter(torch.ones_like(kind.eager().weight))
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        theirs.weight = ours.weight = weight
        with pytest.raises((AttributeError, AssertionError)):
            theirs(kind.input())
        ours(kind.input())
        assert_real(kind, ours)
        assert ours.weight is weight


@shows("a parameter materialized by hand")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        theirs.weight.materialize(kind.eager().weight.shape)
        assert type(theirs.weight) is Parameter
        with pytest.raises((AttributeError, AssertionError)):
            theirs(kind.input())
        theirs = kind.lazy(torchs)
        for name, each in uninitialized(theirs).items():
            each.materialize(tensors(kind.eager())[name].shape)
        assert not theirs.has_uninitialized_params()
        with pytest.raises(ValueError, match="it has no values yet"):
            ours.weight.materialize(kind.eager().weight.shape)
        toolkit.materialize(ours, kind.input().shape)
        assert_real(kind, ours)


@shows("values of an uninitialized parameter")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs).weight, kind.lazy(lazifys).weight
        theirs.data.fill_(1)  # and is lost
        assert (theirs.data.shape, theirs.size(), theirs.ndim) == ((0,), (0,), 1)
        with pytest.raises(ValueError, match="uninitialized parameter"):
            ours.data.fill_(1)
        with pytest.raises(ValueError, match="uninitialized parameter"):
            ours.size()
        with pytest.raises(ValueError, match="uninitialized parameter"):
            theirs.dim()
        assert ours.ndim == ours.dim() == kind.eager().weight.ndim


@shows("detach of an uninitialized parameter")
def _() -> None:
    theirs, ours = torchs.LazyLinear(3).weight, lazifys.LazyLinear(3).weight
    with pytest.raises(ValueError, match="uninitialized parameter"):
        theirs.detach()
    assert ours.detach() is ours


@shows("own hooks before the call")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for name in ("_forward_pre_hooks", "_load_state_dict_pre_hooks"):
            assert (len(getattr(theirs, name)), len(getattr(ours, name))) == (1, 0)


@shows("a forward pre-hook that changes the input")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            module.register_forward_pre_hook(lambda m, args: torch.cat([args[0], args[0]], 1))
        with pytest.raises((RuntimeError, ValueError)):
            theirs(kind.input())
        ours(kind.input())
        assert_real(kind, ours, 12)


@shows("forward() called directly")
def _() -> None:
    for kind in KINDS:
        with pytest.raises((ValueError, RuntimeError)):
            kind.lazy(torchs).forward(kind.input())
        module = kind.lazy(lazifys)
        module.register_forward_hook(lambda *_: pytest.fail("forward has no hooks"))
        module.forward(kind.input())
        assert_real(kind, module)


@shows("a first call that fails in forward")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            with pytest.raises((RuntimeError, NotImplementedError)):
                module(kind.input().to(torch.int64))
        assert_real(kind, theirs)
        with pytest.raises((RuntimeError, ValueError)):
            theirs(kind.input(8))
        assert toolkit.is_lazy(ours)
        ours(kind.input(8))
        assert_real(kind, ours, 8)
    for kind in NORMS:
        assert kind.wrong is not None
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            with pytest.raises(ValueError, match=kind.words):
                module(torch.randn(kind.wrong))
        assert type(theirs) is kind.eager_class
        assert toolkit.is_lazy(ours)


@shows("an input without that dimension")
def _() -> None:
    for kind in (LINEAR, *NORMS):
        x = torch.tensor(1.0) if kind is LINEAR else torch.randn(2)
        with pytest.raises(IndexError):
            kind.lazy(torchs)(x)
        module = kind.lazy(lazifys)
        with pytest.raises(InferenceError, match=rf"the call does not determine '{kind.size}' of {kind.name[4:]}"):
            module(x)
        module(kind.input())
        assert_real(kind, module)
    for kind in KINDS:
        with pytest.raises(AttributeError):
            kind.lazy(torchs)([1, 2])
        with pytest.raises(InferenceError, match=r"called with: input: \[int, int\]"):
            kind.lazy(lazifys)([1, 2])


@shows("unbatched input of InstanceNorm")
def _() -> None:
    for kind in NORMS:
        if "Instance" in kind.name:
            x = kind.input(4)[0]  # of 4 channels, not 5
            with pytest.raises(ValueError, match=r"to match num_features \(5\), but got: 4"):
                kind.lazy(torchs)(x)
            module = kind.lazy(lazifys)
            module(x)
            assert_real(kind, module, 4)


@shows("device of the input")
def _() -> None:
    for kind in KINDS:
        x = kind.input(device="meta")
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        with pytest.raises(RuntimeError) if kind is LINEAR or kind.is_norm else nullcontext():
            theirs(x)
        assert {each.device.type for each in tensors(theirs).values()} == {"cpu"}
        assert ours(x).is_meta
        assert {each.device.type for each in tensors(ours).values()} == {"meta"}
        said = kind.lazy(lazifys).to("cpu").eval()
        with pytest.raises(RuntimeError) if kind is LINEAR or kind.is_norm else nullcontext():
            said(x)
        if not toolkit.is_lazy(said):
            assert {each.device.type for each in tensors(said).values()} == {"cpu"}


@shows("a first call under inference_mode")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        with torch.inference_mode():
            for module in (theirs, ours):
                module(kind.input())
        assert all(each.is_inference() for each in theirs.parameters())
        assert not any(each.is_inference() for each in tensors(ours).values())
        x = kind.input().requires_grad_()
        with pytest.raises(RuntimeError, match=r"[Ii]nference tensor"):
            theirs(x).sum().backward()
        ours(x).sum().backward()
        assert all(each.grad is not None for each in ours.parameters())


@shows("becoming real without a call")
def _() -> None:
    for kind in NORMS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        with torch.no_grad():
            theirs(kind.input())
        assert not torch.equal(theirs.running_mean, torch.zeros(6))
        toolkit.materialize(ours, kind.input().shape)
        assert_twins(ours, kind.eager())


@shows("subclasses of the lazy class")
def _() -> None:
    theirs = type("Mine", (torchs.LazyLinear,), {})(3)
    theirs(LINEAR.input())
    assert type(theirs) is torch.nn.Linear
    with pytest.raises(DefinitionError, match="Mine subclasses a lazy class"):
        type("Mine", (lazifys.LazyLinear,), {})
    eager = type("Mine", (lazifys.Linear,), {})
    ours = toolkit.lazify(eager)(3)
    ours(LINEAR.input())
    assert type(ours) is eager


@shows("SyncBatchNorm.convert_sync_batchnorm")
def _() -> None:
    convert = torch.nn.SyncBatchNorm.convert_sync_batchnorm
    theirs = convert(torchs.LazyBatchNorm2d()).eval()
    assert theirs.num_features == 0
    with pytest.raises(ValueError, match="uninitialized parameter"):
        theirs(NORM.input())
    with pytest.raises(NotMaterializedError, match="num_features"):
        convert(lazifys.LazyBatchNorm2d())
