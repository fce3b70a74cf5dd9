"""Compilers and transforms, before and after the first call."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from helpers.modules import ConvBlock, LazyConv2d, LazyConvBlock, LazyLinear, Odd
from helpers.twins import assert_twins
from lazify import is_lazy, lazify

IMAGES = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)


def network() -> nn.Module:
    return nn.Sequential(LazyConvBlock(4), nn.Flatten(), LazyLinear(5), nn.ReLU(), LazyLinear(2))


class Whole(nn.Module):
    """An eager module around lazy ones, one of which has a size whose name says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.head = lazify(Odd, exclude=["zz"])(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


BACKENDS = ["eager", pytest.param("inductor", marks=pytest.mark.slow)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("make", [network, Whole, lambda: LazyConvBlock(4), lambda: LazyConv2d(2, 1)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compile_of_a_model_that_is_still_lazy(make: Any, part: bool, dynamic: Any, backend: str) -> None:
    torch._dynamo.reset()
    model = make()
    if part and isinstance(model, nn.Sequential):
        model[0] = torch.compile(model[0], fullgraph=True, dynamic=dynamic, backend=backend)
        compiled: Any = model
    else:
        compiled = torch.compile(model, fullgraph=True, dynamic=dynamic, backend=backend)
    with torch.no_grad():
        compiled(IMAGES)
        compiled(torch.cat([IMAGES, IMAGES]))
        assert not any(map(is_lazy, model.modules()))
        model.eval()
        torch.testing.assert_close(compiled(IMAGES), model(IMAGES))


def test_after_the_call_every_tool_sees_the_plain_module() -> None:
    model = network()
    model(IMAGES)
    model.eval()
    out = model(IMAGES)
    torch.testing.assert_close(torch.export.export(model, (IMAGES,), strict=False).module()(IMAGES), out)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(IMAGES), out)
    state = {name: each.detach() for name, each in model.named_parameters()}
    torch.testing.assert_close(torch.func.functional_call(model, state, (IMAGES,)), out)
    torch.testing.assert_close(torch.func.vmap(lambda x: model(x[None])[0])(IMAGES), out)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_after_the_call_torchscript() -> None:
    model = nn.Sequential(LazyConv2d(4, 1), nn.Flatten(), LazyLinear(2))
    out = model(IMAGES)
    torch.testing.assert_close(torch.jit.script(model)(IMAGES), out)
    torch.testing.assert_close(torch.jit.trace(model, IMAGES)(IMAGES), out)


def test_functional_call_before_the_first_call() -> None:
    lazy = LazyConvBlock(4)
    given_ = {"conv.weight": torch.ones(4, 3, 3, 3), "norm.weight": torch.zeros(4)}
    torch.manual_seed(0)
    out = torch.func.functional_call(lazy, given_, (IMAGES,))
    torch.manual_seed(0)
    twin = ConvBlock(3, 4)
    torch.testing.assert_close(torch.func.functional_call(twin, given_, (IMAGES,)), out)
    assert_twins(lazy, twin)


@lazify(exclude=["in_features"])
class Decorated(nn.Module):
    def __init__(self, in_features: int, out: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out


@pytest.mark.parametrize("given", [{}, {"in_features": 3}])
@pytest.mark.parametrize("make", [lambda given: LazyLinear(out_features=4, **given), lambda given: Decorated(**given)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_construction_inside_a_compiled_function(make: Any, given: dict[str, int]) -> None:
    torch._dynamo.reset()

    def constructs(x: torch.Tensor) -> Any:
        return make(given)(x + 1)

    assert torch.compile(constructs, backend="eager")(torch.ones(2, 3)).shape == (2, 4)
