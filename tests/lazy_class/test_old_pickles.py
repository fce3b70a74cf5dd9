"""Pickles of lazy instances that lazify 0.1.0 wrote are loaded by this version.

The file `pickles_of_0_1_0/NAME.pkl` holds the pickle of what the function NAME below returned under version 0.1.0.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lazify.nn as lnn
from helpers.modules import AtModuleLevel, LazyConvBlock
from helpers.twins import assert_twins
from lazify import LazifyError, axis, is_lazy, layers, lazify
from lazify._deferred.operations import Operation
from lazify._deferred.state import STATE_KEY
from lazify._lazy_class.pickling import unpickle
from lazify._old_pickles import OLD_NAMES
from lazify.errors import UnpicklableError

FOLDER = Path(__file__).parent / "pickles_of_0_1_0"


def untouched() -> nn.Module:
    return lnn.LazyLinear(3)


def operations() -> nn.Module:
    module: Any = lnn.LazyLinear(3)
    module.eval().to(torch.float64).requires_grad_(False)
    module.note = "kept"
    module.extra = nn.Parameter(torch.ones(2))
    module.register_buffer("more", torch.ones(2))
    return module


def parameters() -> nn.Module:
    module = lnn.LazyConv2d(4, kernel_size=3)
    assert len(list(module.parameters())) == 2
    module.bias.requires_grad_(False)
    return module.double()


def options() -> nn.Module:
    return lazify(nn.Linear, exclude={"in_features": axis(-1)})(3).train(False)


def named_rule() -> nn.Module:
    return layers.LazyReductionConv2d(kernel_size=1, reduction_ratio=2).eval()


def submodules() -> nn.Module:
    module = layers.LazyConvNormActivation(8, kernel_size=3).eval()
    dict(module.named_parameters())
    dict(module.named_modules())
    return module


def model() -> nn.Module:
    return nn.Sequential(lnn.LazyConv2d(4, kernel_size=3), nn.ReLU(), lnn.LazyBatchNorm2d()).double().eval()


def by_name() -> nn.Module:
    return AtModuleLevel(3).eval()


def lazy_submodule() -> nn.Module:
    module = LazyConvBlock(4)
    list(module.parameters())
    conv: Any = module.get_submodule("conv")
    conv.eval()
    conv.note = "kept"
    module.get_submodule("inner").requires_grad_(False)
    return module


IMAGE, ROWS = torch.ones(2, 6, 5, 5), torch.ones(2, 5)
OPERATIONS: dict[Callable[[], nn.Module], torch.Tensor] = {
    untouched: ROWS,
    operations: ROWS.double(),
    parameters: IMAGE.double(),
    options: ROWS,
    named_rule: IMAGE,
    submodules: IMAGE,
    model: IMAGE.double(),
    by_name: ROWS,
    lazy_submodule: IMAGE,
}


def names_in(pickled: bytes) -> set[Any]:
    """All texts in a pickle, names of modules among them."""
    return {argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)}


@pytest.mark.parametrize("build", OPERATIONS, ids=lambda build: build.__name__)
def test_an_old_pickle_is_the_same_lazy_instance(build: Callable[[], nn.Module]) -> None:
    pickled = (FOLDER / f"{build.__name__}.pkl").read_bytes()
    assert "lazify.lazyclass" in names_in(pickled)
    loaded, made = pickle.loads(pickled), build()
    for module in loaded.modules():  # of torch 2.13; before 2.5 the containers of modules are ordered dicts
        if not is_lazy(module):
            for name in ("_parameters", "_buffers", "_modules"):
                vars(module)[name] = type(vars(nn.Module())[name])(vars(module)[name])
    assert any(map(is_lazy, loaded.modules()))
    assert repr(loaded) == repr(made)
    assert loaded.training == made.training
    for module in (loaded, made):
        torch.manual_seed(1)
        module(OPERATIONS[build])
    assert not any(map(is_lazy, loaded.modules()))
    assert_twins(loaded, made)
    assert torch.equal(loaded(OPERATIONS[build]), made(OPERATIONS[build]))


def test_attributes_flags_and_buffers_of_an_old_pickle() -> None:
    module = pickle.loads((FOLDER / "operations.pkl").read_bytes())
    assert module.note == "kept"
    module(ROWS.double())
    assert (module.note, module.training, module.weight.dtype) == ("kept", False, torch.float64)
    assert not module.weight.requires_grad
    assert torch.equal(module.more, torch.ones(2))
    module = pickle.loads((FOLDER / "lazy_submodule.pkl").read_bytes())
    module(IMAGE)
    assert (module.conv.note, module.conv.training, module.training) == ("kept", False, True)
    assert not module.inner.weight.requires_grad


@pytest.mark.parametrize("build", OPERATIONS, ids=lambda build: build.__name__)
def test_an_old_pickle_is_saved_under_the_new_names(build: Callable[[], nn.Module]) -> None:
    loaded = pickle.loads((FOLDER / f"{build.__name__}.pkl").read_bytes())
    for module in loaded.modules():
        if is_lazy(module):
            assert all(type(each) is Operation for each in vars(module)[STATE_KEY].history.operations)
    names = names_in(pickle.dumps(loaded))
    assert "lazify._lazy_class.pickling" in names
    assert not names.intersection(OLD_NAMES)


# ---------------------------------------------------------------------------------------------
# Pickles that cannot be loaded


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (("helpers.modules", "LazyGone", False), "helpers.modules.LazyGone"),
        (("no_such_module", "LazyGone", False), "no_such_module.LazyGone"),
        (("helpers.modules", "ConvBlock", False), "helpers.modules.ConvBlock"),
        ((nn.Linear, None, True), "torch.nn.modules.linear.Linear"),
        ((nn.Linear, (("gone", axis(1)),), False), "torch.nn.modules.linear.Linear"),
    ],
)
def test_a_lazy_class_that_is_gone_is_named(reference: tuple[Any, ...], name: str) -> None:
    class Saved:
        def __reduce__(self) -> Any:
            return unpickle, reference

    with pytest.raises(UnpicklableError, match="the lazy class of a pickled instance is not found") as raised:
        pickle.loads(pickle.dumps(Saved()))
    assert name in str(raised.value)
    assert "Fix:" in str(raised.value)


def test_a_lazy_state_of_another_version_is_refused() -> None:
    with pytest.raises(LazifyError, match="saved by another version of lazify"):
        object.__new__(type(lnn.LazyLinear(3))).__setstate__(({}, []))
