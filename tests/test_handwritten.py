"""Classes as people write them in their own projects: named and unnamed, each becomes its eager twin."""

from __future__ import annotations

import abc
import functools
import inspect
import math
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pairs import assert_same
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint
from twins import assert_twins

from lazify import is_lazy, lazify

Tensor = torch.Tensor
Call = tuple[tuple[Any, ...], dict[str, Any]]


# ---------------------------------------------------------------------------------------------
# Constructors


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


# ---------------------------------------------------------------------------------------------
# Forwards


class Observes(nn.Module):
    """A `__call__` of its own."""

    def __init__(self, obs_dim, n_actions=3):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(obs_dim, 8), nn.Tanh(), nn.Linear(8, n_actions))

    def __call__(self, obs, *args, **kwargs):
        return super().__call__(torch.as_tensor(obs, dtype=torch.float32), *args, **kwargs)

    def forward(self, obs):
        return self.net(obs).softmax(-1)


class Values(nn.Module):
    """Observation and action side by side; the number of actions is the user's."""

    def __init__(self, obs_dim, act_dim):
        super().__init__()
        self.q = nn.Linear(obs_dim + act_dim, 1)

    def forward(self, obs, act):
        return self.q(torch.cat([obs, act], -1))


class CrossAttention(nn.Module):
    def __init__(self, query_dim, context_dim, heads=2, dim_head=3):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(query_dim, heads * dim_head, bias=False)
        self.kv = nn.Linear(context_dim, 2 * heads * dim_head, bias=False)
        self.out = nn.Linear(heads * dim_head, query_dim)

    def forward(self, x, context, mask=None):
        projected = (self.q(x), *self.kv(context).chunk(2, -1))
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in projected)
        return self.out(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))


class SelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads=2):
        super().__init__()
        assert embed_dim % num_heads == 0, "embed_dim must divide"
        self.norm = nn.LayerNorm(embed_dim)
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)

    def forward(self, x, need_weights=False):
        h = self.norm(x)
        return x + self.attention(h, h, h, need_weights=need_weights)[0]


class PreNormBlock(nn.Module):
    def __init__(self, d_model, nhead=3, ratio=2.0, dropout=0.1):
        super().__init__()
        self.attention = SelfAttention(d_model, nhead)
        self.norm = nn.RMSNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, int(d_model * ratio)), nn.SiLU(), nn.Dropout(dropout))
        self.down = nn.Linear(int(d_model * ratio), d_model)

    def forward(self, x):
        x = self.attention(x)
        return x + self.down(self.mlp(self.norm(x)))


class GatedFeedForward(nn.Module):
    def __init__(self, dim, mult=2):
        super().__init__()
        self.up, self.down = nn.Linear(dim, 2 * dim * mult), nn.Linear(dim * mult, dim)

    def forward(self, x):
        value, gate = self.up(x).chunk(2, -1)
        return self.down(value * F.gelu(gate))


class Patches(nn.Module):
    def __init__(self, patch=2, in_chans=3, embed=5):
        super().__init__()
        self.proj = nn.Conv2d(in_chans, embed, patch, patch)
        self.norm = nn.LayerNorm(embed)

    def forward(self, image):
        return self.norm(self.proj(image).flatten(2).transpose(1, 2))


