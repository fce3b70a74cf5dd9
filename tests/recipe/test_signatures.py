"""A lazy class shows the constructor of the wrapped class without the inferred parameters."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from helpers import postponed
from helpers.constructors import FORMS, KEYWORD, lazified
from lazify import axis, lazify

# ---------------------------------------------------------------------------------------------
# In Python's words, at the line that constructs


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing 2 required positional arguments: 'out_channels' and 'kernel_size'"),
        ((8,), {}, "missing 1 required positional argument: 'kernel_size'"),
        ((8, 3), {"stirde": 2}, "got an unexpected keyword argument 'stirde'"),
        ((8, 3), {"out_channels": 8}, "got multiple values for argument 'out_channels'"),
        ((8, 3, *range(9)), {}, "takes from 3 to 11 positional arguments but 12 were given"),
    ],
)
def test_wrong_constructions_fail_when_constructing(args: Any, kwargs: dict[str, int], message: str) -> None:
    with pytest.raises(TypeError, match=r"^LazyConv2d\.__init__\(\) ") as caught:
        lazify(nn.Conv2d)(*args, **kwargs)
    assert message in str(caught.value)


def test_a_decorated_class_keeps_its_name_in_the_message() -> None:
    @lazify(exclude=["in_features"])
    class Head(nn.Module):
        def __init__(self, in_features: int, out_features: int) -> None:
            super().__init__()

    with pytest.raises(TypeError, match=r"Head\.__init__\(\) missing 1 required positional argument: 'out_features'"):
        Head()


# ---------------------------------------------------------------------------------------------
# What people see


def test_conv2d_as_shown() -> None:
    lazy_cls, original = lazify(nn.Conv2d), inspect.signature(nn.Conv2d)
    kept = [p for p in original.parameters.values() if p.name != "in_channels"]
    assert inspect.signature(lazy_cls) == original.replace(parameters=kept)
    assert next(iter(inspect.signature(lazy_cls).parameters)) == "out_channels"
    hints = typing.get_type_hints(nn.Conv2d.__init__)
    del hints["in_channels"]
    assert typing.get_type_hints(lazy_cls.__init__) == hints
    doc = inspect.getdoc(lazy_cls)
    assert doc is not None
    assert "`in_channels` from axis(-3, of='input')" in doc
    assert "Applies a 2D convolution" in doc


def test_the_docstring_of_a_decorated_class_is_its_own_and_more() -> None:
    @lazify(exclude={"in_features": axis(-1), "width": lambda in_features: 2 * in_features})
    class Head(nn.Module):
        """A head.

        Its second paragraph.
        """

        def __init__(self, in_features: int, width: int) -> None:
            super().__init__()

    doc = inspect.getdoc(Head)
    assert doc is not None
    assert "`in_features` from axis(-1)" in doc
    assert "`width` from" in doc
    assert "in_features" in doc.split("`width` from", 1)[1]
    assert "A head.\n\nIts second paragraph." in doc


def test_the_wrapped_constructor_is_still_documented() -> None:
    class Documented(nn.Module):
        def __init__(self, in_features: int) -> None:
            """Say how wide."""
            super().__init__()

    assert lazify(Documented).__init__.__doc__ == "Say how wide."


@pytest.mark.parametrize("lazy_cls", [lazify(nn.Linear), lazify(nn.LSTM), lazify(nn.MultiheadAttention)])
def test_construction_shows_through_the_class_and_through_init(lazy_cls: type[nn.Module]) -> None:
    of_init = inspect.signature(lazy_cls.__init__)
    assert next(iter(of_init.parameters)) == "self"
    assert list(of_init.parameters.values())[1:] == list(inspect.signature(lazy_cls).parameters.values())


# ---------------------------------------------------------------------------------------------
# Dataclasses, overloads, annotations as text


@dataclass(eq=False)
class Fields(nn.Module):
    out_features: int
    in_features: InitVar[int]
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    bias: bool = field(default=True, kw_only=True)

    def __post_init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, self.out_features, bias=self.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def test_dataclasses() -> None:
    lazy_cls = lazify(Fields, exclude=["in_features"])
    shown = inspect.signature(lazy_cls)
    assert list(shown.parameters) == ["out_features", "sizes", "bias"]
    assert shown.parameters["bias"].kind is KEYWORD
    module, other = lazy_cls(3, bias=False), lazy_cls(out_features=3, sizes=[9])
    assert module(torch.zeros(2, 5)).shape == other(torch.zeros(2, 6)).shape == (2, 3)
    assert (module.sizes, module.bias, other.sizes, other.bias) == ([1, 2], False, [9], True)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'out_features'"):
        lazy_cls()


def test_default_factories_make_one_object_an_instance() -> None:
    one, other = lazify(Fields)(3), lazify(Fields)(3)
    one(torch.zeros(2, 5))
    other(torch.zeros(2, 5))
    assert one.sizes == other.sizes
    assert one.sizes is not other.sizes


@pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_show_their_overload_not_args_and_kwargs(cls: type[nn.Module]) -> None:
    shown = list(inspect.signature(lazify(cls)).parameters)
    assert shown[0] == "hidden_size"
    assert "input_size" not in shown
    assert {"num_layers", "bias", "batch_first", "dropout", "bidirectional", "device", "dtype"} <= set(shown)
    assert ("nonlinearity" in shown) == (cls is nn.RNN)
    assert ("proj_size" in shown) == (cls is nn.LSTM)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'hidden_size'"):
        lazify(cls)()
    with pytest.raises(TypeError, match="unexpected keyword argument 'layers'"):
        lazify(cls)(9, layers=2)


@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU])
def test_recurrent_layers_take_positions(cls: type[nn.Module]) -> None:
    module, eager = lazify(cls)(9, 2, False), cls(5, 9, 2, False)
    module(torch.zeros(4, 3, 5))
    assert repr(module) == repr(eager)
    assert module.state_dict().keys() == eager.state_dict().keys()


def test_rnn_takes_positions() -> None:
    module, eager = lazify(nn.RNN)(9, 2, "relu"), nn.RNN(5, 9, 2, "relu")
    module(torch.zeros(4, 3, 5))
    assert repr(module) == repr(eager)


class PostponedChild(postponed.Postponed):
    """In another module than its base: the names in the annotations are the base's."""

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)


