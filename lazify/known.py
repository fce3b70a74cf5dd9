"""What is known by name: the classes of torch.nn, and the parameter names that the field uses."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lazify.rules import Axis, Computed, Rule

__all__ = ["conventional", "guess_parameters", "is_torchs", "known"]


@dataclass(frozen=True)
class Row:
    """One class: the rules of what a bare `lazify` drops, and of what it drops only when named."""

    inferred: Mapping[str, Rule]
    named: Mapping[str, Rule] | None = None


def _channels_or_one(input: torch.Tensor) -> int:
    return input.shape[1] if input.dim() > 1 else 1


def _row(named: Mapping[str, Rule] | None = None, **inferred: Rule) -> Row:
    return Row(inferred, named)


_SECOND = Axis(1, of="input")
_LAST = Axis(-1, of="input")
_RNN = _row({"hidden_size": Axis(-1, of="hx")}, input_size=_LAST)

#: One row a class; a subclass uses its nearest base's row. Channel axes count from the end where torch
#: takes unbatched input, so that both forms give the same value.
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
    "MultiheadAttention": _row(embed_dim=Axis(-1, of="query"), kdim=Axis(-1, of="key"), vdim=Axis(-1, of="value")),
    "TransformerEncoderLayer": _row(d_model=Axis(-1, of="src")),
    "TransformerDecoderLayer": _row(d_model=Axis(-1, of="tgt")),
    "Transformer": _row(d_model=Axis(-1, of="src")),
    "AdaptiveLogSoftmaxWithLoss": _row(in_features=Axis(-1, of="input_")),
    "LinearCrossEntropyLoss": _row({"num_classes": Axis(1, of="target")}, in_features=_LAST),
}

#: By class; a name that the installed torch does not have is left out.
KNOWN: Mapping[type[nn.Module], Row] = {getattr(nn, name): row for name, row in _ROWS.items() if hasattr(nn, name)}


def known(cls: type[nn.Module], forward: Iterable[str]) -> Row | None:
    """The row of `cls` or of its nearest base in the table.

    A subclass may have renamed the arguments of `forward` (torch's own quantised ones do): a rule that
    names one it lacks then looks at the first input.

    >>> print(known(nn.Conv2d, ["input"]).inferred["in_channels"])
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


def is_torchs(cls: type[nn.Module]) -> bool:
    """Whether constructor and `forward` of `cls` are those that the table describes."""
    base: Any = next((base for base in cls.__mro__ if base in KNOWN), None)
    return base is not None and getattr(cls, "__init__") is base.__init__ and cls.forward is base.forward


# ---------------------------------------------------------------------------------------------
# Conventions: what parameter names mean in classes that nobody described.

#: Sizes that can only be an input's: dropped wherever they stand. Channels are dimension 1.
_INPUT_CHANNELS = """
    in_channels in_channel in_chans in_chan in_chns in_ch in_chs in_c in_planes inplanes in_filters in_maps
    input_channels input_channel input_nc num_input_features num_input_channels n_in_channels nin_channels
    c_in ch_in cin inp inc width_in in_width image_channels img_channels
""".split()
#: Features are the last dimension.
_INPUT_FEATURES = """
    in_features in_feature in_feats in_size in_dim in_dims in_units in_embed_dim input_size input_dim input_dims
    input_features input_width n_inputs num_inputs n_in nin nfeat d_in dim_in idim in_d num_in_feats node_dim
    obs_dim state_dim query_dim hidden_input_size n_mels n_mel_channels
""".split()
#: Names of a width that is also the input's, where no clearer name stands beside them and they are required.
_OWN_CHANNELS = "num_features num_channels n_channels nchannels channels channel chan nc n_chan planes ch".split()
_OWN_FEATURES = """
    embed_dim embed_size emb_size emb_dim dim dims n_dim n_dims d_model dmodel model_dim feat_dim feature_dim
    feature_size features n_features n_feats normalized_shape num_hiddens n_embd channels_last width
""".split()
#: ... and those that mean it only as the first parameter: elsewhere they are the user's to choose.
_OWN_FIRST = "hidden_size hidden_dim hidden hidden_features width feat filters".split()

#: Suffixes of `<argument>_<suffix>`: the size of that argument of `forward` (`context_dim`, `cond_channels`).
_SUFFIXES = {"dim": -1, "size": -1, "features": -1, "feats": -1, "width": -1, "channels": 1, "chans": 1, "ch": 1}

#: The arguments for which that holds in any class. Others (`act_dim` beside `act`) may be there to be chosen.
_SIDE_INPUTS = "query q key k value v context ctx cond condition memory src tgt".split()

_STRONG: Mapping[str, Rule] = {
    **{name: Axis(1) for name in _INPUT_CHANNELS},
    **{name: Axis(-1) for name in _INPUT_FEATURES},
}
_WEAK: Mapping[str, Rule] = {
    **{name: Axis(1) for name in _OWN_CHANNELS},
    **{name: Axis(-1) for name in _OWN_FEATURES},
}
_FIRST: Mapping[str, Rule] = {name: Axis(-1) for name in _OWN_FIRST}


def _of_argument(name: str, forward: Iterable[str]) -> Rule | None:
    stem, _, suffix = name.rpartition("_")
    return Axis(_SUFFIXES[suffix], of=stem) if suffix in _SUFFIXES and stem in set(forward) else None


def conventional(name: str, forward: Iterable[str]) -> Rule | None:
    """The rule that the name of a parameter suggests, for a `forward` with these arguments.

    >>> conventional("context_dim", ["x", "context"])
    axis(-1, of='context')
    >>> conventional("in_chans", ["x"]), conventional("dropout", ["x"])
    (axis(1), None)
    """
    return _of_argument(name, forward) or _STRONG.get(name) or _WEAK.get(name) or _FIRST.get(name)


def guess_parameters(signature: inspect.Signature, forward: Iterable[str]) -> list[str]:
    """Which parameters of a constructor the input determines, by their names, places and annotations.

    Rather none than one too many: a signature that lost an argument which the user must choose is worse
    than an error that asks for names.

    >>> def init(dim, num_heads=8, context_dim=None): ...
    >>> guess_parameters(inspect.signature(init), ["x", "context"])
    ['dim', 'context_dim']
    """
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [p for p in signature.parameters.values() if p.kind not in variadic and _may_be_size(p.annotation)]
    names = [p.name for p in parameters]
    arguments = [n for n in names if n.rpartition("_")[0] in _SIDE_INPUTS and _of_argument(n, forward)]
    strong = [n for n in names if n in _STRONG]
    if not strong and not (arguments and arguments[0] == names[0]):
        required = [p.name for p in parameters if p.default is p.empty]
        first = next(iter(required), None)
        weak = [n for n in required if n in _WEAK][:1] or [n for n in required if n in _FIRST and n == first]
        strong = weak
    return [n for n in names if n in strong or n in arguments]


def _may_be_size(annotation: Any) -> bool:
    """Whether an annotation leaves room for a size: most have none, some are text."""
    if annotation is inspect.Parameter.empty:
        return True
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return any(word in f"{text} {annotation}" for word in ("int", "Int", "Any", "Size", "Shape", "_shape_t"))
