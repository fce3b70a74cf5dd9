"""Copies and pickles of lazy instances and classes."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.modules import AtModuleLevel
from helpers.twins import assert_twins
from lazify import axis, is_lazy, lazify

X = torch.zeros(2, 5)

Y = torch.zeros(2, 7)


class Picklable(nn.Module):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


@lazify(exclude={"in_features": axis(-1)})
class PicklableDecorated(Picklable):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__(in_features, out_features)


class PicklableSub(PicklableDecorated):
    pass


def saved_and_loaded(value: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "oldest-pickle": lambda value: pickle.loads(pickle.dumps(value, protocol=2)),
    "save": saved_and_loaded,
}
PICKLABLE = [
    (lazify(Picklable), Picklable),
    (lazify(Picklable, exclude=["in_features"]), Picklable),
    (lazify(Picklable, exclude={"in_features": axis(-1)}), Picklable),
    (PicklableDecorated, PicklableDecorated),
    (PicklableSub, PicklableSub),
    (lazify(nn.Linear), nn.Linear),
    (AtModuleLevel, AtModuleLevel),
]


def shout(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output + 100


def fill(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, 2.0)


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(("lazy_cls", "cls"), PICKLABLE)
def test_copies_of_lazy_instances_are_lazy_and_keep_everything(how: str, lazy_cls: Any, cls: Any) -> None:
    module = lazy_cls(out_features=4)
    module.eval()
    module.note = "kept"
    module.extra = nn.Parameter(torch.ones(2))
    module.register_buffer("more", torch.ones(2))
    module.apply(fill)
    module.register_forward_hook(shout)
    module.double()
    twin = COPIES[how](module)
    assert is_lazy(twin)
    assert type(twin) is type(module)
    assert repr(twin) == repr(module)
    assert (twin.training, twin.note) == (False, "kept")
    assert twin.extra is not module.extra
    x = X.double() + 1
    for each in (module, twin):
        torch.manual_seed(1)
        each(x)
    assert type(twin) is type(module) is cls
    assert_twins(twin, module)
    assert torch.equal(twin(x), module(x))
    assert twin(x).min() > 50


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(("lazy_cls", "cls"), PICKLABLE)
def test_copies_of_materialized_modules(how: str, lazy_cls: Any, cls: Any) -> None:
    module = lazy_cls(out_features=4)
    module(X)
    twin = COPIES[how](module)
    assert type(twin) is cls
    assert_twins(twin, module)


@pytest.mark.parametrize("how", COPIES)
def test_copies_materialize_independently(how: str) -> None:
    module = PicklableDecorated()
    twin = COPIES[how](module)
    module(X)
    assert is_lazy(twin)
    twin(Y)
    assert (module.linear.in_features, twin.linear.in_features) == (5, 7)
    first, second = PicklableDecorated(), lazify(Picklable)()
    copied = COPIES[how](second)
    copied(Y)
    assert is_lazy(second)
    assert is_lazy(first)


@pytest.mark.parametrize("how", COPIES)
def test_models_with_lazy_parts_copy(how: str) -> None:
    shared = PicklableDecorated()
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, lazify(Picklable)())})
    twin = COPIES[how](model)
    assert twin["a"] is twin["b"][0]
    assert twin["a"] is not shared
    twin["b"](X)
    assert type(twin["a"]) is PicklableDecorated
    assert is_lazy(shared)


def test_shallow_copies() -> None:
    module = PicklableDecorated(4)
    module.note = "kept"
    twin = copy.copy(module)
    assert is_lazy(twin)
    assert twin.note == "kept"
    twin(X)
    assert is_lazy(module)
    module(Y)
    assert (twin.linear.in_features, module.linear.in_features) == (5, 7)


def test_classes_pickle_by_name() -> None:
    assert pickle.loads(pickle.dumps(PicklableDecorated)) is PicklableDecorated
    assert pickle.loads(pickle.dumps(PicklableSub)) is PicklableSub


def test_handles_of_the_original_do_not_reach_a_copy() -> None:
    module = lazify(nn.Linear)(3)
    handle = module.register_forward_hook(shout)
    twin = copy.deepcopy(module)
    handle.remove()
    assert module(X + 1).max() < 50
    assert twin(X + 1).min() > 50
