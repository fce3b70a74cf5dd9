"""Effects of constructors and forwards happen once, in the real call, whichever way a module becomes real."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.trial_effects import EFFECTS, Effect
from helpers.trial_worlds import WAYS, use


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", EFFECTS)
def test_one_effect(kind: type[Effect], way: str) -> None:
    if kind.__name__ == "Generators" and way.startswith("materialize"):
        pass  # drawn in the construction, which comes before the call here and there
    assert use([kind], way, lazily=True) == use([kind], way, lazily=False)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(EFFECTS), min_size=2, max_size=5, unique=True), st.sampled_from(sorted(WAYS)))
def test_effects_together(kinds: list[type[Effect]], way: str) -> None:
    assert use(kinds, way, lazily=True) == use(kinds, way, lazily=False)
