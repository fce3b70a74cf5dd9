"""The `__dict__` of an instance after the first call: nothing of lazify is left in it."""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X, pair_of
from helpers.modules import Block
from helpers.pairs import Pair
from helpers.twins import assert_twins
from lazify import lazify


def test_nothing_of_lazify_is_pickled_of_a_materialized_module() -> None:
    module = lazify(Block)(4)
    module(X)
    assert b"lazify" not in pickle.dumps(module)
    assert_twins(pickle.loads(pickle.dumps(module)), module)


def test_a_constructor_that_exchanges_its_dict(form: str) -> None:
    class Borg(nn.Module):
        def __init__(self, in_features: int) -> None:
            self.__dict__ = {}
            super().__init__()
            self.linear = nn.Linear(in_features, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(x)
            return out

    pair = Pair(form, Borg, {"in_features": 5})
    pair.call(X)
    pair.check()


def test_what_was_put_into_its_dict(form: str) -> None:
    class Cached(Block):
        @functools.cached_property
        def answer(self) -> list[int]:
            return [42]

    pair = pair_of(form, Cached)
    kept = pair.do(lambda module, _: module.answer)[0]
    pair.do(lambda module, _: vars(module).update(tag=5))
    pair.do(lambda module, _: setattr(module, "other", 6))
    pair.call(X)
    pair.check()
    assert pair.lazy.answer is kept


@pytest.mark.skipif(sys.version_info < (3, 11), reason="keys are shared in the order of the first instance only")
@pytest.mark.parametrize("before", [None, nn.Module.train], ids=["untouched", "touched"])
@pytest.mark.parametrize(
    ("cls", "given", "x"),
    [
        (nn.Conv2d, (4, 3), torch.randn(1, 3, 5, 5)),
        (nn.Linear, (4,), torch.randn(2, 3)),
        (nn.LSTM, (4,), torch.randn(2, 3)),
    ],
)
def test_a_module_that_was_lazy_takes_up_no_more_than_an_eager_one(
    cls: type[nn.Module], given: Any, x: Tensor, before: Callable[[nn.Module], Any] | None
) -> None:
    class Mine(cls):  # type: ignore[valid-type,misc]  # how a class's instances share keys is up to its first ones
        pass

    twin, module = Mine(3, *given), lazify(Mine)(*given)
    if before is not None:
        before(module)
    module(x)
    assert list(vars(module)) == list(vars(twin))
    assert sys.getsizeof(vars(module)) <= sys.getsizeof(vars(twin))
