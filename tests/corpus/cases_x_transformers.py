"""x-transformers: layers, norms, embeddings. Tag "nothing": no argument is determined by the call; all are given."""
import torch
from torch import nn, randn
from case import Case

X = "x_transformers.x_transformers:"


def I(hi, *shape):
    return torch.arange(torch.Size(shape).numel()).mul(7).remainder(hi).reshape(shape)


def C(cls, infer, args, tags, kw=dict, ck=dict, variant=""):
    return Case("xt/" + cls + (f"-{variant}" if variant else ""), X + cls, infer=infer, args=args, kwargs=kw,
                call_kwargs=ck, tags=tuple(tags.split()))


def N(cls, args, variant="", **kwargs):
    return C(cls, {}, args, "nothing", lambda: dict(kwargs), variant=variant)


def decoder():
    from x_transformers import Decoder
    return Decoder(dim=16, depth=1, heads=2, attn_dim_head=8)


SEQ = lambda: (randn(2, 7, 12),)
TWO = lambda: (randn(2, 7, 12), randn(2, 7, 12))

CASES = [
    N("TokenEmbedding", lambda: (I(13, 2, 5),), dim=12, num_tokens=13),
    N("TokenEmbedding", lambda: (I(13, 2, 5),), "l2", dim=12, num_tokens=13, l2norm_embed=True),
    N("AbsolutePositionalEmbedding", SEQ, dim=12, max_seq_len=16),
    N("ScaledSinusoidalEmbedding", SEQ, dim=8),
    N("RelativePositionBias", lambda: (5, 5), scale=0.5, num_buckets=8, heads=2),
    N("DynamicPositionBias", lambda: (5, 5), dim=8, heads=2, depth=1),
    N("AlibiPositionalBias", lambda: (5, 5), heads=4),
    N("RotaryEmbedding", lambda: (torch.arange(6),), dim=8),
    C("TransformerWrapper", {}, lambda: (I(13, 2, 5),), "nothing",
      lambda: dict(num_tokens=13, max_seq_len=8, attn_layers=decoder())),
    C("DataDependentAlibi", dict(dim=12), SEQ, "linear", lambda: dict(heads=2)),
    C("LoRALinear", dict(dim_in=12), SEQ, "linear", lambda: dict(dim_out=8, dim=4)),
    C("LayerNorm", dict(dim=12), SEQ, "norm"),
    C("RMSNorm", dict(dim=12), SEQ, "norm"),
    C("DynamicTanh", dict(dim=12), SEQ, "norm"),
    C("AdaptiveLayerNorm", dict(dim=12, dim_condition=10), SEQ, "norm", ck=lambda: dict(condition=randn(2, 10))),
    C("GRUGating", dict(dim=12), TWO, "rnn"),
    C("GLU", dict(dim_in=12), SEQ, "linear", lambda: dict(dim_out=8, activation=nn.SiLU())),
    C("FeedForward", dict(dim=12), SEQ, "linear", lambda: dict(mult=2, glu=True)),
    C("Attention", dict(dim=12), SEQ, "attention", lambda: dict(dim_head=8, heads=2)),
    C("Attention", dict(dim=12, dim_context=10), lambda: (randn(2, 7, 12), randn(2, 5, 10)), "attention",
      lambda: dict(dim_head=8, heads=2), variant="cross"),
]
