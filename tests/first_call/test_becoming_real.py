"""The first call makes the instance the real module, with values from the arguments as forward binds them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X, draw, pair_of, train_once
from helpers.modules import Block, FromArgument, LazyLinear, Sample
from helpers.pairs import in_form
from lazify import axis, is_lazy, lazify

# ---------------------------------------------------------------------------------------------
# The instance becomes the real module


def test_the_same_object_becomes_exactly_the_wrapped_class(form: str) -> None:
    pair = pair_of(form, out_features=4)
    same = pair.lazy
    assert isinstance(same, pair.cls)
    assert isinstance(same, Block)
    pair.call(X)
    assert pair.lazy is same
    pair.check()
    assert not any("lazify" in name for name in vars(same))
    assert same.__call__.__func__ is nn.Module.__call__
    assert same.forward.__func__ is Block.forward
    pair.call(X)
    pair.check()
    train_once(pair)


def test_laziness_itself_draws_nothing() -> None:
    state = torch.get_rng_state()
    lazy_cls = lazify(Block, exclude={"in_features": axis(-1)})
    module = lazy_cls().eval().double()
    repr(module), dir(module), deepcopy(module), hasattr(module, "weight")
    assert torch.equal(torch.get_rng_state(), state)


def test_forward_runs_once_and_so_does_the_constructor(form: str) -> None:
    runs: list[str] = []

    class Counting(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            runs.append("constructor")
            self.linear = nn.Linear(in_features, 2)

        def forward(self, x: Tensor) -> Tensor:
            runs.append("forward")
            return self.linear(x)

    lazy_cls, _ = in_form(form, Counting)
    module = lazy_cls()
    assert runs == []
    module(X)
    assert runs == ["constructor", "forward"]
    module(X)
    assert runs == ["constructor", "forward", "forward"]


def test_a_name_that_misleads_costs_no_second_run() -> None:
    """Forward runs on the real input once, and so do hooks, however the values were found."""
    runs: list[str] = []

    class Misleading(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(in_features, 3, 1)  # channels, not the last dimension

        def forward(self, x: Tensor) -> Tensor:
            if type(x) is Tensor and x.device.type == "cpu":
                runs.append("forward")
            return self.conv(x)

    module = lazify(Misleading, exclude=["in_features"])()
    module.register_forward_pre_hook(lambda *_: runs.append("pre"))
    module.register_forward_hook(lambda *_: runs.append("always"), always_call=True)
    module(draw(2, 6, 4, 5))
    assert module.conv.in_channels == 6
    assert runs == ["pre", "forward", "always"]


def test_forward_itself_may_be_the_first_call(form: str) -> None:
    """As on the eager module, hooks do not run then."""
    pair = pair_of(form)
    pair.do(lambda module, log: module.register_forward_hook(lambda *_: log.append("hook")))
    pair.through(lambda module: module.forward(X))
    assert pair.logs == ([], [])
    pair.check()


def test_the_bound_forward_taken_before_works(form: str) -> None:
    module = in_form(form, Block)[0]()
    forward = module.forward
    assert forward(X).shape == (4, 3)
    assert not is_lazy(module)
    assert forward(X).shape == (4, 3)


# ---------------------------------------------------------------------------------------------
# Values from the arguments as forward binds them


class Named(NamedTuple):
    mask: Tensor
    features: Tensor


MASK = torch.ones(4, 7, dtype=torch.bool)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((X,), {}),
        ((), {"x": X}),
        ((X, draw(4, 9)), {"scale": 2.0}),
        ((), {"scale": 2.0, "other": draw(4, 9), "x": X}),
        (([X],), {}),
        (((MASK, X),), {}),
        (({"mask": MASK, "x": X},), {}),
        (([{"a": [MASK]}, {"b": (MASK, X)}],), {}),
        ((Named(MASK, X),), {}),
        ((Sample(3, X),), {}),
        ((draw(5),), {}),
        ((draw(2, 3, 4, 5),), {}),
    ],
)
def test_values_come_from_nested_and_named_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    pair = pair_of("function", FromArgument)
    pair.call(*args, **kwargs)
    pair.check()


@pytest.mark.parametrize("x", [X, X[0], X[None, None]], ids=["batched", "unbatched", "more"])
def test_the_rank_of_the_input_does_not_matter(x: Tensor) -> None:
    module = LazyLinear(2)
    module(x)
    assert module.in_features == 5


def test_forwards_defaults_are_arguments_too() -> None:
    class Fixed(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 2)

        def forward(self, x: Tensor = X, scale: float = 3.0) -> Tensor:
            return self.linear(x) * scale

    module = lazify(Fixed, exclude={"in_features": axis(-1, of="x")})()
    assert module().shape == (4, 2)
    other = lazify(Fixed, exclude={"in_features": lambda x, scale: x.shape[-1] * int(scale)})
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        other()()
    assert other()(draw(4, 3), scale=1.0).shape == (4, 2)
