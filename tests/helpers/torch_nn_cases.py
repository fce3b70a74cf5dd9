"""A call for every class of `torch.nn` that the table describes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

DOUBLE, COMPLEX = torch.float64, torch.complex64
Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A class, what a call determines of its constructor, the other arguments, and that call."""

    cls: type[nn.Module]
    inferred: dict[str, Any]
    given: dict[str, Any]
    call: Callable[[], Call]
    variant: str = ""
    auto: bool = True  # whether a bare lazify means these parameters
    training: bool = True
    rules: dict[str, Any] | None = None  # where a name alone leaves it open

    def __str__(self) -> str:
        return f"{self.cls.__name__}{'-' * bool(self.variant)}{self.variant}"


@dataclass
class Table:
    cases: list[Case] = field(default_factory=list)

    def add(self, cls: type[nn.Module], inferred: dict[str, Any], call: Callable[[], Call], **given: Any) -> None:
        options = {k: given.pop(k) for k in ("variant", "auto", "training", "rules") if k in given}
        self.cases.append(Case(cls, inferred, given, call, **options))


def on(*shapes: tuple[int, ...], dtype: torch.dtype | None = None, **named: tuple[int, ...]) -> Callable[[], Call]:
    """A call with random tensors of these shapes; those with names go by keyword."""
    return lambda: (
        tuple(torch.randn(shape, dtype=dtype) for shape in shapes),
        {name: torch.randn(shape, dtype=dtype) for name, shape in named.items()},
    )


def with_state(
    *shape: int, state: tuple[int, ...], pair: bool = False, dtype: torch.dtype | None = None
) -> Callable[[], Call]:
    def make() -> Call:
        hidden = torch.randn(state, dtype=dtype)
        hx: Any = (hidden, torch.randn(state, dtype=dtype)) if pair else hidden
        return (torch.randn(shape, dtype=dtype), hx), {}

    return make


def packed(lengths: list[int], width: int, *, batch_first: bool = False, enforce_sorted: bool = True) -> Any:
    def make() -> Call:
        steps, many = max(lengths), len(lengths)
        data = torch.randn((many, steps, width) if batch_first else (steps, many, width))
        sequence = pack_padded_sequence(
            data, torch.tensor(lengths), batch_first=batch_first, enforce_sorted=enforce_sorted
        )
        return (sequence,), {}

    return make


def attending(*shape: int, dtype: torch.dtype | None = None, **more: Any) -> Callable[[], Call]:
    def make() -> Call:
        x = torch.randn(shape, dtype=dtype)
        return (x, x, x), dict(more)

    return make


def hidden_tail(batch: int, steps: int) -> torch.Tensor:
    """A padding mask that hides the last two steps of all but the first."""
    mask = torch.zeros(batch, steps, dtype=torch.bool)
    mask[1:, -2:] = True
    return mask


table = Table()
add = table.add

# linear
add(nn.Linear, {"in_features": 6}, on((4, 6)), out_features=3)
add(nn.Linear, {"in_features": 6}, on((6,)), out_features=3, variant="vector")
add(nn.Linear, {"in_features": 6}, on((2, 3, 4, 6)), out_features=3, bias=False, variant="4d")
add(nn.Linear, {"in_features": 6}, on(input=(4, 6)), out_features=3, variant="keyword")
add(nn.Linear, {"in_features": 6}, on((4, 6), dtype=DOUBLE), out_features=3, dtype=DOUBLE, variant="double")
add(nn.Linear, {"in_features": 6}, on((4, 6), dtype=COMPLEX), out_features=3, dtype=COMPLEX, variant="complex")
add(NonDynamicallyQuantizableLinear, {"in_features": 6}, on((4, 6)), out_features=3)
add(nn.Bilinear, {"in1_features": 5, "in2_features": 7}, on((4, 5), (4, 7)), out_features=3)
add(nn.Bilinear, {"in1_features": 5, "in2_features": 7}, on((4, 5), input2=(4, 7)), out_features=3, variant="mixed")
add(nn.Bilinear, {"in2_features": 7}, on((4, 5), (4, 7)), in1_features=5, out_features=3, variant="half-given")

