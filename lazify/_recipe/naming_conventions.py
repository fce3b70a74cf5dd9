"""Parameter names that suggest which constructor parameters the input determines, for classes outside torch.nn.

The rules found here are guesses; trial runs check them at the first call.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lazify._recipe.rules import Axis, Rule

__all__ = ["conventional", "guess_parameters"]

# ---------------------------------------------------------------------------------------------
# The names

#: Parameter names for a number of input channels: the size of dimension 1.
_INPUT_CHANNELS = re.compile(
    r"(n_|num_|nin_)?in(put)?_?(channels?|chans?|chns|chs?|c|planes|filters|maps|nc)(_[a-z]+)?"
    r"|num_input_features|c_?in|ch_?in|channels_in|planes_in|width_in|in_width|inp|inc|image_channels|img_channels"
)
#: Parameter names for a number of input features: the size of the last dimension.
_INPUT_FEATURES = re.compile(
    r"(n_|num_|hidden_)?in(put)?_?(features?|feats?|size|dims?|units|embed_dim|d)"
    r"|(n|num)_inputs?|n_?in|nfeat|(d|dim|size|features|feat)_in|idim|obs_dim|state_dim|query_dim|n_mels|n_mel_channels"
)
#: Parameter names for the shape of an input.
_INPUT_SHAPES = re.compile(r"(in|input|image|img|obs|observation)_shape|(image|img)_size|input_resolution")
#: Parameter names for a number of channels of the whole module. They mean the input if the parameter is required and no
#: other parameter has a name for input channels or input features.
WIDTH_CHANNELS = "num_features num_channels n_channels nchannels channels channel chan nc n_chan C c1 planes ch".split()
#: The same for features.
WIDTH_FEATURES = """
    embed_dim embed_size emb_size emb_dim dim dims n_dim n_dims d_model dmodel model_dim feat_dim feature_dim
    feature_size features n_features n_feats normalized_shape num_hiddens n_embd width node_dim
