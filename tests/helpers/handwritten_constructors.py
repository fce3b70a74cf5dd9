"""Classes as people write them in their own projects: constructors of every kind."""

from __future__ import annotations

import abc
import functools
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TwoLayers(nn.Module):
    def __init__(self, in_features, hidden=8, n_classes=3):
        super().__init__()
        self.body = nn.Sequential(OrderedDict(up=nn.Linear(in_features, hidden), act=nn.GELU()))
        self.head = nn.Linear(hidden, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


class ConvUnit(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size=3, *, norm=nn.BatchNorm2d, act=None):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=norm is None)
        self.norm = norm(out_channels) if norm is not None else nn.Identity()
        self.act = act or nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Shortcut(nn.Module):
    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.a = ConvUnit(in_planes, planes)
        self.b = nn.Conv2d(planes, planes, 3, stride, 1)
        self.side = None
        if stride > 1 or in_planes != planes:
            self.side = nn.Conv2d(in_planes, planes, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x)) + (x if self.side is None else self.side(x))


class SizeComesLast(nn.Module):
    def __init__(self, n_out, p, input_dim):
        super(SizeComesLast, self).__init__()  # noqa: UP008
        self.drop, self.out = nn.Dropout(p), nn.Linear(input_dim, n_out)

    def forward(self, features):
        return self.out(self.drop(features))


class ByKeywordOnly(nn.Module):
    def __init__(self, *, in_dim: int, out_dim: int = 3):
        nn.Module.__init__(self)
        self.proj = nn.Linear(in_dim, out_dim, bias=False)

    def forward(self, x, /):
        return self.proj(x)


class ByPositionOnly(nn.Module):
    def __init__(self, in_features, width=4, /, depth=2):
        super().__init__()
        sizes = [in_features] + [width] * depth
        self.steps = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x):
        for step in self.steps:
            x = step(x).tanh()
        return x


class AnyDepth(nn.Module):
    def __init__(self, d_in, *widths, d_out=3, act=nn.SiLU):
        super().__init__()
        self.layers = nn.Sequential()
        for at, width in enumerate(widths or (6,)):
            self.layers.add_module(f"lin{at}", nn.Linear(d_in, width))
            self.layers.add_module(f"act{at}", act())
            d_in = width
        self.out = nn.Linear(d_in, d_out)

    def forward(self, x):
        return self.out(self.layers(x))


class ScaledConvUnit(ConvUnit):
    def __init__(self, gain=0.5, **kwargs):
        super().__init__(**kwargs)
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, *args, **kwargs):
        return self.gain * super().forward(*args, **kwargs)


class NumberedConvUnit(ConvUnit):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.number = sum(p.numel() for p in self.parameters())


class Configured(nn.Module):
    """Its sizes hide in a dict: only a name can say which one the input has."""

    def __init__(self, **config):
        super().__init__()
        config = {"out_features": 3, "bias": True, **config}
        self.fc = nn.Linear(**config)

    def forward(self, x):
        return self.fc(x)


class Stem(nn.Sequential):
    def __init__(self, in_chans, width=4, patch=2):
        super().__init__(nn.Conv2d(in_chans, width, patch, patch), nn.GroupNorm(2, width), nn.Hardswish())


class Heads(nn.ModuleDict):
    def __init__(self, in_features, sizes):
        super().__init__({name: nn.Linear(in_features, size) for name, size in sizes.items()})

    def forward(self, x):
        return {name: head(x) for name, head in self.items()}


class ZeroMeanConv(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias, padding=self.padding)


class NormAct(nn.BatchNorm2d):
    def __init__(self, num_features, slope=0.1, **kwargs):
        super().__init__(num_features, **kwargs)
        self.slope = slope

    def forward(self, x):
        return F.leaky_relu(super().forward(x), self.slope)


@dataclass(eq=False)
class Fields(nn.Module):
    in_features: int
    out_features: int = 3
    hidden: list[int] = field(default_factory=lambda: [6, 5])

    def __post_init__(self):
        super().__init__()
        sizes = [self.in_features, *self.hidden, self.out_features]
        self.net = nn.Sequential(*[nn.Linear(a, b) for a, b in pairwise(sizes)])

    def forward(self, x):
        return self.net(x)


In = TypeVar("In")


