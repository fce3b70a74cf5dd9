"""Which functions of lazify run: counted, not timed."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable

import lazify
from lazify._torch import saved_tensors_hooks_on

HOME = os.path.dirname(lazify.__file__)
#: From torch 2.8 on a function of torch itself.
ASKS_FOR_HOOKS = getattr(saved_tensors_hooks_on, "__code__", None)


def functions_run(do: Callable[[], object]) -> list[str]:
    """Names of the functions of lazify that run meanwhile, in order."""
    ran: list[str] = []

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        its_own = frame.f_code.co_filename.startswith(HOME) and frame.f_code is not ASKS_FOR_HOOKS
        if event == "call" and its_own:
            ran.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        do()
    finally:
        sys.setprofile(None)
    return ran
