"""What torch promises of its lazy classes holds for both: state dicts, copies, optimizers."""

from __future__ import annotations

import copy
import io
import pickle
from types import ModuleType

import pytest
import torch
import torch.nn
from torch.nn import Module
from torch.nn.parameter import is_lazy as is_uninitialized
from torch.nn.utils import clip_grad_norm_

from helpers.promises import (
    CONV,
    FEW,
    LINEAR,
    NORM,
    NORMS,
    Kind,
    assert_real,
    both,
    breaks_when_loaded,
    knows_its_size_when_loaded,
    refilled,
    uninitialized,
)
from helpers.twins import assert_twins
from lazify import nn as lazifys

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
    # the old weight_norm, in its own words
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning"),
]

torchs = torch.nn


# ---------------------------------------------------------------------------------------------
# State dicts


@both()
def test_the_state_dict_has_the_real_keys(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    state = module.state_dict()
    assert list(state) == list(kind.eager().state_dict())
    assert state._metadata == kind.eager().state_dict()._metadata
    assert all(is_uninitialized(each) for name, each in state.items() if name != "num_batches_tracked")
    assert all(state[name] is each for name, each in uninitialized(module).items())
    around = torch.nn.Sequential(kind.lazy(ns)).state_dict(prefix="model.")
    assert list(around) == [f"model.0.{name}" for name in state]


@both()
def test_a_real_state_dict_is_loaded_into_a_lazy_module(kind: Kind, ns: ModuleType) -> None:
    saved = refilled(kind.eager())
    module = kind.lazy(ns)
    keys = module.load_state_dict(saved.state_dict())
    assert (keys.missing_keys, keys.unexpected_keys) == ([], [])
    assert not uninitialized(module)
    assert isinstance(module, kind.eager_class) or kind.is_norm
    assert all(torch.equal(each, saved.state_dict()[name]) for name, each in module.state_dict().items())
    if breaks_when_loaded(kind, ns):
        return
    saved.eval(), module.eval()
    assert torch.equal(module(kind.input()), saved(kind.input()))
    assert_real(kind, module, sized=knows_its_size_when_loaded(kind, ns))
    assert all(torch.equal(each, saved.state_dict()[name]) for name, each in module.state_dict().items())


@pytest.mark.parametrize("assign", [True, False])
@both()
def test_a_real_state_dict_is_loaded_into_a_model_around(kind: Kind, ns: ModuleType, assign: bool) -> None:
    saved = refilled(torch.nn.Sequential(torch.nn.Identity(), kind.eager())).eval()
    model = torch.nn.Sequential(torch.nn.Identity(), kind.lazy(ns)).eval()
    model.load_state_dict(saved.state_dict(), assign=assign)
    if breaks_when_loaded(kind, ns):
        return
    assert torch.equal(model(kind.input()), saved(kind.input()))
    assert_real(kind, model[1], sized=knows_its_size_when_loaded(kind, ns))


@both()
def test_an_uninitialized_state_dict_leaves_a_lazy_module_lazy(kind: Kind, ns: ModuleType) -> None:
    module, other = kind.lazy(ns), kind.lazy(ns)
    before = uninitialized(module)
    for _ in range(2):
        module.load_state_dict(other.state_dict())
    assert module.has_uninitialized_params()
    assert list(uninitialized(module)) == list(before)
    assert all(each is before[name] for name, each in uninitialized(module).items())
    module(kind.input())
    assert_real(kind, module)
    assert other.has_uninitialized_params()


@both()
def test_an_uninitialized_state_dict_is_refused_by_a_real_module(kind: Kind, ns: ModuleType) -> None:
    for real in (kind.eager(), kind.called(ns)):
        with pytest.raises(RuntimeError, match="shape of an uninitialized"):
            real.load_state_dict(kind.lazy(ns).state_dict())


@both()
def test_each_takes_the_others_uninitialized_state_dict(kind: Kind, ns: ModuleType) -> None:
    if ns is torchs and kind.is_norm:
        pytest.skip("see `num_batches_tracked before the call`")
    other = kind.lazy(lazifys if ns is torchs else torchs)
    module = kind.lazy(ns)
    module.load_state_dict(other.state_dict(), strict=True)
    assert module.has_uninitialized_params()
    module(kind.input())
    other(kind.input())
    module.load_state_dict(other.state_dict())
    assert all(torch.equal(each, other.state_dict()[name]) for name, each in module.state_dict().items())


@both()
def test_missing_and_unexpected_keys(kind: Kind, ns: ModuleType) -> None:
    state = kind.eager().state_dict()
    del state["weight"]
    state["other"] = torch.ones(1)
    for words in (r'Missing key\(s\) in state_dict: "weight"', r'Unexpected key\(s\) in state_dict: "other"'):
        with pytest.raises(RuntimeError, match=words):
            kind.lazy(ns).load_state_dict(state)
    keys = kind.lazy(ns).load_state_dict(state, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["weight"], ["other"])
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "weight", "bias"'):
        kind.lazy(ns).load_state_dict({})
    module = kind.lazy(ns)
    missing = set(module.load_state_dict({}, strict=False).missing_keys)
    assert missing | {"num_batches_tracked"} == set(module.state_dict()) | {"num_batches_tracked"}
    assert module.has_uninitialized_params()
    module(kind.input())
    assert_real(kind, module)


@both(NORMS)
def test_a_checkpoint_from_before_num_batches_tracked(kind: Kind, ns: ModuleType) -> None:
    state = refilled(kind.eager()).state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = 1
    module = kind.lazy(ns).eval()
    module.load_state_dict(state)
    if breaks_when_loaded(kind, ns):
        return
    module(kind.input())
    assert_real(kind, module, sized=knows_its_size_when_loaded(kind, ns))
    assert module.num_batches_tracked == 0
    assert torch.equal(module.running_mean, state["running_mean"])


# ---------------------------------------------------------------------------------------------
# Copies


@both()
def test_pickled_before_and_after(kind: Kind, ns: ModuleType) -> None:
    module = pickle.loads(pickle.dumps(kind.lazy(ns)))
    assert type(module) is kind.lazy_class(ns)
    assert list(uninitialized(module)) == list(uninitialized(kind.lazy(ns)))
    assert {name: getattr(module, name) for name in kind.facts} == kind.facts
    module(kind.input())
    assert_real(kind, module)
    read = pickle.loads(pickle.dumps(module))
    assert type(read) is kind.eager_class
    assert_twins(read, module)


@both(FEW)
def test_saved_to_a_file(kind: Kind, ns: ModuleType) -> None:
    for saved in (kind.lazy(ns), kind.called(ns)):
        file = io.BytesIO()
        torch.save(saved, file)
        file.seek(0)
        module = torch.load(file, weights_only=False)
        assert type(module) is type(saved)
        module(kind.input())
        assert_real(kind, module)


@both()
def test_copied_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns, **({"track_running_stats": False} if kind.is_norm else {}))
    twin = copy.deepcopy(module)
    assert type(twin) is kind.lazy_class(ns)
    assert not {id(each) for each in twin.parameters()} & {id(each) for each in module.parameters()}
    twin(kind.input(8))
    assert getattr(twin, kind.size) == 8
    assert module.has_uninitialized_params()
    module(kind.input())
    assert getattr(module, kind.size) == 6
    assert_twins(copy.deepcopy(module), module)