# convolutions
add(nn.Conv1d, {"in_channels": 6}, on((2, 6, 11)), out_channels=4, kernel_size=3)
add(nn.Conv1d, {"in_channels": 6}, on((6, 11)), out_channels=4, kernel_size=3, padding=1, variant="unbatched")
add(
    nn.Conv1d,
    {"in_channels": 6},
    on((2, 6, 11)),
    out_channels=12,
    kernel_size=3,
    groups=6,
    padding=2,
    padding_mode="circular",
    variant="depthwise",
)
add(nn.Conv2d, {"in_channels": 6}, on((2, 6, 9, 8)), out_channels=4, kernel_size=3)
add(nn.Conv2d, {"in_channels": 6}, on((6, 9, 8)), out_channels=4, kernel_size=3, stride=2, variant="unbatched")
add(nn.Conv2d, {"in_channels": 6}, on((2, 6, 9, 8)), out_channels=4, kernel_size=3, groups=2, variant="groups")
add(
    nn.Conv2d,
    {"in_channels": 6},
    on(input=(2, 6, 9, 8)),
    out_channels=4,
    kernel_size=(3, 5),
    padding="same",
    bias=False,
    variant="keyword",
)
add(
    nn.Conv2d,
    {"in_channels": 6},
    lambda: ((torch.randn(2, 6, 9, 8).to(memory_format=torch.channels_last),), {}),
    out_channels=4,
    kernel_size=3,
    padding=1,
    padding_mode="reflect",
    variant="channels-last",
)
add(
    nn.Conv2d,
    {"in_channels": 6},
    on((2, 6, 9, 8), dtype=COMPLEX),
    out_channels=4,
    kernel_size=3,
    dtype=COMPLEX,
    variant="complex",
)
add(nn.Conv3d, {"in_channels": 6}, on((2, 6, 5, 4, 7)), out_channels=4, kernel_size=3)
add(nn.Conv3d, {"in_channels": 6}, on((6, 5, 4, 7)), out_channels=4, kernel_size=3, variant="unbatched")
add(nn.ConvTranspose1d, {"in_channels": 6}, on((2, 6, 11)), out_channels=4, kernel_size=3, stride=2)
add(nn.ConvTranspose2d, {"in_channels": 6}, on((2, 6, 5, 4)), out_channels=4, kernel_size=3, groups=2)
add(
    nn.ConvTranspose2d,
    {"in_channels": 6},
    lambda: ((torch.randn(2, 6, 5, 4),), {"output_size": [10, 8]}),
    out_channels=4,
    kernel_size=3,
    stride=2,
    padding=1,
    variant="output-size",
)
add(nn.ConvTranspose3d, {"in_channels": 6}, on((6, 3, 4, 5)), out_channels=4, kernel_size=2, variant="unbatched")

# norms
add(nn.BatchNorm1d, {"num_features": 6}, on((4, 6)))
add(nn.BatchNorm1d, {"num_features": 6}, on((4, 6, 9), dtype=DOUBLE), dtype=DOUBLE, variant="3d")
add(nn.BatchNorm2d, {"num_features": 6}, on((2, 6, 4, 5)), momentum=None)
add(nn.BatchNorm2d, {"num_features": 6}, on(input=(2, 6, 4, 5)), track_running_stats=False, variant="keyword")
add(nn.BatchNorm3d, {"num_features": 6}, on((2, 6, 4, 5, 3)), affine=False)
add(nn.SyncBatchNorm, {"num_features": 6}, on((2, 6, 4, 5)), training=False)  # trains on an accelerator only
add(nn.InstanceNorm1d, {"num_features": 6}, on((6, 9)), affine=True, variant="unbatched")
add(nn.InstanceNorm2d, {"num_features": 6}, on((2, 6, 4, 5)), track_running_stats=True)
add(nn.InstanceNorm2d, {"num_features": 6}, on((2, 6, 4, 5)), variant="plain")
add(nn.InstanceNorm3d, {"num_features": 6}, on((2, 6, 4, 5, 3)), affine=True)
add(nn.InstanceNorm3d, {"num_features": 6}, on((6, 4, 5, 3)), affine=True, variant="unbatched")
add(nn.GroupNorm, {"num_channels": 6}, on((2, 6, 4, 5)), num_groups=3)
add(nn.GroupNorm, {"num_channels": 6}, on(input=(2, 6, 4)), num_groups=2, affine=False, variant="keyword")
add(nn.LayerNorm, {"normalized_shape": 6}, on((2, 5, 6)))
add(nn.LayerNorm, {"normalized_shape": 6}, on((2, 5, 6)), elementwise_affine=False, variant="plain")
add(
    nn.LayerNorm,
    {"normalized_shape": (5, 6)},
    on((2, 5, 6), dtype=DOUBLE),
    dtype=DOUBLE,
    auto=False,
    rules={"normalized_shape": lambda input: tuple(input.shape[-2:])},
    variant="two-axes",
)
add(nn.RMSNorm, {"normalized_shape": 6}, on((2, 5, 6)), eps=1e-6)
add(nn.RMSNorm, {"normalized_shape": 6}, on(x=(2, 5, 6)), variant="keyword")

