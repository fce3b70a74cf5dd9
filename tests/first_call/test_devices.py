"""The device of the parameters. `meta` is the second device that every machine has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import CONVERSIONS, X, draw, pair_of
from helpers.modules import Block, Orthogonal
from helpers.pairs import in_form


class FromNumpy(nn.Module):
    """A constructor without `device`, whose tensors come from numpy and from torch."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.register_buffer("bank", torch.from_numpy(np.eye(in_features, dtype=np.float32)))
        self.weight = nn.Parameter(torch.tensor(np.ones((in_features, 2)), dtype=torch.float32))
        self.linear = nn.Linear(2, 2, device="cpu")
        self.free = nn.Parameter(torch.arange(2.0).clone())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x @ self.bank @ self.weight) * self.free
        return out


class Idle(nn.Module):
    """Uses only the width of its input, so its weights may be on any device."""

    def __init__(self, in_features: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 3, device=device, dtype=dtype)
        self.register_buffer("zeros", torch.zeros(3, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x


def places(module: nn.Module) -> set[str]:
    return {t.device.type for t in (*module.parameters(), *module.buffers())}


META = draw(4, 5, device="meta")


@pytest.mark.parametrize("cls", [Block, FromNumpy, Orthogonal, Idle])
def test_parameters_follow_the_inputs_device(form: str, cls: type[nn.Module]) -> None:
    module = in_form(form, cls)[0]()
    module(META)
    assert places(module) == {"meta"}
    other = in_form(form, cls)[0]()
    other(X)
    assert places(other) == {"cpu"}


@pytest.mark.parametrize("name", ["double", "to-dtype", "to-dtype-keyword", "type", "frozen", "eval", "apply-fn"])
def test_a_dtype_is_no_choice_of_a_device(form: str, name: str) -> None:
    module = in_form(form, Idle)[0]()
    CONVERSIONS[name](module)
    module(META)
    assert places(module) == {"meta"}


@pytest.mark.parametrize(
    "choose",
    [
        lambda m: m.to("meta"),
        lambda m: m.to(device="meta"),
        lambda m: m.to(torch.device("meta"), torch.float64),
        lambda m: m.to(torch.zeros(1, device="meta")),
        lambda m: m.to_empty(device="meta"),
        lambda m: m.to("meta").eval().double(),
        lambda m: nn.Sequential(m).to("meta")[0],
    ],
)
def test_a_device_chosen_before_goes_before_the_inputs(form: str, choose: Any) -> None:
    pair = pair_of(form, Idle)
    pair.do(lambda module, log: choose(module))
    pair.call(X)
    pair.check()
    assert places(pair.lazy) == {"meta"}


@pytest.mark.parametrize(
    "choose", [lambda m: m.to("cpu"), lambda m: m.cpu(), lambda m: m.to(torch.zeros(1)), lambda m: m.to("cpu").half()]
)
def test_the_cpu_chosen_before_goes_before_the_inputs_device(form: str, choose: Any) -> None:
    pair = pair_of(form, Idle)
    pair.do(lambda module, log: choose(module))
    pair.call(META)
    pair.check()
    assert places(pair.lazy) == {"cpu"}


@pytest.mark.parametrize(("device", "x", "place"), [("meta", X, "meta"), ("cpu", META, "cpu"), (None, META, "meta")])
def test_a_device_argument_goes_before_the_inputs(form: str, device: Any, x: Tensor, place: str) -> None:
    module = in_form(form, Idle)[0](device=device)
    module(x)
    assert places(module) == {place}


def test_a_device_argument_in_a_default_device_context(form: str) -> None:
    pair = pair_of(form, Idle, device="cpu")

    def called(module: nn.Module) -> Any:
        with torch.device("meta"):
            return module(X)

    pair.through(called)
    pair.check()


def test_the_device_holds_for_recorded_operations_too(form: str) -> None:
    """What a function given to `apply` makes is not moved, as on the eager module."""
    pair = pair_of(form)

    def add(module: nn.Module) -> None:
        if isinstance(module, Block):
            module.register_buffer("added", torch.ones(3))

    pair.do(lambda module, log: module.apply(add))
    pair.call(X)
    pair.check()