""".split()
#: The same, but only if the parameter is the first size in the signature.
WIDTH_IF_FIRST = "hidden_size hidden_dim hidden_channels hidden hidden_features feat filters embedding_dim".split()
#: Parameter names that are not sizes, although they may stand before the first size.
NOT_A_SIZE = re.compile(
    r"(n|num|number)_.*|.*heads?|depth|layers|spatial_dims|dimension|ndim|mode|kind|dropout|act.*|norm.*"
)

#: Parameter names for the size of a second input -> the arguments of `forward` that may be this input.
SECONDARY_INPUTS: Mapping[str, tuple[str, ...]] = {
    "edge_dim": ("edge_attr", "edge_feat", "edge_feats", "edge_features"),
    "context_input_size": ("context",),
    "cross_attention_dim": ("encoder_hidden_states", "context"),
    "q_dim": ("query", "q"),
    "k_dim": ("key", "k"),
    "v_dim": ("value", "v"),
    "m_dim": ("memory",),
}
#: Suffixes of parameter names `<argument>_<suffix>` for the size of an argument of `forward` -> the dimension
#: (`context_dim`, `cond_channels`).
_SUFFIXES = {"dim": -1, "size": -1, "features": -1, "feats": -1, "width": -1, "channels": 1, "chans": 1, "ch": 1}
#: Arguments of `forward` whose size is inferred from `<argument>_<suffix>`. For other arguments, the parameter may be a
#: choice of the user (`act_dim` beside the argument `act`).
SECONDARY_ARGUMENTS = "query q key k value v context ctx cond condition memory src tgt".split()


#: Annotations that may be those of a size, and annotations that cannot be. Any other may be an alias of an int.
_SIZES = re.compile(r"\bint\b|Int|Any|Size|Shape|_shape_t")
_NO_SIZES = re.compile(r"\b(bool|float|complex|str|bytes|Tensor|Module|Callable|type|Type|dtype|device|ndarray)\b")


# ---------------------------------------------------------------------------------------------
# Rules and parameters from names


def conventional(name: str, forward: Iterable[str]) -> Rule | None:
    """The rule that the name of a parameter suggests, or None. The argument `forward` lists the arguments of `forward`.

    >>> conventional("context_dim", ["x", "context"])
    axis(-1, of='context')
    >>> conventional("in_chans", ["x"]), conventional("dropout", ["x"])
    (axis(1), None)
    """
    arguments = list(forward)
    if (rule := _of_argument(name, arguments)) is not None:
        return rule
    if _INPUT_CHANNELS.fullmatch(name) or name in WIDTH_CHANNELS:
        return Axis(1)
    if _INPUT_FEATURES.fullmatch(name) or name in WIDTH_FEATURES or name in WIDTH_IF_FIRST:
        return Axis(-1)
    return None


def _of_argument(name: str, forward: list[str]) -> Rule | None:
    """The rule for a parameter whose name refers to one of the arguments of `forward`."""
    for argument in SECONDARY_INPUTS.get(name, ()):
        if argument in forward:
            return Axis(-1, of=argument)
    stem, _, suffix = name.rpartition("_")
    return Axis(_SUFFIXES[suffix], of=stem) if suffix in _SUFFIXES and stem in forward else None


def guess_parameters(signature: inspect.Signature, forward: Iterable[str]) -> list[str]:
    """Names of constructor parameters that the input determines, guessed from names, order, annotations and defaults.

    In doubt a parameter is not guessed: dropping one that the user must choose is worse than an error that asks for
    names.

    >>> def init(dim, num_heads=8, context_dim=None): ...
    >>> guess_parameters(inspect.signature(init), ["x", "context"])
    ['dim', 'context_dim']
    """
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [p for p in signature.parameters.values() if p.kind not in variadic and _may_be_size(p)]
    arguments = list(forward)
    found = {p.name for p in parameters if _is_side_input(p.name, arguments)}
    plain = [p for p in parameters if p.name not in found]
    main = _inputs(plain)
    if not any(p.default is p.empty for p in main) and (own := _own_size(plain)) is not None:
        main = [own]  # a required width says more than an optional input size
    found |= {p.name for p in main}
    found |= {p.name for p in plain if _INPUT_SHAPES.fullmatch(p.name)}
    return [name for name in signature.parameters if name in found]


def _is_side_input(name: str, forward: list[str]) -> bool:
    """Whether a parameter is the size of an argument of `forward` other than the first."""
    known = name in SECONDARY_INPUTS or name.rpartition("_")[0] in SECONDARY_ARGUMENTS
    return known and _of_argument(name, forward) is not None


def _inputs(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Parameters named as input channels or features: all required ones, or else the first one."""
    named = [p for p in parameters if _INPUT_CHANNELS.fullmatch(p.name) or _INPUT_FEATURES.fullmatch(p.name)]
    named = [p for p in named if not _is_sequence(p) or not _INPUT_FEATURES.fullmatch(p.name)]
    required = [p for p in named if p.default is p.empty]
    return required or named[:1]


def _own_size(parameters: list[inspect.Parameter]) -> inspect.Parameter | None:
    """The first required parameter named as a width of the whole module."""
    required = [p for p in parameters if p.default is p.empty and not _is_sequence(p)]
    for p in required:
        if p.name in WIDTH_CHANNELS or p.name in WIDTH_FEATURES:
            return p
    first = next((p for p in required if not NOT_A_SIZE.fullmatch(p.name)), None)
    return first if first is not None and first.name in WIDTH_IF_FIRST else None


def _annotation(p: inspect.Parameter) -> str:
    """Annotation as text; empty if there is none."""
    if p.annotation is p.empty:
        return ""
    return p.annotation if isinstance(p.annotation, str) else f"{getattr(p.annotation, '__name__', '')} {p.annotation}"


def _may_be_size(p: inspect.Parameter) -> bool:
    """Whether a parameter can be a size by its annotation, if it has one, and by its default."""
    default: Any = p.default
    if isinstance(default, (bool, float, str)) or (isinstance(default, int) and default <= 0):
        return False
    text = _annotation(p)
    return bool(_SIZES.search(text)) or not _NO_SIZES.search(text)


def _is_sequence(p: inspect.Parameter) -> bool:
    """Whether the annotation allows sequences only."""
    text = _annotation(p).lower()
    return any(word in text for word in ("tuple", "list", "sequence")) and "union" not in text and "|" not in text
