"""Attributes that are known before the first call, and `reset_parameters`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lazify import NotMaterializedError, is_lazy, lazify


class Widths(nn.Module):
    """Attributes that depend on the open size, that do not, and that do so only for some values."""

    def __init__(self, dim: int, out: int = 7, groups: int = 1, mode: str = "plain") -> None:
        super().__init__()
        self.dim, self.out, self.mode, self.twice = dim, out, mode, 2 * dim
        self.groups, self.pair, self.maker = (groups, groups), (out, mode), nn.ReLU
        self.same = dim == out
        self.wide = dim > 4 * out
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
    for name in ("dim", "twice", "same", "wide", "pair", "maker", "linear"):
        with pytest.raises(NotMaterializedError, match=f"attribute '{name}' is not known yet"):
            getattr(module, name)
        assert not hasattr(module, name)
    module.mode = "mine"
    del module.groups
    assert module.mode == "mine"
    assert not hasattr(module, "groups")
    module(torch.zeros(2, 5))
    assert (module.dim, module.out, module.mode) == (5, 9, "mine")
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