class SqueezeExcite(nn.Module):
    def __init__(self, in_channels, reduction=2):
        super().__init__()
        mid = max(in_channels // reduction, 1)
        self.fc1, self.fc2 = nn.Conv2d(in_channels, mid, 1), nn.Conv2d(mid, in_channels, 1)

    def forward(self, x):
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Separable(nn.Module):
    def __init__(self, in_ch, out_ch, k=3):
        super().__init__()
        self.depth = nn.Conv2d(in_ch, in_ch, k, padding=k // 2, groups=in_ch)
        self.point = nn.Conv2d(in_ch, out_ch, 1)

    def forward(self, x):
        return self.point(self.depth(x))


class ConvCell(nn.Module):
    def __init__(self, input_channels, hidden_channels=4):
        super().__init__()
        self.hidden = hidden_channels
        self.gates = nn.Conv2d(input_channels + hidden_channels, 2 * hidden_channels, 3, padding=1)

    def forward(self, x, h=None):
        h = x.new_zeros(x.shape[0], self.hidden, *x.shape[2:]) if h is None else h
        update, new = self.gates(torch.cat([x, h], 1)).chunk(2, 1)
        return torch.lerp(h, new.tanh(), update.sigmoid())


class Summary(nn.Module):
    def __init__(self, input_size, hidden=5):
        super().__init__()
        self.rnn = nn.GRU(input_size, hidden, batch_first=True, bidirectional=True)
        self.start = nn.Parameter(torch.zeros(2, 1, hidden))

    def forward(self, x):
        return self.rnn(x, self.start.expand(-1, len(x), -1).contiguous())[1].transpose(0, 1).flatten(1)


class Tagger(nn.Module):
    """Packs what it is given, by lengths."""

    def __init__(self, emb_dim, tags=3):
        super().__init__()
        self.lstm = nn.LSTM(emb_dim, 4, batch_first=True)
        self.out = nn.Linear(4, tags)

    def forward(self, embedded, lengths):
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        return self.out(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])


class Modulated(nn.Module):
    def __init__(self, num_features, cond_dim):
        super().__init__()
        self.norm = nn.BatchNorm2d(num_features, affine=False)
        self.to_scale = nn.Linear(cond_dim, 2 * num_features)

    def forward(self, x, cond):
        scale, shift = self.to_scale(cond)[..., None, None].chunk(2, 1)
        return self.norm(x) * (1 + scale) + shift


class GraphLayer(nn.Module):
    def __init__(self, in_feats, out_feats=4):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_feats, out_feats))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, nodes, adjacency):
        return adjacency @ nodes @ self.weight / adjacency.sum(-1, keepdim=True).clamp(min=1)


class Experts(nn.Module):
    """What it does depends on the values it sees."""

    def __init__(self, dim, n=3):
        super().__init__()
        self.gate = nn.Linear(dim, n)
        self.experts = nn.ModuleList(nn.Linear(dim, dim) for _ in range(n))

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weight, chosen = self.gate(flat).softmax(-1).max(-1)
        out = torch.zeros_like(flat)
        for at, expert in enumerate(self.experts):
            rows = (chosen == at).nonzero(as_tuple=True)[0]
            if len(rows):
                out[rows] = weight[rows, None] * expert(flat[rows])
        return out.view_as(x)


@dataclass
class Sample:
    label: Tensor
    audio: Tensor
    meta: dict[str, Any] = field(default_factory=dict)


class OfSample(nn.Module):
    def __init__(self, in_channels, labels=4):
        super().__init__()
        self.conv, self.embed = nn.Conv1d(in_channels, 5, 3), nn.Embedding(labels, 5)

    def forward(self, sample: Sample):
        return self.conv(sample.audio).mean(-1) + self.embed(sample.label) * sample.meta.get("scale", 1.0)


class Graph(NamedTuple):
    edges: Tensor
    nodes: Tensor


class OfGraph(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.fc = nn.Linear(in_features, 3)

    def forward(self, graph: Graph):
        source, target = graph.edges
        return torch.zeros(len(graph.nodes), 3).index_add(0, target, self.fc(graph.nodes)[source])


class OfDict(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 3, 1)

    def forward(self, batch):
        logits = self.conv(batch["image"]).mean((2, 3))
        return {"logits": logits, "hit": logits.argmax(-1) == batch["label"]}


class ByKeyword(nn.Module):
    def __init__(self, query_dim, memory_dim):
        super().__init__()
        self.q, self.m = nn.Linear(query_dim, 4), nn.Linear(memory_dim, 4)

    def forward(self, *, query, memory, scale: float = 1.0):
        return torch.einsum("bqe,bke->bqk", self.q(query), self.m(memory)) * scale


class NothingFirst(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.norm, self.out = nn.LayerNorm(hidden_size), nn.Linear(hidden_size, 3)

    def forward(self, mask=None, hidden_states=None):
        out = self.out(self.norm(hidden_states))
        return out if mask is None else out.masked_fill(mask[..., None], 0.0)


class Tokens(nn.Module):
    """Height and width are arguments, channels come last."""

    def __init__(self, dim):
        super().__init__()
        self.dw = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.scale = nn.Parameter(1e-2 * torch.ones(dim))

    def forward(self, x, height, width):
        image = x.transpose(1, 2).unflatten(2, (height, width))
        return x + self.dw(image).flatten(2).transpose(1, 2) * self.scale


class Standardize(nn.Module):
    def __init__(self, n_features, eps=1e-5):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("var", torch.ones(n_features))
        self.rotation = nn.Parameter(torch.linalg.qr(torch.randn(n_features, n_features))[0])
        self.eps = eps

    def forward(self, x):
        return ((x - self.mean) / (self.var + self.eps).sqrt()) @ self.rotation


class LowRank(nn.Module):
    def __init__(self, in_features, out_features, rank=2):
        super().__init__()
        self.base = nn.Linear(in_features, out_features).requires_grad_(False)
        self.down = nn.Parameter(torch.randn(in_features, rank) / math.sqrt(in_features))
        self.up = nn.Parameter(torch.zeros(rank, out_features))

    def forward(self, x):
        return self.base(x) + x @ self.down @ self.up


class Constrained(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.turn = parametrizations.orthogonal(nn.Linear(in_features, in_features, bias=False))
        self.shift = parametrizations.weight_norm(nn.Linear(in_features, in_features))

    def forward(self, x):
        return self.turn(x) + self.shift(x)


class Saves(nn.Module):
    def __init__(self, dim, depth=2):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim)) for _ in range(depth))

    def forward(self, x):
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=False)
        return x


