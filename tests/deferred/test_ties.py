"""Weights of lazy layers that are tied before their first calls."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.modules import LazyLinear
from lazify import axis, is_lazy, lazify, materialize

X = torch.linspace(-1, 1, 2 * 5).reshape(2, 5)


class Decoder(nn.Module):
    def __init__(self, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.weight = nn.Parameter(torch.randn(vocabulary, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x) @ self.weight.t()


class Encoder(nn.Module):
    """Takes one-hot rows as well as the decoder's width from its second argument."""

    def __init__(self, dim: int, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocabulary, dim))

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.weight[tokens] + positions


LazyDecoder = lazify(Decoder, exclude={"dim": axis(-1)})
LazyEncoder = lazify(Encoder, exclude={"dim": axis(-1, of="positions")})
TOKENS, POSITIONS = torch.tensor([[1, 2, 0]]), torch.linspace(0, 1, 12).reshape(1, 3, 4)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("towards", [0, 1])
def test_two_linear_layers(towards: int, first: int, asked: bool) -> None:
    layers = [LazyLinear(3), LazyLinear(3)]
    if asked:
        _ = [list(each.parameters()) for each in layers]
    layers[towards].weight = layers[1 - towards].weight
    tied = layers[1 - towards].weight
    optimizer = torch.optim.SGD({id(p): p for each in layers for p in each.parameters()}.values(), lr=0.1)
    assert len(optimizer.param_groups[0]["params"]) == 3
    for each in (layers[first], layers[1 - first]):
        each(X).sum().backward()
    assert layers[0].weight is layers[1].weight is tied
    assert not any(map(is_lazy, layers))
    before = tied.detach().clone()
    optimizer.step()
    assert not torch.equal(before, tied)


@pytest.mark.parametrize("first", ["encoder", "decoder"])
@pytest.mark.parametrize("towards", ["encoder", "decoder"])
def test_encoder_and_decoder_of_a_language_model(towards: str, first: str) -> None:
    parts: dict[str, nn.Module] = {"encoder": LazyEncoder(vocabulary=7), "decoder": LazyDecoder(vocabulary=7)}
    other = "decoder" if towards == "encoder" else "encoder"
    setattr(parts[towards], "weight", parts[other].weight)
    calls = {"encoder": lambda: parts["encoder"](TOKENS, POSITIONS), "decoder": lambda: parts["decoder"](POSITIONS)}
    calls[first]()
    assert parts["decoder"](parts["encoder"](TOKENS, POSITIONS)).shape == (1, 3, 7)
    assert parts["encoder"].weight is parts["decoder"].weight
    assert parts["encoder"].weight.shape == (7, 4)


def test_the_weight_of_a_real_embedding() -> None:
    embedding, decoder = nn.Embedding(7, 4), LazyLinear(7, bias=False)
    decoder.weight = embedding.weight
    assert decoder(embedding(TOKENS)).shape == (1, 3, 7)
    assert decoder.weight is embedding.weight


def test_a_whole_model_that_is_materialized() -> None:
    def make(linear: Any) -> nn.Sequential:
        model = nn.Sequential(linear(), nn.ReLU(), nn.Linear(5, 5), linear())
        model[3].weight = model[0].weight
        return model

    for towards in (0, 3):
        model = nn.Sequential(LazyLinear(5), nn.ReLU(), LazyLinear(5))
        model[towards and 2].weight = model[2 - (towards and 2)].weight
        materialize(model, torch.empty(2, 5, device="meta"))
        assert model[0].weight is model[2].weight
        assert model(X).shape == (2, 5)


def test_a_failing_call_makes_both_lazy_again() -> None:
    one, other = LazyLinear(3), LazyLinear(3)
    one.weight = other.weight
    handle = one.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        one(X)
    assert is_lazy(one)
    assert is_lazy(other)
    handle.remove()
    one(X)
    assert one.weight is other.weight
