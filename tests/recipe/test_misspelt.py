"""Misspelt names, and rules that give nothing: the message says what became of them, and names the nearest."""

from typing import Any

import pytest
import torch
from torch import nn

from lazify import DefinitionError, InferenceError, NotMaterializedError, axis, lazify


class Block(nn.Module):
    groups = 1

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, context_dim: int | None = None) -> None:
        super().__init__()
        self.stride, self.area = stride, in_channels * stride
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, stride)

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return self.convolution(x)


def test_a_misspelt_name_in_a_rule_has_become_a_required_argument() -> None:
    lazy = lazify(Block, exclude={"in_channels": axis(1), "out_channels": lambda in_chanels: in_chanels * 2})
    with pytest.raises(TypeError) as caught:
        lazy()
    headline, reason = str(caught.value).splitlines()
    assert headline == "LazyBlock.__init__() missing 1 required keyword-only argument: 'in_chanels'"
    assert reason == (
        "  in_chanels: the rule for 'out_channels' reads it, and neither constructor nor forward has it; "
        "did you mean 'in_channels'?"
    )


def test_a_new_argument_that_is_like_no_other() -> None:
    lazy = lazify(Block, exclude={"in_channels": axis(1), "out_channels": lambda in_channels, ratio: in_channels})
    with pytest.raises(TypeError, match=r"missing 1 required keyword-only argument: 'ratio'$"):
        lazy()


def test_a_rule_that_returns_none() -> None:
    lazy = lazify(Block, exclude={"in_channels": lambda x: None})(3)
    with pytest.raises(InferenceError, match=r"does not determine 'in_channels'[\s\S]*lambda\(x\): it returned None"):
        lazy(torch.ones(1, 3, 8, 8))


def test_none_is_a_value_where_the_constructor_has_it_as_one() -> None:
    rules: dict[str, Any] = {"in_channels": axis(1), "context_dim": lambda context: context and context.shape[-1]}
    assert lazify(Block, exclude=rules)(3)(torch.ones(1, 3, 8, 8)).shape == (1, 3, 6, 6)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("stirde", "stride"), ("convolutoin", "convolution"), ("foward", "forward"), ("gruops", "groups")],
)
def test_a_misspelt_attribute(name: str, nearest: str) -> None:
    with pytest.raises(NotMaterializedError, match=f"^LazyBlock has no attribute {name!r}; did you mean {nearest!r}"):
        getattr(lazify(Block)(3), name)


def test_an_attribute_that_is_like_no_other_may_come() -> None:
    for name in ("area", "computed_in_forward"):
        with pytest.raises(NotMaterializedError, match="is not known yet"):
            getattr(lazify(Block)(3), name)


def test_nothing_to_infer_gives_no_advice_to_name_something() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None: ...

    for cls in (nn.ReLU, Plain):
        with pytest.raises(DefinitionError, match="there is nothing to infer") as caught:
            lazify(cls)
        assert "exclude" not in str(caught.value)
