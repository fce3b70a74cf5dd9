"""`NamedSequential`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lazify import layers


def test_named_sequential_keeps_names_and_order():
    module = layers.NamedSequential(b=nn.Linear(3, 2), a=nn.ReLU(), c=nn.Linear(2, 1))
    assert [name for name, _ in module.named_children()] == ["b", "a", "c"]
    assert list(module.state_dict()) == ["b.weight", "b.bias", "c.weight", "c.bias"]
    x = torch.ones(4, 3)
    torch.testing.assert_close(module(x), module.c(module.b(x).relu()))
    assert module[0] is module.b
    assert len(layers.NamedSequential()) == 0


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("of", ["eager", "scripted"])
def test_named_sequential_slices_to_the_same_children(of):
    relu = nn.ReLU()
    for module in (layers.NamedSequential(a=relu, b=nn.Tanh(), c=relu), layers.ConvNormActivation(8, 3, 3)):
        seen = torch.jit.script(module) if of == "scripted" else module
        part = seen[:2]
        assert type(part) is layers.NamedSequential
        assert len(part) == 2
        assert [name for name, _ in part.named_children()] == [name for name, _ in module.named_children()][:2]
        if of == "eager":
            assert list(part) == list(module)[:2]
    both = layers.NamedSequential(a=relu, b=nn.Tanh(), c=relu)[::2]
    assert [n for n, _ in both.named_children()] == ["a"]
    assert len(both) == 2


def test_named_sequential_refuses_what_torch_does():
    with pytest.raises(TypeError):
        layers.NamedSequential(a=nn.ReLU)
    for name in ("forward", "a.b", ""):
        with pytest.raises(KeyError):
            layers.NamedSequential(**{name: nn.ReLU()})
    with pytest.raises(TypeError):
        layers.NamedSequential(nn.ReLU())


def test_named_sequential_may_have_any_name():
    module = layers.NamedSequential(self=nn.ReLU(), modules_=nn.Tanh())
    assert [name for name, _ in module.named_children()] == ["self", "modules_"]