@pytest.mark.parametrize("form", FORMS)
def test_text_annotations(form: str) -> None:
    cls = type("Postponed", (postponed.Postponed,), {"__init__": postponed.Postponed.__init__})
    lazy_cls = lazified(cls, ["in_features"], form)
    assert str(inspect.signature(lazy_cls)) == "(out_features: 'Width' = 3, *, mode: 'Mode' = 'train') -> 'None'"
    hints = {"out_features": int, "mode": postponed.Mode, "return": type(None)}
    assert typing.get_type_hints(lazy_cls.__init__) == hints


def test_text_annotations_keep_their_meaning_in_a_subclass_elsewhere() -> None:
    lazy_cls = lazify(PostponedChild, exclude=["in_features"])
    assert list(inspect.signature(lazy_cls).parameters) == ["scale", "out_features", "mode"]
    hints = typing.get_type_hints(lazy_cls.__init__)
    assert hints == {"scale": float, "out_features": int, "mode": postponed.Mode, "return": type(None)}


def test_annotations_for_checkers_only_are_shown_as_they_stand() -> None:
    lazy_cls = lazify(postponed.ForCheckersOnly)
    assert str(inspect.signature(lazy_cls)).startswith("(factor: 'Decimal | None' = None, sizes: 'Sequence[int]' = ()")


def test_forward_shows_as_it_was() -> None:
    lazy_cls = lazify(postponed.Postponed)
    assert inspect.signature(lazy_cls.forward) == inspect.signature(postponed.Postponed.forward)


# ---------------------------------------------------------------------------------------------
# Constructors behind `__new__` and metaclasses


