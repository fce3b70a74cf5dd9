"""Module classes of many fields, as independent projects write them: most of their sizes only the user can choose.

Embeddings, decoders, generators, fields of coordinates, slices and divisions of an input; and some of which a call
determines a part.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TokenAndPosition(nn.Module):
    def __init__(self, vocab_size: int, width: int, context_length: int = 64):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab_size, width), nn.Embedding(context_length, width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.token(ids) + self.position(torch.arange(ids.shape[1], device=ids.device))


class HashedEmbedding(nn.Module):
    def __init__(self, buckets, size, n_hashes=2):
        super().__init__()
        self.buckets, self.table = buckets, nn.Embedding(buckets, size)
        self.weights = nn.Parameter(torch.ones(n_hashes))

    def forward(self, words):
        hashed = [(words * (7 + 2 * i) + i) % self.buckets for i in range(len(self.weights))]
        return sum(w * self.table(h) for w, h in zip(self.weights, hashed))


class ByteGRU(nn.Module):
    def __init__(self, units: int, n_layers: int = 1):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(256, units), nn.GRU(units, units, n_layers, batch_first=True)
        self.head = nn.Linear(units, 256)

    def forward(self, text: Tensor, state: Tensor | None = None):
        y, state = self.rnn(self.embed(text), state)
        return self.head(y), state


class SoftPrompt(nn.Module):
    def __init__(self, n_prompt: int, n_words: int, d: int):
        super().__init__()
        self.words, self.prompt = nn.Embedding(n_words, d), nn.Parameter(torch.randn(n_prompt, d))

    def forward(self, ids):
        x = self.words(ids)
        return torch.cat([self.prompt.expand(len(x), -1, -1), x], dim=1)


class FastTextClassifier(nn.Module):
    def __init__(self, num_ngrams: int, dim: int, labels: int):
        super().__init__()
        self.bag, self.out = nn.EmbeddingBag(num_ngrams, dim, mode="mean"), nn.Linear(dim, labels)

    def forward(self, ngrams: Tensor, offsets: Tensor) -> Tensor:
        return self.out(self.bag(ngrams, offsets))


class TiedDecoder(nn.Module):
    def __init__(self, symbols, channels, max_len=32):
        super().__init__()
        self.embed = nn.Embedding(symbols, channels)
        self.pos = nn.Parameter(torch.zeros(1, max_len, channels))
        self.block = nn.TransformerEncoderLayer(channels, 2, 2 * channels, batch_first=True)

    def forward(self, ids):
        x = self.block(self.embed(ids) + self.pos[:, : ids.size(1)])
        return x @ self.embed.weight.T


class NeuralCF(nn.Module):
    def __init__(self, user_count: int, item_count: int, factors: int, layers: tuple[int, ...] = (16, 8)):
        super().__init__()
        self.users, self.items = nn.Embedding(user_count, factors), nn.Embedding(item_count, factors)
        sizes = (2 * factors, *layers)
        self.mlp = nn.Sequential(*(m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.ReLU())))
        self.predict = nn.Linear(sizes[-1] + factors, 1)

    def forward(self, user, item):
        u, i = self.users(user), self.items(item)
        return self.predict(torch.cat([u * i, self.mlp(torch.cat([u, i], -1))], -1)).squeeze(-1)


class TwoTower(nn.Module):
    def __init__(self, queries, candidates, k, temperature=0.05):
        super().__init__()
        self.query, self.candidate = nn.Embedding(queries, k), nn.Embedding(candidates, k)
        self.temperature = temperature

    def forward(self, q, c):
        return F.normalize(self.query(q), dim=-1) @ F.normalize(self.candidate(c), dim=-1).T / self.temperature


class SASRec(nn.Module):
    def __init__(self, item_num: int, hidden_units: int, maxlen: int = 50, num_heads: int = 1):
        super().__init__()
        self.item_emb = nn.Embedding(item_num + 1, hidden_units, padding_idx=0)
        self.pos_emb = nn.Embedding(maxlen, hidden_units)
        self.attention = nn.MultiheadAttention(hidden_units, num_heads, batch_first=True)
        self.norm = nn.LayerNorm(hidden_units)

    def forward(self, log_seqs):
        x = self.item_emb(log_seqs) * math.sqrt(self.item_emb.embedding_dim)
        x = x + self.pos_emb(torch.arange(log_seqs.shape[1]))
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        return x @ self.item_emb.weight.T


class FieldAwareFM(nn.Module):
    def __init__(self, field_sizes: list[int], k: int):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, k) for n in field_sizes)
        self.linear = nn.ModuleList(nn.Embedding(n, 1) for n in field_sizes)

    def forward(self, fields: Tensor) -> Tensor:
        e = torch.stack([t(fields[:, i]) for i, t in enumerate(self.tables)], 1)
        first = sum(t(fields[:, i]) for i, t in enumerate(self.linear)).squeeze(-1)
        return first + 0.5 * (e.sum(1) ** 2 - (e**2).sum(1)).sum(-1)


class NodeTable(nn.Module):
    def __init__(self, num_nodes: int, embedding_dim: int):
        super().__init__()
        self.embedding = nn.Embedding(num_nodes, embedding_dim)

    def forward(self, edge_index):
        source, target = self.embedding(edge_index)
        return (source * target).sum(-1)


class DistMult(nn.Module):
    def __init__(self, n_ent, n_rel, rank):
        super().__init__()
        self.ent, self.rel = nn.Embedding(n_ent, rank), nn.Embedding(n_rel, rank)

    def forward(self, triples):
        h, r, t = triples.unbind(-1)
        return (self.ent(h) * self.rel(r) * self.ent(t)).sum(-1)


class AtomEncoder(nn.Module):
    def __init__(self, emb_dim, cardinalities=(9, 5, 4)):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(c, emb_dim) for c in cardinalities)

    def forward(self, x):
        return sum(table(x[:, i]) for i, table in enumerate(self.tables))


class MoleculeNet(nn.Module):
    def __init__(self, atom_types: int, channels: int, num_tasks: int, rounds: int = 2):
        super().__init__()
        self.atoms = nn.Embedding(atom_types, channels)
        self.updates = nn.ModuleList(nn.Linear(channels, channels) for _ in range(rounds))
        self.readout = nn.Linear(channels, num_tasks)

    def forward(self, z: Tensor, adjacency: Tensor) -> Tensor:
        x = self.atoms(z)
        for update in self.updates:
            x = x + torch.relu(update(adjacency @ x))
        return self.readout(x.mean(1))


class RadialNet(nn.Module):
    def __init__(self, n_rbf: int, filters: int, cutoff: float = 5.0):
        super().__init__()
        self.register_buffer("centers", torch.linspace(0, cutoff, n_rbf))
        self.dense = nn.Linear(n_rbf, filters)

    def forward(self, r: Tensor) -> Tensor:
        return self.dense(torch.exp(-((r[..., None] - self.centers) ** 2)))


class TimestepEmbedder(nn.Module):
    def __init__(self, hidden_size, frequency_embedding_size=32):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(frequency_embedding_size, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size)
        )
        self.half = frequency_embedding_size // 2

    def forward(self, t):
        freqs = torch.exp(-math.log(10000) * torch.arange(self.half, dtype=torch.float32) / self.half)
        args = t[:, None].float() * freqs[None]
        return self.mlp(torch.cat([torch.cos(args), torch.sin(args)], dim=-1))


class LogSNRFourier(nn.Module):
    def __init__(self, channels: int, scale: float = 1.0):
        super().__init__()
        self.register_buffer("freqs", torch.randn(channels // 2) * scale)

    def forward(self, logsnr: Tensor) -> Tensor:
        y = logsnr.outer(2 * math.pi * self.freqs)
        return torch.cat([y.cos(), y.sin()], 1)


class SamplesFromNoise(nn.Module):
    def __init__(self, z: int, features: int, img_channels: int = 3):
        super().__init__()
        self.z = z
        self.net = nn.Sequential(
            nn.ConvTranspose2d(z, features, 4), nn.ReLU(), nn.ConvTranspose2d(features, img_channels, 4, 2, 1)
        )

    def forward(self, n: int) -> Tensor:
        return self.net(torch.ones(n, self.z, 1, 1))


class ConstantInput(nn.Module):
    def __init__(self, channel, size=4):
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channel, size, size))

    def forward(self, latent):
        return self.input.repeat(latent.shape[0], 1, 1, 1)


class LabelToImage(nn.Module):
    def __init__(self, n_classes: int, code_dim: int, ngf: int):
        super().__init__()
        self.codes = nn.Embedding(n_classes, code_dim)
        self.net = nn.Sequential(
            nn.Linear(code_dim, ngf * 16), nn.ReLU(), nn.Unflatten(1, (ngf, 4, 4)), nn.ConvTranspose2d(ngf, 1, 4, 2, 1)
        )

    def forward(self, y):
        return self.net(self.codes(y)).tanh()


class CodebookDecoder(nn.Module):
    def __init__(self, n_codes: int, code_size: int, ch: int, out_ch: int = 3):
        super().__init__()
        self.codebook = nn.Embedding(n_codes, code_size)
        self.net = nn.Sequential(
            nn.Conv2d(code_size, ch, 3, padding=1), nn.SiLU(), nn.ConvTranspose2d(ch, out_ch, 2, 2)
        )

    def forward(self, indices: Tensor) -> Tensor:
        return self.net(self.codebook(indices).permute(0, 3, 1, 2))


class RandomFourierFeatures(nn.Module):
    def __init__(self, mapping_size: int, sigma: float = 10.0):
        super().__init__()
        self.register_buffer("b", torch.randn(2, mapping_size) * sigma)

    def forward(self, coords: Tensor) -> Tensor:
        projected = 2 * math.pi * coords @ self.b
        return torch.cat([projected.sin(), projected.cos()], -1)


class Siren(nn.Module):
    def __init__(self, width, depth=2, outputs=3, w0=30.0):
        super().__init__()
        sizes = [2] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.last, self.w0 = nn.Linear(width, outputs), w0

    def forward(self, xy):
        for layer in self.layers:
            xy = torch.sin(self.w0 * layer(xy))
        return self.last(xy)


class RadianceField(nn.Module):
    def __init__(self, num_frequencies: int, hidden: int):
        super().__init__()
        self.num_frequencies = num_frequencies
        self.trunk = nn.Linear(3 + 6 * num_frequencies, hidden)
        self.sigma, self.rgb = nn.Linear(hidden, 1), nn.Linear(hidden + 3, 3)

    def forward(self, points: Tensor, directions: Tensor):
        scaled = [points * 2**i for i in range(self.num_frequencies)]
        h = torch.relu(self.trunk(torch.cat([points, *(f(s) for s in scaled for f in (torch.sin, torch.cos))], -1)))
        return self.sigma(h), torch.sigmoid(self.rgb(torch.cat([h, directions], -1)))


class DigitVAE(nn.Module):
    def __init__(self, latent_size: int, width: int = 32):
        super().__init__()
        self.enc, self.stats = nn.Linear(784, width), nn.Linear(width, 2 * latent_size)
        self.dec = nn.Sequential(nn.Linear(latent_size, width), nn.ReLU(), nn.Linear(width, 784))

    def forward(self, x):
        mean, logvar = self.stats(torch.relu(self.enc(x.flatten(1)))).chunk(2, -1)
        return self.dec(mean).view_as(x), mean, logvar


class RGBNet(nn.Module):
    def __init__(self, base: int, n_labels: int):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, base, 3, 2, 1), nn.BatchNorm2d(base), nn.ReLU())
        self.body = nn.Conv2d(base, 2 * base, 3, 2, 1)
        self.head = nn.Linear(2 * base, n_labels)

    def forward(self, image):
        return self.head(self.body(self.stem(image)).mean((2, 3)))


class GraySegmenter(nn.Module):
    def __init__(self, filters, n_masks):
        super().__init__()
        self.down = nn.Conv2d(1, filters, 3, 2, 1)
        self.up = nn.ConvTranspose2d(filters, filters, 2, 2)
        self.mask = nn.Conv2d(filters + 1, n_masks, 1)

    def forward(self, x):
        return self.mask(torch.cat([x, self.up(torch.relu(self.down(x)))], 1))


class KeywordSpotter(nn.Module):
    def __init__(self, n_channel: int, keywords: int, stride: int = 4):
        super().__init__()
        self.conv1, self.bn = nn.Conv1d(1, n_channel, 16, stride), nn.BatchNorm1d(n_channel)
        self.conv2, self.fc = nn.Conv1d(n_channel, 2 * n_channel, 3), nn.Linear(2 * n_channel, keywords)

    def forward(self, waveform):
        x = torch.relu(self.conv2(torch.relu(self.bn(self.conv1(waveform)))))
        return self.fc(x.mean(-1)).log_softmax(-1)


class LogSpectrogram(nn.Module):
    def __init__(self, n_fft: int, n_filters: int, hop: int = 8):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft))
        self.filters = nn.Parameter(torch.rand(n_filters, n_fft // 2 + 1))

    def forward(self, wave):
        spec = torch.stft(wave, self.n_fft, self.hop, window=self.window, return_complex=True).abs()
        return torch.log1p(self.filters @ spec)


class PhonemeEncoder(nn.Module):
    def __init__(self, n_symbols: int, n_speakers: int, encoder_dim: int):
        super().__init__()
        self.symbols, self.speakers = nn.Embedding(n_symbols, encoder_dim), nn.Embedding(n_speakers, encoder_dim)
        self.conv = nn.Conv1d(encoder_dim, encoder_dim, 5, padding=2)

    def forward(self, text, speaker):
        x = self.symbols(text) + self.speakers(speaker)[:, None]
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


class PitchEmbedding(nn.Module):
    def __init__(self, n_bins: int, dim: int, low: float = 50.0, high: float = 500.0):
        super().__init__()
        self.register_buffer("edges", torch.linspace(low, high, n_bins - 1))
        self.table = nn.Embedding(n_bins, dim)

    def forward(self, f0: Tensor) -> Tensor:
        return self.table(torch.bucketize(f0, self.edges))


class CalendarEmbedding(nn.Module):
    def __init__(self, d_model: int, freq: str = "h"):
        super().__init__()
        self.month, self.weekday = nn.Embedding(13, d_model), nn.Embedding(7, d_model)
        self.hour = nn.Embedding(24, d_model) if freq == "h" else None

    def forward(self, x):
        x = x.long()
        out = self.month(x[..., 0]) + self.weekday(x[..., 1])
        return out if self.hour is None else out + self.hour(x[..., 2])


class UnivariateForecaster(nn.Module):
    def __init__(self, hidden_dim: int, horizon: int):
        super().__init__()
        self.lstm, self.out = nn.LSTM(1, hidden_dim, batch_first=True), nn.Linear(hidden_dim, horizon)

    def forward(self, y):
        return self.out(self.lstm(y[..., None])[0][:, -1])


class PatchedSeries(nn.Module):
    def __init__(self, patch_len: int, d_model: int, stride: int = 2):
        super().__init__()
        self.patch_len, self.stride = patch_len, stride
        self.project = nn.Linear(patch_len, d_model)

    def forward(self, x):
        return self.project(x.unfold(-1, self.patch_len, self.stride))


class AutoRegression(nn.Module):
    def __init__(self, lags):
        super().__init__()
        self.lags, self.weights = lags, nn.Linear(lags, 1)

    def forward(self, series):
        return self.weights(series[:, -self.lags :])


class CategoricalEncoder(nn.Module):
    def __init__(self, cardinalities: list[int], dim: int, n_out: int):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(c, dim) for c in cardinalities)
        self.head = nn.Linear(dim * len(cardinalities), n_out)

    def forward(self, x_cat: Tensor) -> Tensor:
        return self.head(torch.cat([t(x_cat[:, i]) for i, t in enumerate(self.tables)], -1))


class PiecewiseBins(nn.Module):
    def __init__(self, bins: int, size: int):
        super().__init__()
        self.register_buffer("edges", torch.linspace(-1, 1, bins))
        self.out = nn.Linear(bins, size)

    def forward(self, x):
        return self.out((x[..., None] > self.edges).float())


class BoardPolicy(nn.Module):
    def __init__(self, pieces: int, channels: int, moves: int):
        super().__init__()
        self.pieces = nn.Embedding(pieces, channels)
        self.conv, self.policy = nn.Conv2d(channels, channels, 3, padding=1), nn.Linear(channels, moves)

    def forward(self, board):
        x = self.pieces(board).permute(0, 3, 1, 2)
        return self.policy(torch.relu(self.conv(x)).amax((2, 3)))


class GridObservation(nn.Module):
    def __init__(self, emb: int, actions: int):
        super().__init__()
        self.object, self.color = nn.Embedding(11, emb), nn.Embedding(6, emb)
        self.actor = nn.Linear(2 * emb, actions)

    def forward(self, obs):
        x = torch.cat([self.object(obs[..., 0]), self.color(obs[..., 1])], -1)
        return self.actor(x.mean((1, 2)))


class SlotQueries(nn.Module):
    def __init__(self, num_slots: int, slot_dim: int):
        super().__init__()
        self.mu = nn.Parameter(torch.randn(1, num_slots, slot_dim))

    def forward(self, features: Tensor) -> Tensor:
        return self.mu.expand(features.shape[0], -1, -1)


class LastSteps(nn.Module):  # x[:, -n:]
    def __init__(self, context: int, horizon: int):
        super().__init__()
        self.context = context
        self.fc = nn.Linear(context, horizon)

    def forward(self, y):
        return self.fc(y[..., -self.context :])


class Rechunk(nn.Module):  # view(b, -1, chunk)
    def __init__(self, chunk: int, out: int):
        super().__init__()
        self.chunk, self.fc = chunk, nn.Linear(chunk, out)

    def forward(self, x):
        return self.fc(x.reshape(len(x), -1, self.chunk)).sum(1)


class PadTo(nn.Module):  # pads up to length
    def __init__(self, length: int, n_out: int):
        super().__init__()
        self.length, self.fc = length, nn.Linear(length, n_out)

    def forward(self, x):
        return self.fc(F.pad(x, (0, max(0, self.length - x.shape[-1])))[..., : self.length])


class PoolTo(nn.Module):
    def __init__(self, side: int, n_out: int):
        super().__init__()
        self.pool, self.fc = nn.AdaptiveAvgPool1d(side), nn.Linear(side, n_out)

    def forward(self, x):
        return self.fc(self.pool(x))


class ChooseFirst(nn.Module):  # uses the first n features
    def __init__(self, n_static: int, units: int):
        super().__init__()
        self.n = n_static
        self.fc = nn.Linear(n_static, units)

    def forward(self, x):
        return self.fc(x[:, : self.n])


class SplitTwo(nn.Module):  # state and action in one tensor
    def __init__(self, state_dim: int, act_dim: int, h: int):
        super().__init__()
        self.s, self.a = nn.Linear(state_dim, h), nn.Linear(act_dim, h)
        self.k = state_dim

    def forward(self, x):
        return self.s(x[:, : self.k]) + self.a(x[:, self.k :])


class TorchSplit(nn.Module):
    def __init__(self, dim_a: int, dim_b: int):
        super().__init__()
        self.sizes = [dim_a, dim_b]
        self.a, self.b = nn.Linear(dim_a, 4), nn.Linear(dim_b, 4)

    def forward(self, x):
        a, b = x.split(self.sizes, -1)
        return self.a(a) * self.b(b)


class OneHot(nn.Module):
    def __init__(self, categories: int, dim: int):
        super().__init__()
        self.n = categories
        self.fc = nn.Linear(categories, dim)

    def forward(self, x):
        return self.fc(F.one_hot(x, self.n).float())


class Broadcast1(nn.Module):  # input has a size 1
    def __init__(self, dim: int):
        super().__init__()
        self.w = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * self.w


class SumWidth(nn.Module):  # a + b = 12 : open
    def __init__(self, n_cat: int, n_num: int):
        super().__init__()
        self.fc = nn.Linear(n_cat + n_num, 3)

    def forward(self, x):
        return self.fc(x)


class Product(nn.Module):  # a * b = 12 : open
    def __init__(self, fields: int, emb: int):
        super().__init__()
        self.fc = nn.Linear(fields * emb, 3)

    def forward(self, x):
        return self.fc(x)


class FlatOfWidth(nn.Module):
    def __init__(self, width: int, side: int, n_cls: int):
        super().__init__()
        self.a, self.fc = nn.Conv2d(3, width, 3, padding=1), nn.Linear(width * side * side, n_cls)

    def forward(self, x):
        return self.fc(self.a(x).flatten(1))


class ViTish(nn.Module):
    def __init__(self, image_size: int, patch: int, dim: int, n_classes: int, channels: int = 3):
        super().__init__()
        n = (image_size // patch) ** 2
        self.e, self.pos, self.h = (
            nn.Conv2d(channels, dim, patch, patch),
            nn.Parameter(torch.zeros(1, n, dim)),
            nn.Linear(dim, n_classes),
        )

    def forward(self, x):
        return self.h((self.e(x).flatten(2).mT + self.pos).mean(1))


class Lattice(nn.Module):
    def __init__(self, rows: int, cols: int):
        super().__init__()
        self.rows, self.cols = rows, cols
        self.w = nn.Parameter(torch.ones(rows, cols))

    def forward(self, x):
        return (x.view(-1, self.rows, self.cols) * self.w).flatten(1)


class Lattice3(nn.Module):
    def __init__(self, rows: int, cols: int, n_out: int):
        super().__init__()
        self.rows, self.cols = rows, cols
        self.w = nn.Conv2d(1, n_out, 3, padding=1)

    def forward(self, x):
        return self.w(x.view(-1, 1, self.rows, self.cols))


class TokenReader(nn.Module):
    def __init__(self, pad_to: int, vocab: int, d: int):
        super().__init__()
        self.n = pad_to
        self.e = nn.Embedding(vocab, d)
        self.p = nn.Parameter(torch.zeros(pad_to, d))

    def forward(self, ids):
        return self.e(F.pad(ids, (0, self.n - ids.shape[1]))) + self.p


class UsesFirstWeak(nn.Module):
    def __init__(self, dim: int, units: int):
        super().__init__()
        self.n = dim
        self.fc = nn.Linear(dim, units)

    def forward(self, x):
        return self.fc(x[:, : self.n])


class Lookback(nn.Module):
    def __init__(self, input_size: int, h: int):
        super().__init__()
        self.n = input_size
        self.fc = nn.Linear(input_size, h)

    def forward(self, y):
        return self.fc(y[..., -self.n :])


class Roll(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, x):
        return torch.roll(x, self.width, -1)


class FrameWise(nn.Module):  # view(-1, n) then back
    def __init__(self, zz: int, out: int):
        super().__init__()
        self.n, self.fc = zz, nn.Linear(zz, out)

    def forward(self, x):
        b, t = x.shape[:2]
        return self.fc(x.reshape(-1, self.n)).view(b, t, -1)


class FrameWise2(nn.Module):
    def __init__(self, zz: int, out: int):
        super().__init__()
        self.n, self.fc = zz, nn.Linear(zz, out)

    def forward(self, x):
        return self.fc(x.reshape(-1, self.n)).view(x.shape[0], -1)


class Patchify(nn.Module):  # true chunks
    def __init__(self, chunk: int, dim: int):
        super().__init__()
        self.c, self.fc = chunk, nn.Linear(chunk, dim)

    def forward(self, x):
        return self.fc(x.unflatten(-1, (-1, self.c))).mean(-2)


class ShiftMax(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x):
        return F.pad(x, (self.size,) * 4, mode="replicate")[..., self.size : -self.size, self.size : -self.size]


class SpaceToDepth(nn.Module):
    def __init__(self, block: int, dim: int):
        super().__init__()
        self.u = nn.PixelUnshuffle(block)
        self.c = nn.Conv2d(3 * block * block, dim, 1)

    def forward(self, x):
        return self.c(self.u(x))


class Rotary(nn.Module):
    def __init__(self, dim: int, base: float = 1e4):
        super().__init__()
        self.register_buffer("inv", base ** (-torch.arange(0, dim, 2).float() / dim))

    def forward(self, q):
        a = torch.arange(q.shape[-2])[:, None] * self.inv
        n = 2 * len(self.inv)
        x, y = q[..., :n].chunk(2, -1)
        return torch.cat([x * a.cos() - y * a.sin(), x * a.sin() + y * a.cos(), q[..., n:]], -1)


class WindowedAttention(nn.Module):
    def __init__(self, dim, window_size, num_heads):
        super().__init__()
        self.num_heads, self.qkv, self.proj = num_heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.bias = nn.Parameter(
            torch.zeros(num_heads, window_size[0] * window_size[1], window_size[0] * window_size[1])
        )

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) + self.bias).softmax(-1)
        return self.proj((a @ v).transpose(1, 2).reshape(b, n, c))


class RelPosAttention(nn.Module):
    def __init__(self, dim: int, feat_size: tuple[int, int], num_heads: int = 2):
        super().__init__()
        self.h, self.w = feat_size
        self.num_heads, self.qkv = num_heads, nn.Conv2d(dim, 3 * dim, 1)
        self.rel_h = nn.Parameter(torch.zeros(1, num_heads, self.h, 1))
        self.rel_w = nn.Parameter(torch.zeros(1, num_heads, 1, self.w))

    def forward(self, x):
        b, c, h, w = x.shape
        assert (h, w) == (self.h, self.w)
        q, k, v = self.qkv(x).reshape(b, 3, self.num_heads, c // self.num_heads, h * w).unbind(1)
        bias = (self.rel_h + self.rel_w).flatten(2)[:, :, None]
        return (v @ (q.transpose(-2, -1) @ k + bias).softmax(-1).transpose(-2, -1)).reshape(b, c, h, w)


class EquivariantLayer(nn.Module):
    def __init__(self, input_nf, output_nf, hidden_nf, edges_in_d=0):
        super().__init__()
        self.edge = nn.Sequential(nn.Linear(2 * input_nf + 1 + edges_in_d, hidden_nf), nn.SiLU())
        self.node, self.coord = nn.Linear(hidden_nf + input_nf, output_nf), nn.Linear(hidden_nf, 1, bias=False)

    def forward(self, h, coords, edge_index, edge_attr=None):
        i, j = edge_index
        d = coords[i] - coords[j]
        parts = [h[i], h[j], (d**2).sum(-1, keepdim=True)] + ([] if edge_attr is None else [edge_attr])
        m = self.edge(torch.cat(parts, -1))
        coords = coords.index_add(0, i, d * self.coord(m))
        agg = torch.zeros(len(h), m.shape[-1]).index_add(0, i, m)
        return self.node(torch.cat([h, agg], -1)), coords


class MultiGateExperts(nn.Module):
    def __init__(self, feature_dim: int, num_experts: int, expert_dim: int, num_tasks: int):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(feature_dim, expert_dim) for _ in range(num_experts))
        self.gates = nn.ModuleList(nn.Linear(feature_dim, num_experts) for _ in range(num_tasks))
        self.towers = nn.ModuleList(nn.Linear(expert_dim, 1) for _ in range(num_tasks))

    def forward(self, x):
        e = torch.stack([expert(x) for expert in self.experts], 1)
        return [tower((gate(x).softmax(-1)[..., None] * e).sum(1)) for gate, tower in zip(self.gates, self.towers)]


class ContextBlock(nn.Module):
    def __init__(self, in_channels: int, n_heads: int, d_head: int, context_dim: int | None = None):
        super().__init__()
        inner = n_heads * d_head
        self.proj_in, self.n_heads = nn.Conv2d(in_channels, inner, 1), n_heads
        self.to_kv = nn.Linear(context_dim or inner, 2 * inner)
        self.proj_out = nn.Conv2d(inner, in_channels, 1)

    def forward(self, x, context=None):
        q = self.proj_in(x).flatten(2).mT
        k, v = self.to_kv(q if context is None else context).chunk(2, -1)
        q, k, v = (t.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.proj_out(y.mT.unflatten(2, x.shape[2:]))


class ScoreNet(nn.Module):
    """The number of steps and the width of the embedding are free, the size of the points is not."""

    def __init__(self, point_dim: int, n_steps: int, width: int = 16):
        super().__init__()
        self.embed, self.first, self.last = (
            nn.Embedding(n_steps, width),
            nn.Linear(point_dim, width),
            nn.Linear(width, point_dim),
        )

    def forward(self, x, t):
        return self.last(torch.relu(self.first(x) + self.embed(t)))


class TwinCritic(nn.Module):
    def __init__(self, obs_dim: int, act_dim: int, width: int):
        super().__init__()
        self.q = nn.ModuleList(
            nn.Sequential(nn.Linear(obs_dim + act_dim, width), nn.ReLU(), nn.Linear(width, 1)) for _ in range(2)
        )

    def forward(self, obs, act):
        x = torch.cat([obs, act], -1)
        return [q(x) for q in self.q]


class PixelPolicy(nn.Module):
    def __init__(self, frames: int, flat: int, n_actions: int):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(frames, 6, 4, 2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(flat, n_actions)

    def forward(self, obs):
        return self.head(self.conv(obs.float() / 255))


class ShapedPolicy(nn.Module):
    def __init__(self, input_shape: tuple[int, ...], num_actions: int):
        super().__init__()
        self.conv = nn.Conv2d(input_shape[0], 4, 3)
        with torch.no_grad():
            flat = self.conv(torch.zeros(1, *input_shape)).numel()
        self.head = nn.Linear(flat, num_actions)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).flatten(1))


class MixingNetwork(nn.Module):
    def __init__(self, n_agents: int, state_dim: int, mixing_dim: int):
        super().__init__()
        self.n_agents, self.mixing_dim = n_agents, mixing_dim
        self.w1, self.b1 = nn.Linear(state_dim, n_agents * mixing_dim), nn.Linear(state_dim, mixing_dim)
        self.w2 = nn.Linear(state_dim, mixing_dim)

    def forward(self, qs, state):
        w1 = self.w1(state).abs().view(-1, self.n_agents, self.mixing_dim)
        h = F.elu(qs[:, None] @ w1 + self.b1(state)[:, None])
        return (h @ self.w2(state).abs()[..., None]).flatten()


class ReadsKeywords(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.linear = nn.Linear(kwargs["dim"], kwargs.get("out", 4))

    def forward(self, x):
        return self.linear(x)


class PopsKeywords(nn.Module):
    def __init__(self, n_out: int, **kwargs):
        super().__init__()
        dim, bias = kwargs.pop("dim", 64), kwargs.pop("bias", True)
        if kwargs:
            raise TypeError(f"unknown arguments {sorted(kwargs)}")
        self.linear = nn.Linear(dim, n_out, bias=bias)

    def forward(self, x):
        return self.linear(x)


class HandsKeywordsOn(PopsKeywords):
    def __init__(self, scale: float = 1.0, **kwargs):
        super().__init__(3, **kwargs)
        self.scale = scale

    def forward(self, x):
        return self.scale * super().forward(x)


class Volume(nn.Module):
    def __init__(self, depth_size: int, height: int, width: int, features: int):
        super().__init__()
        self.size = (depth_size, height, width)
        self.norm, self.project = nn.LayerNorm(features), nn.Linear(features, 5)

    def forward(self, x):
        if tuple(x.shape[1:4]) != self.size:
            raise ValueError(f"expected {self.size}, got {tuple(x.shape[1:4])}")
        return self.project(self.norm(x))


class GridOfSix(nn.Module):
    def __init__(self, a: int, b: int, c: int, d: int, e: int, f: int):
        super().__init__()
        self.shape = (a, b, c, d, e, f)
        self.weight = nn.Parameter(torch.ones(f))

    def forward(self, x):
        if x.shape[1:] != self.shape:
            raise ValueError(f"expected {self.shape}, got {tuple(x.shape[1:])}")
        return x * self.weight


class CrossKV(nn.Module):
    def __init__(self, width: int, memory_width: int, inner: int):
        super().__init__()
        self.q, self.kv, self.o = nn.Linear(width, inner), nn.Linear(memory_width, 2 * inner), nn.Linear(inner, width)

    def forward(self, x, memory):
        k, v = self.kv(memory).chunk(2, -1)
        return x + self.o(F.scaled_dot_product_attention(self.q(x), k, v))


class TimeNamed(nn.Module):  # time: (B,) and time_dim a width
    def __init__(self, x_dim: int, time_dim: int, hidden: int):
        super().__init__()
        self.t = time_dim
        self.fc = nn.Sequential(nn.Linear(x_dim + time_dim, hidden), nn.ReLU(), nn.Linear(hidden, x_dim))

    def forward(self, x, time):
        f = torch.arange(self.t // 2) + 1.0
        e = torch.cat([(time[:, None] * f).sin(), (time[:, None] * f).cos()], -1)
        return self.fc(torch.cat([x, e], -1))


class CondScalar(nn.Module):  # cond: (B,) float, cond_dim a width
    def __init__(self, channels: int, cond_dim: int):
        super().__init__()
        self.w = nn.Parameter(torch.randn(cond_dim))
        self.o = nn.Linear(2 * cond_dim, channels)

    def forward(self, x, cond):
        f = cond[:, None] * self.w
        return x + self.o(torch.cat([f.sin(), f.cos()], -1))[..., None, None]


class PartsDefault(nn.Module):
    def __init__(self, width: int, parts: int = 8):
        super().__init__()
        if width % parts:
            raise ValueError("width must be divisible by parts")
        self.parts, self.fc = parts, nn.Linear(width, width)

    def forward(self, x):
        return self.fc(x).unflatten(-1, (self.parts, -1)).softmax(-1).flatten(-2)


class PartsNeeded(nn.Module):
    def __init__(self, width: int, bundles: int):
        super().__init__()
        if width % bundles:
            raise ValueError("width must be divisible by bundles")
        self.parts, self.fc = bundles, nn.Linear(width, width)

    def forward(self, x):
        return self.fc(x).unflatten(-1, (self.parts, -1)).softmax(-1).flatten(-2)
