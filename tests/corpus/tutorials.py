"""Module classes in the style of well-known tutorials: text, images, sequences, diffusion, reinforcement learning, graphs.

As their readers type them in: few annotations, short names, sizes in any order.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


# ---------------------------------------------------------------- word embeddings and text

class SkipGram(nn.Module):
    def __init__(self, n_vocab, n_embed):
        super().__init__()
        self.in_embed = nn.Embedding(n_vocab, n_embed)
        self.out_embed = nn.Embedding(n_vocab, n_embed)

    def forward(self, centers, contexts):
        return (self.in_embed(centers) * self.out_embed(contexts)).sum(-1)


class CBOW(nn.Module):
    def __init__(self, num_words, size):
        super().__init__()
        self.table = nn.Embedding(num_words, size)
        self.linear = nn.Linear(size, num_words)

    def forward(self, context):
        return F.log_softmax(self.linear(self.table(context).mean(1)), dim=-1)


class TextBag(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim)
        self.fc = nn.Linear(embed_dim, num_class)

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


class LSTMTagger(nn.Module):
    def __init__(self, embedding_dim, hidden_dim, words, tags):
        super().__init__()
        self.word_embeddings = nn.Embedding(words, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True)
        self.hidden2tag = nn.Linear(hidden_dim, tags)

    def forward(self, sentence):
        out, _ = self.lstm(self.word_embeddings(sentence))
        return F.log_softmax(self.hidden2tag(out), dim=-1)


class NGramLM(nn.Module):
    def __init__(self, symbols, width, context_size):
        super().__init__()
        self.embeddings = nn.Embedding(symbols, width)
        self.linear1 = nn.Linear(context_size * width, 24)
        self.linear2 = nn.Linear(24, symbols)

    def forward(self, inputs):
        x = self.embeddings(inputs).flatten(1)
        return self.linear2(F.relu(self.linear1(x)))


class CharRNN(nn.Module):
    def __init__(self, n_chars, n_hidden=20, n_layers=1):
        super().__init__()
        self.n_chars = n_chars
        self.rnn = nn.GRU(n_chars, n_hidden, n_layers, batch_first=True)
        self.out = nn.Linear(n_hidden, n_chars)

    def forward(self, x):
        h, _ = self.rnn(F.one_hot(x, self.n_chars).float())
        return self.out(h)


class NameRNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)

    def forward(self, line):
        hidden = line.new_zeros(line.size(0), self.hidden_size)
        for step in line.unbind(1):
            hidden = torch.tanh(self.i2h(torch.cat((step, hidden), 1)))
        return F.log_softmax(self.h2o(hidden), dim=1)


class TextCNN(nn.Module):
    def __init__(self, words, dim, n_filters, classes):
        super().__init__()
        self.embedding = nn.Embedding(words, dim)
        self.convs = nn.ModuleList(nn.Conv1d(dim, n_filters, k) for k in (2, 3))
        self.fc = nn.Linear(2 * n_filters, classes)

    def forward(self, text):
        x = self.embedding(text).transpose(1, 2)
        return self.fc(torch.cat([F.relu(c(x)).amax(-1) for c in self.convs], 1))


class SentenceCNN(nn.Module):
    """On vectors that are there already."""

    def __init__(self, dim, n_filters, classes):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(dim, n_filters, k) for k in (2, 3))
        self.fc = nn.Linear(2 * n_filters, classes)

    def forward(self, vectors):
        x = vectors.transpose(1, 2)
        return self.fc(torch.cat([F.relu(c(x)).amax(-1) for c in self.convs], 1))


# ---------------------------------------------------------------- sequence to sequence, transformers

class EncoderRNN(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.embedding = nn.Embedding(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)

    def forward(self, tokens):
        return self.gru(self.embedding(tokens))


class DecoderRNN(nn.Module):
    def __init__(self, width, output_size):
        super().__init__()
        self.embedding = nn.Embedding(output_size, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, output_size)

    def forward(self, tokens, hidden):
        x, hidden = self.gru(F.relu(self.embedding(tokens)), hidden)
        return self.out(x), hidden


class BahdanauAttention(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.Wa = nn.Linear(hidden, hidden)
        self.Ua = nn.Linear(hidden, hidden)
        self.Va = nn.Linear(hidden, 1)

    def forward(self, query, keys):
        weights = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))).squeeze(2).softmax(-1)
        return weights.unsqueeze(1) @ keys


class AdditiveAttention(nn.Module):
    def __init__(self, query_size, key_size, num_hiddens):
        super().__init__()
        self.W_q = nn.Linear(query_size, num_hiddens, bias=False)
        self.W_k = nn.Linear(key_size, num_hiddens, bias=False)
        self.w_v = nn.Linear(num_hiddens, 1, bias=False)

    def forward(self, queries, keys, values):
        scores = self.w_v(torch.tanh(self.W_q(queries).unsqueeze(2) + self.W_k(keys).unsqueeze(1))).squeeze(-1)
        return scores.softmax(-1) @ values


class Seq2Seq(nn.Module):
    def __init__(self, src_words, tgt_words, d):
        super().__init__()
        self.src, self.tgt = nn.Embedding(src_words, d), nn.Embedding(tgt_words, d)
        self.enc, self.dec = nn.LSTM(d, d, batch_first=True), nn.LSTM(d, d, batch_first=True)
        self.out = nn.Linear(d, tgt_words)

    def forward(self, source, target):
        _, state = self.enc(self.src(source))
        return self.out(self.dec(self.tgt(target), state)[0])


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout=0.1, max_len=50):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        pos = torch.arange(max_len).unsqueeze(1)
        div = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(pos * div)
        pe[0, :, 1::2] = torch.cos(pos * div)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return self.dropout(x + self.pe[:, :x.size(1)])


class LearnedPositions(nn.Module):
    def __init__(self, block_size, n_embd):
        super().__init__()
        self.wpe = nn.Embedding(block_size, n_embd)

    def forward(self, x):
        return x + self.wpe(torch.arange(x.size(1), device=x.device))


class TransformerLM(nn.Module):
    def __init__(self, ntoken, d_model, nhead, d_hid, nlayers):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(ntoken, d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead, d_hid, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, nlayers, enable_nested_tensor=False)
        self.linear = nn.Linear(d_model, ntoken)

    def forward(self, src):
        return self.linear(self.encoder(self.embedding(src) * math.sqrt(self.d_model)))


class GPTBlock(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.ln = nn.LayerNorm(n_embd)
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(self.ln(x)).split(C, dim=2)
        q, k, v = (t.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.c_proj(y.transpose(1, 2).reshape(B, T, C))


class BigramGPT(nn.Module):
    def __init__(self, alphabet, n_embd, block_size):
        super().__init__()
        self.token = nn.Embedding(alphabet, n_embd)
        self.position = nn.Embedding(block_size, n_embd)
        self.head = nn.Linear(n_embd, alphabet)

    def forward(self, idx):
        return self.head(self.token(idx) + self.position(torch.arange(idx.size(1), device=idx.device)))


class PositionWiseFFN(nn.Module):
    def __init__(self, ffn_num_hiddens, ffn_num_outputs, num_in):
        super().__init__()
        self.dense1 = nn.Linear(num_in, ffn_num_hiddens)
        self.dense2 = nn.Linear(ffn_num_hiddens, ffn_num_outputs)

    def forward(self, X):
        return self.dense2(F.relu(self.dense1(X)))


class SelfAttention(nn.Module):
    def __init__(self, embed_size, heads):
        super().__init__()
        self.embed_size, self.heads, self.head_dim = embed_size, heads, embed_size // heads
        assert self.head_dim * heads == embed_size, "Embedding size needs to be divisible by heads"
        self.values = nn.Linear(self.head_dim, self.head_dim, bias=False)
        self.keys = nn.Linear(self.head_dim, self.head_dim, bias=False)
        self.queries = nn.Linear(self.head_dim, self.head_dim, bias=False)
        self.fc_out = nn.Linear(heads * self.head_dim, embed_size)

    def forward(self, values, keys, query):
        N = query.shape[0]
        values, keys, query = (t.reshape(N, t.shape[1], self.heads, self.head_dim) for t in (values, keys, query))
        energy = torch.einsum("nqhd,nkhd->nhqk", self.queries(query), self.keys(keys))
        att = torch.softmax(energy / self.embed_size ** 0.5, dim=3)
        out = torch.einsum("nhql,nlhd->nqhd", att, self.values(values)).reshape(N, query.shape[1], -1)
        return self.fc_out(out)


# ---------------------------------------------------------------- generators, autoencoders

class MLPGenerator(nn.Module):
    def __init__(self, latent_dim, pixels):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(latent_dim, 24), nn.LeakyReLU(0.2), nn.Linear(24, pixels), nn.Tanh())

    def forward(self, z):
        return self.model(z)


class DCGenerator(nn.Module):
    def __init__(self, nz, ngf, nc):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False), nn.BatchNorm2d(ngf * 2), nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf), nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, input):
        return self.main(input)


class DCDiscriminator(nn.Module):
    def __init__(self, nc, ndf):
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
                                  nn.Conv2d(ndf, 1, 4, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, input):
        return self.main(input).flatten(1)


class LabelGenerator(nn.Module):
    """Images of digits from labels alone."""

    def __init__(self, classes, dim, side):
        super().__init__()
        self.side = side
        self.embed = nn.Embedding(classes, dim)
        self.fc = nn.Linear(dim, side * side)

    def forward(self, labels):
        return self.fc(self.embed(labels)).view(-1, 1, self.side, self.side)


class ConditionalGenerator(nn.Module):
    def __init__(self, z_dim, n_classes, emb, channels):
        super().__init__()
        self.label = nn.Embedding(n_classes, emb)
        self.up = nn.ConvTranspose2d(z_dim + emb, channels, 4)

    def forward(self, z, labels):
        x = torch.cat([z, self.label(labels)], 1)
        return torch.tanh(self.up(x[:, :, None, None]))


class VAE(nn.Module):
    def __init__(self, x_dim, h_dim, z_dim):
        super().__init__()
        self.fc1 = nn.Linear(x_dim, h_dim)
        self.mu, self.logvar = nn.Linear(h_dim, z_dim), nn.Linear(h_dim, z_dim)
        self.fc3, self.fc4 = nn.Linear(z_dim, h_dim), nn.Linear(h_dim, x_dim)

    def forward(self, x):
        h = F.relu(self.fc1(x.flatten(1)))
        return torch.sigmoid(self.fc4(F.relu(self.fc3(self.mu(h))))), self.mu(h), self.logvar(h)


class VAEDecoder(nn.Module):
    def __init__(self, zdim, base, img_ch):
        super().__init__()
        self.base = base
        self.fc = nn.Linear(zdim, base * 16)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(base, img_ch, 3, padding=1))

    def forward(self, z):
        return self.up(self.fc(z).view(-1, self.base, 4, 4))


class ConvAutoencoder(nn.Module):
    def __init__(self, c, bottleneck):
        super().__init__()
        self.enc = nn.Conv2d(c, bottleneck, 3, 2, 1)
        self.dec = nn.ConvTranspose2d(bottleneck, c, 4, 2, 1)

    def forward(self, x):
        return self.dec(F.relu(self.enc(x)))


class VectorQuantizer(nn.Module):
    def __init__(self, codes, dim):
        super().__init__()
        self.codebook = nn.Embedding(codes, dim)

    def forward(self, z):
        d = torch.cdist(z.reshape(-1, z.shape[-1]), self.codebook.weight)
        return self.codebook(d.argmin(1)).view_as(z)


class UpBlock(nn.Module):
    def __init__(self, ch_in, ch_out):
        super().__init__()
        self.up = nn.ConvTranspose2d(ch_in, ch_out, 2, stride=2)

    def forward(self, x):
        return F.relu(self.up(x))


class SkipUp(nn.Module):
    def __init__(self, c, skip, out):
        super().__init__()
        self.up = nn.ConvTranspose2d(c, c // 2, 2, stride=2)
        self.conv = nn.Conv2d(c // 2 + skip, out, 3, padding=1)

    def forward(self, x, other):
        return self.conv(torch.cat([self.up(x), other], 1))


class PixelShuffleUp(nn.Module):
    def __init__(self, nf, r=2):
        super().__init__()
        self.conv = nn.Conv2d(nf, nf * r * r, 3, padding=1)
        self.shuffle = nn.PixelShuffle(r)

    def forward(self, x):
        return self.shuffle(self.conv(x))


# ---------------------------------------------------------------- diffusion

class TimeEmbedding(nn.Module):
    def __init__(self, n_channels):
        super().__init__()
        self.n_channels = n_channels
        self.lin1 = nn.Linear(n_channels // 4, n_channels)
        self.lin2 = nn.Linear(n_channels, n_channels)

    def forward(self, t):
        half = self.n_channels // 8
        emb = torch.exp(torch.arange(half, device=t.device) * -(math.log(10_000) / (half - 1)))
        emb = t[:, None] * emb[None, :]
        return self.lin2(F.silu(self.lin1(torch.cat((emb.sin(), emb.cos()), dim=1))))


class SinusoidalPositionEmbeddings(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, time):
        half = self.dim // 2
        emb = torch.exp(torch.arange(half, device=time.device) * -(math.log(10000) / (half - 1)))
        emb = time[:, None] * emb[None, :]
        return torch.cat((emb.sin(), emb.cos()), dim=-1)


class GaussianFourierProjection(nn.Module):
    def __init__(self, embed_dim, scale=30.0):
        super().__init__()
        self.W = nn.Parameter(torch.randn(embed_dim // 2) * scale, requires_grad=False)

    def forward(self, x):
        proj = x[:, None] * self.W[None, :] * 2 * math.pi
        return torch.cat([proj.sin(), proj.cos()], dim=-1)


class StepTable(nn.Module):
    def __init__(self, T, ch):
        super().__init__()
        self.table = nn.Embedding(T, ch)

    def forward(self, t):
        return F.silu(self.table(t))


class TimeBlock(nn.Module):
    def __init__(self, in_ch, out_ch, time_emb_dim):
        super().__init__()
        self.time_mlp = nn.Linear(time_emb_dim, out_ch)
        self.conv = nn.Conv2d(in_ch, out_ch, 3, padding=1)

    def forward(self, x, t):
        return self.conv(x) + F.relu(self.time_mlp(t))[:, :, None, None]


class TinyDenoiser(nn.Module):
    """Predicts the noise of points in the plane; a table of steps inside."""

    def __init__(self, data_size, emb, steps):
        super().__init__()
        self.t = nn.Embedding(steps, emb)
        self.net = nn.Sequential(nn.Linear(data_size + emb, 16), nn.GELU(), nn.Linear(16, data_size))

    def forward(self, x, t):
        return self.net(torch.cat([x, self.t(t)], -1))


class AdaIN(nn.Module):
    def __init__(self, channels, w_dim):
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.style = nn.Linear(w_dim, channels * 2)

    def forward(self, x, w):
        scale, bias = self.style(w)[:, :, None, None].chunk(2, 1)
        return scale * self.norm(x) + bias


class MappingNetwork(nn.Module):
    def __init__(self, z_dim, w_dim):
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(z_dim, w_dim), nn.ReLU(), nn.Linear(w_dim, w_dim))

    def forward(self, x):
        return self.mapping(x / x.pow(2).mean(1, keepdim=True).sqrt())


class NeRFEncoding(nn.Module):
    def __init__(self, L, width):
        super().__init__()
        self.L = L
        self.mlp = nn.Linear(3 + 6 * L, width)

    def forward(self, points):
        parts = [points]
        for j in range(self.L):
            parts += [torch.sin(2 ** j * points), torch.cos(2 ** j * points)]
        return self.mlp(torch.cat(parts, -1))


# ---------------------------------------------------------------- images, control, recommendations, graphs

class DQN(nn.Module):
    def __init__(self, n_observations, n_actions):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 16)
        self.layer2 = nn.Linear(16, n_actions)

    def forward(self, x):
        return self.layer2(F.relu(self.layer1(x)))


class ActorCritic(nn.Module):
    def __init__(self, obs, acts):
        super().__init__()
        self.affine = nn.Linear(obs, 16)
        self.pi, self.v = nn.Linear(16, acts), nn.Linear(16, 1)

    def forward(self, state):
        x = F.relu(self.affine(state))
        return self.pi(x).softmax(-1), self.v(x)


class QCritic(nn.Module):
    def __init__(self, state_dim, action_dim, units):
        super().__init__()
        self.l1 = nn.Linear(state_dim + action_dim, units)
        self.l2 = nn.Linear(units, 1)

    def forward(self, state, action):
        return self.l2(F.relu(self.l1(torch.cat([state, action], 1))))


class MatrixFactorization(nn.Module):
    def __init__(self, num_factors, num_users, num_items):
        super().__init__()
        self.P, self.Q = nn.Embedding(num_users, num_factors), nn.Embedding(num_items, num_factors)
        self.user_bias, self.item_bias = nn.Embedding(num_users, 1), nn.Embedding(num_items, 1)

    def forward(self, user_id, item_id):
        out = (self.P(user_id) * self.Q(item_id)).sum(1)
        return out + self.user_bias(user_id).squeeze(-1) + self.item_bias(item_id).squeeze(-1)


class AutoRec(nn.Module):
    def __init__(self, num_hidden, num_users):
        super().__init__()
        self.encoder = nn.Linear(num_users, num_hidden)
        self.decoder = nn.Linear(num_hidden, num_users)

    def forward(self, ratings):
        return self.decoder(torch.sigmoid(self.encoder(ratings)))


class FactorizationMachine(nn.Module):
    def __init__(self, field_dims, num_factors):
        super().__init__()
        self.embedding = nn.Embedding(sum(field_dims), num_factors)
        self.register_buffer("offsets", torch.tensor([0, *field_dims[:-1]]).cumsum(0))

    def forward(self, x):
        e = self.embedding(x + self.offsets)
        return torch.sigmoid(0.5 * (e.sum(1) ** 2 - (e ** 2).sum(1)).sum(1))


class GCNLayer(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.projection = nn.Linear(c_in, c_out)

    def forward(self, node_feats, adj_matrix):
        return adj_matrix @ self.projection(node_feats) / adj_matrix.sum(-1, keepdim=True)


class TransE(nn.Module):
    def __init__(self, entities, relations, dim):
        super().__init__()
        self.e, self.r = nn.Embedding(entities, dim), nn.Embedding(relations, dim)

    def forward(self, heads, rels, tails):
        return (self.e(heads) + self.r(rels) - self.e(tails)).norm(dim=-1)


class LeNet(nn.Module):
    def __init__(self, chan, flat, ways):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(chan, 6, 5), nn.Conv2d(6, 8, 5)
        self.fc1, self.fc2 = nn.Linear(flat, 20), nn.Linear(20, ways)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


class Residual(nn.Module):
    def __init__(self, input_channels, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, num_channels, 3, padding=1, stride=strides)
        self.conv2 = nn.Conv2d(num_channels, num_channels, 3, padding=1)
        self.conv3 = nn.Conv2d(input_channels, num_channels, 1, stride=strides) if use_1x1conv else None

    def forward(self, X):
        Y = self.conv2(F.relu(self.conv1(X)))
        return F.relu(Y + (X if self.conv3 is None else self.conv3(X)))


class PatchEmbedding(nn.Module):
    def __init__(self, img_size, patch_size, num_hiddens, colors):
        super().__init__()
        self.num_patches = (img_size // patch_size) ** 2
        self.conv = nn.Conv2d(colors, num_hiddens, patch_size, stride=patch_size)
        self.pos = nn.Parameter(torch.randn(1, self.num_patches, num_hiddens))

    def forward(self, X):
        return self.conv(X).flatten(2).transpose(1, 2) + self.pos


class ImageCaptioner(nn.Module):
    def __init__(self, feature_size, embed_size, hidden_size, words):
        super().__init__()
        self.linear = nn.Linear(feature_size, embed_size)
        self.embed = nn.Embedding(words, embed_size)
        self.lstm = nn.LSTM(embed_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, words)

    def forward(self, features, captions):
        x = torch.cat([self.linear(features).unsqueeze(1), self.embed(captions)], 1)
        return self.out(self.lstm(x)[0])


class StockLSTM(nn.Module):
    def __init__(self, n_series, hidden, horizon):
        super().__init__()
        self.lstm = nn.LSTM(n_series, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, horizon)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


class NBeatsBlock(nn.Module):
    def __init__(self, backcast_length, forecast_length, units):
        super().__init__()
        self.fc = nn.Linear(backcast_length, units)
        self.back, self.fore = nn.Linear(units, backcast_length), nn.Linear(units, forecast_length)

    def forward(self, x):
        h = F.relu(self.fc(x))
        return x - self.back(h), self.fore(h)
