"""Rules: how they are filled, how they depend on each other, and values that are given instead."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers.modules import Recording, plain_head
from helpers.pairs import in_form
from lazify import axis, is_lazy, lazify

X = torch.zeros(2, 5)

Y = torch.zeros(2, 7)


# ---------------------------------------------------------------------------------------------
# Everything, or a part, given by keyword


def test_all_given_is_the_real_module_at_once(form: str) -> None:
    lazy_cls, cls = in_form(form, plain_head())
    torch.manual_seed(1)
    module = lazy_cls(7, in_features=5, bias=False)
    assert type(module) is cls
    assert not is_lazy(module)
    torch.manual_seed(1)
    assert torch.equal(module.linear.weight, plain_head()(5, 7, bias=False).linear.weight)


def test_some_given_leaves_the_rest() -> None:
    module = lazify(nn.Bilinear)(in1_features=5, out_features=3)
    assert repr(module) == "LazyBilinear(in1_features=5, in2_features=?, out_features=3)"
    module(torch.zeros(2, 5), torch.zeros(2, 7))
    assert (module.in1_features, module.in2_features) == (5, 7)


def test_a_given_value_is_not_overruled_by_the_call() -> None:
    module = lazify(nn.Bilinear)(3, in1_features=4)
    with pytest.raises(RuntimeError):
        module(torch.zeros(2, 5), torch.zeros(2, 7))
    assert is_lazy(module)
    assert repr(module).startswith("LazyBilinear(in1_features=4, in2_features=?")


def test_none_may_be_given() -> None:
    module = lazify(nn.MultiheadAttention, exclude=["embed_dim", "kdim", "vdim"])(1, kdim=None, vdim=None)
    module(torch.zeros(2, 5), torch.zeros(2, 5), torch.zeros(2, 5))
    assert module.embed_dim == module.kdim == 5


def test_inferred_parameters_go_by_keyword_only() -> None:
    with pytest.raises(TypeError, match="takes from 1 to 2 positional arguments but 3 were given"):
        lazify(plain_head())(5, 3)


# ---------------------------------------------------------------------------------------------
# Rules


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (axis(-1), 5),
        (axis(0), 2),
        (axis(-1, of="y"), 7),
        (axis(-1, of="w"), 9),
        (lambda x: x.shape[-1], 5),
        (lambda y: y.shape[-1], 7),
        (lambda x, y: x.shape[-1] + y.shape[-1], 12),
        (lambda z: z, 4),
        (lambda b: b, "given"),
        (lambda c: c, None),
        (lambda d: d, 10),
        (lambda x, *, d: x.shape[-1] * d, 50),
        (lambda x, /, d: x.shape[-1] * d, 50),
        (lambda: "constant", "constant"),
        (lambda more: [each.shape[-1] for each in more], [3]),
        (lambda rest: sorted(rest), ["w"]),
        (lambda *anything, **other: (anything, other), ((), {})),
        (functools.partial(lambda x, factor: x.shape[-1] * factor, factor=3), 15),
        (lambda x: tuple(x.shape), (2, 5)),
        (lambda x: None, None),
    ],
)
def test_rules_are_filled_by_name(rule: Any, expected: Any) -> None:
    module = lazify(Recording, exclude={"a": rule})("given")
    module(X, Y, torch.zeros(2, 3), w=torch.zeros(2, 9))
    assert module.received["a"] == expected


def test_forwards_arguments_go_before_the_constructors() -> None:
    class Both(nn.Module):
        def __init__(self, size: Any, x: str = "constructor") -> None:
            super().__init__()
            self.size = size

        def forward(self, x: Any) -> Any:
            return x

    module = lazify(Both, exclude={"size": lambda x: x})("given")
    module("forward")
    assert module.size == "forward"


def test_methods_classes_and_callables_are_rules() -> None:
    class Sizes:
        def width(self, x: Tensor) -> int:
            return x.shape[-1]

        def __call__(self, y: Tensor) -> int:
            return y.shape[-1]

    class Pair:
        def __init__(self, x: Tensor, y: Tensor) -> None:
            self.sizes = (x.shape[-1], y.shape[-1])

    module = lazify(Recording, exclude={"a": Sizes().width, "b": Sizes(), "c": Pair})()
    module(X, Y)
    assert (module.received["a"], module.received["b"], module.received["c"].sizes) == (5, 7, (5, 7))


@pytest.mark.parametrize("order", [("a", "b", "c", "d"), ("d", "c", "b", "a"), ("c", "a", "d", "b")])
def test_rules_depend_on_each_other_in_any_order(order: tuple[str, ...]) -> None:
    rules: dict[str, Any] = {
        "a": axis(-1),
        "b": lambda a: a * 2,
        "c": lambda b, a: (a, b),
        "d": lambda c, extra: (c, extra),
    }
    lazy_cls = lazify(Recording, exclude={name: rules[name] for name in order})
    assert list(inspect.signature(lazy_cls).parameters) == ["extra"]
    module = lazy_cls(extra="e")
    module(X)
    assert module.received == {"a": 5, "b": 10, "c": (5, 10), "d": ((5, 10), "e")}


def test_a_given_value_is_what_other_rules_see() -> None:
    module = lazify(Recording, exclude={"a": axis(-1), "b": lambda a: a * 2})(a=100)
    module(X)
    assert module.received["b"] == 200
    other = lazify(Recording, exclude={"a": axis(-1), "b": lambda a: a * 2})(b=1)
    other(X)
    assert (other.received["a"], other.received["b"]) == (5, 1)


def test_a_derived_argument_and_a_new_parameter() -> None:
    lazy_cls = lazify(
        nn.Conv2d,
        exclude={
            "in_channels": axis(1),
            "out_channels": lambda in_channels, expansion_ratio: in_channels * expansion_ratio,
        },
    )
    shown = inspect.signature(lazy_cls)
    assert next(iter(shown.parameters)) == "kernel_size"
    assert shown.parameters["expansion_ratio"].kind is inspect.Parameter.KEYWORD_ONLY
    module = lazy_cls(kernel_size=3, expansion_ratio=4)
    assert module(torch.zeros(2, 3, 8, 8)).shape == (2, 12, 6, 6)
    assert type(module) is nn.Conv2d
    assert not hasattr(module, "expansion_ratio")
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'expansion_ratio'"):
        lazy_cls(kernel_size=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'expansion'"):
        lazy_cls(kernel_size=3, expansion=4)


def test_what_a_rule_reads_is_not_required_when_nothing_is_left_to_infer() -> None:
    lazy_cls = lazify(nn.Conv2d, exclude={"in_channels": axis(1), "out_channels": lambda in_channels, ratio: ratio})
    module = lazy_cls(kernel_size=3, in_channels=3, out_channels=4)
    assert type(module) is nn.Conv2d


def test_new_parameters_keep_annotation_and_default() -> None:
    def out_channels(in_channels: int, ratio: float = 0.5, *, divisor: int, label: str = "x") -> int:
        return max(int(in_channels * ratio) // divisor * divisor, divisor)

    lazy_cls = lazify(nn.Conv2d, exclude={"in_channels": axis(1), "out_channels": out_channels})
    added = {n: p for n, p in inspect.signature(lazy_cls).parameters.items() if n in ("ratio", "divisor", "label")}
    assert [p.kind for p in added.values()] == [inspect.Parameter.KEYWORD_ONLY] * 3
    assert (added["ratio"].default, added["divisor"].default) == (0.5, inspect.Parameter.empty)
    assert str(added["ratio"]).replace("'", "") == "ratio: float = 0.5"
    assert str(added["divisor"]).replace("'", "") == "divisor: int"
    module = lazy_cls(1, divisor=2)
    assert module(torch.zeros(2, 12, 4, 4)).shape[1] == 6
    assert lazy_cls(1, divisor=2, ratio=1.0)(torch.zeros(2, 12, 4, 4)).shape[1] == 12


def test_a_new_parameter_that_two_rules_read() -> None:
    rules = {"a": lambda x, factor=2: x.shape[-1] * factor, "b": lambda x, factor: x.shape[-1] + factor}
    module = lazify(Recording, exclude=rules)(factor=3)
    module(X)
    assert (module.received["a"], module.received["b"]) == (15, 8)
    module = lazify(Recording, exclude={"a": rules["a"]})()
    module(X)
    assert module.received["a"] == 10


def test_a_default_of_a_rule_that_the_constructor_has_too_is_the_constructors() -> None:
    module = lazify(Recording, exclude={"a": lambda d=99: d})()
    module(X)
    assert module.received["a"] == 10


def test_a_rule_in_place_of_a_default() -> None:
    class Own(nn.Module):
        def __init__(self, out_features: int, *, in_features: int = axis(-1), depth: int = 2) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, out_features)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    for lazy_cls in (lazify(Own), lazify()(type("Own", (Own,), {"__init__": Own.__init__}))):
        assert list(inspect.signature(lazy_cls).parameters) == ["out_features", "depth"]
        module = lazy_cls(3)
        assert module(X).shape == (2, 3)
        assert lazy_cls(3, in_features=5).linear.in_features == 5


@lazify
class Marked(nn.Module):
    """Rules as defaults of parameters."""

    def __init__(self, context_dim: int = axis(-1, of="context"), width: int = 4, *, size: int = axis(-1)) -> None:
        super().__init__()
        self.sizes = (size, context_dim, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return x


def test_rules_as_defaults_under_a_bare_decorator() -> None:
    assert list(inspect.signature(Marked).parameters) == ["width"]
    module = Marked(8)
    module(X, Y)
    assert type(module) is Marked
    assert module.sizes == (5, 7, 8)
    assert Marked(size=1, context_dim=2).sizes == (1, 2, 4)


def test_rules_as_defaults_leave_conventional_names_alone() -> None:
    class Own(nn.Module):
        def __init__(self, in_features: int = 64, *, size: int = axis(-1)) -> None:
            super().__init__()

    assert list(inspect.signature(lazify(Own)).parameters) == ["in_features"]


def test_exclude_adds_to_rules_as_defaults() -> None:
    class Own(nn.Module):
        def __init__(self, other: int, *, size: int = axis(-1)) -> None:
            super().__init__()
            self.sizes = (other, size)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x

    module = lazify(Own, exclude={"other": axis(-1, of="y")})()
    module(X, Y)
    assert module.sizes == (7, 5)


def test_a_subclass_must_give_what_stands_as_a_rule() -> None:
    class Sub(Marked):
        def __init__(self) -> None:
            super().__init__(context_dim=3)

    with pytest.raises(TypeError, match="'size'"):
        Sub()

    class Good(Marked):
        def __init__(self) -> None:
            super().__init__(context_dim=3, size=2)

    assert Good().sizes == (2, 3, 4)


def test_axis_checks_its_arguments() -> None:
    for wrong in ("1", 1.0, None, True):
        with pytest.raises(TypeError, match="takes the number of a dimension"):
            axis(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes the name of an argument of forward"):
        axis(1, of=2)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        axis(1, "x")  # type: ignore[misc]