class Teacher(nn.Module):
    def __init__(self, embed_dim):
        super().__init__()
        self.fc = nn.Linear(embed_dim, 3)

    @torch.no_grad()
    def forward(self, x):
        return F.normalize(self.fc(x), dim=-1)


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.alpha * gradient, None


class Adversary(nn.Module):
    def __init__(self, in_features, domains=2):
        super().__init__()
        self.fc = nn.Linear(in_features, domains)

    def forward(self, x, alpha=1.0):
        return self.fc(Reverse.apply(x, alpha))


class TiedHead(nn.Module):
    def __init__(self, d_model, vocab=9):
        super().__init__()
        self.embed = nn.Embedding(vocab, d_model)
        self.out = nn.Linear(d_model, vocab, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, hidden):
        return self.out(hidden)


class Spectral(nn.Module):
    def __init__(self, in_channels, out=3, modes=3):
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.randn(in_channels, out, modes, dtype=torch.cfloat) / in_channels)

    def forward(self, x):
        spectrum = torch.einsum("bim,iom->bom", torch.fft.rfft(x)[..., : self.modes], self.weight)
        return torch.fft.irfft(spectrum, n=x.shape[-1])


class Repeats(nn.Module):
    """One module under three names."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 3, padding=1)
        self.second, self.both = self.first, nn.ModuleList([self.first] * 2)

    def forward(self, x):
        for step in self.both:
            x = self.second(step(x).relu())
        return x


# ---------------------------------------------------------------------------------------------
# The table


@dataclass(frozen=True)
class Case:
    cls: type[nn.Module]
    inferred: dict[str, Any]
    given: Callable[[], dict[str, Any]]
    call: Callable[[], Call]
    auto: bool = True
    by_position: tuple[str, ...] = ()

    def eager(self) -> nn.Module:
        given = {**self.inferred, **self.given()}
        return self.cls(*[given.pop(name) for name in self.by_position], **given)


CASES: list[Case] = []


def case(
    cls: type[nn.Module], inferred: dict[str, Any], *args: Any, call: dict[str, Any] | None = None, **more: Any
) -> None:
    """Tuples among the call's arguments stand for random tensors of that shape, functions for what they make."""
    auto, by_position = more.pop("auto", True), more.pop("by_position", ())

    def argument(value: Any) -> Any:
        if callable(value):
            return value()
        return torch.randn(value) if isinstance(value, tuple) else value

    def make() -> Call:
        return tuple(argument(each) for each in args), {n: argument(each) for n, each in (call or {}).items()}

    def given() -> dict[str, Any]:
        return {name: value() if name == "backbone" else deepcopy(value) for name, value in more.items()}

    CASES.append(Case(cls, inferred, given, make, auto, by_position))


VECTOR, TOKENS, SIGNAL, IMAGE = (4, 6), (2, 5, 6), (2, 6, 8), (2, 6, 8, 10)
MASK = torch.arange(10).reshape(2, 5) % 3 == 0

