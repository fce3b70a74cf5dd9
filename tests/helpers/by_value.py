"""Classes and instances that are pickled by value, as this file runs as a script: `python by_value.py >FILE`."""

from __future__ import annotations

import abc
import inspect
import sys
from typing import Any

import torch
from torch import Tensor, nn

from lazify import axis, lazify


class Head(nn.Module):
    """A linear layer.

    And nothing else.
    """

    kind = "linear"

    def __init__(self, in_features: int, out_features: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


@lazify(exclude=["in_features"])
class Decorated(Head):
    """Decorated, with what it was given."""

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__(in_features, out_features)


class Inherits(Decorated):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


class OwnConstructor(Decorated):
    def __init__(self, width: int) -> None:
        super().__init__(4, width)


@lazify(exclude=["in_features"], keyword_only=True)
class PassesOn(Head):
    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale


@lazify(exclude={"in_features": lambda x, half=True: x.shape[-1] // (2 if half else 1)})
class ByFunction(Head):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x[..., : self.linear.in_features])


class Counting(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.made_by_metaclass = True
        return made


@lazify(exclude=["in_features"])
class WithMetaclass(Head, metaclass=Counting):
    pass


@lazify(exclude=["in_features"])
class WithNew(Head):
    def __new__(cls, in_features: int, out_features: int = 3, bias: bool = True) -> Any:
        made: Any = super().__new__(cls)
        made.made_by_new = True
        return made


@lazify
class Abstract(Head, abc.ABC):
    pass


@lazify(exclude=["in_features"])
class WithoutInstances(Head):
    pass


LazyHead = lazify(Head, exclude={"in_features": axis(-1)})
LazyExpand = lazify(
    Head, exclude={"in_features": axis(-1), "out_features": lambda in_features, ratio: in_features * ratio}
)
X = torch.linspace(-1, 1, 8).reshape(2, 4)


def instances() -> dict[str, nn.Module]:
    decorated = (Decorated, Inherits, PassesOn, ByFunction, WithMetaclass, WithNew, Abstract)
    made: dict[str, nn.Module] = {cls.__name__: cls(out_features=2) for cls in decorated}
    made["LazyHead"], made["LazyExpand"] = LazyHead(2), LazyExpand(ratio=2)
    made["anonymous"] = lazify(Head, exclude=["in_features"])(2)
    made["Sequential"] = nn.Sequential(Decorated(4), nn.ReLU(), lazify(nn.Linear)(2))
    for module in made.values():
        module.eval()
        module.register_forward_hook(lambda module, args, output: output + 100)
    return made


def called(module: nn.Module) -> tuple[Tensor, dict[str, Tensor], dict[str, Any]]:
    torch.manual_seed(0)
    output, made = module(X), {name: each for name, each in vars(module).items() if name.startswith("made")}
    return output, module.state_dict(), made


def main() -> None:
    import cloudpickle

    classes = [Decorated, Inherits, OwnConstructor, PassesOn, ByFunction, WithMetaclass, WithNew, LazyHead, LazyExpand]
    signatures = [str(inspect.signature(cls)) for cls in classes]
    lazy, real = instances(), instances()
    expected = {name: called(module) for name, module in real.items()}
    written = {"lazy": lazy, "real": real, "X": X, "called": called, "expected": expected}
    written["unused"] = WithoutInstances
    written |= {"classes": classes, "signatures": signatures, "docs": [cls.__doc__ for cls in classes]}
    sys.stdout.buffer.write(cloudpickle.dumps(written))


if __name__ == "__main__":
    main()
