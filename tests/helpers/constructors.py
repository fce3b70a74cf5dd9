"""Classes with any constructor, drawn at random, and the Python function to compare them with."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from lazify import is_lazy, lazify

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
    """`a, /, b=..., *, c: ... = ...`; `scope` gets the defaults and annotations, the same objects."""
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
    """A call is refused in Python's words, or the constructor gets what the full eager call would give it."""
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
        for p in parameters:  # defaults are the same objects
            if p.default is not EMPTY and module.received[p.name] == p.default:
                assert module.received[p.name] is expected[p.name]
