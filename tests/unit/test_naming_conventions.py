"""Which parameters may be inferred where nothing is named: by names, annotations and defaults."""

from __future__ import annotations

import pytest

from lazify._recipe.naming_conventions import Sizes, any_size, sizes_of
from lazify._recipe.signature_reading import constructor_signature


@pytest.mark.parametrize(
    ("parameters", "forward", "expected"),
    [
        ("in_channels, out_channels, stride=1", "x", Sizes(("in_channels",))),
        ("num_classes, in_features", "x", Sizes(("in_features",))),
        (
            "img_size=224, patch_size=16, in_chans=3, num_classes=10, embed_dim=768",
            "x",
            Sizes(("in_chans",), (), ("img_size", "embed_dim")),
        ),
        ("dim, heads=8, dim_head=64", "x", Sizes((), ("dim",))),
        ("query_dim, context_dim=None, heads=8", "x context", Sizes(("context_dim",), ("query_dim",))),
        ("input_size, hidden_size, num_layers=1", "x hidden", Sizes((), ("input_size",))),
        ("num_heads, hidden_dim, mlp_dim", "x", Sizes((), ("hidden_dim",))),
        ("obs_dim, act_dim=3", "obs act", Sizes((), ("obs_dim",))),
        ("in_channels=3, inplanes=64, channels=(4, 8)", "x", Sizes(("in_channels",), (), ("inplanes", "channels"))),
        ("vocab, embedding_dim", "ids", Sizes((), ("embedding_dim",))),
        ("dim, in_features=16", "x", Sizes(("in_features",), ("dim",))),
        ("dim, cond_size=None, code_size=None, name=None", "x", Sizes((), ("dim",), ("cond_size", "code_size"))),
        ("dim, in_features=None", "x", Sizes((), ("dim",), ("in_features",))),
        ("in_features=None, out_features=3", "x", Sizes(("in_features",))),
        ("nz, ngf, nc", "z", Sizes((), ("nz", "ngf", "nc"))),
        ("out_channels, kernel_size, dilation=1", "x", Sizes()),
        ("num_classes, dropout=0.5", "x", Sizes()),
    ],
)
def test_which_parameters_may_be_inferred(parameters: str, forward: str, expected: Sizes) -> None:
    namespace: dict[str, type] = {}
    exec(f"class Made:\n    def __init__(self, {parameters}): ...", namespace)
    assert sizes_of(constructor_signature(namespace["Made"]), forward.split()) == expected


def test_whatever_is_left_out() -> None:
    class Made:
        def __init__(self, num_classes: int, kernel_size: int, mode: str, bias: bool = True) -> None: ...

    assert any_size(constructor_signature(Made), ["x"]).optional == ("num_classes", "kernel_size")
