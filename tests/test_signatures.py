"""What a lazified constructor shows and accepts is the wrapped one, less what it infers."""

from __future__ import annotations

import functools
import inspect
import pydoc
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from inspect import Parameter, Signature
from typing import Any

import postponed
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from typing_extensions import get_overloads

from lazify import axis, is_lazy, lazify
from lazify._recipe.signature_reading import overloads_in_source

POSITIONAL_ONLY, POSITIONAL, STAR, KEYWORD, DOUBLE_STAR = (
    Parameter.POSITIONAL_ONLY,
    Parameter.POSITIONAL_OR_KEYWORD,
    Parameter.VAR_POSITIONAL,
    Parameter.KEYWORD_ONLY,
    Parameter.VAR_KEYWORD,
)
EMPTY = Parameter.empty
#: Some are names that a careless implementation would use for itself.
NAMES = ["a", "b", "c", "module", "args", "kwargs", "recipe", "cls", "exclude", "name", "forward"]
ANNOTATIONS = [EMPTY, EMPTY, int, "int", "list[int]", typing.Optional[str], Any]  # noqa: UP045
DEFAULTS = [EMPTY, EMPTY, 0, None, "text", [1, 2], object()]


# ---------------------------------------------------------------------------------------------
# Classes with any constructor, and the Python function to measure them by


@st.composite
def parameter_lists(draw: st.DrawFn) -> list[Parameter]:
    """Parameters of every kind, in an order that Python accepts."""
    names = iter(draw(st.permutations(NAMES)))
    positional = [*[POSITIONAL_ONLY] * draw(st.integers(0, 2)), *[POSITIONAL] * draw(st.integers(0, 3))]
    required = draw(st.integers(0, len(positional)))
    drawn: list[Parameter] = []
    for at, kind in enumerate(positional):
        default = EMPTY if at < required else draw(st.sampled_from([d for d in DEFAULTS if d is not EMPTY]))
        drawn.append(Parameter(next(names), kind, default=default, annotation=draw(st.sampled_from(ANNOTATIONS))))
    if draw(st.booleans()):
        drawn.append(Parameter(next(names), STAR, annotation=draw(st.sampled_from(ANNOTATIONS))))
    for _ in range(draw(st.integers(0 if positional else 1, 3))):
        default, annotation = draw(st.sampled_from(DEFAULTS)), draw(st.sampled_from(ANNOTATIONS))
        drawn.append(Parameter(next(names), KEYWORD, default=default, annotation=annotation))
    if draw(st.booleans()):
        drawn.append(Parameter(next(names), DOUBLE_STAR, annotation=draw(st.sampled_from(ANNOTATIONS))))
    return drawn


def source_of(parameters: Sequence[Parameter], scope: dict[str, Any]) -> str:
    """`a, /, b=..., *, c: ... = ...`; defaults and annotations stand in `scope` as the very objects."""
    parts: list[str] = []
    for before, p in zip([None, *parameters], parameters, strict=False):
        if before is not None and before.kind is POSITIONAL_ONLY and p.kind is not POSITIONAL_ONLY:
            parts.append("/")
        if p.kind is KEYWORD and (before is None or before.kind not in (STAR, KEYWORD)):
            parts.append("*")
        text = {STAR: "*", DOUBLE_STAR: "**"}.get(p.kind, "") + p.name
        if p.annotation is not EMPTY:
            scope[f"annotation_{p.name}"] = p.annotation
            text += f": annotation_{p.name}"
        if p.default is not EMPTY:
            scope[f"default_{p.name}"] = p.default
            text += f" = default_{p.name}"
        parts.append(text)
    if parameters and parameters[-1].kind is POSITIONAL_ONLY:
        parts.append("/")
    return ", ".join(["self", *parts])


def class_with(parameters: Sequence[Parameter]) -> type[nn.Module]:
    """A module class with such a constructor; `received` is what it got, by name."""
    scope: dict[str, Any] = {"nn": nn}
    received = ", ".join(f"{p.name}={p.name}" for p in parameters)
    exec(
        "class Recorder(nn.Module):\n"
        "    'Records what it is given.'\n"
        f"    def __init__({source_of(parameters, scope)}) -> None:\n"
        f"        super().__init__(); self.received = dict({received})\n"
        "    def forward(self, x): return x\n",
        scope,
    )
    made: type[nn.Module] = scope["Recorder"]
    return made


NOT_GIVEN = object()


