"""Cases on the module classes of tutorials.py. Tag "nothing": no argument is determined by the call; all are given."""
import torch
from torch import randn
from case import Case


def I(hi, *shape):
    return torch.arange(torch.Size(shape).numel()).mul(7).remainder(hi).reshape(shape)


def C(cls, infer, args, tags, kwargs=dict, variant=""):
    return Case("tutorial/" + cls + (f"-{variant}" if variant else ""), "tutorials:" + cls, infer=infer, args=args,
                kwargs=kwargs, tags=tuple(tags.split()))


def N(cls, args, variant="", **kwargs):
    """Nothing is determined."""
    return C(cls, {}, args, "nothing", lambda: dict(kwargs), variant)


CASES = [
    # ------------------------------------------------------------ nothing should be dropped
    N("SkipGram", lambda: (I(11, 4), I(11, 4)), n_vocab=11, n_embed=6),
    N("CBOW", lambda: (I(11, 4, 5),), num_words=11, size=6),
    N("TextBag", lambda: (I(13, 9), torch.tensor([0, 4, 6])), vocab_size=13, embed_dim=6, num_class=3),
    N("LSTMTagger", lambda: (I(13, 3, 5),), embedding_dim=6, hidden_dim=8, words=13, tags=4),
    N("CharRNN", lambda: (I(9, 3, 5),), n_chars=9),
    N("TextCNN", lambda: (I(13, 3, 7),), words=13, dim=6, n_filters=4, classes=3),
    N("EncoderRNN", lambda: (I(13, 3, 5),), input_size=13, hidden_size=6),
    N("Seq2Seq", lambda: (I(13, 3, 5), I(9, 3, 4)), src_words=13, tgt_words=9, d=6),
    N("TransformerLM", lambda: (I(13, 3, 5),), ntoken=13, d_model=8, nhead=2, d_hid=12, nlayers=1),
    N("BigramGPT", lambda: (I(13, 3, 5),), alphabet=13, n_embd=6, block_size=8),
    N("LabelGenerator", lambda: (I(10, 3),), classes=10, dim=5, side=6),
    N("TimeEmbedding", lambda: (torch.tensor([0, 5, 9]),), n_channels=32),
    N("TimeEmbedding", lambda: (torch.tensor([0.5, 0.25]),), n_channels=16, variant="float"),
    N("SinusoidalPositionEmbeddings", lambda: (torch.tensor([0, 5, 9]),), dim=8),
    N("GaussianFourierProjection", lambda: (torch.rand(5),), embed_dim=8),
    N("StepTable", lambda: (I(20, 4),), T=20, ch=6),
    N("NeRFEncoding", lambda: (randn(5, 3),), L=4, width=8),
    N("MatrixFactorization", lambda: (I(7, 4), I(9, 4)), num_factors=5, num_users=7, num_items=9),
    N("FactorizationMachine", lambda: (I(3, 4, 2),), field_dims=(5, 7), num_factors=4),
    N("TransE", lambda: (I(11, 4), I(3, 4), I(11, 4)), entities=11, relations=3, dim=6),
    # ------------------------------------------------------------ the call determines some
    C("NGramLM", dict(context_size=4), lambda: (I(11, 3, 4),), "linear", lambda: dict(symbols=11, width=6)),
    C("NameRNN", dict(input_size=12), lambda: (randn(3, 5, 12),), "linear", lambda: dict(hidden_size=8, output_size=4)),
    C("SentenceCNN", dict(dim=12), lambda: (randn(3, 7, 12),), "conv", lambda: dict(n_filters=4, classes=3)),
    C("DecoderRNN", dict(width=8), lambda: (I(9, 3, 4), randn(1, 3, 8)), "rnn", lambda: dict(output_size=9)),
    C("BahdanauAttention", dict(hidden=8), lambda: (randn(3, 1, 8), randn(3, 5, 8)), "attention"),
    C("AdditiveAttention", dict(query_size=12, key_size=10), lambda: (randn(2, 3, 12), randn(2, 5, 10), randn(2, 5, 4)),
      "attention", lambda: dict(num_hiddens=8)),
    C("PositionalEncoding", dict(d_model=12), lambda: (randn(2, 7, 12),), "position"),
    C("LearnedPositions", dict(n_embd=12), lambda: (randn(2, 7, 12),), "position", lambda: dict(block_size=16)),
    C("GPTBlock", dict(n_embd=12), lambda: (randn(2, 7, 12),), "attention", lambda: dict(n_head=3)),
    C("PositionWiseFFN", dict(num_in=12), lambda: (randn(2, 7, 12),), "linear",
      lambda: dict(ffn_num_hiddens=8, ffn_num_outputs=5)),
    C("SelfAttention", dict(embed_size=12), lambda: (randn(2, 5, 12), randn(2, 5, 12), randn(2, 5, 12)), "attention",
      lambda: dict(heads=3)),
    C("MLPGenerator", dict(latent_dim=12), lambda: (randn(3, 12),), "linear", lambda: dict(pixels=49)),
    C("DCGenerator", dict(nz=12), lambda: (randn(3, 12, 1, 1),), "conv", lambda: dict(ngf=4, nc=3)),
    C("DCDiscriminator", dict(nc=3), lambda: (randn(2, 3, 16, 16),), "conv", lambda: dict(ndf=4)),
    C("ConditionalGenerator", dict(z_dim=12), lambda: (randn(3, 12), I(10, 3)), "conv",
      lambda: dict(n_classes=10, emb=5, channels=3)),
    C("VAE", dict(x_dim=63), lambda: (randn(2, 1, 7, 9),), "linear", lambda: dict(h_dim=8, z_dim=4)),
    C("VAEDecoder", dict(zdim=12), lambda: (randn(3, 12),), "linear", lambda: dict(base=4, img_ch=3)),
    C("ConvAutoencoder", dict(c=3), lambda: (randn(2, 3, 10, 14),), "conv", lambda: dict(bottleneck=5)),
    C("VectorQuantizer", dict(dim=12), lambda: (randn(2, 5, 12),), "codebook", lambda: dict(codes=7)),
    C("UpBlock", dict(ch_in=12), lambda: (randn(2, 12, 5, 7),), "conv", lambda: dict(ch_out=4)),
    C("SkipUp", dict(c=12, skip=5), lambda: (randn(2, 12, 5, 7), randn(2, 5, 10, 14)), "conv", lambda: dict(out=4)),
    C("PixelShuffleUp", dict(nf=12), lambda: (randn(2, 12, 5, 7),), "conv"),
    C("TimeBlock", dict(in_ch=12, time_emb_dim=10), lambda: (randn(2, 12, 5, 7), randn(2, 10)), "conv",
      lambda: dict(out_ch=6)),
    C("TinyDenoiser", dict(data_size=2), lambda: (randn(5, 2), I(20, 5)), "linear", lambda: dict(emb=6, steps=20)),
    C("AdaIN", dict(channels=12, w_dim=10), lambda: (randn(2, 12, 5, 7), randn(2, 10)), "norm"),
    C("MappingNetwork", dict(z_dim=12), lambda: (randn(3, 12),), "linear", lambda: dict(w_dim=8)),
    C("DQN", dict(n_observations=12), lambda: (randn(3, 12),), "linear", lambda: dict(n_actions=4)),
    C("ActorCritic", dict(obs=12), lambda: (randn(3, 12),), "linear", lambda: dict(acts=4)),
    C("QCritic", dict(state_dim=12), lambda: (randn(3, 12), randn(3, 5)), "linear",
      lambda: dict(action_dim=5, units=8)),
    C("AutoRec", dict(num_users=12), lambda: (randn(3, 12),), "linear", lambda: dict(num_hidden=5)),
    C("GCNLayer", dict(c_in=12), lambda: (randn(2, 4, 12), torch.ones(2, 4, 4)), "linear", lambda: dict(c_out=5)),
    C("LeNet", dict(chan=3, flat=8 * 4 * 5), lambda: (randn(2, 3, 28, 32),), "conv", lambda: dict(ways=5)),
    C("Residual", dict(input_channels=12), lambda: (randn(2, 12, 9, 7),), "conv",
      lambda: dict(num_channels=8, use_1x1conv=True, strides=2)),
    C("PatchEmbedding", dict(colors=3), lambda: (randn(2, 3, 16, 16),), "conv",
      lambda: dict(img_size=16, patch_size=4, num_hiddens=8)),
    C("ImageCaptioner", dict(feature_size=12), lambda: (randn(3, 12), I(13, 3, 4)), "linear",
      lambda: dict(embed_size=6, hidden_size=8, words=13)),
    C("StockLSTM", dict(n_series=12), lambda: (randn(3, 5, 12),), "rnn", lambda: dict(hidden=8, horizon=4)),
    C("NBeatsBlock", dict(backcast_length=12), lambda: (randn(3, 12),), "linear",
      lambda: dict(forecast_length=4, units=8)),
]
