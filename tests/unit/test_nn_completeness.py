"""`lazify.nn` and the table hold every class of `torch.nn` that has an input size, also one of a later torch."""

from __future__ import annotations

import inspect

import pytest
import torch
import torch.nn

from helpers.torch_nn import EAGER, LAZIES, constructor, module_classes
from lazify import lazify
from lazify._recipe.naming_conventions import sizes_of
from lazify._recipe.torch_nn_table import KNOWN, table_row

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
]

Module = torch.nn.Module

#: What the conventions take for an input size, and is none, or cannot be had from a call.
NOT_HERE: dict[str, str] = {
    "RNNBase": "has no forward of its own: RNN, LSTM and GRU are the classes to call",
    "RNNCellBase": "has no forward: RNNCell, LSTMCell and GRUCell are the classes to call",
    "Unflatten": "its `dim` is the axis to unflatten, the user's choice",
}
#: Known by the table alone: the conventions see no required size.
BY_TABLE: dict[str, str] = {
    "PReLU": "num_parameters has a default, 1",
    "Transformer": "d_model has a default, 512",
}
#: Required parameters that no input determines: a class is not lazy for them.
CHOSEN = {
    *("decoder_layer", "encoder_layer", "num_layers", "module"),  # containers: what they hold may be lazy
    *("num_embeddings", "embedding_dim"),  # an input of indices shows neither the vocabulary nor the width
    *("output_size", "upscale_factor", "downscale_factor", "groups", "size"),
    *("kernel_size", "padding", "norm_type", "value", "threshold"),
}


def required(cls: type[Module]) -> list[str]:
    parameters = list(constructor(cls).parameters.values())[1:]
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def expected() -> set[str]:
    """The classes of the installed torch.nn that should be here, by a criterion that is independent of the table.

    A required parameter that by its name is an input's size; or torch has a lazy class of its own.
    """
    found = {name.removeprefix("Lazy") for name in module_classes(torch.nn) if name.startswith("Lazy")}
    for name, cls in module_classes(torch.nn).items():
        sizes = sizes_of(constructor(cls), inspect.signature(cls.forward).parameters)
        if not name.startswith("Lazy") and {*sizes.dropped, *sizes.optional} & set(required(cls)) - CHOSEN:
            found.add(name)
    return found - set(NOT_HERE)


def here() -> set[str]:
    return {name.removeprefix("Lazy") for name in LAZIES}


def test_every_class_with_an_input_size_is_here() -> None:
    assert expected() - here() == set(), "torch.nn has grown: a row in lazify/known.py, a line in lazify/nn.py"
    assert here() - expected() == set(BY_TABLE)


def test_every_class_of_the_table_is_here() -> None:
    assert here() == {cls.__name__ for cls in KNOWN}
    described = {n for n, cls in EAGER.items() if table_row(cls, inspect.signature(cls.forward).parameters) is not None}
    assert described == here()


def test_what_is_not_here_has_nothing_to_infer() -> None:
    """Every required parameter of every other class is one that the user must choose."""
    for name in set(EAGER) - here() - set(NOT_HERE):
        assert set(required(EAGER[name])) <= CHOSEN, name
        with pytest.raises(TypeError):
            pytest.fail(f"{lazify(EAGER[name])} belongs into lazify.nn")


def test_the_lists_of_exceptions_are_true() -> None:
    assert set(NOT_HERE) <= set(EAGER)
    assert {n for cls in EAGER.values() if cls.__name__ not in here() | set(NOT_HERE) for n in required(cls)} == CHOSEN
    without = [n for n in NOT_HERE if any(sizes_of(constructor(EAGER[n]), ["input"]).optional)]
    assert without == list(NOT_HERE)


def test_a_class_that_torch_grows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Conv4d(torch.nn.Conv3d):
        def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
            super().__init__(in_channels, out_channels, kernel_size)

    class Mixer(Module):
        def __init__(self, dim: int, depth: int = 2) -> None:
            super().__init__()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    class Odd(Module):
        def __init__(self, slots: int) -> None:
            super().__init__()

    monkeypatch.setattr(torch.nn, "Conv4d", Conv4d, raising=False)
    monkeypatch.setattr(torch.nn, "Mixer", Mixer, raising=False)
    monkeypatch.setattr(torch.nn, "LazySoftmax", torch.nn.Softmax, raising=False)
    assert expected() - here() == {"Conv4d", "Mixer", "Softmax"}
    assert not set(required(Odd)) <= CHOSEN