def function_with(parameters: Sequence[Parameter], inferred: Sequence[str]) -> Callable[..., dict[str, Any]]:
    """A plain Python function with the lazified parameters; those inferred may come by keyword."""
    kept = [p for p in parameters if p.name not in inferred]
    optional = [Parameter(name, KEYWORD, default=NOT_GIVEN) for name in inferred]
    scope: dict[str, Any] = {}
    ordered = sorted([*kept, *optional], key=lambda p: p.kind)
    exec(f"def __init__({source_of(ordered, scope)}):\n    return dict(locals())", scope)
    made: Callable[..., dict[str, Any]] = scope["__init__"]
    return made


def rule_for(name: str) -> Callable[..., Any]:
    return lambda x: (name, x.shape[-1])


def words(error: TypeError) -> str:
    """The message without the name of the function."""
    return re.sub(r"^[\w.<>]+\(\) ", "", str(error))


def unwrapped(text: str) -> str:
    """Newer Pythons break long signatures into lines."""
    return re.sub(r"[\s|]", "", text)


FORMS = ["function", "decorator"]


def lazified(cls: type[nn.Module], exclude: Any, form: str) -> type[nn.Module]:
    return lazify(cls, exclude=exclude) if form == "function" else lazify(exclude=exclude)(cls)


@st.composite
def constructors(draw: st.DrawFn) -> tuple[list[Parameter], list[str]]:
    """Parameters, and the names of those to infer."""
    parameters = draw(parameter_lists().filter(lambda ps: any(p.kind not in (STAR, DOUBLE_STAR) for p in ps)))
    names = [p.name for p in parameters if p.kind not in (STAR, DOUBLE_STAR)]
    return parameters, draw(st.lists(st.sampled_from(names), min_size=1, unique=True))


@st.composite
def any_calls(draw: st.DrawFn, parameters: Sequence[Parameter]) -> tuple[list[int], dict[str, int]]:
    """Arguments, most of them wrong ones: too many, too few, unknown, twice."""
    names = [p.name for p in parameters] + ["unknown", "beta"]
    args = draw(st.lists(st.integers(), max_size=6))
    return args, draw(st.dictionaries(st.sampled_from(names), st.integers(), max_size=5))


@st.composite
def fitting_calls(
    draw: st.DrawFn, parameters: Sequence[Parameter], inferred: Sequence[str]
) -> tuple[list[int], dict[str, int]]:
    """Arguments that the lazified signature takes."""
    kept = [p for p in parameters if p.name not in inferred]
    args: list[int] = []
    kwargs: dict[str, int] = {}
    by_position = True
    for p in kept:
        if p.kind in (POSITIONAL_ONLY, POSITIONAL):
            given = p.default is EMPTY or draw(st.booleans())
            by_position &= given and (p.kind is POSITIONAL_ONLY or draw(st.booleans()))
            if given and by_position:
                args.append(draw(st.integers()))
            elif given and p.kind is POSITIONAL:
                kwargs[p.name] = draw(st.integers())
        elif p.kind is STAR and by_position:
            args += draw(st.lists(st.integers(), max_size=3))
        elif p.kind is KEYWORD and (p.default is EMPTY or draw(st.booleans())):
            kwargs[p.name] = draw(st.integers())
        elif p.kind is DOUBLE_STAR:
            kwargs |= draw(st.dictionaries(st.sampled_from(["more", "other"]), st.integers()))
    for name in inferred:
        if draw(st.integers(0, 4)) == 0:
            kwargs[name] = draw(st.integers())
    return args, kwargs


def check_calls(
    parameters: Sequence[Parameter],
    inferred: Sequence[str],
    form: str,
    calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]],
) -> None:
    """The law: refused in Python's words, or the constructor gets what the full eager call would give it."""
    cls = class_with(parameters)
    lazy_cls = lazified(cls, {name: rule_for(name) for name in inferred}, form)
    bind = function_with(parameters, inferred)
    for args, kwargs in calls:
        refused: TypeError | None = None
        bound: dict[str, Any] = {}
        try:
            bound = bind(None, *args, **kwargs)
        except TypeError as error:
            refused = error
        if refused is not None:
            with pytest.raises(TypeError) as caught:
                lazy_cls(*args, **kwargs)
            assert words(caught.value) == words(refused)
            continue
        module = lazy_cls(*args, **kwargs)
        is_open = [name for name in inferred if bound[name] is NOT_GIVEN]
        assert is_lazy(module) == bool(is_open)
        module(torch.empty(2, 7))
        assert type(module) is cls
        expected = {p.name: bound[p.name] for p in parameters} | {name: (name, 7) for name in is_open}
        assert module.received == expected
        for p in parameters:  # defaults are the very objects
            if p.default is not EMPTY and module.received[p.name] == p.default:
                assert module.received[p.name] is expected[p.name]


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@settings(max_examples=150)
def test_any_call_is_bound_as_python_binds_it(form: str, data: st.DataObject) -> None:
    parameters, inferred = data.draw(constructors())
    args, kwargs = data.draw(any_calls(parameters))
    check_calls(parameters, inferred, form, [(args, kwargs)] * 2)  # the second as the first was bound


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@settings(max_examples=150)
def test_the_constructor_gets_what_the_eager_call_would_give_it(form: str, data: st.DataObject) -> None:
    parameters, inferred = data.draw(constructors())
    args, kwargs = data.draw(fitting_calls(parameters, inferred))
    check_calls(parameters, inferred, form, [(args, kwargs)] * 2)  # the second as the first was bound