# ---------------------------------------------------------------------------------------------
# Optimizers


@both()
def test_an_optimizer_made_before_trains(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(1)
    twin = kind.eager()
    theirs = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(1)
    for _ in range(2):
        for each, its in ((module, optimizer), (twin, theirs)):
            its.zero_grad()
            (each(kind.input()) - 1).square().sum().backward()
            clip_grad_norm_(each.parameters(), 1.0)
            its.step()
    assert all(a is b for a, b in zip(module.parameters(), optimizer.param_groups[0]["params"], strict=True))
    assert_twins(module, twin)


OPTIMIZERS = "Adadelta Adam Adamax AdamW ASGD LBFGS NAdam RAdam RMSprop Rprop SGD".split()


@both([LINEAR, NORM])
def test_torchs_optimizers(kind: Kind, ns: ModuleType) -> None:
    for name in OPTIMIZERS:
        module = kind.lazy(ns)
        optimizer = getattr(torch.optim, name)(module.parameters())
        assert all(is_uninitialized(each) for each in optimizer.param_groups[0]["params"])

        def loss(module: Module = module, optimizer: torch.optim.Optimizer = optimizer) -> float:
            optimizer.zero_grad()
            value = (module(kind.input()) - 1).square().mean()
            value.backward()
            return value.item()

        loss()
        before = [each.detach().clone() for each in module.parameters()]
        optimizer.step(loss)
        same = [torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
        assert not any(same), name


@both([LINEAR, CONV, NORM])
def test_adagrad_needs_values(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(ValueError, match="uninitialized parameter"):
        torch.optim.Adagrad(kind.lazy(ns).parameters())
