"""A lazy construction binds its arguments as Python binds those of the constructor."""

from __future__ import annotations

import inspect
import pydoc
import typing
from inspect import Parameter, Signature

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.constructors import (
    DOUBLE_STAR,
    FORMS,
    STAR,
    any_calls,
    check_calls,
    class_with,
    constructors,
    fitting_calls,
    lazified,
    rule_for,
    unwrapped,
)
from lazify import lazify


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
    shown = unwrapped(f"{lazy_cls.__name__}{Signature(kept)}")
    assert shown.replace("'", "") in unwrapped(text).replace("'", "")  # from Python 3.14 on, annotations have no quotes
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
