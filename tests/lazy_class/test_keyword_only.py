"""`keyword_only=True`: what is left of the constructor takes keywords only, so that old call sites fail."""

import copy
import inspect
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from lazify import DefinitionError, explain, is_lazy, lazify


@lazify(exclude=["in_channels"], keyword_only=True)
class Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Inheriting(Block):
    pass


class Extending(Block):
    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, 8)


LazyLinear = lazify(nn.Linear, keyword_only=True)


@pytest.mark.parametrize("cls", [Block, Inheriting])
def test_an_old_call_site_fails_at_its_line(cls: Any) -> None:
    assert str(inspect.signature(cls)) == "(*, out_channels: int, stride: int = 1) -> None"
    with pytest.raises(TypeError, match=r"__init__\(\) takes 1 positional argument but 3 were given"):
        cls(3, 64)
    assert type(cls(in_channels=3, out_channels=64)) is cls
    block = cls(out_channels=4)
    assert block(torch.ones(1, 3, 8, 8)).shape == (1, 4, 6, 6)
    assert type(block) is cls


def test_a_subclass_sees_the_original_constructor() -> None:
    assert Extending(3).conv.out_channels == 8


def test_the_function_form() -> None:
    assert lazify(nn.Linear, keyword_only=True) is LazyLinear
    assert lazify(nn.Linear) is not LazyLinear
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        LazyLinear(4)
    layer = LazyLinear(out_features=4)
    assert layer(torch.ones(2, 3)).shape == (2, 4)


@pytest.mark.parametrize("make", [lambda: Block(out_channels=4), lambda: LazyLinear(out_features=4)])
def test_copies_are_of_the_same_lazy_class(make: Any) -> None:
    module = make()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert is_lazy(twin)
        assert type(twin) is type(module)


def test_positional_only_parameters_become_keywords() -> None:
    class Positional(nn.Module):
        def __init__(self, dim: int, out: int, /, *, bias: bool = True, **options: Any) -> None:
            super().__init__()
            self.linear = nn.Linear(dim, out, bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    lazy = lazify(Positional, exclude="dim", keyword_only=True)
    assert str(inspect.signature(lazy)) == "(*, out: int, bias: bool = True, **options: Any) -> None"
    assert lazy(out=3)(torch.ones(2, 5)).shape == (2, 3)


def test_arguments_that_have_no_name_are_refused() -> None:
    class Widths(nn.Module):
        def __init__(self, dim: int, *widths: int) -> None: ...

    with pytest.raises(DefinitionError, match=r"does not fit Widths: \*widths takes arguments by position"):
        lazify(Widths, exclude="dim", keyword_only=True)


def test_explain_shows_the_star() -> None:
    lines = str(explain(Block)).splitlines()
    assert [line.split() for line in lines if "*" in line] == [["*"]]
    assert lines.index(f"{'':41}  *") == [line.startswith("  out_channels") for line in lines].index(True) - 1
    assert explain(Block)._repr_html_().count(">*</code>") == 1
    assert "*" not in {p.name for p in explain(Block).parameters}