@pytest.mark.parametrize("form", FORMS)
@given(constructor=constructors())
@settings(max_examples=100)
def test_the_signature_is_the_constructor_less_the_inferred(
    form: str, constructor: tuple[list[Parameter], list[str]]
) -> None:
    parameters, inferred = constructor
    cls = class_with(parameters)
    original, hints = inspect.signature(cls), typing.get_type_hints(cls.__init__)
    lazy_cls = lazified(cls, {name: rule_for(name) for name in inferred}, form)
    kept = [p for p in original.parameters.values() if p.name not in inferred]
    assert inspect.signature(lazy_cls) == original.replace(parameters=kept)
    for p in kept:
        assert inspect.signature(lazy_cls).parameters[p.name].default is p.default
    assert typing.get_type_hints(lazy_cls.__init__) == {n: h for n, h in hints.items() if n not in inferred}
    text = pydoc.plain(pydoc.render_doc(lazy_cls))
    assert unwrapped(f"{lazy_cls.__name__}{Signature(kept)}") in unwrapped(text)
    assert "Records what it is given." in text
    for name in inferred:
        assert f"`{name}`" in text


@given(constructor=constructors())
@settings(max_examples=50)
def test_everything_given_is_the_eager_call(constructor: tuple[list[Parameter], list[str]]) -> None:
    parameters, _ = constructor
    inferred = [p.name for p in parameters if p.kind not in (STAR, DOUBLE_STAR)]
    cls = class_with(parameters)
    values = {name: at for at, name in enumerate(inferred)}
    module = lazify(cls, exclude=dict.fromkeys(inferred, rule_for("unused")))(**values)
    assert type(module) is cls
    assert {name: module.received[name] for name in inferred} == values


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@settings(max_examples=100)
def test_how_one_call_was_bound_is_good_for_no_other_kind(form: str, data: st.DataObject) -> None:
    parameters, inferred = data.draw(constructors())
    calls = fitting_calls(parameters, inferred) | any_calls(parameters)
    check_calls(parameters, inferred, form, data.draw(st.lists(calls, max_size=5)))


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
# Constructors that pass their arguments on


