"""The stubs that ship with lazify are what `python -m lazify stub` writes."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from helpers.versions import only_on_the_pinned_torch
from lazify.typing_support.stubs import stub

HERE = Path(__file__).parent.parent / "static"
ROOT = HERE.parent.parent


@only_on_the_pinned_torch
@pytest.mark.parametrize("path", sorted((ROOT / "lazify").rglob("*.pyi")), ids=lambda path: path.stem)
def test_shipped_stubs_are_what_the_command_writes(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    assert path.read_text() == stub(importlib.import_module(name)), f"python -m lazify stub {name}"