class Typed(nn.Module, Generic[In]):
    def __init__(self, feat_dim: int, out: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(feat_dim, out)

    def forward(self, x: In) -> Tensor:
        return self.fc(x)


class EncoderBase(nn.Module, abc.ABC):
    def __init__(self, input_size):
        super().__init__()
        self.net = self.make(input_size)

    @abc.abstractmethod
    def make(self, n): ...

    def forward(self, x):
        return self.net(x)


class Encoder(EncoderBase):
    def make(self, n):
        return nn.Sequential(nn.LayerNorm(n), nn.Linear(n, 2 * n), nn.Tanh(), nn.Linear(2 * n, 3))


class Finishing(type):
    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        made.finish()
        return made


class Finished(nn.Module, metaclass=Finishing):
    def __init__(self, in_features, out=3):
        super().__init__()
        self.sizes = in_features, out

    def finish(self):
        self.fc = nn.Linear(*self.sizes)
        nn.init.orthogonal_(self.fc.weight)

    def forward(self, x):
        return self.fc(x)


def remembers(init):
    @functools.wraps(init)
    def wrapper(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.given = {"args": args, "kwargs": kwargs}

    return wrapper


class Remembers(nn.Module):
    @remembers
    def __init__(self, in_units, out_units=3):
        super().__init__()
        self.fc = nn.Linear(in_units, out_units)

    def forward(self, x):
        return self.fc(x)


class KeepsLocals(nn.Module):
    def __init__(self, n_features, width=6):
        hparams = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        super().__init__()
        self.hparams = SimpleNamespace(**hparams)
        self.fc = nn.Linear(self.hparams.n_features, self.hparams.width)

    def forward(self, x):
        return self.fc(x)


class Picky(nn.Module):
    def __init__(self, in_channels: int, groups: int = 3) -> None:
        super().__init__()
        if type(in_channels) is not int:
            raise TypeError(f"in_channels must be an int, not {type(in_channels).__name__}")
        if in_channels % groups:
            raise ValueError(f"{in_channels} channels do not make {groups} groups")
        self.mix = nn.Conv1d(in_channels, in_channels, 3, padding=1, groups=groups)

    def forward(self, x):
        return x + self.mix(x)


class Backed(nn.Module):
    """A module and a class among its arguments."""

    def __init__(self, backbone: nn.Module, in_features: int, norm: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential(nn.Linear(in_features, 5), norm(5))

    def forward(self, x):
        return self.backbone(self.head(x))


class Initialised(nn.Module):
    def __init__(self, in_features, width=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, in_features))
        self.apply(self._init)

    @staticmethod
    def _init(module):
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=1 / math.sqrt(module.in_features))
            nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.layers(x)


class FilterBank(nn.Module):
    """Buffers from numpy."""

    def __init__(self, n_mels, bands=4):
        super().__init__()
        edges = np.abs(np.linspace(0, 1, bands)[:, None] - np.linspace(0, 1, n_mels)[None])
        self.register_buffer("bank", torch.from_numpy(np.maximum(0, 1 - 3 * edges).astype("float32")))
        self.bias = nn.Parameter(torch.tensor(np.full(bands, 1 / n_mels), dtype=torch.float32))

    def forward(self, spectrum):
        return F.linear(spectrum, self.bank, self.bias)


class Seeded(nn.Module):
    def __init__(self, in_features, seed=3):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("order", torch.randperm(in_features, generator=generator))
        self.fc = nn.Linear(in_features, 3)

    def forward(self, x):
        return self.fc(x[..., self.order])


class Numbered(nn.Module):
    """Attributes by name in a loop, layers in a plain list."""

    def __init__(self, in_features, depth=2):
        super().__init__()
        for at in range(depth):
            setattr(self, f"layer{at}", nn.Linear(in_features + at, in_features + at + 1))
        self.depth = depth
        self.plain = [nn.Linear(in_features + depth, 2)]

    def forward(self, x):
        for at in range(self.depth):
            x = getattr(self, f"layer{at}")(x)
        return self.plain[0](x)


class Swaps(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.a, self.b = nn.Linear(in_features, 2), nn.Linear(in_features, 2)
        self.forward = self.wide if in_features > 4 else self.narrow

    def wide(self, x):
        return self.a(x) + self.b(x)

    def narrow(self, x):
        return self.a(x)


class Delegates(nn.Module):
    def __init__(self, c_in):
        super().__init__()
        self.inner = nn.Conv1d(c_in, 4, 1)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, x):
        return self.inner(x) / self.out_channels


class Captures(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.captured = {}
        self.body = nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
        self.body[0].register_forward_hook(self.capture)

    def capture(self, module, args, output):
        self.captured["first"] = output.mean()

    def forward(self, x):
        return self.body(x).mean((2, 3)) + self.captured.pop("first")
