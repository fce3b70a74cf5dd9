"""The preview: submodules of a lazy instance before its first call, and what is done to them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from helpers.modules import D, LazyConvBlock, LazyNested, LazyNet, Nested, Odd
from helpers.twins import assert_twins
from lazify import NotMaterializedError, is_lazy, lazify

IMAGES = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)

ROWS = torch.linspace(-1, 1, 4 * 8).reshape(4, 8)


# ---------------------------------------------------------------------------------------------
# Submodules in the preview


def test_submodules_take_what_is_done_to_them() -> None:
    lazy = nn.Sequential(LazyConvBlock(4))
    log: list[str] = []
    norms = [m for m in lazy.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.eval()
        norm.momentum = 0.5
        norm.register_forward_hook(lambda *_: log.append("norm"))
    lazy[0].get_submodule("inner").register_forward_pre_hook(lambda *_: log.append("inner"))
    lazy(IMAGES)
    assert (lazy[0].norm.training, lazy[0].norm.momentum) == (False, 0.5)
    assert log == ["norm", "inner"]
    assert type(norms[0]) is nn.BatchNorm2d
    assert norms[0].running_mean is lazy[0].norm.running_mean
    assert vars(lazy[0].norm).keys() == vars(nn.BatchNorm2d(2)).keys()


def test_submodules_do_not_show_what_is_unknown() -> None:
    conv = LazyConvBlock(4).get_submodule("conv")
    assert (conv.out_channels, conv.kernel_size) == (4, (3, 3))
    assert not hasattr(conv, "in_channels")
    with pytest.raises(NotMaterializedError, match="'conv' cannot be asked for 'in_channels' yet"):
        _ = conv.in_channels
    with pytest.raises(NotMaterializedError, match="cannot be called yet"):
        conv(IMAGES)
    with pytest.raises(NotMaterializedError, match="cannot be called yet"):
        LazyConvBlock(4).get_submodule("inner")(IMAGES)
    with pytest.raises(NotMaterializedError, match="cannot be loaded yet"):
        conv.load_state_dict({})
    with pytest.raises(NotMaterializedError, match="cannot be copied yet"):
        copy.deepcopy(conv)
    assert repr(conv) == "Conv2d(?)"


def test_attributes_say_what_is_waited_for() -> None:
    lazy = LazyConvBlock(4)
    for ask in (lambda: lazy.conv.in_channels, lambda: lazy.conv(IMAGES), lambda: lazy.forward_features(IMAGES)):
        with pytest.raises(AttributeError, match="waits for its first call"):
            ask()
    assert not hasattr(lazy.conv, "in_channels")
    assert getattr(lazy.conv, "in_channels", None) is None
    with pytest.raises(AttributeError):
        del lazy.nothing


def test_what_is_done_to_attached_modules_is_not_done_again() -> None:
    for make in (lambda: nn.BatchNorm1d(3), lambda: lazify(nn.BatchNorm1d)()):
        lazy = lazify(WithHead)()
        lazy.head = head = make()
        lazy.train()
        lazy.requires_grad_(True)
        head.eval()
        head.requires_grad_(False)
        lazy(torch.ones(2, 5))
        assert lazy.head is head
        assert (lazy.training, head.training) == (True, False)
        assert [p.requires_grad for p in lazy.parameters()] == [True, True, False, False]


class WithHead(nn.Module):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.linear(x))


def test_a_search_repeats_the_operations_in_its_trial_runs() -> None:
    lazy = lazify(Odd, exclude=["zz"])(3)
    lazy.norm = nn.BatchNorm1d(3)
    lazy.scale = torch.full((1,), 2.0)
    lazy.double().eval()
    lazy.forward_hooked = True
    assert lazy(torch.ones(1, 5, dtype=torch.float64)).dtype is torch.float64
    assert lazy.linear.in_features == 5


# ---------------------------------------------------------------------------------------------
# The submodules of the preview become the real ones


def test_submodules_keep_their_identity() -> None:
    model = nn.Sequential(LazyNet(), LazyNested())
    names = {module: name for name, module in model.named_modules()}
    log: list[str] = []
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: log.append(names[module]))
    model(ROWS)
    assert log == ["0.a", "0.b", "0", "1.a", "1.b.w", "1.b", "1", ""]
    assert {module: name for name, module in model.named_modules()} == names


def test_extra_state_before_the_call() -> None:
    class Extra(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.linear = nn.Linear(d, 3)
            self.kept = 5

        def get_extra_state(self) -> Any:
            return {"kept": self.kept}

        def set_extra_state(self, state: Any) -> None:
            self.kept = state["kept"]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    lazy, eager = lazify(Extra, exclude=D)(), Extra(8)
    assert list(lazy.state_dict()) == list(eager.state_dict())
    assert lazy.state_dict()["_extra_state"] == {"kept": 5}
    eager.kept = 7
    lazy.load_state_dict(eager.state_dict())
    assert lazy.kept == 7


class Slotted(nn.Linear):
    __slots__ = ("width",)

    def __init__(self, d: int) -> None:
        super().__init__(d, 3)
        self.width = d


def test_submodules_with_slots() -> None:
    class Holding(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.slotted = Slotted(d)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.slotted(x) * self.slotted.width

    lazy = lazify(Holding, exclude=D)()
    part = lazy.get_submodule("slotted")
    lazy(ROWS)
    assert lazy.slotted is part
    assert (type(part), part.width) == (Slotted, 8)


def test_a_removed_hook_of_a_nested_submodule() -> None:
    for after in (False, True):
        lazy = LazyNested()
        log: list[int] = []
        handle = lazy.get_submodule("b.w").register_forward_hook(lambda *_, log=log: log.append(1))
        if after:
            lazy(ROWS)
        handle.remove()
        lazy(ROWS)
        assert log == [1] * after


def test_a_failing_call_gives_the_submodules_back() -> None:
    lazy = LazyNested()
    before = dict(lazy.named_modules())
    lazy.get_submodule("a").register_forward_hook(lambda *_: log.append("a"))
    log: list[str] = []
    handle = lazy.register_forward_hook(lambda *_: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            lazy(ROWS)
        assert is_lazy(lazy)
        assert dict(lazy.named_modules()) == before
        with pytest.raises(NotMaterializedError, match="cannot be called yet"):
            before["a"](ROWS)
    handle.remove()
    torch.manual_seed(0)
    lazy(ROWS)
    assert dict(lazy.named_modules()) == before
    torch.manual_seed(0)
    twin = Nested(8)
    log.clear()
    twin.a.register_forward_hook(lambda *_: log.append("a"))
    twin(ROWS)
    for name, module in twin.named_modules():
        if name == "b.w":
            assert_twins(before[name], module)