case(TwoLayers, {"in_features": 6}, VECTOR)
case(TwoLayers, {"in_features": 6}, call={"x": VECTOR}, hidden=5)
case(ConvUnit, {"in_channels": 6}, IMAGE, out_channels=4)
case(ConvUnit, {"in_channels": 6}, IMAGE, out_channels=4, norm=None, kernel_size=1)
case(Shortcut, {"in_planes": 6}, IMAGE, planes=4, stride=2)
case(Shortcut, {"in_planes": 6}, IMAGE, planes=6)
case(SizeComesLast, {"input_dim": 6}, VECTOR, n_out=3, p=0.5)
case(ByKeywordOnly, {"in_dim": 6}, VECTOR)
case(ByPositionOnly, {"in_features": 6}, VECTOR, depth=3, by_position=("in_features",))
case(AnyDepth, {"d_in": 6}, VECTOR, d_out=4)
case(ScaledConvUnit, {"in_channels": 6}, IMAGE, out_channels=4)
case(NumberedConvUnit, {"in_channels": 6}, call={"x": IMAGE}, out_channels=4)
case(Configured, {"in_features": 6}, VECTOR, auto=False)
case(Configured, {"in_features": 6}, VECTOR, auto=False, out_features=5, bias=False)
case(Stem, {"in_chans": 6}, IMAGE)
case(Heads, {"in_features": 6}, VECTOR, sizes={"a": 2, "b": 3})
case(ZeroMeanConv, {"in_channels": 6}, IMAGE, out_channels=4, kernel_size=3)
case(NormAct, {"num_features": 6}, IMAGE, eps=1e-3)
case(Fields, {"in_features": 6}, VECTOR)
case(Typed, {"feat_dim": 6}, VECTOR)
case(Encoder, {"input_size": 6}, VECTOR)
case(Finished, {"in_features": 6}, VECTOR)
case(Remembers, {"in_units": 6}, VECTOR)
case(KeepsLocals, {"n_features": 6}, VECTOR)
case(Picky, {"in_channels": 6}, SIGNAL)
case(Backed, {"in_features": 6}, VECTOR, backbone=lambda: nn.Sequential(nn.PReLU(), nn.BatchNorm1d(5)))
case(Initialised, {"in_features": 6}, VECTOR)
case(FilterBank, {"n_mels": 6}, TOKENS)
case(Seeded, {"in_features": 6}, VECTOR)
case(Numbered, {"in_features": 6}, VECTOR)
case(Swaps, {"in_features": 6}, VECTOR)
case(Swaps, {"in_features": 3}, (4, 3))
case(Delegates, {"c_in": 6}, SIGNAL)
case(Captures, {"in_channels": 6}, IMAGE)
case(Observes, {"obs_dim": 6}, VECTOR)
case(Observes, {"obs_dim": 3}, lambda: [[0.5, 1.0, -1.0], [2.0, 0.0, 1.0]])
case(Values, {"obs_dim": 6}, VECTOR, (4, 2), act_dim=2)
case(CrossAttention, {"query_dim": 6, "context_dim": 9}, TOKENS, (2, 7, 9))
case(CrossAttention, {"query_dim": 6, "context_dim": 9}, TOKENS, call={"context": (2, 7, 9)}, heads=3)
case(SelfAttention, {"embed_dim": 6}, TOKENS)
case(PreNormBlock, {"d_model": 6}, TOKENS)
case(GatedFeedForward, {"dim": 6}, TOKENS)
case(Patches, {"in_chans": 6}, call={"image": IMAGE})
case(SqueezeExcite, {"in_channels": 6}, IMAGE)
case(Separable, {"in_ch": 6}, IMAGE, out_ch=4)
case(ConvCell, {"input_channels": 6}, IMAGE)
case(ConvCell, {"input_channels": 6}, IMAGE, (2, 4, 8, 10))
case(Summary, {"input_size": 6}, TOKENS)
case(Tagger, {"emb_dim": 6}, TOKENS, lambda: torch.tensor([3, 5]))
case(Modulated, {"num_features": 6, "cond_dim": 7}, IMAGE, (2, 7))
case(Modulated, {"num_features": 6, "cond_dim": 7}, call={"cond": (2, 7), "x": IMAGE})
case(GraphLayer, {"in_feats": 6}, (5, 6), lambda: torch.eye(5))
case(Experts, {"dim": 6}, TOKENS)
case(OfSample, {"in_channels": 6}, lambda: Sample(torch.tensor([1, 3]), torch.randn(SIGNAL), {"scale": 0.5}))
case(OfGraph, {"in_features": 6}, lambda: Graph(torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.randn(3, 6)))
case(OfDict, {"in_channels": 6}, lambda: {"label": torch.tensor([0, 1]), "image": torch.randn(IMAGE)})
case(ByKeyword, {"query_dim": 6, "memory_dim": 7}, call={"memory": (2, 3, 7), "query": TOKENS})
case(NothingFirst, {"hidden_size": 6}, None, TOKENS)
case(NothingFirst, {"hidden_size": 6}, MASK, call={"hidden_states": TOKENS})
case(Tokens, {"dim": 6}, (2, 12, 6), 3, 4)
case(Tokens, {"dim": 6}, call={"width": 4, "height": 3, "x": (2, 12, 6)})
case(Standardize, {"n_features": 6}, VECTOR)
case(LowRank, {"in_features": 6}, VECTOR, out_features=4)
case(Constrained, {"in_features": 6}, VECTOR)
case(Saves, {"dim": 6}, TOKENS)
case(Teacher, {"embed_dim": 6}, VECTOR)
case(Adversary, {"in_features": 6}, VECTOR, 0.5)
case(TiedHead, {"d_model": 6}, TOKENS)
case(Spectral, {"in_channels": 6}, SIGNAL)
case(Repeats, {"channels": 6}, SIGNAL)

