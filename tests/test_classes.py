"""Every form of `lazify`, over every kind of class that Python allows."""

from __future__ import annotations

import abc
import copy
import functools
import gc
import inspect
import io
import pickle
import weakref
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Any, Generic, TypeVar

import pytest
import torch
from pairs import FORMS, in_form
from torch import nn
from twins import assert_twins

import lazify as package
from lazify import DefinitionError, LazifyError, axis, is_lazy, lazify

Tensor = torch.Tensor
X = torch.zeros(2, 5)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def plain_head() -> type[nn.Module]:
    """A new class each time."""

    class Head(nn.Module):
        """A head."""

        kind = "linear"

        def __init__(self, in_features: int, out_features: int = 3, *, bias: bool = True) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, out_features, bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

        @classmethod
        def narrow(cls, **options: Any) -> Head:
            return cls(out_features=1, **options)

        @staticmethod
        def describe() -> str:
            return "a head"

        @property
        def width(self) -> int:
            return self.linear.in_features

    return Head


# ---------------------------------------------------------------------------------------------
# The forms


def test_the_function_forms() -> None:
    head = plain_head()
    for lazy_cls in (
        lazify(head),
        lazify(head, exclude=None),
        lazify(head, exclude=["in_features"]),
        lazify(head, exclude=("in_features",)),
        lazify(head, exclude={"in_features"}),
        lazify(head, exclude=(name for name in ["in_features"])),
        lazify(head, exclude="in_features"),
        lazify(head, exclude={"in_features": axis(-1)}),
        lazify(head, exclude={"in_features": axis(-1, of="x")}),
        lazify(head, exclude={"in_features": lambda x: x.shape[-1]}),
    ):
        assert lazy_cls is not head
        assert issubclass(lazy_cls, head)
        assert list(inspect.signature(lazy_cls).parameters) == ["out_features", "bias"]
        module = lazy_cls(4)
        assert is_lazy(module)
        assert module(X).shape == (2, 4)
        assert type(module) is head


