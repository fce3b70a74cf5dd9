"""What was told before the first call, where modules share, replace, tie and nest."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from twins import assert_twins

from lazify import NotMaterializedError, axis, is_lazy, lazify

X = torch.linspace(-1, 1, 4 * 8).reshape(4, 8)
LazyLinear = lazify(nn.Linear)
D = {"d": axis(-1)}


class Net(nn.Module):
    def __init__(self, d: int, h: int = 8) -> None:
        super().__init__()
        self.a = nn.Linear(d, h)
        self.b = nn.Linear(h, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


class Inner(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.w = nn.Linear(d, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w(x)


LazyNet, LazyInner = lazify(Net, exclude=D), lazify(Inner, exclude=D)


class Outer(nn.Module):
    """A lazy module inside a lazy one."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.a = nn.Linear(d, 5)
        self.b = LazyInner()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


LazyOuter = lazify(Outer, exclude=D)


# ---------------------------------------------------------------------------------------------
# What constructions share


def test_asking_leaves_what_the_class_shares_alone() -> None:
    shared = nn.PReLU()
    scale = nn.Parameter(torch.ones(1))

    class Sharing(nn.Module):
        def __init__(self, d: int, act: nn.Module = shared, relu: nn.Module = nn.ReLU()) -> None:  # noqa: B008
            super().__init__()
            self.linear = nn.Linear(d, 8)
            self.act = act
            self.relu = relu
            self.scale = scale

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.act(self.linear(x))) * self.scale

    eager = Sharing(8)
    eager(X)
    lazy = lazify(Sharing, exclude=D)()
    told = list(lazy.parameters())
    assert any(each is shared.weight for each in told)
    assert any(each is scale for each in told)
    eager(X)
    assert type(shared) is nn.PReLU
    lazy(X).sum().backward()
    assert all(a is b for a, b in zip(lazy.parameters(), told, strict=True))
    assert lazy.act is eager.act is shared


