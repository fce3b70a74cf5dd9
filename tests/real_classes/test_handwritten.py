"""Classes as people write them in their own projects: named and unnamed, each becomes its eager twin."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from helpers.handwritten_constructors import (
    AnyDepth,
    Backed,
    ByKeywordOnly,
    ByPositionOnly,
    Captures,
    Configured,
    ConvUnit,
    Delegates,
    Encoder,
    Fields,
    FilterBank,
    Finished,
    Heads,
    Initialised,
    KeepsLocals,
    NormAct,
    Numbered,
    NumberedConvUnit,
    Picky,
    Remembers,
    ScaledConvUnit,
    Seeded,
    Shortcut,
    SizeComesLast,
    Stem,
    Swaps,
    TwoLayers,
    Typed,
    ZeroMeanConv,
)
from helpers.handwritten_forwards import (
    Adversary,
    ByKeyword,
    Constrained,
    ConvCell,
    CrossAttention,
    Experts,
    GatedFeedForward,
    Graph,
    GraphLayer,
    LowRank,
    Modulated,
    NothingFirst,
    Observes,
    OfDict,
    OfGraph,
    OfSample,
    Patches,
    PreNormBlock,
    Repeats,
    Sample,
    Saves,
    SelfAttention,
    Separable,
    Spectral,
    SqueezeExcite,
    Standardize,
    Summary,
    Tagger,
    Teacher,
    TiedHead,
    Tokens,
    Values,
)
from helpers.pairs import assert_same
from helpers.twins import assert_twins
from lazify import is_lazy, lazify

Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    cls: type[nn.Module]
    inferred: dict[str, Any]
    given: Callable[[], dict[str, Any]]
    call: Callable[[], Call]
    auto: bool = True
    by_position: tuple[str, ...] = ()

    def eager(self) -> nn.Module:
        given = {**self.inferred, **self.given()}
        return self.cls(*[given.pop(name) for name in self.by_position], **given)


CASES: list[Case] = []


def case(
    cls: type[nn.Module], inferred: dict[str, Any], *args: Any, call: dict[str, Any] | None = None, **more: Any
) -> None:
    """Tuples among the call's arguments stand for random tensors of that shape, functions for what they return."""
    auto, by_position = more.pop("auto", True), more.pop("by_position", ())

    def argument(value: Any) -> Any:
        if callable(value):
            return value()
        return torch.randn(value) if isinstance(value, tuple) else value

    def make() -> Call:
        return tuple(argument(each) for each in args), {n: argument(each) for n, each in (call or {}).items()}

    def given() -> dict[str, Any]:
        return {name: value() if name == "backbone" else deepcopy(value) for name, value in more.items()}

    CASES.append(Case(cls, inferred, given, make, auto, by_position))


VECTOR, TOKENS, SIGNAL, IMAGE = (4, 6), (2, 5, 6), (2, 6, 8), (2, 6, 8, 10)
MASK = torch.arange(10).reshape(2, 5) % 3 == 0

