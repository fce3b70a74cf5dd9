"""Placeholders: uninitialized tensors that become the real parameters and buffers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.nn.parameter import is_lazy as is_uninitialized

from helpers.modules import ConvBlock, EagerConvBlock, LazyConv2d, LazyConvBlock, LazyLinear
from helpers.twins import assert_twins
from lazify import NotMaterializedError, is_lazy, lazify

IMAGES = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)


# ---------------------------------------------------------------------------------------------
# Placeholders


def test_placeholders_are_torchs_own() -> None:
    layer = LazyConvBlock(4)
    for parameter in layer.parameters():
        assert isinstance(parameter, UninitializedParameter)
        assert is_uninitialized(parameter)
        assert type(parameter).__name__ == "UninitializedParameter"
        with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
            _ = parameter.shape
        with pytest.raises(ValueError, match=r"Attempted to use an uninitialized parameter in .*size\(\)"):
            parameter.size()
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            parameter + 1
    for buffer in layer.buffers():
        assert isinstance(buffer, UninitializedBuffer)
    assert isinstance(layer, LazyModuleMixin)


def test_names_order_flags_and_ties_of_a_nested_module() -> None:
    lazy, eager = LazyConvBlock(4), EagerConvBlock(3, 4)
    lazy_names = [n for n, _ in lazy.named_parameters(remove_duplicate=False)]
    assert lazy_names == [n for n, _ in eager.named_parameters(remove_duplicate=False)]
    assert [(n, p.requires_grad) for n, p in lazy.named_parameters()] == [
        (n, p.requires_grad) for n, p in eager.named_parameters()
    ]
    assert list(lazy.state_dict()) == list(eager.state_dict())
    assert [n for n, _ in lazy.named_buffers()] == [n for n, _ in eager.named_buffers()]
    assert [n for n, _ in lazy.named_modules()] == [n for n, _ in eager.named_modules()]
    assert lazy.get_parameter("again.weight") is lazy.get_parameter("conv.weight")
    outer = nn.Sequential(lazy)
    assert outer.get_parameter("0.inner.weight") is lazy.get_submodule("inner").weight


def test_every_placeholder_becomes_its_parameter() -> None:
    lazy = LazyConvBlock(4)
    tensors = {**dict(lazy.named_parameters()), **dict(lazy.named_buffers())}
    torch.manual_seed(0)
    out = lazy(IMAGES)
    assert {**dict(lazy.named_parameters()), **dict(lazy.named_buffers())}.keys() == tensors.keys()
    for name, tensor in (*lazy.named_parameters(), *lazy.named_buffers()):
        assert tensor is tensors[name], name
    torch.manual_seed(0)
    twin = ConvBlock(3, 4)
    assert torch.equal(twin(IMAGES), out)
    assert_twins(lazy, twin)


def test_recurrent_weights_stay_in_step() -> None:
    lazy = lazify(nn.LSTM)(4, num_layers=2)
    parameters = list(lazy.parameters())
    lazy(torch.ones(3, 2, 5))
    assert all(a is b for a, b in zip(lazy._flat_weights, parameters, strict=True))
    assert all(a() is b for a, b in zip(lazy._flat_weight_refs, parameters, strict=True))
    lazy(torch.ones(3, 2, 5))[0].sum().backward()
    assert all(p.grad is not None for p in parameters)


class Listed(nn.Module):
    """Keeps a parameter in a list and in a tuple, too, and registers a hook on it in the constructor."""

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(in_features))
        self.all = [self.scale]
        self.pair = (self.scale, 1)
        self.gradients = 0
        self.scale.register_hook(self.count)
        self.scale.note = "kept"

    def count(self, gradient: torch.Tensor) -> None:
        self.gradients += 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.all[0] * self.pair[0]


def test_a_parameter_that_the_module_keeps_elsewhere_too() -> None:
    lazy = lazify(Listed)()
    (scale,) = lazy.parameters()
    scale.mine = 1
    lazy(torch.ones(2, 5)).sum().backward()
    assert lazy.all[0] is lazy.pair[0] is lazy.scale is scale
    assert (lazy.gradients, scale.note, scale.mine) == (1, "kept", 1)
    assert set(vars(scale)) == {"note", "mine"}


def test_meta_input_and_dtype() -> None:
    lazy = LazyLinear(3).to(torch.float64)
    weight = lazy.weight
    assert weight.dtype is torch.float64
    lazy(torch.empty(2, 5, dtype=torch.float64, device="meta"))
    assert lazy.weight is weight
    assert (weight.device.type, weight.dtype, weight.shape) == ("meta", torch.float64, (3, 5))


def test_what_the_user_chose_on_a_placeholder() -> None:
    lazy = LazyLinear(3)
    lazy.weight.requires_grad = False
    lazy.bias.requires_grad_(False)
    lazy.requires_grad_(True)
    lazy.bias.requires_grad_(False)
    lazy(torch.ones(2, 5))
    assert (lazy.weight.requires_grad, lazy.bias.requires_grad) == (True, False)


def test_a_failing_first_call_gives_the_placeholders_back() -> None:
    lazy = LazyConvBlock(4)
    placeholders = dict(lazy.named_parameters())
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    handle = lazy.register_forward_hook(lambda *_: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            lazy(IMAGES)
        assert is_lazy(lazy)
        assert all(is_uninitialized(p) for p in placeholders.values())
        assert all(a is b for a, b in zip(lazy.parameters(), placeholders.values(), strict=True))
    handle.remove()
    lazy(IMAGES).sum().backward()
    optimizer.step()
    assert all(p is placeholders[n] for n, p in lazy.named_parameters())


# ---------------------------------------------------------------------------------------------
# Guards that need more than one device


def test_replicas_are_refused() -> None:
    with pytest.raises(NotMaterializedError):
        LazyLinear(3)._replicate_for_data_parallel()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="not before torch 2.9")
def test_optimizers_that_group_by_dimensions() -> None:
    model = nn.Sequential(LazyConv2d(4, 1, bias=False), nn.Flatten(), LazyLinear(2, bias=False))
    with pytest.raises(ValueError, match="size"):  # as the message of torch says
        torch.optim.Muon(model.parameters())
    optimizer = torch.optim.Muon(model[2].parameters())
    model(IMAGES).sum().backward()
    optimizer.step()
