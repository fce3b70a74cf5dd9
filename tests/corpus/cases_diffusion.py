"""denoising-diffusion-pytorch: blocks of U-Nets, embeddings of time. Tag "nothing": the call determines no argument."""
import torch
from torch import nn, randn
import tv_shim  # before the library imports torchvision
from case import Case

D = "denoising_diffusion_pytorch.denoising_diffusion_pytorch:"
K = "denoising_diffusion_pytorch.karras_unet:"


def C(name, target, infer, args, tags, kw=dict):
    return Case("ddpm/" + name, target, infer=infer, args=args, kwargs=kw, tags=tuple(tags.split()))


IMG = lambda: (randn(2, 12, 8, 8),)
TIME = lambda: (torch.tensor([0.0, 5.0, 9.0]),)

CASES = [
    C("SinusoidalPosEmb", D + "SinusoidalPosEmb", {}, TIME, "nothing", lambda: dict(dim=8)),
    C("SinusoidalPosEmb-theta", D + "SinusoidalPosEmb", {}, TIME, "nothing", lambda: dict(dim=8, theta=100)),
    C("RandomSinusoidal", D + "RandomOrLearnedSinusoidalPosEmb", {}, TIME, "nothing", lambda: dict(dim=8, is_random=True)),
    C("LearnedSinusoidal", D + "RandomOrLearnedSinusoidalPosEmb", {}, TIME, "nothing", lambda: dict(dim=8)),
    C("MPFourierEmbedding", K + "MPFourierEmbedding", {}, TIME, "nothing", lambda: dict(dim=8)),
    C("Unet", D + "Unet", {}, lambda: (randn(1, 3, 16, 16), torch.tensor([4])), "nothing",
      lambda: dict(dim=8, dim_mults=(1, 2), channels=3)),
    C("RMSNorm", D + "RMSNorm", dict(dim=12), IMG, "norm"),
    C("Block", D + "Block", dict(dim=12), IMG, "conv", lambda: dict(dim_out=8)),
    C("ResnetBlock", D + "ResnetBlock", dict(dim=12), IMG, "conv", lambda: dict(dim_out=8)),
    C("ResnetBlock-time", D + "ResnetBlock", dict(dim=12, time_emb_dim=10), lambda: (randn(2, 12, 8, 8), randn(2, 10)),
      "conv", lambda: dict(dim_out=8)),
    C("LinearAttention", D + "LinearAttention", dict(dim=12), IMG, "attention", lambda: dict(heads=2, dim_head=8)),
    C("Attention", D + "Attention", dict(dim=12), IMG, "attention", lambda: dict(heads=2, dim_head=8)),
    C("MPConv2d", K + "Conv2d", dict(dim_in=12), IMG, "conv", lambda: dict(dim_out=8, kernel_size=3)),
    C("MPLinear", K + "Linear", dict(dim_in=12), lambda: (randn(2, 12),), "linear", lambda: dict(dim_out=8)),
    C("MPFeedForward", K + "MPFeedForward", dict(dim=12), IMG, "conv"),
]