case(TwoLayers, {"in_features": 6}, VECTOR)
case(TwoLayers, {"in_features": 6}, call={"x": VECTOR}, hidden=5)
case(ConvUnit, {"in_channels": 6}, IMAGE, out_channels=4)
case(ConvUnit, {"in_channels": 6}, IMAGE, out_channels=4, norm=None, kernel_size=1)
case(Shortcut, {"in_planes": 6}, IMAGE, planes=4, stride=2)
case(Shortcut, {"in_planes": 6}, IMAGE, planes=6)
case(SizeComesLast, {"input_dim": 6}, VECTOR, n_out=3, p=0.5)
case(ByKeywordOnly, {"in_dim": 6}, VECTOR)
case(ByPositionOnly, {"in_features": 6}, VECTOR, depth=3, by_position=("in_features",))
case(AnyDepth, {"d_in": 6}, VECTOR, d_out=4)
case(ScaledConvUnit, {"in_channels": 6}, IMAGE, out_channels=4)
case(NumberedConvUnit, {"in_channels": 6}, call={"x": IMAGE}, out_channels=4)
case(Configured, {"in_features": 6}, VECTOR, auto=False)
case(Configured, {"in_features": 6}, VECTOR, auto=False, out_features=5, bias=False)
case(Stem, {"in_chans": 6}, IMAGE)
case(Heads, {"in_features": 6}, VECTOR, sizes={"a": 2, "b": 3})
case(ZeroMeanConv, {"in_channels": 6}, IMAGE, out_channels=4, kernel_size=3)
case(NormAct, {"num_features": 6}, IMAGE, eps=1e-3)
case(Fields, {"in_features": 6}, VECTOR)
case(Typed, {"feat_dim": 6}, VECTOR)
case(Encoder, {"input_size": 6}, VECTOR)
case(Finished, {"in_features": 6}, VECTOR)
case(Remembers, {"in_units": 6}, VECTOR)
case(KeepsLocals, {"n_features": 6}, VECTOR)
case(Picky, {"in_channels": 6}, SIGNAL)
case(Backed, {"in_features": 6}, VECTOR, backbone=lambda: nn.Sequential(nn.PReLU(), nn.BatchNorm1d(5)))
case(Initialised, {"in_features": 6}, VECTOR)
case(FilterBank, {"n_mels": 6}, TOKENS)
case(Seeded, {"in_features": 6}, VECTOR)
case(Numbered, {"in_features": 6}, VECTOR)
case(Swaps, {"in_features": 6}, VECTOR)
case(Swaps, {"in_features": 3}, (4, 3))
case(Delegates, {"c_in": 6}, SIGNAL)
case(Captures, {"in_channels": 6}, IMAGE)
case(Observes, {"obs_dim": 6}, VECTOR)
case(Observes, {"obs_dim": 3}, lambda: [[0.5, 1.0, -1.0], [2.0, 0.0, 1.0]])
case(Values, {"obs_dim": 6}, VECTOR, (4, 2), act_dim=2)
case(CrossAttention, {"query_dim": 6, "context_dim": 9}, TOKENS, (2, 7, 9))
case(CrossAttention, {"query_dim": 6, "context_dim": 9}, TOKENS, call={"context": (2, 7, 9)}, heads=3)
case(SelfAttention, {"embed_dim": 6}, TOKENS)
case(PreNormBlock, {"d_model": 6}, TOKENS)
case(GatedFeedForward, {"dim": 6}, TOKENS)
case(Patches, {"in_chans": 6}, call={"image": IMAGE})
case(SqueezeExcite, {"in_channels": 6}, IMAGE)
case(Separable, {"in_ch": 6}, IMAGE, out_ch=4)
case(ConvCell, {"input_channels": 6}, IMAGE)
case(ConvCell, {"input_channels": 6}, IMAGE, (2, 4, 8, 10))
case(Summary, {"input_size": 6}, TOKENS)
case(Tagger, {"emb_dim": 6}, TOKENS, lambda: torch.tensor([3, 5]))
case(Modulated, {"num_features": 6, "cond_dim": 7}, IMAGE, (2, 7))
case(Modulated, {"num_features": 6, "cond_dim": 7}, call={"cond": (2, 7), "x": IMAGE})
case(GraphLayer, {"in_feats": 6}, (5, 6), lambda: torch.eye(5))
case(Experts, {"dim": 6}, TOKENS)
case(OfSample, {"in_channels": 6}, lambda: Sample(torch.tensor([1, 3]), torch.randn(SIGNAL), {"scale": 0.5}))
case(OfGraph, {"in_features": 6}, lambda: Graph(torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.randn(3, 6)))
case(OfDict, {"in_channels": 6}, lambda: {"label": torch.tensor([0, 1]), "image": torch.randn(IMAGE)})
case(ByKeyword, {"query_dim": 6, "memory_dim": 7}, call={"memory": (2, 3, 7), "query": TOKENS})
case(NothingFirst, {"hidden_size": 6}, None, TOKENS)
case(NothingFirst, {"hidden_size": 6}, MASK, call={"hidden_states": TOKENS})
case(Tokens, {"dim": 6}, (2, 12, 6), 3, 4)
case(Tokens, {"dim": 6}, call={"width": 4, "height": 3, "x": (2, 12, 6)})
case(Standardize, {"n_features": 6}, VECTOR)
case(LowRank, {"in_features": 6}, VECTOR, out_features=4)
case(Constrained, {"in_features": 6}, VECTOR)
case(Saves, {"dim": 6}, TOKENS)
case(Teacher, {"embed_dim": 6}, VECTOR)
case(Adversary, {"in_features": 6}, VECTOR, 0.5)
case(TiedHead, {"d_model": 6}, TOKENS)
case(Spectral, {"in_channels": 6}, SIGNAL)
case(Repeats, {"channels": 6}, SIGNAL)

