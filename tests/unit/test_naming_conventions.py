"""Which parameters are inferred where nothing is named."""

from __future__ import annotations

import pytest

from lazify._recipe.naming_conventions import guess_parameters
from lazify._recipe.signature_reading import constructor_signature


@pytest.mark.parametrize(
    ("parameters", "forward", "expected"),
    [
        ("in_channels, out_channels, stride=1", "x", ["in_channels"]),
        ("num_classes, in_features", "x", ["in_features"]),
        ("img_size=224, patch_size=16, in_chans=3, num_classes=10, embed_dim=768", "x", ["img_size", "in_chans"]),
        ("dim, heads=8, dim_head=64", "x", ["dim"]),
        ("query_dim, context_dim=None, heads=8", "x context", ["query_dim", "context_dim"]),
        ("input_size, hidden_size, num_layers=1", "x hidden", ["input_size"]),
        ("num_heads, hidden_dim, mlp_dim", "x", ["hidden_dim"]),
        ("obs_dim, act_dim=3", "obs act", ["obs_dim"]),
        ("in_channels=3, inplanes=64, channels=(4, 8)", "x", ["in_channels"]),
        ("vocab, embedding_dim", "ids", []),
        ("out_channels, kernel_size, dilation=1", "x", []),
        ("num_classes, dropout=0.5", "x", []),
    ],
)
def test_which_parameters_are_dropped(parameters: str, forward: str, expected: list[str]) -> None:
    namespace: dict[str, type] = {}
    exec(f"class Made:\n    def __init__(self, {parameters}): ...", namespace)
    assert guess_parameters(constructor_signature(namespace["Made"]), forward.split()) == expected
