"""Two worlds of the same effects: in one a module is used lazily, in the other eagerly; afterwards they are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from helpers.trial_effects import Effect, plain
from lazify import lazify, materialize


def model_class(effects: list[Effect], name: str, by_value: bool) -> type[nn.Module]:
    """A class with these effects, whose size goes by `name`; `by_value`: values decide how its forward goes on."""

    class Body(nn.Module):
        def __init__(self, size: int, out: int) -> None:
            super().__init__()
            self.fc = nn.Linear(size, out)
            for effect in effects:
                effect.construct(self)

        def forward(self, x: Tensor) -> Tensor:
            for effect in effects:
                x = effect.forward(self, x)
            return self.fc(x) if not by_value or bool(x.sum() < 1e9) else x

    class Searched(Body):
        def __init__(self, zzz: int, out: int = 4) -> None:
            super().__init__(zzz, out)

    class WronglyGuessed(Body):  # the convention is axis(1)
        def __init__(self, in_channels: int, out: int = 4) -> None:
            super().__init__(in_channels, out)

    class RightlyGuessed(Body):
        def __init__(self, in_features: int, out: int = 4) -> None:
            super().__init__(in_features, out)

    return {"zzz": Searched, "in_channels": WronglyGuessed, "in_features": RightlyGuessed}[name]


def _call(module: nn.Module, x: Tensor) -> None:
    module(x)


def _ask_and_call(module: nn.Module, x: Tensor) -> None:
    assert list(module.parameters())
    assert list(module.state_dict())
    module(x)


def _materialize_and_call(module: nn.Module, x: Tensor) -> None:
    materialize(module, x)(x)


#: How a lazy instance comes to be used: name of the size, whether values decide, what is done.
WAYS: dict[str, tuple[str, bool, Callable[[nn.Module, Tensor], None]]] = {
    "a guess that holds": ("in_features", False, _call),
    "a guess that does not": ("in_channels", False, _call),
    "a search": ("zzz", False, _call),
    "a search on real tensors": ("zzz", True, _call),
    "a preview": ("zzz", False, _ask_and_call),
    "materialize": ("zzz", False, _materialize_and_call),
    "materialize on real tensors": ("in_features", True, _materialize_and_call),
}


def use(kinds: list[type[Effect]], way: str, lazily: bool) -> Any:
    """What is left of one use, and what the module is."""
    name, by_value, go = WAYS[way]
    effects = [kind() for kind in kinds]
    cls = model_class(effects, name, by_value)
    x = torch.arange(30.0).view(2, 3, 5)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    if lazily:
        module = lazify(cls, exclude=[name])(4)
        assert torch.equal(torch.get_rng_state(), before)
        go(module, x)
    else:
        module = cls(5, 4)
        module(x)
    assert type(module) is cls
    state = {key: value for key, value in vars(module).items() if not key.startswith("_") and key != "norm"}
    weights = {key: value.tolist() for key, value in module.state_dict().items()}
    return [plain(effect.observed()) for effect in effects], plain(state), weights, torch.get_rng_state().tolist()
