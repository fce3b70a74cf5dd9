"""Copies and pickles of lazy instances together with their optimizers and averages."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch
from torch import nn

from helpers.modules import LazyConvBlock, LazyLinear, LazyNested
from lazify import is_lazy, lazify
from lazify.errors import UnpicklableError

IMAGES = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)

ROWS = torch.linspace(-1, 1, 4 * 8).reshape(4, 8)


# ---------------------------------------------------------------------------------------------
# Copies


def test_copies_of_model_and_optimizer_keep_their_tie() -> None:
    model = nn.Sequential(LazyConvBlock(4), nn.Flatten(), LazyLinear(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    for duplicate in (copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))):
        twin, its = duplicate((model, optimizer))
        assert any(map(is_lazy, twin))
        for _ in range(2):
            twin(IMAGES).sum().backward()
            before = twin[2].weight.detach().clone()
            its.step()
        assert all(a is b for a, b in zip(twin.parameters(), its.param_groups[0]["params"], strict=True))
        assert not torch.equal(before, twin[2].weight)
    assert is_lazy(model[0])


def test_a_copy_keeps_what_was_chosen_on_placeholders() -> None:
    lazy = LazyLinear(3)
    lazy.weight.requires_grad = False
    for twin in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))):
        twin.double()
        assert [p.requires_grad for p in twin.parameters()] == [False, True]
        twin(torch.ones(2, 5, dtype=torch.float64))
        assert [p.requires_grad for p in twin.parameters()] == [False, True]


def test_copies_become_real_on_their_own() -> None:
    lazy = LazyLinear(3)
    copies = [copy.copy(lazy), copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))]
    lazy(torch.ones(2, 5))
    for width, twin in enumerate(copies, 6):
        assert is_lazy(twin)
        twin(torch.ones(2, width))
        assert twin.in_features == width


def test_an_average_follows_without_drawing_random_numbers() -> None:
    model = nn.Sequential(LazyLinear(3), nn.Dropout(0.5))
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    model(torch.ones(2, 5))
    before = torch.get_rng_state()
    average.update_parameters(model)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(average.module[0].weight, model[0].weight)
    assert type(average.module[0]) is nn.Linear


def width_of(input: torch.Tensor) -> int:
    return input.shape[-1]


def test_rules_without_a_name_cannot_be_pickled() -> None:
    lazy = lazify(nn.Linear, exclude={"in_features": lambda input: input.shape[-1]})(3)
    with pytest.raises(UnpicklableError) as caught:
        pickle.dumps(lazy)
    assert isinstance(caught.value, pickle.PicklingError)
    assert str(caught.value).splitlines()[0] == (
        "a LazyLinear cannot be pickled: the rule for 'in_features' has no name to find it by"
    )
    copy.deepcopy(lazy)(torch.ones(2, 5))
    copy.copy(lazy)(torch.ones(2, 5))
    lazy(torch.ones(2, 5))
    pickle.dumps(lazy)
    pickle.dumps(lazify(nn.Linear, exclude={"in_features": width_of})(3))


MADE = """
    import torch
    from torch import nn
    from lazify import axis, lazify

    @lazify(exclude=["in_channels"])
    class Block(nn.Module):
        def __init__(self, in_channels, out_channels):
            super().__init__()
            self.conv = nn.Conv2d(in_channels, out_channels, 1)
        def forward(self, x):
            return self.conv(x)

    def double(input):
        return 2 * input.shape[1]

    def halve(module):
        module.halved = True

    def mark(module, args):
        module.marked = True

    LazyGrow = lazify(nn.Conv2d, exclude={"in_channels": axis(1), "out_channels": double})
    LazyNameless = lazify(nn.Conv2d, exclude={"in_channels": axis(1), "out_channels": lambda input: 3})

    def model():
        lazies = nn.Sequential(Block(4), LazyGrow(kernel_size=1), LazyNameless(kernel_size=1), lazify(nn.BatchNorm2d)())
        lazies.double()
        lazies.apply(halve)
        lazies[0].register_forward_pre_hook(mark)
        list(lazies.parameters())
        return lazies
"""
SAVE = "import torch, made; torch.save(made.model(), 'model.pt')"
LOAD = """
    import torch
    from lazify import is_lazy
    model = torch.load("model.pt", weights_only=False)
    assert all(map(is_lazy, model))
    placeholders = list(model.parameters())
    model(torch.ones(2, 3, 4, 4, dtype=torch.float64))
    assert all(a is b for a, b in zip(placeholders, model.parameters()))
    assert [type(m).__name__ for m in model] == ["Block", "Conv2d", "Conv2d", "BatchNorm2d"]
    assert [m.halved for m in model] == [True] * 4 and model[0].marked
    assert model[2].out_channels == 3 and model[1].out_channels == 8
"""


def test_pickled_in_one_process_used_in_another(tmp_path: Any) -> None:
    (tmp_path / "made.py").write_text(textwrap.dedent(MADE))
    for code in (SAVE, textwrap.dedent(LOAD)):
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------------------------
# Lazy modules inside lazy modules


@pytest.mark.parametrize("ask", [False, True])
@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_keep_the_tie_inside(how: Any, ask: bool) -> None:
    lazy = LazyNested()
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    twin, its = how((lazy, optimizer))
    if ask:
        list(twin.parameters())
    twin(ROWS).sum().backward()
    assert all(a is b for a, b in zip(twin.parameters(), its.param_groups[0]["params"], strict=True))
    assert all(p.grad is not None for p in its.param_groups[0]["params"])


def test_averages_of_nested_modules() -> None:
    lazy = LazyNested()
    average = torch.optim.swa_utils.AveragedModel(lazy)
    lazy(ROWS)
    average.update_parameters(lazy)
    assert all(torch.equal(a, b) for a, b in zip(average.module.parameters(), lazy.parameters(), strict=True))
    average.update_parameters(lazy)


def test_a_copy_stays_lazy_where_no_value_is_needed() -> None:
    lazy = LazyNested()
    twin = copy.deepcopy(lazy)
    lazy(ROWS)
    twin.half().float()
    assert all(map(torch.nn.parameter.is_lazy, twin.state_dict().values()))
    assert is_lazy(twin)
    twin(torch.ones(2, 5))
    assert twin.a.in_features == 5
