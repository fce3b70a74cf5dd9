"""`suggest`: from one call to the line of code that lazifies a class."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lazify import DefinitionError, InferenceError, axis, lazify, suggest
from lazify.__main__ import main


class Classifier(nn.Module):
    def __init__(self, channels: int, flat: int, num_classes: int, mode: str = "plain") -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 4, 3), nn.Linear(flat, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).flatten(1))


class Fusion(nn.Module):
    def __init__(self, one: int, other: int, hidden: int) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(one, hidden), nn.Linear(other, hidden)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.one(a) + self.other(b)


def pasted(suggestion: Any, cls: type) -> Any:
    namespace: dict[str, Any] = {"lazify": lazify, "axis": axis, cls.__name__: cls}
    exec(suggestion.code, namespace)
    return namespace[f"Lazy{cls.__name__}"]


def test_what_the_call_determines_and_what_it_leaves_open() -> None:
    suggestion = suggest(Classifier, torch.randn(2, 3, 8, 8))
    assert suggestion.determined == {"channels": 3, "flat": 144}
    assert suggestion.open == ("num_classes",)
    assert suggestion.code == "LazyClassifier = lazify(Classifier, exclude=['channels', 'flat'])"
    assert str(suggestion).splitlines()[2] == "num_classes = ?    open: give it"
    module = pasted(suggestion, Classifier)(num_classes=10)
    assert module(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_rules_for_several_inputs() -> None:
    suggestion = suggest(functools.partial(Fusion, hidden=6), torch.Size([2, 5]), b=torch.randn(2, 7))
    assert suggestion.determined == {"one": 5, "other": 7}
    assert suggestion.code == "LazyFusion = lazify(Fusion, exclude={'one': axis(1, of='a'), 'other': axis(1, of='b')})"
    assert pasted(suggestion, Fusion)(6)(torch.randn(2, 4), torch.randn(2, 3)).shape == (2, 6)


def test_nothing_is_determined() -> None:
    suggestion = suggest(nn.Embedding, torch.tensor([[1, 2]]))
    assert (suggestion.determined, suggestion.open) == ({}, ("num_embeddings", "embedding_dim"))
    assert suggestion.code == "# the call determines no parameter of Embedding"


def test_of_a_lazy_class() -> None:
    assert suggest(lazify(nn.Linear), torch.randn(2, 5)).determined == {"in_features": 5}


def test_mistakes() -> None:
    class Moded(nn.Module):
        def __init__(self, width: int, mode: str) -> None:
            super().__init__()

    with pytest.raises(DefinitionError, match="suggest needs a value for 'mode' of Moded"):
        suggest(Moded, torch.randn(2, 3))
    with pytest.raises(DefinitionError, match=r"suggest takes an nn\.Module class, got 3"):
        suggest(3)
    with pytest.raises(InferenceError, match="no value of"):
        suggest(functools.partial(nn.Conv2d, out_channels=2, kernel_size=9), torch.randn(1, 3, 4, 4))


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suggest", "torch.nn.Linear", "--input", "2x5"]) == 0
    text = capsys.readouterr().out
    assert "in_features  = 5  determined: the call fails with 10" in text
    assert text.endswith("LazyLinear = lazify(Linear, exclude={'in_features': axis(-1, of='input')})\n")
    for arguments, words in (
        (["suggest", "torch.nn", "--input", "2x5"], "'torch.nn' is a module: name a class in it"),
        (["suggest", "torch.nn.Linear"], "the following arguments are required: --input"),
        (["suggest", "torch.nn.Linear", "--input", "2,5"], "--input takes sizes as in 2x3x32x32"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert words in capsys.readouterr().err


def test_a_tuple_of_sizes_is_a_shape() -> None:
    assert suggest(functools.partial(nn.Linear, out_features=3), (2, 5)).determined == {"in_features": 5}


def test_arguments_that_forward_does_not_take() -> None:
    with pytest.raises(TypeError, match=r"Linear\.forward\(\) missing 1 required positional argument: 'input'"):
        suggest(nn.Linear)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out_features'") as caught:
        suggest(nn.Linear, torch.ones(2, 5), out_features=3)
    assert "suggest(functools.partial(Linear, out_features=3), ...)" in str(caught.value)
