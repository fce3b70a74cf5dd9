"""Lazy instances with equal constructor arguments share the trial constructions, and nothing that can be changed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lazify.nn as lnn
from helpers.functions_run import HOME, functions_run
from helpers.modules import LazyConvBlock
from lazify import NotMaterializedError, lazify


class Listed(nn.Module):
    """Holds its layers and a parameter a second time, in containers."""

    def __init__(self, in_features: int, names: tuple[str, ...] = ("a", "b"), bias: Any = True) -> None:
        super().__init__()
        self.bias = bias
        self.first, self.second = nn.Linear(in_features, 4), nn.Linear(4, 4)
        self.second.weight = self.first.bias if bias == "tied" else self.second.weight
        self.chosen = {"layers": [self.first, self.second], "names": list(names)}
        self.register_buffer("scale", torch.ones(in_features))
        self.weights = [self.first.weight]

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.chosen["layers"]
        return second(first(x * self.scale))


LazyListed = lazify(Listed)


def test_the_second_instance_needs_no_trial_construction() -> None:
    ran = functions_run(lambda: list(LazyListed().parameters()))
    assert "compare_constructions" in ran
    ran = functions_run(lambda: list(LazyListed().parameters()))
    assert ran
    assert "compare_constructions" not in ran


def test_other_arguments_or_another_default_dtype_are_another_configuration() -> None:
    list(LazyListed().parameters())
    assert LazyListed(bias=True).bias is True
    assert LazyListed(bias=1).bias == 1
    assert type(LazyListed(bias=1).bias) is int
    assert LazyListed(names=("c",)).get_submodule("first").weight.dtype == torch.float32
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert LazyListed().get_parameter("first.weight").dtype == torch.float64
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("make", [LazyListed, lambda: LazyConvBlock(4), lambda: lnn.LazyLSTM(hidden_size=3)])
def test_previews_share_no_parameter_buffer_or_submodule(make: Any) -> None:
    one, other = make(), make()
    assert [name for name, _ in one.named_parameters()] == [name for name, _ in other.named_parameters()]
    for kind in ("parameters", "buffers", "modules"):
        ids = {id(each) for each in getattr(one, kind)()}
        assert ids.isdisjoint({id(each) for each in getattr(other, kind)()})
    flags = [parameter.requires_grad for parameter in other.parameters()]
    for parameter in one.parameters():
        parameter.requires_grad_(False)
    one.double().eval()
    one.register_buffer("more", torch.ones(1))
    assert [parameter.requires_grad for parameter in other.parameters()] == flags
    assert all(each.dtype != torch.float64 for each in other.parameters())
    assert all(each.training for each in other.modules())
    assert "more" not in dict(other.named_buffers())
    assert "more" not in dict(make().named_buffers())


def test_each_becomes_the_module_whose_parameters_it_gave() -> None:
    instances = [LazyListed() for _ in range(3)]
    given = [list(each.parameters()) for each in instances]
    for instance, parameters in zip(instances, given, strict=True):
        instance(torch.ones(2, 5))
        assert [id(each) for each in instance.parameters()] == [id(each) for each in parameters]
        assert instance.weights[0] is instance.first.weight
        assert instance.chosen["layers"] == [instance.first, instance.second]
    assert len({id(each) for parameters in given for each in parameters}) == sum(map(len, given))


def test_what_a_module_holds_twice_is_the_same_object_in_each_preview() -> None:
    one, other = lnn.LazyLSTM(hidden_size=3), lnn.LazyLSTM(hidden_size=3)
    names = [[name for name, _ in each.named_parameters()] for each in (one, other)]
    assert names[0] == names[1] == [name for name, _ in nn.LSTM(2, 3).named_parameters()]
    one(torch.ones(2, 5, 4))
    other(torch.ones(2, 5, 6))
    assert one._flat_weights[0] is one.weight_ih_l0
    assert other.weight_ih_l0.shape == (12, 6)


def test_tensors_of_the_user_are_not_shared_by_a_template() -> None:
    class Holding(nn.Module):
        def __init__(self, in_features: int, given: nn.Module) -> None:
            super().__init__()
            self.given, self.own = given, nn.Linear(in_features, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.own(x)

    LazyHolding = lazify(Holding)
    layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
    for layer in layers:
        assert LazyHolding(given=layer).get_submodule("given") is layer


def test_names_that_only_the_call_determines_are_an_error_each_time() -> None:
    class Depends(nn.Module):
        def __init__(self, in_features: int, width: int = 4) -> None:
            super().__init__()
            self.project = nn.Linear(in_features, width) if in_features != width else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return x

    LazyDepends = lazify(Depends, exclude=["in_features"])
    for _ in range(2):
        with pytest.raises(NotMaterializedError, match="not known yet"):
            list(LazyDepends().parameters())


def test_no_fake_tensor_for_a_class_of_torch() -> None:
    """In a process of its own: parameters, buffers and state of lazy layers of torch load none of torch's fakes."""
    code = """
import sys, torch
from lazify import _torch
loaded = []
import lazify._isolation.trial as trial
trial.load_fakes = lambda: loaded.append(1)
import lazify.nn as lnn
model = torch.nn.Sequential(lnn.LazyConv2d(4, 3), lnn.LazyBatchNorm2d(), torch.nn.Flatten(), lnn.LazyLinear(2))
state = torch.get_rng_state()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer.zero_grad()
model.zero_grad()
names = [list(model.state_dict()), [name for name, _ in model.named_modules()]]
assert torch.equal(state, torch.get_rng_state())
assert names[0][:2] == ["0.weight", "0.bias"]
model(torch.ones(2, 3, 6, 6))
assert not loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.path.dirname(HOME)})
