"""What torch promises of its lazy classes holds for both: the class and its constructor."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn
from torch.nn.modules.lazy import LazyModuleMixin

from helpers.promises import BY_NAME, KINDS, WEIGHTED, Kind, both
from lazify import nn as lazifys

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
    # the old weight_norm, in its own words
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning"),
]

torchs = torch.nn


# ---------------------------------------------------------------------------------------------
# The thirteen


def test_the_thirteen_are_all_that_torch_has() -> None:
    lazies = {n for n, cls in vars(torch.nn).items() if isinstance(cls, type) and issubclass(cls, LazyModuleMixin)}
    assert lazies == set(BY_NAME)


# ---------------------------------------------------------------------------------------------
# The class


@both()
def test_the_lazy_class_is_known_as_one(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert isinstance(module, kind.lazy_class(ns))
    assert isinstance(module, LazyModuleMixin)
    assert module.cls_to_become is kind.lazy_class(ns).cls_to_become is kind.eager_class
    assert type(module).__name__ == module._get_name() == kind.name
    assert module.training
    assert list(module.children()) == []
    assert module.__constants__ == kind.eager_class.__constants__


@both(WEIGHTED)
def test_it_is_an_instance_of_the_eager_class(kind: Kind, ns: ModuleType) -> None:
    assert issubclass(kind.lazy_class(ns), kind.eager_class)
    assert isinstance(kind.lazy(ns), kind.eager_class)


def _shown(cls: type, *, defaults: bool = True) -> list[tuple[Any, ...]]:
    return [(p.name, p.kind, p.default if defaults else ...) for p in inspect.signature(cls).parameters.values()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_constructor_has_torchs_parameters_in_torchs_order(kind: Kind) -> None:
    """lazify's may have more, as the eager class may: keyword-only ones."""
    theirs, ours = (_shown(kind.lazy_class(ns), defaults=False) for ns in (torchs, lazifys))
    assert ours[: len(theirs)] == theirs
    assert all(keyword is inspect.Parameter.KEYWORD_ONLY for _, keyword, _ in ours[len(theirs) :])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "InstanceNorm" not in kind.name], ids=str)
def test_the_constructor_has_torchs_defaults(kind: Kind) -> None:
    theirs, ours = (_shown(kind.lazy_class(ns)) for ns in (torchs, lazifys))
    assert ours[: len(theirs)] == theirs


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_annotations_follow_the_eager_class(kind: Kind) -> None:
    shown = inspect.signature(kind.lazy_class(lazifys)).parameters
    eager = inspect.signature(kind.eager_class).parameters
    assert {**shown, kind.size: eager[kind.size]} == dict(eager)


@both()
def test_arguments_may_go_by_position_or_by_name(kind: Kind, ns: ModuleType) -> None:
    parameters = list(inspect.signature(kind.lazy_class(torchs)).parameters.values())
    parameters = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    bound = inspect.signature(kind.lazy_class(torchs)).bind(*kind.args, **kind.options)
    bound.apply_defaults()
    values = [bound.arguments[p.name] for p in parameters]
    for module in (
        kind.lazy_class(ns)(*values),
        kind.lazy_class(ns)(**{p.name: value for p, value in zip(parameters, values, strict=True)}),
    ):
        assert {name: getattr(module, name) for name in kind.facts} == kind.facts
        module(kind.input())
        assert repr(module) == repr(kind.eager())


@both()
def test_a_wrong_construction_fails_at_its_line(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'channels'"):
        kind.lazy(ns, channels=3)
    with pytest.raises(TypeError):
        kind.lazy_class(ns)(*range(40))
    if not kind.is_norm:
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            kind.lazy_class(ns)(*kind.args[:-1])