class Finishing(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.finished = True
        return made


class WithMetaclass(nn.Module, metaclass=Finishing):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()


class WithNew(nn.Module):
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()


@pytest.mark.parametrize("cls", [WithMetaclass, WithNew])
@pytest.mark.parametrize("form", FORMS)
def test_new_and_metaclasses_do_not_hide_the_signature(cls: type[nn.Module], form: str) -> None:
    copy = type(cls)("Copy", (cls,), {"__init__": cls.__init__})
    if "__new__" in vars(cls):
        copy.__new__ = cls.__new__
    lazy_cls = lazified(copy, ["in_features"], form)
    assert list(inspect.signature(lazy_cls).parameters) == ["out_features"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        lazy_cls(out=3)


def test_a_subclass_of_a_decorated_class_shows_its_own_constructor() -> None:
    @lazify(exclude=["in_features"])
    class Head(nn.Module):
        def __init__(self, in_features: int, out_features: int = 3) -> None:
            super().__init__()

    class Inheriting(Head):
        pass

    class Own(Head):
        def __init__(self, label: str) -> None:
            super().__init__(4)

    assert list(inspect.signature(Inheriting).parameters) == ["out_features"]
    assert list(inspect.signature(Own).parameters) == ["label"]
    assert inspect.signature(Own("x").forward) is not None


def test_bound_parameters_of_every_kind_are_repeated_by_repr() -> None:
    class Every(nn.Module):
        def __init__(self, a: int, /, in_features: int, b: int = 2, *rest: int, c: int, d: int = 4, **more: int):
            super().__init__()

    module = lazify(Every)(1, 3, c=5, e=6)
    text = repr(module)
    for part in ("a=1", "in_features=?", "b=3", "c=5"):
        assert part in text
    assert "d=" not in text


def _every_pair(values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return ((a, b) for a in values for b in values if a is not b)


def test_lazified_signatures_are_independent_of_each_other() -> None:
    shown = {n: lazify(nn.Bilinear, exclude=[n]) for n in ("in1_features", "in2_features")}
    for one, other in _every_pair(list(shown)):
        assert one not in inspect.signature(shown[one]).parameters
        assert other in inspect.signature(shown[one]).parameters


class Deep(nn.Module):
    def __init__(self, in_channels: int, out: int, depth: int = 2, width: int = 4) -> None:
        super().__init__()
        sizes = [in_channels, *[width] * (depth - 1), out]
        self.layers = nn.Sequential(*map(nn.Linear, sizes[:-1], sizes[1:]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


DECLARED = inspect.Signature([p for p in inspect.signature(Deep).parameters.values() if p.name != "depth"])


def _declared_by_class() -> type[nn.Module]:
    class Plus(Deep):
        __signature__ = DECLARED

        def __init__(self, in_channels: int, out: int, **kwargs: Any) -> None:
            super().__init__(in_channels, out, **kwargs)

    return Plus


def _declared_by_constructor() -> type[nn.Module]:
    class Plus(Deep):
        def __init__(self, in_channels: int, out: int, **kwargs: Any) -> None:
            super().__init__(in_channels, out, **kwargs)

    with_self = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *DECLARED.parameters.values()]
    Plus.__init__.__signature__ = DECLARED.replace(parameters=with_self)  # type: ignore[attr-defined]
    return Plus


@pytest.mark.parametrize("form", ["subclass", "decorated"])
@pytest.mark.parametrize("make", [_declared_by_class, _declared_by_constructor])
def test_a_signature_that_the_class_declares(make: Callable[[], type[nn.Module]], form: str) -> None:
    """As fastcore's `delegates` does: what the code takes besides is taken, and what is inferred is not shown."""
    wrapped = make()
    eager = wrapped(5, 3, depth=1, width=7)
    lazy_class = lazify(exclude=["in_channels"])(wrapped) if form == "decorated" else lazify(wrapped)
    assert next(iter(inspect.signature(lazy_class).parameters)) == "out"
    assert {"depth", "width"} <= set(inspect.signature(lazy_class).parameters)
    lazy = lazy_class(3, depth=1, width=7)
    lazy(torch.zeros(2, 5))
    assert repr(lazy) == repr(eager)
