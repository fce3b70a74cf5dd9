"""How many functions of lazify run in a first call, and before it."""

from __future__ import annotations

import torch
from torch import nn

from helpers.functions_run import functions_run
from lazify import lazify

LazyConv2d, IMAGE = lazify(nn.Conv2d), torch.randn(1, 3, 8, 8)


def counted(ran: list[str]) -> int:
    """How many functions ran, without those that keep Dynamo out before torch 2.7."""
    return len(ran) - ran.count("without_dynamo")


def test_a_first_call_is_short() -> None:
    """For one small layer, after another one of its class."""
    LazyConv2d(4, 3, padding=1)(IMAGE)
    ran = functions_run(lambda: LazyConv2d(4, 3, padding=1)(IMAGE))
    assert counted(ran) <= 12, ran


def test_parameters_before_the_first_call_are_cheap() -> None:
    """For one small layer, after another one with the same arguments; and the first call that follows."""
    list(LazyConv2d(4, 3, padding=1).parameters())
    layer = LazyConv2d(4, 3, padding=1)
    ran = functions_run(lambda: list(layer.parameters()))
    assert counted(ran) <= 70, ran
    ran = functions_run(lambda: layer(IMAGE))
    assert counted(ran) <= 91, ran
