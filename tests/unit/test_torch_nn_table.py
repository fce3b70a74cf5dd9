"""The table of `torch.nn` is complete, and its rows name what the classes have."""

from __future__ import annotations

import inspect

import pytest
from torch import nn

from helpers.torch_nn_cases import CASES
from lazify import lazify
from lazify._recipe.rules import Axis, Computed
from lazify._recipe.torch_nn_table import KNOWN

pytestmark = [  # what torch says of the eager modules too
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning"),
]


def test_every_class_of_the_table_has_a_case() -> None:
    assert set(KNOWN) <= {case.cls for case in CASES}
    assert set(KNOWN) <= {case.cls for case in CASES if case.auto}


@pytest.mark.parametrize("cls", KNOWN, ids=lambda cls: cls.__name__)
def test_rows_name_what_the_class_has(cls: type[nn.Module]) -> None:
    row = KNOWN[cls]
    forward = inspect.signature(cls.forward).parameters
    shown = inspect.signature(lazify(cls)).parameters
    assert row.inferred, "a row says what a bare lazify infers"
    for name, rule in {**row.inferred, **(row.named or {})}.items():
        assert (name in shown) == (name not in row.inferred)
        lazify(cls, exclude=[name])  # the constructor has it
        if isinstance(rule, Axis):
            assert rule.of in forward
        elif isinstance(rule, Computed):
            assert set(rule.signature.parameters) <= {*forward, *shown, *row.inferred}
        else:
            pytest.fail(f"{name}: {rule} is no rule")


#: What torch calls a size that an input has. A class of torch.nn with one of them belongs in the table.
SIZES = {
    "in_features",
    "in1_features",
    "in_channels",
    "input_size",
    "num_features",
    "num_channels",
    "embed_dim",
    "d_model",
    "normalized_shape",
    "num_parameters",
}


def test_the_table_lacks_no_class() -> None:
    """Of those that can be called: bases without a forward of their own have nothing to infer from."""
    public = [each for name, each in vars(nn).items() if not name.startswith(("_", "Lazy")) and isinstance(each, type)]
    modules = [cls for cls in public if issubclass(cls, nn.Module) and cls.forward is not nn.Module.forward]
    assert {cls for cls in modules if _parameters(cls) & SIZES} - set(KNOWN) <= {nn.RNNBase}


def _parameters(cls: type) -> set[str]:
    """Names of the constructor's parameters, of its base's where it only passes them on."""
    names = set(inspect.signature(cls.__init__).parameters)
    return names | _parameters(cls.__mro__[1]) if {"args", "kwargs"} <= names and cls is not nn.Module else names