# activations
add(nn.PReLU, {"num_parameters": 6}, on((2, 6, 4)))
add(nn.PReLU, {"num_parameters": 6}, on((2, 6)), init=0.1, variant="2d")

# recurrent
add(nn.RNN, {"input_size": 6}, on((5, 2, 6)), hidden_size=4)
add(nn.RNN, {"input_size": 6}, on((2, 5, 6)), hidden_size=4, nonlinearity="relu", batch_first=True, variant="first")
add(nn.LSTM, {"input_size": 6}, on((5, 2, 6)), hidden_size=4)
add(nn.LSTM, {"input_size": 6}, on((5, 6)), hidden_size=4, bidirectional=True, variant="unbatched")
add(
    nn.LSTM,
    {"input_size": 6},
    on((2, 5, 6)),
    hidden_size=4,
    batch_first=True,
    num_layers=2,
    dropout=0.5,
    variant="deep",
)
add(
    nn.LSTM,
    {"input_size": 6},
    lambda: ((torch.randn(5, 2, 6), (torch.randn(1, 2, 3), torch.randn(1, 2, 4))), {}),
    hidden_size=4,
    proj_size=3,
    variant="projected-state",
)
add(
    nn.LSTM,
    {"input_size": 6},
    lambda: ((), {"hx": (torch.randn(1, 2, 4), torch.randn(1, 2, 4)), "input": torch.randn(5, 2, 6)}),
    hidden_size=4,
    variant="state-first-by-keyword",
)
add(nn.LSTM, {"input_size": 6}, packed([5, 3, 1], 6), hidden_size=4, variant="packed")
add(
    nn.LSTM,
    {"input_size": 6},
    packed([2, 5, 3], 6, batch_first=True, enforce_sorted=False),
    hidden_size=4,
    batch_first=True,
    bidirectional=True,
    variant="packed-unsorted",
)
add(
    nn.LSTM,
    {"input_size": 6, "hidden_size": 4},
    with_state(5, 2, 6, state=(1, 2, 4), pair=True),
    auto=False,
    variant="both-sizes",
)
add(nn.GRU, {"input_size": 6}, on((5, 2, 6)), hidden_size=4, bidirectional=True)
add(nn.GRU, {"input_size": 6}, with_state(2, 5, 6, state=(2, 2, 4)), hidden_size=4, num_layers=2, batch_first=True)
add(nn.GRU, {"input_size": 6}, on((5, 6), dtype=DOUBLE), hidden_size=4, dtype=DOUBLE, variant="unbatched")
add(
    nn.GRU,
    {"input_size": 6},
    lambda: ((pack_sequence([torch.randn(4, 6), torch.randn(2, 6)]),), {}),
    hidden_size=4,
    variant="packed",
)
add(nn.RNNCell, {"input_size": 6}, on((3, 6)), hidden_size=4)
add(nn.RNNCell, {"input_size": 6}, on((6,)), hidden_size=4, variant="unbatched")
add(nn.LSTMCell, {"input_size": 6}, on((3, 6)), hidden_size=4)
add(nn.LSTMCell, {"input_size": 6}, with_state(3, 6, state=(3, 4), pair=True), hidden_size=4, variant="state")
add(nn.GRUCell, {"input_size": 6}, with_state(3, 6, state=(3, 4)), hidden_size=4, bias=False)
add(
    nn.GRUCell,
    {"input_size": 6, "hidden_size": 4},
    with_state(3, 6, state=(3, 4)),
    auto=False,
    variant="both-sizes",
)

