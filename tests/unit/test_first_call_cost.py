"""How many functions of lazify run in a first call."""

from __future__ import annotations

import os
import sys
import types

import torch
from torch import nn

import lazify as package
from lazify import lazify
from lazify._torch import saved_tensors_hooks_on


def test_a_first_call_is_short() -> None:
    """Counted, not timed: the Python functions of lazify that run for one small layer."""
    LazyConv2d, image = lazify(nn.Conv2d), torch.randn(1, 3, 8, 8)
    LazyConv2d(4, 3, padding=1)(image)  # what is bound once for all
    home = os.path.dirname(package.__file__)
    ran: list[str] = []
    asks_for_hooks = getattr(saved_tensors_hooks_on, "__code__", None)  # from 2.8 a function of torch itself

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        its_own = frame.f_code.co_filename.startswith(home) and frame.f_code is not asks_for_hooks
        if event == "call" and its_own:
            ran.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        LazyConv2d(4, 3, padding=1)(image)
    finally:
        sys.setprofile(None)
    assert len(ran) <= 13, ran