class Parametrized(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.a = nn.utils.parametrizations.weight_norm(nn.Linear(d, 7))
        self.b = nn.utils.parametrizations.spectral_norm(nn.Linear(7, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


def test_parametrizations_in_the_constructor() -> None:
    lazy = lazify(Parametrized, exclude=D)()
    told = dict(lazy.named_parameters())
    assert list(told) == [name for name, _ in Parametrized(8).named_parameters()]
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    lazy(X).square().sum().backward()
    optimizer.step()
    lazy(X)
    assert all(parameter is told[name] for name, parameter in lazy.named_parameters())
    assert all(parameter.grad is not None for parameter in told.values())


class Wrapper(nn.Module):
    def __init__(self, d: int, inner: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(d, 5)
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.linear(x))


LazyWrapper = lazify(Wrapper, exclude=D)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "make", [lambda: LazyLinear(5), lambda: nn.Sequential(LazyLinear(5)), lambda: nn.LazyLinear(5)]
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_lazy_module_as_a_constructor_argument(make: Any, asked: bool) -> None:
    inner = make()
    if asked:
        list(inner.parameters())
    lazy = LazyWrapper(inner)
    told = list(lazy.parameters())
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    lazy(X).sum().backward()
    optimizer.step()
    assert lazy.inner is inner
    assert all(a is b for a, b in zip(lazy.parameters(), told, strict=True))
    loaded = LazyWrapper(make())
    if not isinstance(inner, nn.Sequential):
        loaded.load_state_dict(Wrapper(8, nn.Linear(5, 5)).state_dict())
        assert loaded.linear.in_features == 8


@pytest.mark.parametrize("make", [lambda: nn.BatchNorm1d(5), lambda: lazify(nn.BatchNorm1d)()])
def test_flags_of_a_module_given_to_the_constructor(make: Any) -> None:
    inner = make()
    lazy = LazyWrapper(inner)
    lazy.eval()
    lazy.requires_grad_(False)
    assert not inner.training
    assert flags(inner) == [False, False]
    inner.train()
    inner.requires_grad_(True)
    twin = copy.deepcopy(lazy)
    for each in (twin, lazy):
        each(X)
        assert (each.training, each.inner.training) == (False, True)
        assert flags(each) == [False, False, True, True]
    assert lazy.inner is inner


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_torchs_own_lazy_layers_inside() -> None:
    class Mixed(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.a = nn.Linear(d, 5)
            self.b = nn.LazyLinear(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    lazy = lazify(Mixed, exclude=D)()
    told = list(lazy.parameters())
    lazy(X)
    assert all(a is b for a, b in zip(lazy.parameters(), told, strict=True))


# ---------------------------------------------------------------------------------------------
# What is replaced and tied


def test_a_replaced_submodule_is_trained() -> None:
    for where in ("instance", "part"):
        lazy = LazyNet()
        new = nn.Linear(8, 3)
        weight = new.weight
        if where == "instance":
            lazy.b = new
        else:
            lazy = nn.Sequential(nn.ReLU(), lazify(Deep, exclude=D)())
            for module in list(lazy.modules()):
                if hasattr(module, "mark"):
                    module.b = new
        optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
        before = weight.detach().clone()
        lazy(X).square().sum().backward()
        optimizer.step()
        assert any(each is weight for each in lazy.parameters())
        assert new.weight is weight
        assert not torch.equal(before, weight)


class Deep(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.net = Net(d)
        self.net.mark = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def test_weights_tied_before() -> None:
    lazy = LazyNet()
    lazy.get_submodule("b").weight = lazy.get_submodule("a").weight
    eager = Net(8)
    eager.b.weight = eager.a.weight
    assert [name for name, _ in lazy.named_parameters()] == [name for name, _ in eager.named_parameters()]
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    lazy(X)
    assert lazy.a.weight is lazy.b.weight is optimizer.param_groups[0]["params"][0]
    assert [name for name, _ in lazy.named_parameters()] == [name for name, _ in eager.named_parameters()]


def test_wrapped_forwards() -> None:
    lazy, eager = LazyLinear(3), nn.Linear(8, 3)

    def twice(module: nn.Module) -> None:
        forward = module.forward
        module.forward = lambda x: forward(x) * 2

    for module in (lazy, eager):
        twice(module)
    torch.manual_seed(0)
    out = lazy(X)
    eager.load_state_dict(lazy.state_dict())
    assert torch.equal(out, eager(X))
    deep = LazyNet()
    for module in list(deep.modules()):
        if isinstance(module, nn.Linear):
            twice(module)
    out = deep(X)
    eager_deep = Net(8)
    eager_deep.load_state_dict(deep.state_dict())
    twice(eager_deep.a)
    twice(eager_deep.b)
    assert torch.equal(out, eager_deep(X))


def test_values_written_into_placeholders_are_refused() -> None:
    lazy = LazyLinear(3)
    with pytest.raises(ValueError, match="no values yet"):
        lazy.bias.data.fill_(7.0)


# ---------------------------------------------------------------------------------------------
# Modules that are handed out are those that come


def test_submodules_keep_their_identity() -> None:
    model = nn.Sequential(LazyNet(), LazyOuter())
    names = {module: name for name, module in model.named_modules()}
    log: list[str] = []
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: log.append(names[module]))
    model(X)
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
    lazy(X)
    assert lazy.slotted is part
    assert (type(part), part.width) == (Slotted, 8)


def test_a_removed_hook_of_a_nested_submodule() -> None:
    for after in (False, True):
        lazy = LazyOuter()
        log: list[int] = []
        handle = lazy.get_submodule("b.w").register_forward_hook(lambda *_, log=log: log.append(1))
        if after:
            lazy(X)
        handle.remove()
        lazy(X)
        assert log == [1] * after


def test_a_failing_call_gives_the_submodules_back() -> None:
    lazy = LazyOuter()
    before = dict(lazy.named_modules())
    lazy.get_submodule("a").register_forward_hook(lambda *_: log.append("a"))
    log: list[str] = []
    handle = lazy.register_forward_hook(lambda *_: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            lazy(X)
        assert is_lazy(lazy)
        assert dict(lazy.named_modules()) == before
        with pytest.raises(NotMaterializedError, match="cannot be called yet"):
            before["a"](X)
    handle.remove()
    torch.manual_seed(0)
    lazy(X)
    assert dict(lazy.named_modules()) == before
    torch.manual_seed(0)
    twin = Outer(8)
    log.clear()
    twin.a.register_forward_hook(lambda *_: log.append("a"))
    twin(X)
    for name, module in twin.named_modules():
        if name == "b.w":
            assert_twins(before[name], module)


# ---------------------------------------------------------------------------------------------
# Lazy modules inside lazy modules


def flags(module: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in module.parameters()]


def test_flags_and_dtypes_reach_placeholders_inside() -> None:
    lazy = LazyOuter()
    assert flags(lazy.requires_grad_(False)) == [False] * 4
    assert {p.dtype for p in lazy.half().parameters()} == {torch.float16}
    for name, parameter in lazy.named_parameters():
        if name.startswith("b"):
            parameter.requires_grad = True
    assert flags(lazy) == [False, False, True, True]
    for twin in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy)), lazy):
        assert flags(twin.float()) == [False, False, True, True]
        twin(X)
        assert flags(twin) == [False, False, True, True]
    again = LazyOuter()
    for parameter in again.parameters():
        parameter.requires_grad = False
    assert flags(again.requires_grad_(True)) == [True] * 4
    again(X)
    assert flags(again) == [True] * 4


@pytest.mark.parametrize("ask", [False, True])
@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_keep_the_tie_inside(how: Any, ask: bool) -> None:
    lazy = LazyOuter()
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    twin, its = how((lazy, optimizer))
    if ask:
        list(twin.parameters())
    twin(X).sum().backward()
    assert all(a is b for a, b in zip(twin.parameters(), its.param_groups[0]["params"], strict=True))
    assert all(p.grad is not None for p in its.param_groups[0]["params"])


def test_averages_of_nested_modules() -> None:
    lazy = LazyOuter()
    average = torch.optim.swa_utils.AveragedModel(lazy)
    lazy(X)
    average.update_parameters(lazy)
    assert all(torch.equal(a, b) for a, b in zip(average.module.parameters(), lazy.parameters(), strict=True))
    average.update_parameters(lazy)


def test_a_copy_stays_lazy_where_no_value_is_needed() -> None:
    lazy = LazyOuter()
    twin = copy.deepcopy(lazy)
    lazy(X)
    twin.half().float()
    assert all(map(torch.nn.parameter.is_lazy, twin.state_dict().values()))
    assert is_lazy(twin)
    twin(torch.ones(2, 5))
    assert twin.a.in_features == 5


def test_a_search_with_a_lazy_module_inside_and_another_dtype() -> None:
    class Odd(nn.Module):
        def __init__(self, zz: int) -> None:
            super().__init__()
            self.i = nn.Linear(zz, 6)
            self.b = LazyLinear(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.i(x))

    lazy = lazify(Odd, exclude=["zz"])().double()
    assert lazy(X.double()).dtype is torch.float64
    assert lazy.i.in_features == 8


# ---------------------------------------------------------------------------------------------
# Checkpoints that leave something open


class Classifier(nn.Module):
    def __init__(self, flat: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(flat, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).flatten(1))


def test_a_part_that_leaves_the_values_open_is_loaded_at_the_first_call() -> None:
    saved = {name: each for name, each in Classifier(144).state_dict().items() if name.startswith("conv")}
    lazy, eager = lazify(Classifier, exclude=["flat"])(), Classifier(144)
    assert lazy.load_state_dict(saved, strict=False) == eager.load_state_dict(saved, strict=False)
    assert is_lazy(lazy)
    lazy(torch.ones(2, 1, 8, 8))
    assert torch.equal(lazy.conv.weight, saved["conv.weight"])
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "fc.weight", "fc.bias"'):
        lazify(Classifier, exclude=["flat"])().load_state_dict(saved)


def test_a_checkpoint_of_other_names() -> None:
    saved = {f"module.{name}": each for name, each in Net(8).state_dict().items()}
    lazy = LazyNet()
    assert lazy.load_state_dict(saved, strict=False) == Net(8).load_state_dict(saved, strict=False)
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict"):
        lazy.load_state_dict(saved)
    assert is_lazy(lazy)


def test_a_checkpoint_of_only_the_lazy_module_inside() -> None:
    lazy = LazyOuter()
    saved = dict(nn.ModuleDict({"b": Inner(5)}).state_dict().items())
    keys = lazy.load_state_dict(saved, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["a.weight", "a.bias"], [])
    lazy(X)
    assert torch.equal(lazy.b.w.weight, saved["b.w.weight"])


# ---------------------------------------------------------------------------------------------
# Threads


def test_asking_while_another_thread_calls() -> None:
    for _ in range(20):
        lazy = LazyLinear(3)
        barrier = threading.Barrier(2)
        told: list[list[nn.Parameter]] = []

        def ask(lazy: nn.Module = lazy, barrier: Any = barrier, told: Any = told) -> None:
            barrier.wait()
            try:
                told.append(list(lazy.parameters()))
            except AttributeError:  # in the midst of its construction a module has none yet
                told.append([])

        thread = threading.Thread(target=ask)
        thread.start()
        barrier.wait()
        lazy(X)
        thread.join()
        assert all(a is b for a, b in zip(told[0], lazy.parameters(), strict=False))


# ---------------------------------------------------------------------------------------------
# Attributes, and reset_parameters


class Widths(nn.Module):
    """Attributes that depend on the unknown, that do not, and that do so only for some values."""

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
    module = lazify(Widths)(9, mode="m")
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
