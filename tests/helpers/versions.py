"""The versions of torch that the tests run with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

__all__ = ["INSTALLED", "IS_2_4", "PINNED", "ROOT", "only_on_the_pinned_torch"]

ROOT = Path(__file__).parent.parent.parent
INSTALLED = torch.__version__.partition("+")[0]
IS_2_4 = INSTALLED.startswith("2.4.")
(PINNED,) = re.findall(r"^torch==(.*)$", (ROOT / ".ci" / "constraints.txt").read_text(), re.MULTILINE)

#: For what is written down once, as one torch has it.
only_on_the_pinned_torch = pytest.mark.skipif(INSTALLED != PINNED, reason=f"shows what torch {PINNED} has")
