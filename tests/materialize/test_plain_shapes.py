"""A tuple of sizes is a shape where the model takes no tuple; tools that need the real module say `materialize`."""

import pytest
import torch
from torch import nn

from lazify import NotMaterializedError, is_lazy, lazify, materialize


def model() -> nn.Sequential:
    return nn.Sequential(lazify(nn.Conv2d)(4, 3), nn.Flatten(), lazify(nn.Linear)(2))


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), [2, 3, 8, 8]])
def test_a_tuple_is_a_shape(shape: object) -> None:
    assert materialize(model(), shape)[2].in_features == 144


class Takes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = lazify(nn.Linear)(2)

    def forward(self, size: tuple[int, ...], x: torch.Tensor | None = None) -> torch.Tensor:
        assert type(size) is tuple
        return self.linear(torch.ones(size) if x is None else x)


def test_a_model_that_takes_a_tuple_gets_it() -> None:
    assert materialize(Takes(), (2, 5)).linear.in_features == 5
    assert materialize(Takes(), (2, 5), torch.Size((2, 6))).linear.in_features == 6


def test_an_error_says_what_was_taken_for_a_shape() -> None:
    network = model()
    with pytest.raises(RuntimeError, match="does not determine 'in_channels'") as caught:
        materialize(network, (2, 3))
    assert is_lazy(network[0])
    if hasattr(caught.value, "__notes__"):
        assert caught.value.__notes__ == ["read as shapes, as the call fails with tuples: torch.Size((2, 3))"]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")  # from 2.14
def test_trace_and_export_say_materialize() -> None:
    image = torch.ones(2, 3, 8, 8)
    for whole in (model(), lazify(nn.Conv2d)(4, 3)):
        with pytest.raises(NotMaterializedError, match=r"torch.jit.trace needs the real module[\s\S]*materialize\("):
            torch.jit.trace(whole, (image,))
        with pytest.raises(ValueError, match=r"Attempted to use an uninitialized[\s\S]*materialize\("):
            torch.export.export(whole, (image,), strict=False)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got the class LazyConv2d\nFix:\n  materialize\(LazyConv2d\(\.\.\.\)"):
        materialize(lazify(nn.Conv2d), (2, 3, 8, 8))  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"takes a module first, got \(2, 3\)"):
        materialize((2, 3), lazify(nn.Linear)(4))  # type: ignore[type-var]