# attention; kdim and vdim are inferred where they are named, and None where a call has no reason for them
EQUAL = {"embed_dim": 6, "kdim": 6, "vdim": 6}
CROSS = {"embed_dim": 6, "kdim": 5, "vdim": 7}
add(nn.MultiheadAttention, EQUAL, attending(4, 2, 6), num_heads=3)
add(nn.MultiheadAttention, {"embed_dim": 6}, attending(4, 2, 6), num_heads=3, auto=False, variant="width-only")
add(nn.MultiheadAttention, CROSS, on((4, 2, 6), (3, 2, 5), (3, 2, 7)), num_heads=3, auto=False, variant="cross")
add(nn.MultiheadAttention, EQUAL, attending(4, 6), num_heads=3, variant="unbatched")
add(
    nn.MultiheadAttention,
    EQUAL,
    attending(4, 2, 6, attn_mask=torch.full((4, 4), float("-inf")).triu(1), need_weights=False),
    num_heads=2,
    dropout=0.25,
    variant="mask",
)
add(
    nn.MultiheadAttention,
    EQUAL,
    attending(4, 2, 6, dtype=DOUBLE),
    num_heads=3,
    add_bias_kv=True,
    add_zero_attn=True,
    dtype=DOUBLE,
    variant="bias-kv",
)
add(
    nn.MultiheadAttention,
    CROSS,
    lambda: (
        (),
        {
            "value": torch.randn(2, 3, 7),
            "key": torch.randn(2, 3, 5),
            "query": torch.randn(2, 4, 6),
            "key_padding_mask": hidden_tail(2, 3),
        },
    ),
    num_heads=3,
    batch_first=True,
    bias=False,
    auto=False,
    variant="cross-by-keyword",
)

# transformers
add(nn.TransformerEncoderLayer, {"d_model": 6}, on((4, 2, 6)), nhead=3, dim_feedforward=9)
add(
    nn.TransformerEncoderLayer,
    {"d_model": 6},
    lambda: ((torch.randn(2, 4, 6),), {"src_key_padding_mask": hidden_tail(2, 4)}),
    nhead=3,
    dim_feedforward=9,
    batch_first=True,
    norm_first=True,
    activation="gelu",
    variant="padded",
)
add(nn.TransformerEncoderLayer, {"d_model": 6}, on(src=(4, 6)), nhead=3, dim_feedforward=9, variant="unbatched")
add(nn.TransformerDecoderLayer, {"d_model": 6}, on((3, 2, 6), (4, 2, 6)), nhead=3, dim_feedforward=9)
add(
    nn.TransformerDecoderLayer,
    {"d_model": 6},
    on(memory=(2, 4, 6), tgt=(2, 3, 6), dtype=DOUBLE),
    nhead=3,
    dim_feedforward=9,
    batch_first=True,
    dtype=DOUBLE,
    variant="keyword",
)
small = {"nhead": 3, "num_encoder_layers": 1, "num_decoder_layers": 2, "dim_feedforward": 9}
add(nn.Transformer, {"d_model": 6}, on((4, 2, 6), (3, 2, 6)), **small)
add(nn.Transformer, {"d_model": 6}, on(tgt=(2, 3, 6), src=(2, 4, 6)), batch_first=True, variant="keyword", **small)
add(nn.Transformer, {"d_model": 6}, on((4, 6), (3, 6)), variant="unbatched", **small)

# losses with weights
add(
    nn.AdaptiveLogSoftmaxWithLoss,
    {"in_features": 6},
    lambda: ((torch.randn(5, 6), torch.tensor([0, 3, 8, 11, 17])), {}),
    n_classes=18,
    cutoffs=[4, 10],
    div_value=2.0,
)
add(
    nn.AdaptiveLogSoftmaxWithLoss,
    {"in_features": 6},
    lambda: ((), {"target_": torch.tensor(9), "input_": torch.randn(6)}),
    n_classes=18,
    cutoffs=[4],
    head_bias=True,
    variant="unbatched",
)


if hasattr(nn, "LinearCrossEntropyLoss"):
    add(
        nn.LinearCrossEntropyLoss,
        {"in_features": 6},
        lambda: ((torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])), {}),
        num_classes=3,
    )
    add(
        nn.LinearCrossEntropyLoss,
        {"in_features": 6, "num_classes": 3},
        lambda: ((torch.randn(5, 6), torch.rand(5, 3).softmax(1)), {}),
        bias=True,
        auto=False,
        variant="probabilities",
    )

CASES = table.cases
BOTH = [
    pytest.param(case, mode, id=f"{case}-{mode}-{at}")
    for at, case in enumerate(CASES)
    for mode in ("named", "auto")
    if mode == "named" or case.auto
]
