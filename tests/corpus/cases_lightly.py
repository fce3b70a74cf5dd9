"""lightly: heads of self-supervised learning; their sizes have large defaults."""
import torch
from torch import randn
import tv_shim  # before the library imports torchvision
from case import Case

H = "lightly.models.modules.heads:"


def C(cls, kw, variant=""):
    return Case("lightly/" + cls, H + cls, infer=dict(input_dim=12), args=lambda: (randn(3, 12),), kwargs=lambda: dict(kw),
                tags=("linear", "default"))


CASES = [
    C("BarlowTwinsProjectionHead", dict(hidden_dim=16, output_dim=8)),
    C("BYOLPredictionHead", dict(hidden_dim=16, output_dim=8)),
    C("MoCoProjectionHead", dict(hidden_dim=16, output_dim=8)),
    C("SimSiamProjectionHead", dict(hidden_dim=16, output_dim=8)),
    C("SwaVPrototypes", dict(n_prototypes=7)),
    C("DINOProjectionHead", dict(hidden_dim=16, bottleneck_dim=6, output_dim=8)),
    C("LeJEPAProjectionHead", dict(hidden_dim=16, output_dim=8)),
    C("MSNProjectionHead", dict(hidden_dim=16, output_dim=8)),
    C("VICRegProjectionHead", dict(hidden_dim=16, output_dim=8)),
    C("CAPIProjectionHead", dict(num_clusters=7)),
]
