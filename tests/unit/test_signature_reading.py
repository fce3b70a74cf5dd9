"""Overloads that are read from the source."""

from __future__ import annotations

import inspect
import sys

import pytest
from torch import nn
from typing_extensions import get_overloads

from lazify._recipe.signature_reading import overloads_in_source


@pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM, nn.GRU, nn.Linear])
def test_overloads_are_read_from_the_source_where_python_forgets_them(cls: type) -> None:
    """Python 3.10 does; where it does not, both ways agree."""
    read = [inspect.signature(each).parameters for each in overloads_in_source(cls.__init__)]
    kept = [inspect.signature(each).parameters for each in get_overloads(cls.__init__)]
    assert read == kept or (sys.version_info < (3, 11) and not kept)
    assert (len(read) > 1) == issubclass(cls, nn.RNNBase)
