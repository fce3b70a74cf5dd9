"""What a lazy instance answers before its first call."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.first_call import X, assert_fix_is_code
from helpers.modules import Block
from helpers.pairs import in_form
from lazify import LazifyError, NotMaterializedError, is_lazy, lazify

ASKED: dict[str, Callable[[nn.Module], Any]] = {
    "method": lambda m: m.linear.extra_repr(),
    "child": lambda m: m.linear.in_features,
    "attribute": lambda m: m.no_such_name,
    "deletion": lambda m: delattr(m, "no_such_name"),
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_only_the_real_module_can_say(asked: str) -> None:
    module = lazify(Block)(3)
    with pytest.raises(NotMaterializedError) as caught:
        ASKED[asked](module)
    assert isinstance(caught.value, LazifyError)
    assert isinstance(caught.value, AttributeError)
    assert isinstance(caught.value, RuntimeError)
    message = str(caught.value)
    assert "waits for its first call" in message
    assert "in_features" in message
    assert is_lazy(module)
    module(X)


def test_nothing_follows_the_code_that_fixes_it() -> None:
    with pytest.raises(NotMaterializedError) as caught:
        lazify(Block)(3).parameter()  # Python would ask: did you mean 'parameters'?
    shown = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert shown.endswith(f"{caught.value}\n")


def test_the_words_of_not_materialized() -> None:
    with pytest.raises(NotMaterializedError) as caught:
        _ = lazify(nn.Linear)(3).in_features
    text = str(caught.value)
    assert text.splitlines()[:4] == [
        "attribute 'in_features' is not known yet: this LazyLinear waits for its first call",
        "  to be inferred: in_features",
        "Fix:",
        "  module(input)  # once, or materialize(module, input)",
    ]
    assert "in_features=..." in text
    assert_fix_is_code(text)


class Chain(nn.Sequential):
    def __init__(self, in_features: int) -> None:
        super().__init__(nn.Linear(in_features, 3))


class Rows(nn.ModuleList):
    def __init__(self, in_features: int) -> None:
        super().__init__([nn.Linear(in_features, 3)])

    def forward(self, x: Tensor) -> Tensor:
        return self[0](x)


class Table(nn.ModuleDict):
    def __init__(self, in_features: int) -> None:
        super().__init__({"a": nn.Linear(in_features, 3)})

    def forward(self, x: Tensor) -> Tensor:
        return self["a"](x)


@pytest.mark.parametrize("cls", [Chain, Rows, Table])
def test_containers_do_not_know_their_content(form: str, cls: type[nn.Module]) -> None:
    module = in_form(form, cls)[0]()
    assert bool(module) is True
    for ask in (len, iter, list, lambda m: m[0], lambda m: 0 in m):
        with pytest.raises(NotMaterializedError, match="waits for its first call"):
            ask(module)
    module(X)
    assert len(module) == 1


def test_hasattr_getattr_and_dir_work(form: str) -> None:
    module = in_form(form, Block)[0]()
    assert not hasattr(module, "counted")
    assert getattr(module, "counted", "default") == "default"
    module.note = "text"
    assert {"forward", "eval", "note", "training", "linear", "width"} <= set(dir(module))
    assert hasattr(module, "forward")
    assert hasattr(module, "training")
    assert hasattr(module, "note")
    module(X)
    assert hasattr(module, "linear")


def test_repr(form: str) -> None:
    lazy_cls, cls = in_form(form, Block)
    name = f"Lazy{cls.__name__}"
    assert repr(lazy_cls()) == f"{name}(in_features=?)"
    assert repr(lazy_cls(7)) == f"{name}(in_features=?, out_features=7)"
    assert f"(0): {name}(in_features=?)" in repr(nn.Sequential(lazy_cls()))


def test_repr_of_a_lazy_instance() -> None:
    assert repr(lazify(nn.Conv2d)(64, kernel_size=3)) == "LazyConv2d(in_channels=?, out_channels=64, kernel_size=3)"


def test_is_lazy_before_and_after(form: str) -> None:
    lazy_cls, cls = in_form(form, Block)
    module = lazy_cls()
    assert is_lazy(module)
    assert not is_lazy(nn.Sequential(module))
    module(X)
    assert not is_lazy(module)
    assert not is_lazy(cls(in_features=3))


def test_parents_walk_past_lazies() -> None:
    model = nn.Sequential(lazify(nn.Linear)(3), nn.ReLU())
    assert len(list(model.modules())) == 3
    assert [name for name, _ in model.named_modules()] == ["", "0", "1"]
    assert [name for name, _ in model.named_children()] == ["0", "1"]
    assert model.train().eval() is model
    assert model.double() is model
    assert model(X.double()).dtype == torch.float64
    assert not any(m.training for m in model.modules())
