"""`explain` and `lazy_modules`: what is inferred and from what, and code that needs no laziness."""

from __future__ import annotations

import gc
import re
import weakref
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from torch import nn

from helpers.modules import LazyConv2d, LazyLinear, LazyOdd
from lazify import DefinitionError, axis, explain, lazify, lazy_modules, materialize

LazyExpand = lazify(
    nn.Conv2d,
    exclude={"in_channels": axis(1), "out_channels": lambda in_channels, ratio=2: in_channels * ratio},
)


class Block(nn.Module):
    def __init__(self, dim: int, *widths: int, act: Any = nn.ReLU, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, widths[0]), act(), nn.Linear(*widths))
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


LazyBlock = lazify(Block, exclude=["dim"])


def model() -> nn.Sequential:
    return nn.Sequential(LazyConv2d(4, 3, padding=(1, 1)), nn.Flatten(), LazyOdd(), LazyBlock(5, 6), LazyLinear(2))


def test_a_class() -> None:
    explanation = explain(LazyExpand)
    assert explanation.name == "LazyConv2d"
    assert explanation.wrapped is nn.Conv2d
    assert [p.name for p in explanation.parameters if p.rule] == ["in_channels", "out_channels"]
    assert [p.name for p in explanation.parameters if not p.original] == ["ratio"]
    assert "out_channels" not in explanation.lazified.parameters
    text = str(explanation)
    assert max(map(len, text.splitlines())) <= 80
    assert "  in_channels: int                         -- axis(1)" in text.splitlines()
    assert any(line.split() == ["ratio=2"] for line in text.splitlines())


def test_a_model_before_and_after() -> None:
    network = model()
    assert list(lazy_modules(network)) == ["0", "2", "3", "4"]
    assert lazy_modules(network)["4"] is network[4]
    before = explain(network)
    assert all(module.lazy and not module.values for module in before.modules)
    network(torch.ones(2, 3, 4, 4))
    assert lazy_modules(network) == {}
    explanation = explain(network)
    assert str(explanation).splitlines() == [
        "0: Conv2d",
        "  in_channels = 3  axis(-3, of='input')  input: (2, 3, 4, 4)",
        "2: Odd",
        "  zz = 64  the call itself  dimension 1 of x: (2, 64); the call fails with 128",
        "3: Block",
        "  dim = 3  axis(-1)  dimension 1 of x: (2, 3); the call fails with 6",
        "4: Linear",
        "  in_features = 6  axis(-1, of='input')  input: (2, 6)",
    ]
    assert [(m.path, m.values) for m in explanation.modules] == [
        ("0", {"in_channels": 3}),
        ("2", {"zz": 64}),
        ("3", {"dim": 3}),
        ("4", {"in_features": 6}),
    ]
    assert not any("lazify" in name for module in network.modules() for name in vars(module))


def test_materialized_and_loaded() -> None:
    network = materialize(model(), torch.Size((2, 3, 4, 4)))
    assert "  in_channels = 3  axis(-3, of='input')  input: (2, 3, 4, 4)" in str(explain(network)).splitlines()
    layer = LazyLinear(3)
    layer.load_state_dict(nn.Linear(5, 3).state_dict())
    assert "  in_features = 5  axis(-1, of='input')  weight: (3, 5)" in str(explain(layer)).splitlines()


def test_the_code_builds_the_same_modules() -> None:
    network = model()
    network.append(LazyExpand(kernel_size=1, ratio=3))
    network.append(LazyBlock(2, 2, norm=nn.LayerNorm(3)))
    network.append(LazyLinear(9))
    network[:5](torch.ones(2, 3, 4, 4))
    network[5](torch.ones(2, 3, 4, 4))
    network[6](torch.ones(2, 3))
    code = explain(network).code()
    assert "'0': nn.Conv2d(in_channels=3, out_channels=4, kernel_size=3, padding=(1, 1))," in code
    assert "# '6': Block(...) was given <LayerNorm>" in code
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert list(scope["modules"]) == ["0", "2", "3", "4", "5"]
    for path, module in scope["modules"].items():
        mine = network.get_submodule(path)
        assert type(module) is type(mine)
        assert {n: t.shape for n, t in module.state_dict().items()} == {
            n: t.shape for n, t in mine.state_dict().items()
        }


class _Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class Sharp(nn.Module):
    def __init__(self, in_features: int, tag: str = "<b>&") -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def test_html() -> None:
    lazy_class = lazify(Sharp)
    network = nn.Sequential(lazy_class(), LazyLinear(2))
    network[0](torch.ones(2, 5))
    for shown in (explain(lazy_class)._repr_html_(), explain(network)._repr_html_()):
        parser = _Balanced()
        parser.feed(shown)
        assert parser.open == []
        assert "<b>" not in shown
        assert "<script" not in shown
    assert re.search("<del><code[^>]*>in_features: int</code></del>", explain(lazy_class)._repr_html_())
    assert "&lt;b&gt;&amp;" in explain(lazy_class)._repr_html_()
    assert "in_features=?" in LazyLinear(3)._repr_html_()
    assert "axis(-1, of=&#x27;input&#x27;)" in LazyLinear(3)._repr_html_()
    assert re.search("given: <code[^>]*>3</code>", LazyLinear(3)._repr_html_())
    assert re.search("<del><code[^>]*>in_features: int</code></del>", LazyLinear(3)._repr_html_())
    assert not hasattr(network[0], "_repr_html_")


def test_nothing_is_kept_alive() -> None:
    class Holder:
        pass

    class Holding(nn.Module):
        def __init__(self, in_features: int, holder: Any = None) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 2)
            holder.module = self

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    lazy_class, holder = lazify(Holding), Holder()
    module = lazy_class(holder=holder)
    module(torch.ones(2, 5))
    gone = weakref.ref(module), weakref.ref(holder)
    explanation = explain(module).modules[0].values
    assert explanation == {"in_features": 5}
    del module, holder
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_a_class_whose_instances_have_no_hash() -> None:
    class Comparing(nn.Module):
        __hash__ = None  # type: ignore[assignment]

        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(in_features))

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Comparing)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    module = lazify(Comparing)()
    module(torch.ones(2, 5))
    assert explain(module).modules[0].values == {"in_features": 5}


def test_what_was_rolled_back_is_not_recorded() -> None:
    layer = LazyLinear(3)
    handle = layer.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        layer(torch.ones(2, 5))
    assert explain(layer).modules[0].lazy
    handle.remove()


@pytest.mark.parametrize("wrong", [nn.Linear, 3, "LazyLinear"])
def test_what_cannot_be_explained(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match="explain takes a lazy class or a module"):
        explain(wrong)
    assert str(explain(nn.Linear(2, 3))) == "no module of this model is or was lazy"
