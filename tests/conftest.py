"""One thread (the modules here are tiny), and a check that no test leaves a global mode behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("lazify", deadline=None, print_blob=True)
settings.load_profile("lazify")


def _modes() -> tuple[object, ...]:
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch._C._is_any_autocast_enabled(),
    )


@pytest.fixture(autouse=True)
def _global_modes_are_kept() -> Iterator[None]:
    before = _modes()
    torch.manual_seed(0)
    yield
    assert _modes() == before
