"""A private name that torch does not have is an error where it is first needed, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import torch

import lazify
from lazify import LazifyError, _torch
from lazify.errors import UnsupportedTorchError

NAME = "torch._C._no_such_name"

USES: dict[str, Callable[[Any], Any]] = {
    "called": lambda missing: missing(1, key=2),
    "an attribute": lambda missing: missing.items(),
    "a condition": bool,
    "iterated over": list,
    "in": lambda missing: 1 in missing,
    "isinstance": lambda missing: isinstance(1, missing),
    "a base class": lambda missing: _subclass(missing)(),
}


def _subclass(missing: Any) -> type:
    class Sub(missing):
        def __init__(self) -> None:
            super().__init__(allow_non_fake_inputs=True)

    return Sub


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_each_use_is_an_error_that_names_it(use: Callable[[Any], Any]) -> None:
    missing = _torch._private(NAME)
    with pytest.raises(UnsupportedTorchError) as caught:
        use(missing)
    assert isinstance(caught.value, LazifyError)
    assert str(caught.value).splitlines() == [
        f"torch has no {NAME}, which lazify uses here",
        f"  torch:  {torch.__version__}",
        f"  lazify: {lazify.__version__}, tested with torch 2.4.1 to {_torch.NEWEST_TESTED}",
        "Fix:",
        f"  pip install --upgrade torch-lazify  # or: pip install torch=={_torch.NEWEST_TESTED}",
    ]


def test_a_name_in_a_module_that_is_not_there() -> None:
    with pytest.raises(UnsupportedTorchError, match=r"torch\._no_such_module\.name"):
        _torch._private("torch._no_such_module.name")()


def test_what_does_not_need_the_names_goes_on() -> None:
    """In a process where no private name is found: classes, signatures, explanations, eager construction."""
    script = """
        import pkgutil, torch
        from torch import nn
        import torch.nn.utils.prune

        def not_there(name):
            asked.append(name)
            raise AttributeError(name)

        asked = []
        pkgutil.resolve_name = not_there
        import inspect, lazify, lazify.layers, lazify.nn
        from lazify.errors import UnsupportedTorchError

        assert len(asked) > 25
        lazy = lazify.lazify(nn.Linear)(3)
        assert repr(lazy) == "LazyLinear(in_features=?, out_features=3)"
        assert "in_features" not in inspect.signature(type(lazy)).parameters
        assert "in_features" in str(lazify.explain(type(lazy)))
        assert lazify.is_lazy(lazy.eval())
        try:
            lazy(torch.ones(2, 5))
        except UnsupportedTorchError as error:
            assert str(error).startswith("torch has no torch."), error
            assert lazify.is_lazy(lazy)
        else:
            raise AssertionError("a first call needs some of them")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_dynamos_names_its_public_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_torch, "_eval_frame", _torch._private(NAME))

    @_torch.skip_dynamo
    def hidden(x: torch.Tensor) -> torch.Tensor:
        return x + torch.compiler.is_compiling()

    torch._dynamo.reset()
    assert torch.compile(lambda x: hidden(x) * 2, backend="eager")(torch.zeros(1)) == 0
