"""Cases on the module classes of free_sizes.py. Tag "nothing": no argument is determined by the call; all are given."""
import torch
from torch import nn, randn
from case import Case


def I(hi, *shape):
    return torch.arange(torch.Size(shape).numel()).mul(7).remainder(hi).reshape(shape)


def E(n, e):
    return torch.stack([torch.arange(e) % n, (torch.arange(e) * 3 + 1) % n])


def S(*shape):
    return lambda: (randn(*shape),)


def C(cls, infer, args, tags="", kwargs=dict, variant=""):
    return Case("free/" + cls + (f"-{variant}" if variant else ""), "free_sizes:" + cls, infer=infer, args=args,
                kwargs=kwargs, tags=tuple(tags.split()))


def N(cls, args, variant="", **kwargs):
    """Nothing is determined."""
    return C(cls, {}, args, "nothing", lambda: dict(kwargs), variant)


CASES = [
    # ------------------------------------------------------------ nothing should be dropped
    N("TokenAndPosition", lambda: (I(11, 3, 5),), vocab_size=11, width=6),
    N("HashedEmbedding", lambda: (I(99, 3, 5),), buckets=16, size=6),
    N("ByteGRU", lambda: (I(256, 3, 5),), units=8),
    N("SoftPrompt", lambda: (I(11, 3, 5),), n_prompt=4, n_words=11, d=6),
    N("FastTextClassifier", lambda: (I(13, 9), torch.tensor([0, 4, 6])), num_ngrams=13, dim=6, labels=3),
    N("TiedDecoder", lambda: (I(13, 3, 5),), symbols=13, channels=8),
    N("NeuralCF", lambda: (I(7, 4), I(9, 4)), user_count=7, item_count=9, factors=5),
    N("TwoTower", lambda: (I(7, 4), I(9, 6)), queries=7, candidates=9, k=5),
    N("SASRec", lambda: (I(9, 3, 5),), item_num=9, hidden_units=8),
    N("FieldAwareFM", lambda: (I(4, 5, 2),), field_sizes=[5, 7], k=3),
    N("NodeTable", lambda: (E(6, 10),), num_nodes=6, embedding_dim=5),
    N("DistMult", lambda: (I(3, 4, 3),), n_ent=6, n_rel=4, rank=5),
    N("AtomEncoder", lambda: (I(4, 6, 3),), emb_dim=8),
    N("MoleculeNet", lambda: (I(9, 2, 5), torch.ones(2, 5, 5)), atom_types=9, channels=8, num_tasks=3),
    N("RadialNet", lambda: (torch.rand(6),), n_rbf=10, filters=8),
    N("TimestepEmbedder", lambda: (I(20, 4),), hidden_size=8),
    N("LogSNRFourier", lambda: (torch.rand(6),), channels=8),
    N("SamplesFromNoise", lambda: (3,), z=10, features=6),
    N("ConstantInput", lambda: (randn(3, 12),), channel=8),
    N("LabelToImage", lambda: (I(5, 4),), n_classes=5, code_dim=6, ngf=4),
    N("CodebookDecoder", lambda: (I(7, 2, 4, 4),), n_codes=7, code_size=6, ch=5),
    N("RandomFourierFeatures", lambda: (torch.rand(7, 2),), mapping_size=8),
    N("Siren", lambda: (torch.rand(7, 2),), width=8),
    N("RadianceField", lambda: (torch.rand(7, 3), torch.rand(7, 3)), num_frequencies=4, hidden=8),
    N("DigitVAE", lambda: (torch.rand(2, 1, 28, 28),), latent_size=5),
    N("RGBNet", lambda: (randn(2, 3, 12, 14),), base=6, n_labels=4),
    N("GraySegmenter", lambda: (randn(2, 1, 8, 8),), filters=6, n_masks=4),
    N("KeywordSpotter", lambda: (randn(2, 1, 120),), n_channel=6, keywords=5),
    N("LogSpectrogram", lambda: (randn(2, 160),), n_fft=32, n_filters=10),
    N("PhonemeEncoder", lambda: (I(11, 3, 6), I(4, 3)), n_symbols=11, n_speakers=4, encoder_dim=8),
    N("PitchEmbedding", lambda: (60 + torch.rand(3, 6),), n_bins=16, dim=8),
    N("CalendarEmbedding", lambda: (I(7, 2, 5, 3).float(),), d_model=8),
    N("UnivariateForecaster", lambda: (randn(3, 12),), hidden_dim=8, horizon=4),
    N("PatchedSeries", lambda: (randn(2, 3, 16),), patch_len=4, d_model=8),
    N("AutoRegression", lambda: (randn(3, 12),), lags=5),
    N("CategoricalEncoder", lambda: (I(4, 5, 2),), cardinalities=[5, 7], dim=3, n_out=2),
    N("PiecewiseBins", lambda: (randn(3, 5),), bins=8, size=6),
    N("BoardPolicy", lambda: (I(13, 2, 8, 8),), pieces=13, channels=6, moves=20),
    N("GridObservation", lambda: (I(6, 2, 7, 7, 3),), emb=5, actions=4),
    N("SlotQueries", lambda: (randn(2, 9, 12),), num_slots=4, slot_dim=6),
    N("LastSteps", S(3, 12), context=6, horizon=4),
    N("Rechunk", S(3, 12), chunk=4, out=5),
    N("PadTo", S(3, 12), length=16, n_out=5),
    N("PoolTo", S(3, 2, 12), side=4, n_out=5),
    N("ChooseFirst", S(3, 12), n_static=4, units=5),
    N("TorchSplit", S(3, 12), dim_a=8, dim_b=4),
    N("OneHot", lambda: (I(5, 4),), categories=6, dim=3),
    N("Broadcast1", S(3, 1), dim=6),
    N("ViTish", S(2, 3, 8, 8), image_size=8, patch=4, dim=6, n_classes=5),
    N("TokenReader", lambda: (I(9, 3, 5),), pad_to=8, vocab=9, d=6),
    N("UsesFirstWeak", S(3, 12), dim=4, units=5),
    N("Lookback", S(3, 12), input_size=4, h=5),
    N("Roll", S(3, 12), width=2),
    N("FrameWise2", S(2, 5, 12), zz=6, out=5, variant="5x12"),
    C("Patchify", {}, S(2, 12), "nothing", lambda: dict(chunk=4, dim=5)),
    N("ShiftMax", S(2, 3, 8, 8), size=2),
    N("SpaceToDepth", S(2, 3, 8, 8), block=2, dim=5),
    N("Rotary", S(2, 7, 12), dim=8),
    N("FrameWise", S(2, 5, 12), zz=12, out=5, variant="5x12"),
    # ------------------------------------------------------------ the call determines some
    C("WindowedAttention", dict(dim=12), lambda: (randn(4, 6, 12),), "", lambda: dict(window_size=(2, 3), num_heads=3)),
    C("RelPosAttention", dict(dim=12), lambda: (randn(2, 12, 4, 5),), "", lambda: dict(feat_size=(4, 5))),
    C("RelPosAttention", dict(dim=12, feat_size=(4, 5)), lambda: (randn(2, 12, 4, 5),), variant="both"),
    C("EquivariantLayer", dict(input_nf=12), lambda: (randn(6, 12), randn(6, 3), E(6, 10)), "", lambda: dict(output_nf=5, hidden_nf=7)),
    C("EquivariantLayer", dict(input_nf=12, edges_in_d=4), lambda: (randn(6, 12), randn(6, 3), E(6, 10), randn(10, 4)), "", lambda: dict(output_nf=5, hidden_nf=7), variant="edges"),
    C("MultiGateExperts", dict(feature_dim=12), lambda: (randn(3, 12),), "", lambda: dict(num_experts=3, expert_dim=5, num_tasks=2)),
    C("ContextBlock", dict(in_channels=12), lambda: (randn(2, 12, 4, 5),), "", lambda: dict(n_heads=2, d_head=3)),
    C("ContextBlock", dict(in_channels=12, context_dim=7), lambda: (randn(2, 12, 4, 5), randn(2, 3, 7)), "", lambda: dict(n_heads=2, d_head=3), variant="context"),
    C("ScoreNet", dict(point_dim=2), lambda: (randn(5, 2), I(20, 5)), "", lambda: dict(n_steps=20)),
    C("TwinCritic", dict(obs_dim=12), lambda: (randn(3, 12), randn(3, 4)), "", lambda: dict(act_dim=4, width=6)),
    C("PixelPolicy", dict(frames=4, flat=128), lambda: (torch.randint(0, 255, (2, 4, 14, 14)).to(torch.uint8),), "", lambda: dict(n_actions=5)),
    C("ShapedPolicy", dict(input_shape=(4, 8, 9)), lambda: (randn(2, 4, 8, 9),), "", lambda: dict(num_actions=5)),
    C("MixingNetwork", dict(state_dim=12), lambda: (randn(3, 4), randn(3, 12)), "", lambda: dict(n_agents=4, mixing_dim=5)),
    C("ReadsKeywords", dict(dim=12), lambda: (randn(3, 12),)),
    C("ReadsKeywords", dict(dim=12), lambda: (randn(3, 12),), "", lambda: dict(out=6), variant="out"),
    C("PopsKeywords", dict(dim=12), lambda: (randn(3, 12),), "", lambda: dict(n_out=6)),
    C("HandsKeywordsOn", dict(dim=12), lambda: (randn(3, 12),), "", lambda: dict(bias=False)),
    C("Volume", dict(depth_size=4, height=5, width=6, features=7), lambda: (randn(2, 4, 5, 6, 7),)),
    C("GridOfSix", dict(a=2, b=3, c=4, d=5, e=6, f=7), lambda: (randn(2, 2, 3, 4, 5, 6, 7),)),
    C("CrossKV", dict(width=12, memory_width=7), lambda: (randn(2, 5, 12), randn(2, 3, 7)), "", lambda: dict(inner=6)),
    C("TimeNamed", dict(x_dim=12), lambda: (randn(4, 12), torch.rand(4)), "", lambda: dict(time_dim=6, hidden=5)),
    C("CondScalar", dict(channels=12), lambda: (randn(4, 12, 3, 3), torch.rand(4)), "", lambda: dict(cond_dim=6)),
    C("PartsDefault", dict(width=12), S(3, 12), "", lambda: dict(parts=4)),
    C("PartsNeeded", dict(width=12), S(3, 12), "", lambda: dict(bundles=4)),
    # ------------------------------------------------------------ ... where another size is given
    C("SplitTwo", dict(state_dim=8), S(3, 12), "", lambda: dict(act_dim=4, h=5)),
    C("SumWidth", dict(n_cat=8), S(3, 12), "", lambda: dict(n_num=4)),
    C("Product", dict(emb=3), S(3, 12), "", lambda: dict(fields=4)),
    C("FlatOfWidth", dict(side=8), S(2, 3, 8, 8), "", lambda: dict(width=6, n_cls=5)),
    C("Lattice", dict(cols=3), S(3, 12), "", lambda: dict(rows=4)),
    C("Lattice3", dict(cols=3), S(3, 12), "", lambda: dict(rows=4, n_out=5)),
]