BOTH = [
    pytest.param(each, mode, id=f"{each.cls.__name__}-{mode}-{at}")
    for at, each in enumerate(CASES)
    for mode in ("named", "auto")
    if mode == "named" or each.auto
]


def lazy_class(case: Case, mode: str) -> type[nn.Module]:
    return lazify(case.cls) if mode == "auto" else lazify(case.cls, exclude=list(case.inferred))


def inputs(case: Case) -> Call:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return case.call()


@pytest.mark.parametrize(("case", "mode"), BOTH)
def test_becomes_the_eager_module(case: Case, mode: str) -> None:
    """In training mode: dropout and statistics too."""
    args, kwargs = inputs(case)
    torch.manual_seed(1)
    twin = case.eager()
    expected = twin(*args, **kwargs)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    module = lazy_class(case, mode)(**case.given())
    assert is_lazy(module)
    found = module(*args, **kwargs)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(module) is case.cls
    assert_same(found, expected)
    assert_twins(module, twin)
    for each in (module, twin):
        each.eval()
    assert_same(module(*args, **kwargs), twin(*args, **kwargs))
    other = case.eager()
    other.load_state_dict(module.state_dict())
    module.load_state_dict(other.state_dict())


@pytest.mark.parametrize(("case", "mode"), BOTH)
def test_the_signature_lost_what_is_inferred_and_no_more(case: Case, mode: str) -> None:
    shown = inspect.signature(lazy_class(case, mode)).parameters
    assert not set(case.inferred) & set(shown)
    if not any(p.kind is p.VAR_KEYWORD for p in shown.values()):
        assert set(case.given()) <= set(shown)
    original = inspect.signature(case.cls.__init__).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in original.values()):
        assert [*shown] == [name for name in original if name != "self" and name not in case.inferred]


@pytest.mark.parametrize("case", [each for each in CASES if each.auto], ids=lambda each: each.cls.__name__)
def test_copies_become_it_too(case: Case) -> None:
    args, kwargs = inputs(case)
    module = lazify(case.cls)(**case.given()).eval()
    twin = deepcopy(module)
    assert is_lazy(twin)
    outputs = []
    for each in (module, twin):
        torch.manual_seed(1)
        outputs.append(each(*args, **kwargs))
    if case.given().get("backbone") is None:  # which was drawn before
        assert_same(*outputs)
        assert_twins(module, twin)


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.cls.__name__)
def test_the_decorated_form_becomes_it_too(case: Case) -> None:
    @lazify(exclude=list(case.inferred))
    class Decorated(case.cls):  # type: ignore[name-defined, misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    args, kwargs = inputs(case)
    torch.manual_seed(1)
    expected = case.eager().eval()
    torch.manual_seed(1)
    module = Decorated(**case.given()).eval()
    module(*args, **kwargs)
    assert type(module) is Decorated
    assert list(module.state_dict()) == list(expected.state_dict())
    for name, value in expected.named_parameters():
        assert torch.equal(dict(module.named_parameters())[name], value)
