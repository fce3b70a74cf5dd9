"""How many functions of lazify run in a first call."""

from __future__ import annotations

import os
import sys
import types

import torch
from torch import nn

import lazify as package
from lazify import lazify


def test_a_first_call_is_short() -> None:
    """Counted, not timed: the Python functions of lazify that run for one small layer."""
    LazyConv2d, image = lazify(nn.Conv2d), torch.randn(1, 3, 8, 8)
    LazyConv2d(4, 3, padding=1)(image)  # what is bound once for all
    home = os.path.dirname(package.__file__)
    ran: list[str] = []

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(home):
            ran.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        LazyConv2d(4, 3, padding=1)(image)
    finally:
        sys.setprofile(None)
    assert len(ran) <= 12, ran
