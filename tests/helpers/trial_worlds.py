"""Two worlds of the same effects: in one a module is used lazily, in the other eagerly; afterwards they are alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from helpers.trial_effects import Effect, plain
from lazify import lazify, materialize


def model_class(effects: list[Effect], name: str, by_value: bool) -> type[nn.Module]:
    """A class whose size goes by `name`; `by_value`: values decide how its forward goes on.

    It has the effects that the constructor and the call are given, and `effects`, which are in its closure.
    """

    class Body(nn.Module):
        def __init__(self, size: int, out: int, given: Sequence[Effect]) -> None:
            super().__init__()
            self.fc, self._given = nn.Linear(size, out), given
            for effect in (*effects, *given):
                effect.construct(self)

        def forward(self, x: Tensor, more: Sequence[Effect] = ()) -> Tensor:
            for effect in (*effects, *self._given, *more):
                x = effect.forward(self, x)
            return self.fc(x) if not by_value or bool(x.sum() < 1e9) else x

    class Searched(Body):
        def __init__(self, zzz: int, out: int = 4, given: Sequence[Effect] = ()) -> None:
            super().__init__(zzz, out, given)

    class WronglyGuessed(Body):  # the convention is axis(1)
        def __init__(self, in_channels: int, out: int = 4, given: Sequence[Effect] = ()) -> None:
            super().__init__(in_channels, out, given)

    class RightlyGuessed(Body):
        def __init__(self, in_features: int, out: int = 4, given: Sequence[Effect] = ()) -> None:
            super().__init__(in_features, out, given)

    return {"zzz": Searched, "in_channels": WronglyGuessed, "in_features": RightlyGuessed}[name]


def _call(module: nn.Module, *args: Any) -> None:
    module(*args)


def _ask_and_call(module: nn.Module, *args: Any) -> None:
    assert list(module.parameters())
    assert list(module.state_dict())
    module(*args)


def _materialize_and_call(module: nn.Module, *args: Any) -> None:
    materialize(module, *args)(*args)


#: How a lazy instance comes to be used: name of the size, whether values decide, what is done.
WAYS: dict[str, tuple[str, bool, Callable[..., None]]] = {
    "a guess that holds": ("in_features", False, _call),
    "a guess that does not": ("in_channels", False, _call),
    "a search": ("zzz", False, _call),
    "a search on real tensors": ("zzz", True, _call),
    "a preview": ("zzz", False, _ask_and_call),
    "materialize": ("zzz", False, _materialize_and_call),
    "materialize on real tensors": ("in_features", True, _materialize_and_call),
}


#: Where a class has its effects from.
CARRIERS = ("closure", "constructor", "call")


def use(kinds: list[type[Effect]], way: str, lazily: bool, carrier: str = "closure") -> Any:
    """What is left of one use, and what the module is."""
    name, by_value, go = WAYS[way]
    effects = [kind() for kind in kinds]
    cls: Any = model_class(effects if carrier == "closure" else [], name, by_value)
    given = {"given": effects} if carrier == "constructor" else {}
    more = (effects,) if carrier == "call" else ()
    x = torch.arange(30.0).view(2, 3, 5)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    if lazily:
        module = lazify(cls, exclude=[name])(4, **given)
        assert torch.equal(torch.get_rng_state(), before)
        go(module, x, *more)
    else:
        module = cls(5, 4, **given)
        module(x, *more)
    assert type(module) is cls
    state = {key: value for key, value in vars(module).items() if not key.startswith("_") and key != "norm"}
    weights = {key: value.tolist() for key, value in module.state_dict().items()}
    return [plain(effect.observed()) for effect in effects], plain(state), weights, torch.get_rng_state().tolist()
