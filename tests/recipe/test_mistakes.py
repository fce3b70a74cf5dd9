"""Mistakes in a call of `lazify` are type errors at that line, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from helpers.modules import AtModuleLevel, Recording, plain_head
from lazify import DefinitionError, LazifyError, axis, is_lazy, lazify


class Two(nn.Module):
    def __init__(self, first: int, second: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Sizeless(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()


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
        lambda: lazify(Sizeless),
        "no parameter of Sizeless is known to follow from its input\n  constructor: Sizeless(mode: 'str')",
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
def test_mistakes_come_with_code_that_fixes_them(mistake: str) -> None:
    with pytest.raises(DefinitionError, match=r"Fix:\n  .*\("):
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