class Base(nn.Module):
    def __init__(self, width: int, depth: int = 2, *, bias: bool = True) -> None:
        super().__init__()
        self.received = (width, depth, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class PassesBoth(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class PassesKeywords(Base):
    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale


class PassesPositions(Base):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)


class GivesTheFirst(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(7, *args, **kwargs)


class GivesAKeyword(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, bias=False, **kwargs)


class NamesTheBase(Base):
    def __init__(self, **kw: Any) -> None:
        Base.__init__(self, **kw)


class NamesTheBaseWithPositions(Base):
    def __init__(self, *a: Any, **kw: Any) -> None:
        Base.__init__(self, 7, *a, **kw)


class OldStyle(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super(OldStyle, self).__init__(*args, **kwargs)  # noqa: UP008


class Further(PassesKeywords):
    def __init__(self, extra: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Mixin:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Mixed(Mixin, Base):
    pass


class MixedWithOwn(Mixin, Base):
    def __init__(self, *args: Any, label: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Inherits(PassesKeywords):
    pass


class Pops(Base):
    def __init__(self, **kwargs: Any) -> None:
        self.label = kwargs.pop("label", None)
        super().__init__(**kwargs)


class Reads(Base):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_given = len(args)


class Chooses(Base):
    def __init__(self, wide: bool = False, **kwargs: Any) -> None:
        if wide:
            super().__init__(depth=9, **kwargs)
        else:
            super().__init__(**kwargs)


class KeepsAll(nn.Module):
    def __init__(self, width: int, **options: Any) -> None:
        super().__init__()
        self.options = options


@pytest.mark.parametrize(
    ("cls", "dropped", "expected"),
    [
        (PassesBoth, "width", "(depth: int = 2, *, bias: bool = True)"),
        (PassesBoth, "bias", "(width: int, depth: int = 2)"),
        (PassesKeywords, "width", "(scale: float = 1.0, *, depth: int = 2, bias: bool = True)"),
        (PassesKeywords, "scale", "(*, width: int, depth: int = 2, bias: bool = True)"),
        (PassesPositions, "width", "(depth: int = 2, /)"),
        (GivesTheFirst, "depth", "(*, bias: bool = True)"),
        (GivesAKeyword, "width", "(depth: int = 2)"),
        (NamesTheBase, "width", "(*, depth: int = 2, bias: bool = True)"),
        (NamesTheBaseWithPositions, "depth", "(*, bias: bool = True)"),
        (OldStyle, "width", "(depth: int = 2, *, bias: bool = True)"),
        (Further, "width", "(extra: str, *, scale: float = 1.0, depth: int = 2, bias: bool = True)"),
        (Mixed, "width", "(depth: int = 2, *, bias: bool = True)"),
        (MixedWithOwn, "width", "(depth: int = 2, *, label: str = '', bias: bool = True)"),
        (Inherits, "width", "(scale: float = 1.0, *, depth: int = 2, bias: bool = True)"),
        # not merely passed on: shown as it stands
        (Pops, "width", "(**kwargs: Any)"),
        (Reads, "width", "(*args: Any, **kwargs: Any)"),
        (Chooses, "width", "(wide: bool = False, **kwargs: Any)"),
        (KeepsAll, "width", "(**options: Any)"),
    ],
)
def test_passing_on_is_followed_as_far_as_it_is_certain(cls: type[nn.Module], dropped: str, expected: str) -> None:
    before = inspect.signature(cls)
    shown = str(inspect.signature(lazify(cls, exclude={dropped: axis(-1)})))
    assert re.sub(r"'(\w+)'", r"\1", shown) == f"{expected} -> None"
    assert inspect.signature(cls) == before, "the wrapped class is untouched"


class Aliased(PassesKeywords):
    """The very same function again: its `super()` still means the class that wrote it."""

    __init__ = PassesKeywords.__init__


def test_a_constructor_taken_over_by_assignment() -> None:
    lazy_cls = lazify(Aliased, exclude={"width": axis(-1)})
    assert list(inspect.signature(lazy_cls).parameters) == ["scale", "depth", "bias"]
    module = lazy_cls(depth=5)
    module(torch.empty(2, 7))
    assert type(module) is Aliased
    assert module.received == (7, 5, True)


@pytest.mark.parametrize("cls", [PassesBoth, PassesKeywords, NamesTheBase, OldStyle, Mixed, Inherits, Pops, Reads])
def test_what_is_passed_on_arrives(cls: type[nn.Module]) -> None:
    module = lazify(cls, exclude={"width": axis(-1)})(depth=5, bias=False)
    module(torch.empty(2, 7))
    assert type(module) is cls
    assert module.received == (7, 5, False)


def test_positions_that_are_passed_on_arrive() -> None:
    for cls in (PassesBoth, PassesPositions, OldStyle, Mixed):
        module = lazify(cls, exclude={"width": axis(-1)})(5)
        module(torch.empty(2, 7))
        assert module.received == (7, 5, True), cls
    module = lazify(GivesTheFirst, exclude={"depth": axis(-1)})(bias=False)
    module(torch.empty(2, 9))
    assert module.received == (7, 9, False)


def test_a_followed_constructor_refuses_in_pythons_words() -> None:
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'dept'"):
        lazify(PassesKeywords, exclude={"width": axis(-1)})(dept=3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'extra'"):
        lazify(Further, exclude={"width": axis(-1)})()


# ---------------------------------------------------------------------------------------------
# Decorated constructors


def counted(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.counted = True

    return wrapper


def bare(init: Callable[..., None]) -> Callable[..., None]:
    def inner(*arguments: Any, **options: Any) -> None:
        init(*arguments, **options)
        arguments[0].counted = True

    return inner


class WrappedInit(nn.Module):
    @counted
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


class BareInit(nn.Module):
    @bare
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


@pytest.mark.parametrize("cls", [WrappedInit, BareInit])
def test_decorators_on_init_are_seen_through_and_run(cls: type[nn.Module]) -> None:
    lazy_cls = lazify(cls)
    assert list(inspect.signature(lazy_cls).parameters) == ["out_features"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        lazy_cls(out=3)
    module = lazy_cls(4)
    assert module(torch.zeros(2, 5)).shape == (2, 4)
    assert module.counted is True


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


@pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM, nn.GRU, nn.Linear])
def test_overloads_are_read_from_the_source_where_python_forgets_them(cls: type) -> None:
    """Python 3.10 does; where it does not, both ways agree."""
    read = [inspect.signature(each).parameters for each in overloads_in_source(cls.__init__)]
    kept = [inspect.signature(each).parameters for each in get_overloads(cls.__init__)]
    assert read == kept or (sys.version_info < (3, 11) and not kept)
    assert (len(read) > 1) == issubclass(cls, nn.RNNBase)


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
