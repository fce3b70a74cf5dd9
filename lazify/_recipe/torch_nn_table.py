"""Table of the classes of torch.nn: which constructor parameters the input determines, and by which rules."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lazify._recipe.rules import Axis, Computed, Rule

__all__ = ["KNOWN", "inherits_constructor", "is_unmodified_torch_class", "table_row"]


@dataclass(frozen=True)
class Row:
    """Rules for one class: of the parameters dropped by default, and of those dropped only if `exclude` names them."""

    inferred: Mapping[str, Rule]
    named: Mapping[str, Rule] | None = None


def _channels_or_one(input: torch.Tensor) -> int:
    """Rule of `nn.PReLU`: the number of channels, 1 for input without channels."""
    return input.shape[1] if input.dim() > 1 else 1


def _row(named: Mapping[str, Rule] | None = None, **inferred: Rule) -> Row:
    """Row with the inferred parameters as keywords."""
    return Row(inferred, named)


_SECOND = Axis(1, of="input")
_LAST = Axis(-1, of="input")
_RNN = _row({"hidden_size": Axis(-1, of="hx")}, input_size=_LAST)

#: One row for each class; a subclass uses the row of its nearest base class. Channel dimensions count from the end
#: where torch accepts unbatched input, so that batched and unbatched input give the same value.
_ROWS: Mapping[str, Row] = {
    "Linear": _row(in_features=_LAST),
    "Bilinear": _row(in1_features=Axis(-1, of="input1"), in2_features=Axis(-1, of="input2")),
    "Conv1d": _row(in_channels=Axis(-2, of="input")),
    "Conv2d": _row(in_channels=Axis(-3, of="input")),
    "Conv3d": _row(in_channels=Axis(-4, of="input")),
    "ConvTranspose1d": _row(in_channels=Axis(-2, of="input")),
    "ConvTranspose2d": _row(in_channels=Axis(-3, of="input")),
    "ConvTranspose3d": _row(in_channels=Axis(-4, of="input")),
    "BatchNorm1d": _row(num_features=_SECOND),
    "BatchNorm2d": _row(num_features=_SECOND),
    "BatchNorm3d": _row(num_features=_SECOND),
    "SyncBatchNorm": _row(num_features=_SECOND),
    "InstanceNorm1d": _row(num_features=Axis(-2, of="input")),
    "InstanceNorm2d": _row(num_features=Axis(-3, of="input")),
    "InstanceNorm3d": _row(num_features=Axis(-4, of="input")),
    "GroupNorm": _row(num_channels=_SECOND),
    "LayerNorm": _row(normalized_shape=_LAST),
    "RMSNorm": _row(normalized_shape=Axis(-1, of="x")),
    "PReLU": _row(num_parameters=Computed(_channels_or_one, inspect.signature(_channels_or_one))),
    "RNN": _RNN,
    "LSTM": _RNN,
    "GRU": _RNN,
    "RNNCell": _RNN,
    "LSTMCell": _RNN,
    "GRUCell": _RNN,
    "MultiheadAttention": _row(
        {"kdim": Axis(-1, of="key"), "vdim": Axis(-1, of="value")}, embed_dim=Axis(-1, of="query")
    ),
    "TransformerEncoderLayer": _row(d_model=Axis(-1, of="src")),
    "TransformerDecoderLayer": _row(d_model=Axis(-1, of="tgt")),
    "Transformer": _row(d_model=Axis(-1, of="src")),
    "AdaptiveLogSoftmaxWithLoss": _row(in_features=Axis(-1, of="input_")),
    "LinearCrossEntropyLoss": _row({"num_classes": Axis(1, of="target")}, in_features=_LAST),
}

#: Rows by class, without the classes that the installed torch does not have.
KNOWN: Mapping[type[nn.Module], Row] = {getattr(nn, name): row for name, row in _ROWS.items() if hasattr(nn, name)}


def table_row(cls: type[nn.Module], forward: Iterable[str]) -> Row | None:
    """The row of `cls` or of its nearest base class in the table, or None.

    Some subclasses, for example torch's quantized ones, rename the arguments of `forward`. A rule for an argument that
    `forward` does not have is changed to look at the first input.

    >>> print(table_row(nn.Conv2d, ["input"]).inferred["in_channels"])
    axis(-3, of='input')
    """
    row = next((KNOWN[base] for base in cls.__mro__ if base in KNOWN), None)
    if row is None:
        return None
    names = set(forward)

    def fitted(rules: Mapping[str, Rule]) -> dict[str, Rule]:
        lost = {n for n, rule in rules.items() if isinstance(rule, Axis) and rule.of not in names}
        return {n: Axis(rule.dim) if n in lost and isinstance(rule, Axis) else rule for n, rule in rules.items()}

    return Row(fitted(row.inferred), fitted(row.named or {}))


def inherits_constructor(cls: type[nn.Module]) -> bool:
    """Whether `cls` has the constructor of a class in the table."""
    base: Any = next((base for base in cls.__mro__ if base in KNOWN), None)
    return base is not None and getattr(cls, "__init__") is base.__init__


def is_unmodified_torch_class(cls: type[nn.Module]) -> bool:
    """Whether `cls` inherits both constructor and `forward` unchanged from a class in the table."""
    base: Any = next((base for base in cls.__mro__ if base in KNOWN), None)
    return inherits_constructor(cls) and cls.forward is base.forward
