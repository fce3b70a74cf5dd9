"""One thread (the modules here are tiny), a check that no test leaves a global mode behind, shared fixtures."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

pytest.register_assert_rewrite("helpers")

from helpers.pairs import FORMS  # noqa: E402  # after the line above, which makes its asserts show values
from lazify._torch import any_autocast, default_device  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("lazify", deadline=None, print_blob=True)
settings.load_profile("lazify")


def _modes() -> tuple[object, ...]:
    return (
        torch.get_default_dtype(),
        default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        any_autocast(),
    )


@pytest.fixture(autouse=True)
def _global_modes_are_kept() -> Iterator[None]:
    before = _modes()
    torch.manual_seed(0)
    yield
    assert _modes() == before


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """The way to a lazy class: see `helpers.pairs`."""
    name: str = request.param
    return name


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads switch as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
