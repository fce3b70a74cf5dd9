"""Attributes that are known before the first call, and `reset_parameters`."""

from __future__ import annotations

import copy
import random
import time
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lazify import NotMaterializedError, is_lazy, lazify


class Counting(nn.Module):
    """A base class whose constructor sets attributes, counts its instances and draws random numbers."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Counting.made += 1
        self.number, self.drawn, self.at = Counting.made, random.random(), time.perf_counter()
        self._owner, self._automatic = None, True


class Widths(Counting):
    """Attributes that depend on the open size, that do not, and that do so only for some values."""

    def __init__(self, dim: int, out: int = 7, groups: int = 1, mode: str = "plain") -> None:
        super().__init__()
        self.dim, self.out, self.mode, self.twice = dim, out, mode, 2 * dim
        self.groups, self.pair, self.maker = (groups, groups), (out, mode), nn.ReLU
        self.same = dim == out
        self.wide, self.heads, self.huge = dim > 4 * out, max(1, dim // 64), dim > 1000
        self.device, self.names, self.sizes = torch.empty(0).device, ["a", mode], {"out": out, "inner": {1, 2}}
        if dim > 100:
            self.extra = "large"
        self.linear = nn.Linear(dim, out)
        self.reset_parameters()

    def reset_parameters(self, value: float = 0.5) -> None:
        nn.init.constant_(self.linear.weight, value)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


def test_attributes_that_do_not_depend_on_the_input_are_known() -> None:
    module = lazify(Widths)(out=9, mode="m")
    assert (module.out, module.mode, module.groups) == (9, "m", (1, 1))
    assert (module.pair, module.maker, module._owner, module._automatic) == ((9, "m"), nn.ReLU, None, True)
    assert (module.linear.out_features, type(module.linear).__name__) == (9, "Linear")
    assert (type(module.names), module.names, module.sizes) == (list, ["a", "m"], {"out": 9, "inner": {1, 2}})
    open_sizes = ("dim", "twice", "same", "wide", "heads", "huge", "extra")
    for name in (*open_sizes, "number", "drawn", "at", "device"):
        with pytest.raises(NotMaterializedError, match=f"attribute '{name}' is not known yet"):
            getattr(module, name)
        assert not hasattr(module, name)
    module.mode = "mine"
    del module.groups
    assert module.mode == "mine"
    assert not hasattr(module, "groups")
    linear = module.linear
    module(torch.zeros(2, 5))
    assert module.linear is linear
    assert (module.dim, module.out, module.mode, linear.in_features) == (5, 9, "mine", 5)
    assert not hasattr(module, "groups")


class OneSize(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        assert dim == 16
        self.dim = dim
        self.linear = nn.Linear(dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


def test_no_attribute_of_a_class_that_takes_one_value() -> None:
    """Nothing was compared, so nothing is known to be the same."""
    with pytest.raises(NotMaterializedError):
        _ = lazify(OneSize)().dim


def test_a_container_that_was_read_is_that_of_the_real_module() -> None:
    """As on the eager module; and no other lazy instance sees it."""
    module, other = lazify(Widths)(out=9, mode="m"), lazify(Widths)(out=9, mode="m")
    names, sizes = module.names, module.sizes
    assert module.names is names
    names.append("mine")
    sizes["inner"].add(3)
    twin = copy.deepcopy(module)
    assert (other.names, other.sizes["inner"]) == (["a", "m"], {1, 2})
    for each in (module, twin, other):
        each(torch.zeros(2, 5))
    assert module.names is names
    assert module.sizes is sizes
    assert (twin.names, twin.sizes) == (names, sizes)
    assert twin.names is not names
    assert (other.names, other.sizes["inner"]) == (["a", "m"], {1, 2})
    inside = lazify(Around)(3)
    inside.widths.names.append("inside")
    assert inside.widths.names == ["a", "plain", "inside"]
    inside(torch.zeros(2, 5))
    assert inside.widths.names == ["a", "plain", "inside"]


class Around(nn.Module):
    """Holds a module whose attributes depend on the open size, and objects of the user."""

    late = "class"

    def __init__(self, dim: int, out: int, config: Any = None, mode: str = "b") -> None:
        super().__init__()
        self.widths = Widths(dim, out)
        self.widths.late = f"x{dim}"
        self.config, self.options, self.act = config, (config, out), F.relu

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.widths(x)
        return out


class Config:
    size = 3


def test_objects_of_the_user_are_these_objects() -> None:
    for config in (Config(), {"size": 3}, nn.ReLU(), [1]):
        module = lazify(Around, exclude=["dim"])(3, config)
        assert module.config is config
        assert not hasattr(module, "options") or module.options[0] is config
        assert module.act is F.relu
        module(torch.zeros(2, 5))
        assert module.config is module.options[0] is config


def test_what_a_submodule_shows() -> None:
    module = lazify(Around, exclude=["dim"])(3)
    assert (module.widths.out, module.widths.pair, module.widths.linear.out_features) == (3, (3, "plain"), 3)
    for name in ("dim", "same", "heads", "number", "device", "late"):
        with pytest.raises(NotMaterializedError, match=f"cannot be asked for '{name}' yet"):
            getattr(module.widths, name)


@pytest.mark.parametrize("open_size", ["width", "height"])
def test_every_open_size_has_to_be_varied(open_size: str) -> None:
    """A class that takes one value of one size alone: what depends on it is the same in all trial constructions."""

    class Particular(nn.Module):
        def __init__(self, width: int, height: int) -> None:
            super().__init__()
            assert {"width": width, "height": height}[open_size] == 48
            self.name = "fixed"
            self.linear = nn.Linear(width, height)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.linear(x)
            return out

    module = lazify(Particular, exclude=["width", "height"])()
    assert [name for name, _ in module.named_parameters()] == ["linear.weight", "linear.bias"]
    assert not hasattr(module, "name")
    assert not hasattr(module.linear, "bias_is_here")


def test_a_default_that_the_call_may_refuse_is_open() -> None:
    class Defaulted(nn.Module):
        def __init__(self, dim: int, dim_context: int = 8) -> None:
            super().__init__()
            self.tag, self.joined = "tag", dim_context > 8
            self.linear, self.context = nn.Linear(dim, 4), nn.Linear(dim_context, 4)

        def forward(self, x: Tensor, context: Tensor) -> Tensor:
            out: Tensor = self.linear(x) + self.context(context)
            return out

    module = lazify(Defaulted)()
    assert module.tag == "tag"
    assert not hasattr(module, "joined")


def test_reset_parameters_waits() -> None:
    module, eager = lazify(Widths)(), Widths(5)
    for each in (module, eager):
        assert each.reset_parameters(value=2.0) is None
    with pytest.raises(TypeError, match="unexpected keyword argument 'values'"):
        module.reset_parameters(values=1)
    module(torch.zeros(2, 5))
    assert torch.equal(module.linear.weight, eager.linear.weight)
    assert "reset_parameters" not in vars(module)


def test_reset_parameters_of_what_is_inside() -> None:
    """The common loop over modules."""
    module = lazify(Widths)()
    for each in module.modules():
        if hasattr(each, "reset_parameters"):
            each.reset_parameters()
    torch.manual_seed(0)
    module(torch.zeros(2, 5))
    torch.manual_seed(0)
    eager = Widths(5)
    eager.reset_parameters()
    eager.linear.reset_parameters()
    assert torch.equal(module.linear.weight, eager.linear.weight)


def test_no_reset_parameters_where_the_class_has_none() -> None:
    assert not hasattr(lazify(OneSize)(), "reset_parameters")


class Shadowing(nn.Module):
    """Class attributes, of which instances have some of their own."""

    stride, mode, expansion, late = 1, "a", 4, None

    def __init__(self, dim: int, stride: int = 2) -> None:
        super().__init__()
        self.stride, self.mode = stride, f"x{dim}"
        self.linear = nn.Linear(dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


def test_class_attributes_that_the_real_module_will_shadow() -> None:
    module = lazify(Shadowing, exclude=["dim"])(3)
    assert (type(module).stride, type(module).expansion) == (1, 4)
    assert (module.stride, module.expansion, module.late) == (3, 4, None)
    with pytest.raises(NotMaterializedError, match="'mode' is not known yet"):
        _ = module.mode
    module.late = "mine"
    assert module.late == "mine"
    module(torch.zeros(2, 8))
    assert (module.stride, module.mode, module.expansion, module.late) == (3, "x8", 4, "mine")


def test_another_of_its_type() -> None:
    """`type(self)(...)`, in both forms."""

    @lazify(exclude=["dim"])
    class Decorated(Shadowing):
        def __init__(self, dim: int, stride: int = 2) -> None:
            super().__init__(dim, stride)

    for lazy in (Decorated, lazify(Shadowing, exclude=["dim"])):
        first = lazy(3)
        second = type(first)(4)
        assert type(second) is type(first)
        second(torch.zeros(2, 5))
        assert is_lazy(first)
        assert (second.stride, second.linear.in_features) == (4, 5)