def test_the_decorator_forms() -> None:
    @lazify
    class Bare(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    @lazify()
    class Called(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    @lazify(exclude=["size"])
    class Listed(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.linear = nn.Linear(size, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    @lazify(exclude={"size": axis(-1)})
    class Ruled(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.linear = nn.Linear(size, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    for cls in (Bare, Called, Listed, Ruled):
        assert isinstance(cls, type)
        assert list(inspect.signature(cls).parameters) == []
        module = cls()
        assert is_lazy(module)
        assert isinstance(module, cls)
        assert module(X).shape == (2, 3)
        assert type(module) is cls


@lazify
class AtModuleLevel(nn.Module):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_a_bare_decorator_at_module_level_rewrites_in_place() -> None:
    module = AtModuleLevel()
    assert is_lazy(module)
    module(X)
    assert type(module) is AtModuleLevel


def test_a_decorated_class_in_a_function_that_knew_the_name_before() -> None:
    made = []
    for _ in range(2):  # the second time round, `Again` still names the first

        @lazify
        class Again(nn.Module):
            def __init__(self, in_features: int) -> None:
                super().__init__()

            def forward(self, x: Tensor) -> Tensor:
                return x

        made.append(Again)
    for cls in made:
        module = cls()
        module(X)
        assert type(module) is cls


def test_lazify_as_a_function_of_a_local_class_is_no_decorator() -> None:
    head = plain_head()
    before = dict(vars(head))
    lazy_cls = lazify(head)
    assert lazy_cls is not head
    assert dict(vars(head)) == before


def test_a_lazy_class_of_a_class_in_a_container() -> None:
    """No name of its own leads to it: only the list does."""
    heads = [plain_head()]
    before = dict(vars(heads[0]))
    lazy_classes = [lazify(each, exclude=["in_features"]) for each in heads]
    assert lazy_classes[0] is not heads[0]
    assert dict(vars(heads[0])) == before


def test_a_class_that_only_a_container_holds_is_left_alone_too() -> None:
    class Holder:
        head = plain_head()

    held = {"head": plain_head()}
    for cls, lazy_cls in ((Holder.head, lazify(Holder.head)), (held["head"], lazify(held["head"]))):
        assert lazy_cls is not cls
        assert not is_lazy(cls(5))


@pytest.mark.parametrize("cls", [nn.Linear, nn.LSTM, nn.MultiheadAttention])
def test_the_function_form_leaves_the_class_alone(cls: type[nn.Module]) -> None:
    before = {each: dict(vars(each)) for each in cls.__mro__}
    subclasses = set(cls.__subclasses__())
    lazy_cls = lazify(cls)
    assert {each: dict(vars(each)) for each in cls.__mro__} == before
    assert set(cls.__subclasses__()) - subclasses <= {lazy_cls}


def test_the_same_request_gives_the_same_lazy_class() -> None:
    head = plain_head()
    rule = lambda x: x.shape[-1]  # noqa: E731
    assert lazify(head) is lazify(head)
    assert lazify(head, exclude=["in_features"]) is lazify(head, exclude={"in_features"})
    assert lazify(head, exclude="in_features") is lazify(head, exclude=["in_features"])
    assert lazify(head, exclude={"in_features": axis(-1)}) is lazify(head, exclude={"in_features": axis(-1)})
    assert lazify(head, exclude={"in_features": rule}) is lazify(head, exclude={"in_features": rule})
    both = {"in_features": axis(-1), "out_features": axis(0)}
    assert lazify(head, exclude=both) is lazify(head, exclude=dict(reversed(both.items())))
    others = [
        lazify(head),
        lazify(head, exclude={"in_features": axis(0)}),
        lazify(head, exclude={"in_features": axis(-1)}),
        lazify(head, exclude={"in_features": lambda x: x.shape[-1]}),
        lazify(head, exclude=["out_features"]),
        lazify(plain_head()),
    ]
    assert len(set(others)) == len(others)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, x: Tensor) -> int:
        return x.shape[-1]


def test_unhashable_rules_work() -> None:
    rule = Unhashable()
    lazy_cls = lazify(plain_head(), exclude={"in_features": rule})
    assert lazy_cls()(X).shape == (2, 3)


def test_axes_that_are_equal_as_numbers_stay_apart() -> None:
    head = plain_head()
    assert lazify(head, exclude={"in_features": axis(1)}) is not lazify(head, exclude={"in_features": axis(-1)})


def test_classes_may_be_forgotten(form: str) -> None:
    def make() -> list[weakref.ref[Any]]:
        lazy_cls, cls = in_form(form, plain_head())
        module = lazy_cls()
        module(X)
        return [weakref.ref(lazy_cls), weakref.ref(cls), weakref.ref(module)]

    references = make()
    gc.collect()
    assert [each() for each in references] == [None] * 3


def test_lazy_instances_may_be_forgotten() -> None:
    module = lazify(nn.Linear)(3)
    module.register_forward_hook(lambda *_: None)
    reference = weakref.ref(module)
    del module
    gc.collect()
    assert reference() is None


def test_a_new_class_at_an_old_address_is_not_mistaken() -> None:
    for at in range(4):
        cls = plain_head()
        cls.mark = at
        module = lazify(cls, exclude=["in_features"])()
        module(X)
        assert type(module).mark == at
        del cls, module
        gc.collect()


def test_what_the_package_offers() -> None:
    assert set(package.__all__) <= set(vars(package))
    assert {"lazify", "axis", "is_lazy", "LazifyError", "DefinitionError", "InferenceError"} <= set(package.__all__)
    assert isinstance(package.__version__, str)


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
    module = lazify(nn.MultiheadAttention)(1, kdim=None, vdim=None)
    module(torch.zeros(2, 5), torch.zeros(2, 5), torch.zeros(2, 5))
    assert module.embed_dim == module.kdim == 5


def test_inferred_parameters_go_by_keyword_only() -> None:
    with pytest.raises(TypeError, match="takes from 1 to 2 positional arguments but 3 were given"):
        lazify(plain_head())(5, 3)


# ---------------------------------------------------------------------------------------------
# Rules


class Recording(nn.Module):
    """Keeps what its constructor gets."""

    def __init__(self, a: Any, b: Any = "default", c: Any = None, *, d: Any = 10) -> None:
        super().__init__()
        self.received = {"a": a, "b": b, "c": c, "d": d}

    def forward(self, x: Any, y: Any = None, *more: Any, z: Any = 4, **rest: Any) -> Any:
        return x


Y = torch.zeros(2, 7)


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
    """Nothing named twice."""

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


# ---------------------------------------------------------------------------------------------
# Mistakes, each at the line that calls lazify, in words


class Two(nn.Module):
    def __init__(self, first: int, second: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


LazyTwo = lazify(Two, exclude={"first": axis(-1)})
NOT_ENOUGH = "lazify takes an nn.Module class, got "
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "no class": (lambda: lazify(3), f"{NOT_ENOUGH}3"),  # type: ignore[call-overload]
    "no module class": (lambda: lazify(dict), f"{NOT_ENOUGH}<class 'dict'>"),  # type: ignore[type-var]
    "a function": (lambda: lazify(len), f"{NOT_ENOUGH}<built-in function len>"),  # type: ignore[call-overload]
    "an instance": (lambda: lazify(nn.ReLU()), f"{NOT_ENOUGH}an instance of ReLU"),  # type: ignore[call-overload]
    "a lazy instance": (lambda: lazify(LazyTwo(second=1)), f"{NOT_ENOUGH}an instance of"),  # type: ignore[call-overload]
    "a lazy class": (lambda: lazify(LazyTwo), "LazyTwo is lazily constructed already\n  inferred: first"),
    "a decorated class": (lambda: lazify(AtModuleLevel), "AtModuleLevel is lazily constructed already"),
    "decorated twice": (lambda: lazify()(AtModuleLevel), "AtModuleLevel is lazily constructed already"),
    "an inheriting subclass": (
        lambda: lazify(type("Sub", (AtModuleLevel,), {}), exclude=["in_features"]),
        "Sub is lazily constructed already",
    ),
    "an unknown name": (
        lambda: lazify(Two, exclude=["frist"]),
        "Two has no constructor parameter 'frist'\n  constructor: Two(first: 'int', second: 'int')",
    ),
    "one name, not its letters": (lambda: lazify(Two, exclude="frist"), "Two has no constructor parameter 'frist'"),
    "no name": (lambda: lazify(Two, exclude=[1]), "exclude takes the names of constructor parameters, got 1"),
    "not iterable": (
        lambda: lazify(Two, exclude=1),  # type: ignore[call-overload]
        "exclude takes names, or a mapping from names to rules, got 1",
    ),
    "a value for a rule": (
        lambda: lazify(Two, exclude={"first": 3}),
        "the rule for 'first' is 3\n  a rule is: axis(n), axis(n, of='forward_argument') or a function",
    ),
    "a name for a rule": (lambda: lazify(Two, exclude={"first": "x"}), "the rule for 'first' is 'x'"),
    "a cycle": (
        lambda: lazify(Two, exclude={"first": lambda second: 1, "second": lambda first: 1}),
        "the rules of Two need each other's values: ",
    ),
    "a cycle of one": (
        lambda: lazify(Two, exclude={"first": lambda first: first}),
        "the rules of Two need each other's values: first -> first",
    ),
    "an argument that forward lacks": (
        lambda: lazify(Two, exclude={"first": axis(-1, of="context")}),
        "looks at an argument that forward does not have\n  forward: Two.forward(x: 'Tensor') -> 'Tensor'",
    ),
    "a rule without names": (lambda: lazify(Two, exclude={"first": min}), "has no signature"),
    "nothing to infer": (
        lambda: lazify(Two),
        "no parameter of Two is known to follow from its input\n  constructor: Two(first: 'int', second: 'int')",
    ),
    "nothing to infer in torch.nn": (lambda: lazify(nn.ReLU), "no parameter of ReLU is known to follow from its input"),
    "nothing named": (lambda: lazify(Two, exclude=[]), "no parameter of Two"),
    "nothing ruled": (lambda: lazify(Two, exclude={}), "no parameter of Two"),
    "a subclass of a lazy class": (
        lambda: type("Sub", (LazyTwo,), {}),
        "Sub subclasses a lazy class\n  lazy class:          LazyTwo",
    ),
    "self as an argument of a rule": (lambda: lazify(Two, exclude={"first": lambda self: 1}), "self"),
    "the variadic parameter": (
        lambda: lazify(nn.Sequential, exclude=["args"]),
        "Sequential has no constructor parameter 'args'",
    ),
    "torchs own lazy class": (lambda: lazify(nn.LazyLinear), "LazyLinear"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_type_errors_at_that_line(mistake: str) -> None:
    make, words = MISTAKES[mistake]
    with pytest.raises(DefinitionError) as caught:
        make()
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, LazifyError)
    assert words in str(caught.value)


@pytest.mark.parametrize("mistake", ["an unknown name", "a lazy class", "an argument that forward lacks", "a cycle"])
def test_mistakes_come_with_code_that_mends_them(mistake: str) -> None:
    with pytest.raises(DefinitionError, match=r"To mend it:\n  .*\("):
        MISTAKES[mistake][0]()


def test_a_mistaken_decorator_leaves_the_class_as_it_was() -> None:
    head = plain_head()
    before = dict(vars(head))
    for wrong in (["nothing"], {"in_features": axis(1, of="y")}, {"in_features": 3}):
        with pytest.raises(DefinitionError):
            lazify(exclude=wrong)(head)
    assert dict(vars(head)) == before
    lazify(exclude=["in_features"])(head)
    assert is_lazy(head())


def test_a_cycle_names_its_members() -> None:
    with pytest.raises(DefinitionError) as caught:
        lazify(Recording, exclude={"a": lambda c: 1, "b": lambda a: 1, "c": lambda b: 1, "d": axis(-1)})
    text = str(caught.value)
    cycle = text.splitlines()[0].rpartition(": ")[2].split(" -> ")
    assert cycle[0] == cycle[-1]
    assert sorted(cycle[1:]) == ["a", "b", "c"]
    assert "a lambda(c)" in text


# ---------------------------------------------------------------------------------------------
# Copies and pickles


class Picklable(nn.Module):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


@lazify(exclude={"in_features": axis(-1)})
class PicklableDecorated(Picklable):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__(in_features, out_features)


class PicklableSub(PicklableDecorated):
    pass


def saved_and_loaded(value: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "oldest-pickle": lambda value: pickle.loads(pickle.dumps(value, protocol=2)),
    "save": saved_and_loaded,
}
PICKLABLE = [
    (lazify(Picklable), Picklable),
    (lazify(Picklable, exclude=["in_features"]), Picklable),
    (lazify(Picklable, exclude={"in_features": axis(-1)}), Picklable),
    (PicklableDecorated, PicklableDecorated),
    (PicklableSub, PicklableSub),
    (lazify(nn.Linear), nn.Linear),
    (AtModuleLevel, AtModuleLevel),
]


def shout(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output + 100


def fill(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, 2.0)


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(("lazy_cls", "cls"), PICKLABLE)
def test_copies_of_lazy_instances_are_lazy_and_know_all(how: str, lazy_cls: Any, cls: Any) -> None:
    module = lazy_cls(out_features=4)
    module.eval()
    module.note = "kept"
    module.extra = nn.Parameter(torch.ones(2))
    module.register_buffer("more", torch.ones(2))
    module.apply(fill)
    module.register_forward_hook(shout)
    module.double()
    twin = COPIES[how](module)
    assert is_lazy(twin)
    assert type(twin) is type(module)
    assert repr(twin) == repr(module)
    assert (twin.training, twin.note) == (False, "kept")
    assert twin.extra is not module.extra
    x = X.double() + 1
    for each in (module, twin):
        torch.manual_seed(1)
        each(x)
    assert type(twin) is type(module) is cls
    assert_twins(twin, module)
    assert torch.equal(twin(x), module(x))
    assert twin(x).min() > 50


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(("lazy_cls", "cls"), PICKLABLE)
def test_copies_of_materialized_modules(how: str, lazy_cls: Any, cls: Any) -> None:
    module = lazy_cls(out_features=4)
    module(X)
    twin = COPIES[how](module)
    assert type(twin) is cls
    assert_twins(twin, module)


@pytest.mark.parametrize("how", COPIES)
def test_copies_materialize_independently(how: str) -> None:
    module = PicklableDecorated()
    twin = COPIES[how](module)
    module(X)
    assert is_lazy(twin)
    twin(Y)
    assert (module.linear.in_features, twin.linear.in_features) == (5, 7)
    first, second = PicklableDecorated(), lazify(Picklable)()
    copied = COPIES[how](second)
    copied(Y)
    assert is_lazy(second)
    assert is_lazy(first)


@pytest.mark.parametrize("how", COPIES)
def test_models_with_lazy_parts_copy(how: str) -> None:
    shared = PicklableDecorated()
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared, lazify(Picklable)())})
    twin = COPIES[how](model)
    assert twin["a"] is twin["b"][0]
    assert twin["a"] is not shared
    twin["b"](X)
    assert type(twin["a"]) is PicklableDecorated
    assert is_lazy(shared)


def test_shallow_copies() -> None:
    module = PicklableDecorated(4)
    module.note = "kept"
    twin = copy.copy(module)
    assert is_lazy(twin)
    assert twin.note == "kept"
    twin(X)
    assert is_lazy(module)
    module(Y)
    assert (twin.linear.in_features, module.linear.in_features) == (5, 7)


def test_classes_pickle_by_name() -> None:
    assert pickle.loads(pickle.dumps(PicklableDecorated)) is PicklableDecorated
    assert pickle.loads(pickle.dumps(PicklableSub)) is PicklableSub


def test_handles_of_the_original_do_not_reach_a_copy() -> None:
    module = lazify(nn.Linear)(3)
    handle = module.register_forward_hook(shout)
    twin = copy.deepcopy(module)
    handle.remove()
    assert module(X + 1).max() < 50
    assert twin(X + 1).min() > 50


# ---------------------------------------------------------------------------------------------
# Identity of classes


def test_instances_and_subclasses(form: str) -> None:
    head = plain_head()
    lazy_cls, cls = in_form(form, head)
    module = lazy_cls()
    assert isinstance(module, head)
    assert isinstance(module, cls)
    assert isinstance(module, lazy_cls)
    assert isinstance(module, nn.Module)
    assert issubclass(type(module), head)
    assert issubclass(lazy_cls, head)
    assert not isinstance(nn.ReLU(), lazy_cls)
    module(X)
    assert isinstance(module, cls)
    assert isinstance(cls(in_features=3), head)


def test_what_the_class_has_is_there_before_the_call(form: str) -> None:
    lazy_cls, cls = in_form(form, plain_head())
    module = lazy_cls()
    assert lazy_cls.kind == module.kind == "linear"
    assert lazy_cls.describe() == module.describe() == "a head"
    with pytest.raises(AttributeError, match="'width' is not known yet"):
        _ = module.width
    module(X)
    assert module.width == 5
    assert cls.kind == "linear"


def test_class_attributes_may_be_set_on_a_decorated_class() -> None:
    decorated, _ = in_form("decorated", plain_head())
    decorated.kind = "other"
    module = decorated()
    assert module.kind == "other"
    module(X)
    assert module.kind == "other"


def test_classmethod_constructors_are_lazy(form: str) -> None:
    lazy_cls, cls = in_form(form, plain_head())
    module = lazy_cls.narrow(bias=False)
    assert is_lazy(module)
    assert module(X).shape == (2, 1)
    assert type(module) is cls
    assert type(lazy_cls.narrow(in_features=5)) is cls


def test_names_and_docs(form: str) -> None:
    lazy_cls, cls = in_form(form, plain_head())
    if form == "function":
        assert lazy_cls.__name__ == "LazyHead"
    else:
        assert lazy_cls.__name__ == cls.__name__
    assert lazy_cls.__module__ == cls.__module__
    doc = inspect.getdoc(lazy_cls)
    assert doc is not None
    assert "A head." in doc


def test_old_style_super() -> None:
    @lazify(exclude=["in_features"])
    class Old(nn.Module):
        def __init__(self, in_features: int) -> None:
            super(Old, self).__init__()  # noqa: UP008
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

        def extra_repr(self) -> str:
            return super(Old, self).extra_repr() + "old"  # noqa: UP008

    module = Old()
    module(X)
    assert type(module) is Old
    assert "old" in repr(module)


def test_explicit_base_init(form: str) -> None:
    class Explicit(nn.Module):
        def __init__(self, in_features: int) -> None:
            nn.Module.__init__(self)
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    lazy_cls, cls = in_form(form, Explicit)
    module = lazy_cls()
    module(X)
    assert type(module) is cls


# ---------------------------------------------------------------------------------------------
# Subclasses of decorated classes


@lazify(exclude={"in_features": axis(-1)})
class Decorated(nn.Module):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_a_subclass_with_its_own_constructor_is_eager_and_sees_the_original() -> None:
    class Own(Decorated):
        def __init__(self, label: str) -> None:
            super().__init__(5, 4)
            self.label = label

    class OwnOld(Decorated):
        def __init__(self, label: str) -> None:
            Decorated.__init__(self, 5, out_features=4)
            self.label = label

    for cls in (Own, OwnOld):
        module = cls("x")
        assert type(module) is cls
        assert not is_lazy(module)
        assert module(X).shape == (2, 4)

    class Forgets(Decorated):
        def __init__(self) -> None:
            super().__init__()

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'in_features'"):
        Forgets()


def test_a_subclass_that_inherits_the_constructor_is_lazy() -> None:
    class Scaled(Decorated):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    class Further(Scaled):
        kind = "further"

    for cls in (Scaled, Further):
        module = cls(4)
        assert is_lazy(module)
        assert isinstance(module, Decorated)
        assert repr(module) == f"Lazy{cls.__name__}(in_features=?, out_features=4)"
        module(X)
        assert type(module) is cls
    assert type(Scaled(in_features=5)) is Scaled


def test_a_subclass_whose_forward_takes_other_arguments() -> None:
    class Crossed(Decorated):
        def forward(self, mask: Any, features: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(features)

    module = Crossed()
    module(None, X)
    assert module.linear.in_features == 5


def test_a_subclass_may_be_decorated_itself() -> None:
    @lazify(exclude={"width": axis(-1)})
    class Wide(Decorated):
        def __init__(self, width: int, factor: int = 2) -> None:
            super().__init__(width, width * factor)

    assert list(inspect.signature(Wide).parameters) == ["factor"]
    module = Wide(3)
    assert is_lazy(module)
    assert repr(module) == "LazyWide(width=?, factor=3)"
    assert module(X).shape == (2, 15)
    assert type(module) is Wide
    still = Decorated()
    still(X)
    assert type(still) is Decorated


def test_a_subclass_with_own_constructor_may_be_lazified_as_a_function() -> None:
    class Own(Decorated):
        def __init__(self, in_features: int, label: str = "") -> None:
            super().__init__(in_features, 4)

    module = lazify(Own, exclude=["in_features"])()
    module(X)
    assert type(module) is Own


def test_a_decorated_mixin_first() -> None:
    class Mixin:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.mixed = True

    class Both(Mixin, Decorated):
        pass

    module = Both(5, 4)
    assert not is_lazy(module), "the constructor is the mixin's, which passes everything to the original"
    assert module.mixed
    assert module(X).shape == (2, 4)


def test_composition_of_decorated_classes_builds_in_one_call() -> None:
    @lazify(exclude=["in_features"])
    class Stack(nn.Module):
        def __init__(self, in_features: int, depth: int = 3) -> None:
            super().__init__()
            self.first = Decorated(in_features, 4)  # positionally: not the lazified signature
            self.rest = nn.Sequential(*[Decorated(4) for _ in range(depth)])

        def forward(self, x: Tensor) -> Tensor:
            return self.rest(self.first(x))

    with pytest.raises(TypeError, match="takes from 1 to 2 positional arguments"):
        Stack()(X)


# ---------------------------------------------------------------------------------------------
# Recursion


class Recursive(nn.Module):
    """Makes smaller ones of itself, by type and by name, eagerly: it knows the size."""

    def __init__(self, in_features: int, depth: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, in_features)
        self.by_type = type(self)(in_features, depth - 1) if depth else None
        self.by_class = self.__class__(in_features=in_features, depth=0) if depth else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        return x if self.by_type is None else self.by_class(self.by_type(x))


def test_recursion_by_type(form: str) -> None:
    lazy_cls, cls = in_form(form, Recursive)
    torch.manual_seed(1)
    twin = cls(in_features=5)
    twin(X)
    module = lazy_cls()
    torch.manual_seed(1)
    module(X)
    assert {type(m) for m in module.modules()} == {cls, nn.Linear}
    assert_twins(module, twin)


def test_recursion_by_name() -> None:
    @lazify(exclude={"in_features": axis(-1)})
    class Tree(nn.Module):
        def __init__(self, in_features: int, depth: int = 2) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, in_features)
            self.children_ = nn.ModuleList(Tree(in_features, depth=depth - 1) for _ in range(2 if depth else 0))

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear(x)
            for child in self.children_:
                x = x + child(x)
            return x

    module = Tree(3)
    assert is_lazy(module)
    module(X)
    assert sum(type(m) is Tree for m in module.modules()) == 15
    assert not any(is_lazy(m) for m in module.modules())
    later = Tree()
    assert is_lazy(later)


def test_lazy_recursion_by_name() -> None:
    @lazify(exclude={"in_features": axis(-1)})
    class Chain(nn.Module):
        def __init__(self, in_features: int, out_features: int, depth: int = 2) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, out_features)
            self.next = Chain(out_features=out_features + 1, depth=depth - 1) if depth else None

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear(x)
            return x if self.next is None else self.next(x)

    module = Chain(6)
    assert module(X).shape == (2, 8)
    assert [m.in_features for m in module.modules() if isinstance(m, nn.Linear)] == [5, 6, 7]


def test_all_given_recursion_is_eager() -> None:
    lazy_cls, cls = in_form("decorated", Recursive)
    module = lazy_cls(in_features=5, depth=1)
    assert {type(m) for m in module.modules()} == {cls, nn.Linear}


# ---------------------------------------------------------------------------------------------
# Generic, dataclass, ABC


T = TypeVar("T")


class GenericHead(nn.Module, Generic[T]):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_generic_classes() -> None:
    @lazify(exclude={"in_features": axis(-1)})
    class Own(nn.Module, Generic[T]):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    class OfTensor(Own[Tensor]):
        pass

    for lazy_cls, cls in ((lazify(GenericHead), GenericHead), (Own, Own), (OfTensor, OfTensor)):
        module = lazy_cls()
        assert is_lazy(module)
        module(X)
        assert type(module) is cls
    parametrized = lazify(GenericHead)[int]()
    parametrized(X)
    assert type(parametrized) is GenericHead
    assert parametrized.__orig_class__.__args__ == (int,)
    own = Own[int]()
    own(X)
    assert own.__orig_class__ == Own[int]


def test_dataclasses(form: str) -> None:
    @dataclass(eq=False)
    class Fields(nn.Module):
        in_features: int
        sizes: list[int] = field(default_factory=list)
        scale: InitVar[float] = 2.0
        bias: bool = field(default=True, kw_only=True)

        def __post_init__(self, scale: float) -> None:
            super().__init__()
            self.linear = nn.Linear(self.in_features, 3, bias=self.bias)
            self.scale_ = scale

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) * self.scale_

    lazy_cls, cls = in_form(form, Fields)
    module = lazy_cls([1], 3.0, bias=False)
    assert is_lazy(module)
    module(X)
    assert type(module) is cls
    assert (module.in_features, module.sizes, module.scale_, module.bias) == (5, [1], 3.0, False)
    assert type(lazy_cls(in_features=2)) is cls


def test_dataclasses_that_are_modules_first() -> None:
    @dataclass(eq=False, kw_only=True)
    class Early(nn.Module):
        in_features: int
        out_features: int = 3

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            made = super().__new__(cls)
            nn.Module.__init__(made)
            return made

        def __post_init__(self) -> None:
            self.linear = nn.Linear(self.in_features, self.out_features)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    for lazy_cls in (lazify(Early), lazify()(Early)):
        module = lazy_cls(out_features=4)
        assert is_lazy(module)
        assert module(X).shape == (2, 4)
        assert type(module) is Early
        assert type(lazy_cls(in_features=3)) is Early


class Abstract(nn.Module, abc.ABC):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.net = self.build(in_features)

    @abc.abstractmethod
    def build(self, size: int) -> nn.Module: ...

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Concrete(Abstract):
    def build(self, size: int) -> nn.Module:
        return nn.Linear(size, 3)


def test_abstract_classes_refuse_and_concrete_ones_do_not(form: str) -> None:
    abstract, _ = in_form(form, Abstract)
    with pytest.raises(TypeError, match="abstract"):
        abstract()
    with pytest.raises(TypeError, match="abstract"):
        abstract(in_features=3)
    concrete, cls = in_form(form, Concrete)
    module = concrete()
    assert is_lazy(module)
    assert isinstance(module, Abstract)
    module(X)
    assert type(module) is cls


def test_a_concrete_subclass_of_a_decorated_abstract_class_is_lazy() -> None:
    base, _ = in_form("decorated", Abstract)

    class Real(base):  # type: ignore[valid-type, misc]
        def build(self, size: int) -> nn.Module:
            return nn.Linear(size, 4)

    module = Real()
    assert is_lazy(module)
    assert module(X).shape == (2, 4)
    assert type(module) is Real


def test_virtual_subclasses_stay_registered() -> None:
    class Interface(abc.ABC):  # noqa: B024
        pass

    Interface.register(Concrete)
    module = lazify(Concrete)()
    assert isinstance(module, Interface)
    module(X)
    assert isinstance(module, Interface)


# ---------------------------------------------------------------------------------------------
# Metaclasses and class machinery


class Finishing(type):
    """Does something to each finished instance."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.finish()
        return made


class Finished(nn.Module, metaclass=Finishing):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.sizes = (in_features, out_features)
        self.register_forward_hook(self.count)
        self.calls = 0

    def count(self, *_: Any) -> None:
        self.calls += 1

    def finish(self) -> None:
        self.linear = nn.Linear(*self.sizes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_a_metaclass_with_a_call_of_its_own_runs_once_at_the_first_call(form: str) -> None:
    lazy_cls, cls = in_form(form, Finished)
    module = lazy_cls(4)
    assert is_lazy(module)
    same = module
    torch.manual_seed(1)
    module(X)
    assert module is same
    assert type(module) is cls
    torch.manual_seed(1)
    twin = cls(in_features=5, out_features=4)
    twin(X)
    assert module.calls == 1, "the hook that the constructor tied to self is tied to this very object"
    assert_twins(module, twin)
    assert type(cls) is type(lazy_cls) or issubclass(type(lazy_cls), Finishing)


class Counting(type):
    """Keeps account on the class of what was made of it."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        cls.built += 1
        cls.made[cls.__name__] = made
        return made


class Counted(nn.Module, metaclass=Counting):
    built = 0
    made: dict[str, Any] = {}

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_a_metaclass_that_keeps_account_on_the_class() -> None:
    class Own(Counted):
        built = 0
        made = {}

        def __init__(self, in_features: int) -> None:
            super().__init__(in_features)

    for lazy_cls in (lazify(Own), lazify(exclude=["in_features"])(Own)):
        built = Own.built
        module = lazy_cls()
        assert (Own.built, lazy_cls.built) == (built, built)
        module(X)
        assert type(module) is Own
        assert Own.built == built + 1
        assert Own.made["Own"].linear is module.linear
        lazy_cls(in_features=3)
        assert Own.built == built + 2


class Single(type):
    """One instance a class."""

    kept: dict[type, Any] = {}

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls not in Single.kept:
            Single.kept[cls] = super().__call__(*args, **kwargs)
        return Single.kept[cls]


def test_a_metaclass_that_keeps_one_instance() -> None:
    class Only(nn.Module, metaclass=Single):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    module = lazify(Only)()
    assert is_lazy(module)
    try:
        module(X)
        assert type(module) is Only
        assert list(Single.kept) == [Only]
        assert Only(in_features=5).linear is module.linear
    finally:
        Single.kept.clear()


class Registering(type):
    names: dict[str, type] = {}

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        if name in mcs.names:
            raise ValueError(f"{name} is registered already")
        made = super().__new__(mcs, name, bases, namespace, **kwargs)
        mcs.names[name] = made
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(name, bases, namespace, **kwargs)
        assert "registered" not in vars(cls)
        cls.registered = True


def test_a_metaclass_that_refuses_duplicate_names() -> None:
    class Registered(nn.Module, metaclass=Registering):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    try:
        for exclude in (None, ["in_features"], {"in_features": axis(-1)}):
            module = lazify(Registered, exclude=exclude)()
            module(X)
            assert type(module) is Registered
        lazify(exclude=["in_features"])(Registered)
        module = Registered()
        module(X)
        assert type(module) is Registered
        assert Registering.names == {"Registered": Registered}
    finally:
        Registering.names.clear()


class Plugin(nn.Module):
    kinds: dict[str, type] = {}

    def __init_subclass__(cls, *, kind: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind in Plugin.kinds:
            raise ValueError(f"there is a {kind} already")
        Plugin.kinds[kind] = cls


class Gated(Plugin, kind="gated"):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_init_subclass_with_required_keywords_is_not_called_for_lazy_classes() -> None:
    module = lazify(Gated)()
    module(X)
    assert type(module) is Gated
    assert Plugin.kinds == {"gated": Gated}

    @lazify(exclude=["in_features"])
    class Other(Plugin, kind="other"):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    try:
        module = Other()
        module(X)
        assert type(module) is Other
        assert Plugin.kinds == {"gated": Gated, "other": Other}

        class More(Other, kind="more"):
            pass

        assert is_lazy(More())
        assert Plugin.kinds["more"] is More
    finally:
        Plugin.kinds = {"gated": Gated}


class SetName:
    """A descriptor that is told its name once."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __set_name__(self, owner: type, name: str) -> None:
        self.told.append(owner.__name__)

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else len(self.told)


def test_descriptors_are_told_their_name_once() -> None:
    class Described(nn.Module):
        described = SetName()

        def __init__(self, in_features: int) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            return x

    module = lazify(Described)()
    module(X)
    assert Described.described.told == ["Described"]


class Slotted(nn.Module):
    __slots__ = ("__private", "size", "unset")

    def __init__(self, in_features: int) -> None:
        super().__init__()
        object.__setattr__(self, "size", in_features)
        object.__setattr__(self, "_Slotted__private", [in_features])
        self.linear = nn.Linear(in_features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_slots(form: str) -> None:
    lazy_cls, cls = in_form(form, Slotted)
    module = lazy_cls()
    assert is_lazy(module)
    with pytest.raises(RuntimeError):
        module(X.long())
    assert is_lazy(module)
    with pytest.raises(AttributeError):
        _ = module.size
    torch.manual_seed(1)
    module(X)
    torch.manual_seed(1)
    twin = cls(in_features=5)
    twin(X)
    assert type(module) is cls
    assert module.size == 5
    assert_twins(module, twin)


class ChoosesKind(nn.Module):
    """`__new__` decides which sibling it is."""

    def __new__(cls, in_features: int, kind: str = "plain") -> Any:
        return super().__new__(Sibling if kind == "sibling" else cls)

    def __init__(self, in_features: int, kind: str = "plain") -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, self.out())

    def out(self) -> int:
        return 3

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Sibling(ChoosesKind):
    def out(self) -> int:
        return 4


class NewDoesMore(nn.Module):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        nn.Module.__init__(made)
        made.born_with = (args, sorted(kwargs))
        return made

    def __init__(self, in_features: int, *, out_features: int = 3) -> None:
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class NewIsElsewhere(nn.Module):
    """Returns something that is no instance of the class: Python then leaves `__init__` out."""

    def __new__(cls, in_features: int) -> Any:
        return nn.Linear(in_features, 3)

    def __init__(self, in_features: int) -> None:
        raise AssertionError("not called by Python")

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("kind", ["plain", "sibling"])
def test_new_may_choose_a_sibling(kind: str) -> None:
    module = lazify(ChoosesKind)(kind)
    assert is_lazy(module)
    torch.manual_seed(1)
    module(X)
    torch.manual_seed(1)
    twin = ChoosesKind(5, kind)
    assert type(module) is type(twin)
    assert_twins(module, twin)
    assert type(lazify(ChoosesKind)(kind, in_features=5)) is type(twin)


def test_new_of_a_decorated_class_may_choose_a_sibling() -> None:
    @lazify(exclude={"in_features": axis(-1)})
    class Choosing(nn.Module):
        def __new__(cls, in_features: int, kind: str = "plain") -> Any:
            return super().__new__(Other if kind == "sibling" else cls)

        def __init__(self, in_features: int, kind: str = "plain") -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    class Other(Choosing):
        pass

    for kind, cls in (("plain", Choosing), ("sibling", Other)):
        module = Choosing(kind)
        assert is_lazy(module)
        module(X)
        assert type(module) is cls
        assert type(Choosing(kind, in_features=5)) is cls


def test_new_runs_at_the_first_call_with_all_arguments(form: str) -> None:
    own = {"__new__": NewDoesMore.__new__, "__init__": NewDoesMore.__init__}
    cls = NewDoesMore if form == "function" else type("NewDoesMore", (NewDoesMore,), own)
    lazy_cls = lazify(cls) if form == "function" else lazify(exclude={"in_features": axis(-1)})(cls)
    if form == "subclass":
        lazy_cls = cls = type("Sub", (lazy_cls,), {})
    module = lazy_cls(out_features=4)
    assert is_lazy(module)
    torch.manual_seed(1)
    module(X)
    torch.manual_seed(1)
    twin = cls(out_features=4, in_features=5)
    twin(X)
    assert type(module) is cls
    assert_twins(module, twin)
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        lazy_cls(out=4)


def test_new_may_return_something_else_altogether() -> None:
    module = lazify(NewIsElsewhere)()
    assert module(X).shape == (2, 3)
    assert type(module) is nn.Linear


def test_singletons_by_new() -> None:
    """A class that keeps its instances: the lazy instance must not be lost among them."""

    class Cached(nn.Module):
        made: dict[int, Any] = {}

        def __new__(cls, in_features: int) -> Any:
            if in_features not in cls.made:
                cls.made[in_features] = super().__new__(cls)
            return cls.made[in_features]

        def __init__(self, in_features: int) -> None:
            if not hasattr(self, "_modules"):
                super().__init__()
                self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    module = lazify(Cached)()
    assert module(X).shape == (2, 3)
    assert type(module) is Cached


def test_own_setattr_and_getattr(form: str) -> None:
    class Delegating(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.inner = nn.Linear(in_features, 3)

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(super().__getattr__("inner"), name)

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value * 2 if name == "doubled" else value)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) / self.out_features

    lazy_cls, cls = in_form(form, Delegating)
    module = lazy_cls()
    module.doubled = 4
    module(X)
    assert type(module) is cls
    assert module.in_features == 5
    assert module.doubled == 8


def test_own_methods_named_like_those_of_module(form: str) -> None:
    """A class that overrides `train` (frozen statistics), `apply` or `to` has its own run, not Module's."""

    class Frozen(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(in_features)
            self.log: list[str] = []

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.log.append(f"train({mode})")
            self.norm.eval()
            return self

        def to(self, *args: Any, **kwargs: Any) -> Any:
            self.log.append("to")
            return super().to(*args, **kwargs)

        def apply(self, fn: Any) -> Any:
            self.log.append("apply")
            return super().apply(fn)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x)

    lazy_cls, cls = in_form(form, Frozen)
    twin, module = cls(in_features=5), lazy_cls()
    for each in (twin, module):
        assert each.train() is each
        assert each.to(torch.float64) is each
        assert each.apply(lambda m: None) is each
    for each in (twin, module):
        each(X.double())
    assert module.log == ["train(True)", "to", "apply"]
    assert not module.norm.training
    assert_twins(module, twin)


def test_a_class_without_a_forward_of_its_own(form: str) -> None:
    """Some override `__call__` alone, or get their forward later: lazify must at least be able to say what is wrong."""

    class NoForward(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()

    module = in_form(form, NoForward)[0]()
    with pytest.raises(NotImplementedError, match="missing the required"):
        module(X)
    assert is_lazy(module)


def test_forwards_that_take_no_self(form: str) -> None:
    class Static(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x * 2

    class OfClass(Static):
        def __init__(self, in_features: int) -> None:
            super().__init__(in_features)

        @classmethod
        def forward(cls, x: Tensor) -> Tensor:
            return x * 2

    for cls in (Static, OfClass):
        module = in_form(form, cls)[0]()
        assert torch.equal(module(x=X), X * 2)
        assert module.linear.in_features == 5


def test_a_forward_that_only_the_constructor_knows(form: str) -> None:
    class Late(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)
            self.forward = self.run

        def run(self, x: Tensor) -> Tensor:
            return self.linear(x)

    for args, kwargs in (((X,), {}), ((), {"x": X})):
        module = in_form(form, Late)[0]()
        assert module(*args, **kwargs).shape == (2, 3)
        assert module.linear.in_features == 5


def test_forward_as_something_else_than_a_function(form: str) -> None:
    class Partial(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def run(self, scale: float, x: Tensor) -> Tensor:
            return self.linear(x) * scale

        forward = functools.partialmethod(run, 2.0)

    module = in_form(form, Partial)[0]()
    module(X)
    assert module.linear.in_features == 5
