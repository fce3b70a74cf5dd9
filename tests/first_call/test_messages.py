"""What the first call logs, and its error messages where it does not determine a value."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import pytest
from torch import nn

from helpers.first_call import X, assert_fix_is_code
from helpers.modules import Block
from helpers.pairs import in_form
from lazify import LazifyError, axis, is_lazy, lazify

# ---------------------------------------------------------------------------------------------
# The logger


def test_one_debug_line_each(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(lazify(nn.Linear)(3), lazify(nn.BatchNorm1d)())
    with caplog.at_level(logging.DEBUG, logger="lazify"):
        model(X)
        model(X)
    assert [(r.name, r.levelname) for r in caplog.records] == [("lazify", "DEBUG")] * 2
    first, second = (r.getMessage() for r in caplog.records)
    assert "\n" not in first + second
    assert "Linear" in first
    assert "in_features" in first
    assert "5" in first
    assert "BatchNorm1d" in second


def test_no_line_for_what_failed_or_is_eager(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="lazify"):
        lazify(nn.Linear)(in_features=5, out_features=3)(X)
        with suppress(RuntimeError):
            lazify(nn.Linear)(3)(X.long())
    assert caplog.records == []


# ---------------------------------------------------------------------------------------------
# When a call does not determine a value


def test_the_words_of_an_inference_error() -> None:
    module = lazify(nn.Conv2d)(3, 3)
    with pytest.raises(LazifyError) as caught:
        module(X)
    assert isinstance(caught.value, RuntimeError)
    text = str(caught.value)
    for part in ("'in_channels' of Conv2d", "Conv2d.forward(input", "input: (4, 5) float32", "axis(-3", "(4, 5)"):
        assert part in text
    assert "LazyConv2d(" in text
    assert "in_channels=..." in text
    assert_fix_is_code(text)
    assert is_lazy(module)


@pytest.mark.parametrize(
    ("rule", "call", "said"),
    [
        (axis(3), (X,), "has no dimension 3"),
        (axis(-1, of="other"), (X,), "no tensor in the argument 'other'"),
        (axis(-1), (3,), "no tensor in the call"),
        (lambda x: x.no_such, (X,), "AttributeError"),
        (lambda x: 1 // 0, (X,), "ZeroDivisionError"),
    ],
)
def test_reasons_of_an_inference_error(rule: Any, call: tuple[Any, ...], said: str) -> None:
    class Two(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()

        def forward(self, x: Any, other: Any = None) -> Any:
            return x

    module = lazify(Two, exclude={"in_features": rule})()
    with pytest.raises(LazifyError, match="does not determine 'in_features' of Two") as caught:
        module(*call)
    assert said in str(caught.value)
    assert "Two.forward(x" in str(caught.value)
    assert is_lazy(module)


def test_an_exception_in_a_rule_is_the_cause() -> None:
    module = lazify(nn.Linear, exclude={"in_features": lambda input: 1 // 0})(3)
    with pytest.raises(LazifyError) as caught:
        module(X)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_wrong_call_fails_in_forwards_words(form: str) -> None:
    module = in_form(form, Block)[0]()
    with pytest.raises(TypeError, match=r"forward\(\) missing 1 required positional argument: 'x'"):
        module()
    with pytest.raises(TypeError, match=r"forward\(\) got an unexpected keyword argument 'y'"):
        module(X, y=3)
    assert is_lazy(module)
    module(X)
