"""vit-pytorch: blocks and whole vision transformers."""
import torch
from torch import nn, randn
import tv_shim  # before the library imports torchvision
from case import Case

V = "vit_pytorch."


def C(name, target, infer, args, tags, kw=dict):
    return Case("vit/" + name, V + target, infer=infer, args=args, kwargs=kw, tags=tuple(tags.split()))


SEQ = lambda: (randn(2, 7, 12),)
IMG = lambda: (randn(2, 12, 8, 8),)

CASES = [
    C("FeedForward", "vit:FeedForward", dict(dim=12), SEQ, "linear", lambda: dict(hidden_dim=16)),
    C("Attention", "vit:Attention", dict(dim=12), SEQ, "attention", lambda: dict(heads=2, dim_head=8)),
    C("Transformer", "vit:Transformer", dict(dim=12), SEQ, "attention",
      lambda: dict(depth=1, heads=2, dim_head=8, mlp_dim=16)),
    C("Attention-deepvit", "deepvit:Attention", dict(dim=12), SEQ, "attention", lambda: dict(heads=2, dim_head=8)),
    C("TransformerEncoderLayer-cct", "cct:TransformerEncoderLayer", dict(d_model=12), SEQ, "attention",
      lambda: dict(nhead=2, dim_feedforward=16)),
    C("Tokenizer-cct", "cct:Tokenizer", dict(n_input_channels=5), lambda: (randn(2, 5, 16, 16),), "conv",
      lambda: dict(kernel_size=3, stride=1, padding=1, n_output_channels=8)),
    C("MV2Block", "mobile_vit:MV2Block", dict(inp=12), IMG, "conv", lambda: dict(oup=8)),
    C("MobileViTBlock", "mobile_vit:MobileViTBlock", dict(channel=12), IMG, "conv",
      lambda: dict(dim=16, depth=1, kernel_size=3, patch_size=(2, 2), mlp_dim=16)),
    C("FeedForward-maxvit", "max_vit:FeedForward", dict(dim=12), lambda: (randn(2, 8, 8, 12),), "linear"),
    C("SqueezeExcitation", "max_vit:SqueezeExcitation", dict(dim=12), IMG, "conv"),
    C("ViT", "vit:ViT", dict(channels=3), lambda: (randn(2, 3, 16, 16),), "patch",
      lambda: dict(image_size=16, patch_size=4, num_classes=5, dim=12, depth=1, heads=2, mlp_dim=16)),
    C("SimpleViT", "simple_vit:SimpleViT", dict(channels=5), lambda: (randn(2, 5, 16, 16),), "patch",
      lambda: dict(image_size=16, patch_size=4, num_classes=5, dim=16, depth=1, heads=2, mlp_dim=16)),
    C("ViT-1d", "vit_1d:ViT", dict(channels=5), lambda: (randn(2, 5, 16),), "patch",
      lambda: dict(seq_len=16, patch_size=4, num_classes=5, dim=12, depth=1, heads=2, mlp_dim=16)),
]
