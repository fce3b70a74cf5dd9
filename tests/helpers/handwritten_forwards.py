"""Classes as people write them in their own projects: forwards of every kind."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint


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
        self.rotation = parametrizations.orthogonal(nn.Linear(in_features, in_features, bias=False))
        self.shift = parametrizations.weight_norm(nn.Linear(in_features, in_features))

    def forward(self, x):
        return self.rotation(x) + self.shift(x)


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
