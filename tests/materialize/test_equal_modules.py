"""In the trial run of `materialize`, equal modules of torch.nn are built and called once; nobody sees a difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lazify.nn as lnn
from helpers.twins import assert_twins
from lazify import InferenceError, is_lazy, materialize

X = torch.linspace(-1, 1, 24).reshape(3, 8)
IMAGES = torch.linspace(-1, 1, 2 * 4 * 8 * 8).reshape(2, 4, 8, 8)


class Penalized(nn.Module):
    """Asks for gradients in its forward: of the input, or of its parameters."""

    def __init__(self, lazy: bool, of_parameters: bool) -> None:
        super().__init__()
        self.first, self.second = (lnn.LazyLinear(8), lnn.LazyLinear(8)) if lazy else (nn.Linear(8, 8), nn.Linear(8, 8))
        self.of_parameters = of_parameters

    def forward(self, x: Tensor) -> Tensor:
        if not self.of_parameters:
            x = x.detach().requires_grad_()
        y = self.second(self.first(x)).sum()
        wanted = [*self.first.parameters(), *self.second.parameters()] if self.of_parameters else [x]
        gradients = torch.autograd.grad(y, wanted, create_graph=True)
        return y + sum((each.square().sum() for each in gradients), torch.zeros(()))


class ComparesParameters(nn.Module):
    """Its forward fails where two of its modules hold the same tensor."""

    def __init__(self, lazy: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(lnn.LazyLinear(8) if lazy else nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        if len({id(each) for each in self.parameters()}) != 6:
            raise ValueError("tied")
        return x


class Unused(nn.Module):
    """Calls two of three equal modules."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(lnn.LazyLinear(8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.layers[0](x))


def chain(lazy: bool) -> nn.Module:
    linears = [lnn.LazyLinear(8) if lazy else nn.Linear(8, 8) for _ in range(4)]
    layers = [linears[0], nn.ReLU(inplace=True), linears[1], nn.ReLU(inplace=True), linears[1], *linears[2:]]
    linears[3].eval().note = "kept"  # type: ignore[assignment]
    return nn.Sequential(*layers)


def convolutions(lazy: bool) -> nn.Module:
    def block() -> list[nn.Module]:
        if lazy:
            return [lnn.LazyConv2d(4, 3, padding=1), lnn.LazyBatchNorm2d(), nn.ReLU(inplace=True)]
        return [nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)]

    return nn.Sequential(*block(), *block(), nn.MaxPool2d(2), *block(), *block()).eval()


CASES: dict[str, tuple[Callable[[bool], nn.Module], Tensor]] = {
    "chain": (chain, X),
    "convolutions": (convolutions, IMAGES),
    "channels last": (convolutions, IMAGES.to(memory_format=torch.channels_last)),
    "gradient of the input": (lambda lazy: Penalized(lazy, False), X),
    "gradient of the parameters": (lambda lazy: Penalized(lazy, True), X),
    "parameters are compared": (ComparesParameters, X),
    "frozen": (lambda lazy: chain(lazy).requires_grad_(False), X),
    "double": (lambda lazy: chain(lazy).double(), X.double()),
}


@pytest.mark.parametrize("case", CASES)
def test_the_model_is_the_eager_one(case: str) -> None:
    build, x = CASES[case]
    torch.manual_seed(0)
    eager = build(False)
    model = build(True)
    torch.manual_seed(0)
    materialize(model, x)
    assert not any(map(is_lazy, model.modules()))
    parameters = [id(each) for each in model.parameters()]
    assert len(set(parameters)) == len(parameters) == len(list(eager.parameters()))
    assert_twins(model, eager)
    assert torch.equal(model(x), eager(x))


def counted(monkeypatch: Any, cls: type[nn.Module], method: str) -> list[nn.Module]:
    calls: list[nn.Module] = []
    original = getattr(cls, method)

    def counting(self: nn.Module, *args: Any) -> Any:
        calls.append(self)
        return original(self, *args)

    monkeypatch.setattr(cls, method, counting)
    return calls


def test_equal_modules_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    different = [lnn.LazyLinear(8, bias=False), lnn.LazyLinear(8).eval(), lnn.LazyLinear(4), lnn.LazyLinear(8)]
    model = nn.Sequential(*(lnn.LazyLinear(8) for _ in range(5)), *different)
    calls = counted(monkeypatch, nn.Linear, "forward")
    built = counted(monkeypatch, nn.Linear, "reset_parameters")
    materialize(model, X)
    # the first input needs no gradient; without a bias; in eval mode; of another width; from another width
    assert len(calls) == 2 + 4
    assert len(built) == len(calls) + 9


def test_hooks_are_called_for_each_module() -> None:
    seen: list[tuple[int, ...]] = []
    model = nn.Sequential(*(lnn.LazyLinear(8) for _ in range(3)))
    model[2].register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)) or output[:, :4])
    materialize(nn.Sequential(model, head := lnn.LazyLinear(2)), X)
    assert head.in_features == 4
    assert seen == []


def test_a_failed_run_leaves_everything_lazy() -> None:
    model = nn.Sequential(*(lnn.LazyLinear(8) for _ in range(3)), nn.Linear(5, 2))
    before = [vars(each) for each in model[:3]]
    with pytest.raises(RuntimeError, match=r"must have same reduction dim|cannot be multiplied"):
        materialize(model, X)
    assert all(map(is_lazy, model[:3]))
    assert all(vars(each) is kept for each, kept in zip(model[:3], before, strict=True))
    with pytest.raises(InferenceError, match="does not reach 1 lazy module"):
        materialize(Unused(), X)