BOTH = [
    pytest.param(each, mode, id=f"{each.cls.__name__}-{mode}-{at}")
    for at, each in enumerate(CASES)
    for mode in ("named", "auto")
    if mode == "named" or each.auto
]


def lazy_class(case: Case, mode: str) -> type[nn.Module]:
    return lazify(case.cls) if mode == "auto" else lazify(case.cls, exclude=list(case.inferred))


def inputs(case: Case) -> Call:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return case.call()


@pytest.mark.parametrize(("case", "mode"), BOTH)
def test_becomes_the_eager_module(case: Case, mode: str) -> None:
    """In training mode: dropout and statistics too."""
    args, kwargs = inputs(case)
    torch.manual_seed(1)
    twin = case.eager()
    expected = twin(*args, **kwargs)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    module = lazy_class(case, mode)(**case.given())
    assert is_lazy(module)
    found = module(*args, **kwargs)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(module) is case.cls
    assert_same(found, expected)
    assert_twins(module, twin)
    for each in (module, twin):
        each.eval()
    assert_same(module(*args, **kwargs), twin(*args, **kwargs))
    other = case.eager()
    other.load_state_dict(module.state_dict())
    module.load_state_dict(other.state_dict())


@pytest.mark.parametrize(("case", "mode"), BOTH)
def test_the_signature_lost_what_is_inferred_and_no_more(case: Case, mode: str) -> None:
    shown = inspect.signature(lazy_class(case, mode)).parameters
    left = {name for name in shown if name in case.inferred}
    assert not left if mode == "named" else all(shown[name].default is not inspect.Parameter.empty for name in left)
    if not any(p.kind is p.VAR_KEYWORD for p in shown.values()):
        assert set(case.given()) <= set(shown)
    original = inspect.signature(case.cls.__init__).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in original.values()):
        dropped = case.inferred.keys() - left
        assert [*shown] == [name for name in original if name != "self" and name not in dropped]


@pytest.mark.parametrize("case", [each for each in CASES if each.auto], ids=lambda each: each.cls.__name__)
def test_copies_become_it_too(case: Case) -> None:
    args, kwargs = inputs(case)
    module = lazify(case.cls)(**case.given()).eval()
    twin = deepcopy(module)
    assert is_lazy(twin)
    outputs = []
    for each in (module, twin):
        torch.manual_seed(1)
        outputs.append(each(*args, **kwargs))
    if case.given().get("backbone") is None:  # which was drawn before
        assert_same(*outputs)
        assert_twins(module, twin)


@pytest.mark.parametrize("case", CASES, ids=lambda each: each.cls.__name__)
def test_the_decorated_form_becomes_it_too(case: Case) -> None:
    @lazify(exclude=list(case.inferred))
    class Decorated(case.cls):  # type: ignore[name-defined, misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    args, kwargs = inputs(case)
    torch.manual_seed(1)
    expected = case.eager().eval()
    torch.manual_seed(1)
    module = Decorated(**case.given()).eval()
    module(*args, **kwargs)
    assert type(module) is Decorated
    assert list(module.state_dict()) == list(expected.state_dict())
    for name, value in expected.named_parameters():
        assert torch.equal(dict(module.named_parameters())[name], value)
