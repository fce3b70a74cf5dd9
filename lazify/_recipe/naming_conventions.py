"""What the names of constructor parameters suggest, for classes outside torch.nn: which are sizes, and of what.

Names say where to look first; they decide nothing. Only a name that can mean nothing else takes a parameter out of the
signature, and every value that a name suggests is proved by trial runs at the first call.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lazify._recipe.rules import Axis, Rule
from lazify._recipe.signature_reading import VARIADIC

__all__ = ["Sizes", "any_size", "conventional", "means_input", "names_argument", "sizes_of"]

# ---------------------------------------------------------------------------------------------
# The names

#: Names that mean a number of input channels and nothing else: the size of dimension 1.
_INPUT_CHANNELS = re.compile(
    r"(n_|num_)?in(put|c)?\d?_?(channels?|chans?|chns|chs?|c|planes|filters|maps)|inplanes|in_?nc|num_input_features"
    r"|n?c_?in|ch_?in|channels_in|planes_in|nin_channels"
)
#: Names that mean a number of input features and nothing else: the size of the last dimension.
_INPUT_FEATURES = re.compile(
    r"(n_|num_)?in(put)?\d?_?(features?|feats?|dims?|units|embed_dim|d)"
    r"|(n|num)_inputs?|n_?in|(d|dim|features|feat|size)_in"
)
#: Other names for a number of channels: of the input, or of the whole module.
_CHANNELS = re.compile(
    r"num_features|(num_|n_|n)?channels?|chan|nc|n_chan|C|c1|planes|ch|inp|inc|(image|img)_channels|width_in|in_width"
)
#: Other names for a number of features: of the input, or of the whole module.
_FEATURES = re.compile(
    r"(embed|emb|n|d|model|feat|feature|node|obs|state|query|i)_?dims?|(embed|emb|feature)_size|dims?|d_?model|features"
    r"|n_(features|feats)|normalized_shape|(n_)?in(put)?_?size|num_hiddens|n_embd|width|nfeat|n_mels|n_mel_channels"
    r"|hidden_(features|size|dim|channels)|hidden|embedding_dim|feat|filters|.*_in(put)?_(features|size|dims?|channels)"
)
#: Words in the name of a size, of which None as the default says that it need not be given: `seq_len`, `dim_cond`.
_SIZE_WORDS = re.compile(r"(.*_)?(d|dims?|size|len|length|channels?|chans?|features?|feats?|width|height)(_.*)?")
#: Names of what the user chooses: outputs, classes, vocabularies, hidden widths.
_CHOSEN = re.compile(
    r"(.*_)?out(put)?s?(_?(c|chs?|chns|channels?|chans?|features?|feats?|dims?|size|planes|filters|maps|nc|d|units|neurons))?"
    r"|.*_out|c_?out|dim_?out|o_?dim"
    r"|.*class(es)?(_?(num|count|n))?|.*vocab.*|(n|num)_?(labels?|tags?|categories|targets?|tokens?)"
    r"|(n|num)_?(embeddings|actions?|units|neurons)|labels"
    r"|(.*_)?(hidden|inner|mlp|ffn?|feed_?forward|latent|bottleneck|code|proj|projection|head)s?"
    r"(_(c|ch|channels?|chans|features|feats|dims?|size|planes|width|units))?|dim_feedforward|n_?hid|num_hiddens|nhidden"
)
#: Names of what is no size of an input, although a whole number.
_NO_SIZE = re.compile(
    r".*heads?|(.*_)?depths?|.*layers?|.*blocks?|.*groups?|.*stages?|.*levels?|.*steps|.*experts?|.*convs?|.*iter(ation)?s"
    r"|spatial_dims|dimension|ndim|mode|kind|type|act.*|norm(?!alized_shape).*|drop.*|.*dropout|(.*_)?kernels?(_size)?|ks?|kernel.*"
    r"|strides?|padding|pad|dilations?|cardinality|.*ratio|.*factor|scale|.*rate|reduction|expansion|expand|p|eps"
    r"|momentum|window.*|patch.*|pool.*|order|rank|growth.*|multiplier|downsample|upsample|.*module|model|backbone"
    r"|.*encoder|.*decoder|.*layer|net|network|func|function|fn|loss|config|cfg|args|name|version"
)


def _is(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(name) is not None


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
SECONDARY_ARGUMENTS = "query q key k value v context ctx memory src tgt".split()

#: Annotations that may be those of a size, and annotations that cannot be. Any other may be an alias of an int.
_SIZES = re.compile(r"\bint\b|Int|Any|Size|Shape|_shape_t")
_NO_SIZES = re.compile(r"\b(bool|float|complex|str|bytes|Tensor|Module|Callable|type|Type|dtype|device|ndarray)\b")


# ---------------------------------------------------------------------------------------------
# Rules from names


def conventional(name: str, forward: Iterable[str]) -> Rule | None:
    """The rule that the name of a parameter suggests, or None. The argument `forward` lists the arguments of `forward`.

    >>> conventional("context_dim", ["x", "context"])
    axis(-1, of='context')
    >>> conventional("in_chans", ["x"]), conventional("dropout", ["x"])
    (axis(1), None)
    """
    if (rule := _of_argument(name, list(forward))) is not None:
        return rule
    if _is(_INPUT_CHANNELS, name) or _is(_CHANNELS, name):
        return Axis(1)
    if _is(_INPUT_FEATURES, name) or _is(_FEATURES, name):
        return Axis(-1)
    return None


def means_input(name: str) -> bool:
    """Whether a name means a number of input channels or features, and nothing else."""
    return _is(_INPUT_CHANNELS, name) or _is(_INPUT_FEATURES, name)


def names_argument(name: str, forward: Iterable[str]) -> bool:
    """Whether a parameter is named as the size of an argument of `forward`: `context_dim` where there is `context`."""
    return _of_argument(name, list(forward)) is not None


def _of_argument(name: str, forward: list[str]) -> Rule | None:
    """The rule for a parameter whose name refers to one of the arguments of `forward`."""
    for argument in SECONDARY_INPUTS.get(name, ()):
        if argument in forward:
            return Axis(-1, of=argument)
    stem, _, suffix = name.rpartition("_")
    return Axis(_SUFFIXES[suffix], of=stem) if suffix in _SUFFIXES and stem in forward else None


# ---------------------------------------------------------------------------------------------
# Which parameters may be inferred


@dataclass(frozen=True)
class Sizes:
    """The parameters of a constructor that a call may determine, of which nothing is named by the user.

    Attributes:
        dropped: those that leave the signature: their names mean the size of an input.
        optional: required ones that may be left out.
        defaulted: those with a default, which is taken unless the call refuses it.
    """

    dropped: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    defaulted: tuple[str, ...] = ()


def sizes_of(signature: inspect.Signature, forward: Iterable[str]) -> Sizes:
    """The sizes in a constructor, by names, annotations and defaults.

    In doubt a parameter is not dropped: one that the user must choose is worth more than a short signature.

    >>> def init(in_channels, width, num_heads, num_classes, channels=3): ...
    >>> sizes_of(inspect.signature(init), ["x"])
    Sizes(dropped=('in_channels',), optional=('width',), defaulted=('channels',))
    """
    arguments, parameters = list(forward), _possible_sizes(signature)
    sides = [p.name for p in parameters if _is_side_input(p.name, arguments)]
    inputs = [p for p in parameters if p.name not in sides and _is_input(p)]
    others = [p for p in _required(parameters) if not (p in inputs or _is(_CHOSEN, p.name) or _is(_NO_SIZE, p.name))]
    with_default = [p for p in inputs[:1] if p.default is not None or not others]  # `Block(dim, dim_in=None)`
    dropped = [*sides, *(p.name for p in _required(inputs) or with_default)]
    weak = [p for p in parameters if p.name not in dropped and not _is(_NO_SIZE, p.name)]
    optional = [p.name for p in _required(weak) if not _is(_CHOSEN, p.name)]
    if not optional and not _required([p for p in parameters if p.name in dropped]):
        optional = [p.name for p in _required(weak)[:1] if conventional(p.name, arguments)]  # `hidden_size`, alone
    defaulted = [p.name for p in weak if p.default is not p.empty and _may_be_refused(p, arguments)]
    if not dropped and not optional:
        defaulted = [name for name in defaulted if signature.parameters[name].default != 0]  # `dim=0`, an axis
    in_order = list(signature.parameters)
    return Sizes(tuple(sorted(dropped, key=in_order.index)), tuple(optional), tuple(defaulted))


def any_size(signature: inspect.Signature, forward: Iterable[str]) -> Sizes:
    """The same where the user says that whatever is left out is to be inferred: no name is asked."""
    named = sizes_of(signature, forward)
    optional = tuple(p.name for p in _required(_possible_sizes(signature)) if p.name not in named.dropped)
    return replace(named, optional=optional)


def _possible_sizes(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [p for p in signature.parameters.values() if p.kind not in VARIADIC and _may_be_size(p)]


def _required(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    return [p for p in parameters if p.default is p.empty]


def _is_side_input(name: str, forward: list[str]) -> bool:
    """Whether a parameter is the size of an argument of `forward` other than the first."""
    known = name in SECONDARY_INPUTS or name.rpartition("_")[0] in SECONDARY_ARGUMENTS
    return known and _of_argument(name, forward) is not None


def _is_input(p: inspect.Parameter) -> bool:
    """Whether a parameter is by its name a number of input channels or features, and nothing else."""
    return _is(_INPUT_CHANNELS, p.name) or (means_input(p.name) and not _is_sequence(p))


def _may_be_refused(p: inspect.Parameter, forward: list[str]) -> bool:
    """Whether a default is that of a size: a number, or None or 0 for a parameter with the name of a size."""
    if p.default is None or p.default == 0:
        is_named_so = p.default is None and _is(_SIZE_WORDS, p.name)
        return is_named_so or conventional(p.name, forward) is not None
    if isinstance(p.default, (tuple, list)):
        return bool(p.default) and all(type(each) is int for each in p.default)
    return type(p.default) is int and not (_is(_CHOSEN, p.name) and conventional(p.name, forward) is None)


def _annotation(p: inspect.Parameter) -> str:
    """Annotation as text; empty if there is none."""
    if p.annotation is p.empty:
        return ""
    return p.annotation if isinstance(p.annotation, str) else f"{getattr(p.annotation, '__name__', '')} {p.annotation}"


def _may_be_size(p: inspect.Parameter) -> bool:
    """Whether a parameter can be a size by its annotation, if it has one, and by its default."""
    default: Any = p.default
    if isinstance(default, (bool, float, str)) or (isinstance(default, int) and default < 0):
        return False
    text = _annotation(p)
    return bool(_SIZES.search(text)) or not _NO_SIZES.search(text)


def _is_sequence(p: inspect.Parameter) -> bool:
    """Whether the annotation allows sequences only."""
    text = _annotation(p).lower()
    return any(word in text for word in ("tuple", "list", "sequence")) and "union" not in text and "|" not in text
