"""Effects of constructors and forwards happen once, in the real call, whichever way a module becomes real."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.trial_effects import EFFECTS, Effect
from helpers.trial_effects_outside import OUTSIDE
from helpers.trial_effects_shared import SHARED
from helpers.trial_worlds import CARRIERS, WAYS, use

ALL = [*EFFECTS, *OUTSIDE, *SHARED]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ALL)
def test_one_effect(kind: type[Effect], way: str) -> None:
    assert use([kind], way, lazily=True) == use([kind], way, lazily=False)


@pytest.mark.parametrize("way", ["a search", "a preview", "materialize on real tensors"])
@pytest.mark.parametrize("carrier", CARRIERS[1:])
@pytest.mark.parametrize("kind", ALL)
def test_one_effect_of_an_argument(kind: type[Effect], carrier: str, way: str) -> None:
    assert use([kind], way, lazily=True, carrier=carrier) == use([kind], way, lazily=False, carrier=carrier)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(ALL), min_size=2, max_size=5, unique=True),
    st.sampled_from(sorted(WAYS)),
    st.sampled_from(CARRIERS),
)
def test_effects_together(kinds: list[type[Effect]], way: str, carrier: str) -> None:
    assert use(kinds, way, lazily=True, carrier=carrier) == use(kinds, way, lazily=False, carrier=carrier)
