"""Module classes and operations that the state machines draw from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from helpers.pairs import Pair

WIDTH = 5


class Refused(Exception):
    pass


class Base(nn.Module):
    """`forward` raises if asked to, before it has changed anything."""

    def forward(self, x: Tensor, fail: bool = False) -> Tensor:
        if fail:
            raise Refused
        return self.run(x)

    def run(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Perceptron(Base):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(in_features, 4)
        self.second = nn.Linear(4, out_features)

    def run(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


class Statistics(Base):
    """Running statistics, a random buffer, a counter, random numbers in training."""

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(in_features)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("scale", torch.rand(in_features) + 0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def run(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.drop(self.norm(x)) * self.scale


class Tied(Base):
    """One parameter under two names, a hook and a forward bound to the instance, a frozen part."""

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.encode = nn.Linear(in_features, out_features, bias=False)
        self.decode = nn.Linear(out_features, in_features)
        self.decode.weight = nn.Parameter(torch.randn(in_features, out_features))
        self.also = self.decode
        self.decode.bias.requires_grad_(False)
        self.seen = 0
        self.register_forward_hook(self.count)
        self.run = self.bound_run

    def count(self, *_: Any) -> None:
        self.seen += 1

    def bound_run(self, x: Tensor) -> Tensor:
        return self.also(self.encode(x))


class Recurrent(Base):
    """Keeps its weights in a flat list, too."""

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.cell = nn.GRU(in_features, out_features, batch_first=True)

    def run(self, x: Tensor) -> Tensor:
        out: Tensor = self.cell(x[:, None])[0]
        return out


CLASSES: list[type[nn.Module]] = [Perceptron, Statistics, Tied, Recurrent]


# ---------------------------------------------------------------------------------------------
# Hooks: closures of one factory each, so that the comparison can distinguish them by what they hold


def forward_pre(log: list[Any], tag: str) -> Callable[..., None]:
    def hook(module: nn.Module, *args: Any) -> None:
        log.append((tag, type(module).__name__, len(args), len(list(module.parameters()))))

    return hook


def forward_post(log: list[Any], tag: str) -> Callable[..., None]:
    def hook(module: nn.Module, *args: Any) -> None:
        log.append((tag, type(module).__name__, len(args), type(args[-1]).__name__))

    return hook


def backward(log: list[Any], tag: str) -> Callable[..., None]:
    def hook(module: nn.Module, *gradients: Any) -> None:
        log.append((tag, [[None if g is None else g.shape for g in each] for each in gradients]))

    return hook


def of_state(log: list[Any], tag: str) -> Callable[..., None]:
    def hook(*args: Any) -> None:
        log.append((tag, len(args)))

    return hook


FLAGS: dict[str, list[dict[str, bool]]] = {
    "register_forward_pre_hook": [{}, {"prepend": True}, {"with_kwargs": True}],
    "register_forward_hook": [{}, {"prepend": True}, {"with_kwargs": True}, {"always_call": True}],
    "register_full_backward_pre_hook": [{}, {"prepend": True}],
    "register_full_backward_hook": [{}, {"prepend": True}],
    "register_state_dict_pre_hook": [{}],
    "register_state_dict_post_hook": [{}],
    "register_load_state_dict_pre_hook": [{}],
    "register_load_state_dict_post_hook": [{}],
}
FLAGS = {method: flags for method, flags in FLAGS.items() if hasattr(nn.Module, method)}
FACTORIES = {
    "register_forward_pre_hook": forward_pre,
    "register_forward_hook": forward_post,
    "register_full_backward_pre_hook": backward,
    "register_full_backward_hook": backward,
}


def visitor(tag: int, std: float) -> Callable[[nn.Module], None]:
    """For `apply`: notes the visit on each module, in order, and draws some weights again."""

    def fn(module: nn.Module) -> None:
        module.visited = (*getattr(module, "visited", ()), tag)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)

    return fn


ATTRIBUTES: dict[str, Callable[[], Any]] = {
    "int": lambda: 3,
    "list": lambda: [1, 2],
    "parameter": lambda: nn.Parameter(torch.ones(2)),
    "frozen": lambda: nn.Parameter(torch.ones(2), requires_grad=False),
    "module": lambda: nn.Sequential(nn.PReLU()),
    "tensor": lambda: torch.ones(2),
    "none": lambda: None,
}
CONVERSIONS: list[Callable[[nn.Module], Any]] = [
    lambda module: module.double(),
    lambda module: module.float(),
    lambda module: module.half(),
    lambda module: module.bfloat16(),
    lambda module: module.to(torch.float64),
    lambda module: module.to("cpu"),
    lambda module: module.cpu().float(),
    lambda module: module.type(torch.float32),
]


#: Names of what is attached to a module here.
ATTACHED = ("one", "two", "three")


class Copy:
    """A pair, and what the test holds of it: handles, parameters and submodules that it was given."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.handles: list[tuple[RemovableHandle, RemovableHandle]] = []
        self.held: list[tuple[str, Tensor, Tensor]] = []
        self.loads = False


def preview_of(module: nn.Module) -> Any:
    """What any module shows of itself, without attached tensors: a lazy one converts them at its first call."""
    own = [(n, t) for n, t in (*module.named_parameters(), *module.named_buffers()) if not n.startswith(ATTACHED)]
    return (
        [(name, t.requires_grad, t.dtype, t.dim()) for name, t in own],
        [name for name, _ in module.named_buffers()],
        [name for name, _ in module.named_parameters(remove_duplicate=False)],
        [(name, each.training) for name, each in module.named_modules() if name],
        list(module.state_dict()),
    )


def dtype_of(module: nn.Module) -> torch.dtype:
    """Of the parameters that the constructor made."""
    names = ("first.weight", "scale", "encode.weight", "cell.weight_ih_l0")
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return next(tensors[name].dtype for name in names if name in tensors)


def used(module: nn.Module, x: Tensor) -> Tensor:
    """Forward, backward, saving and loading: what hooks listen to."""
    x = x.clone().requires_grad_()
    out: Tensor = module(x)
    out.float().square().sum().backward()
    module.load_state_dict(module.state_dict())
    return out


def marker(tag: Any) -> Callable[[nn.Module], None]:
    def fn(module: nn.Module) -> None:
        module.visited = (*getattr(module, "visited", ()), tag)

    return fn
