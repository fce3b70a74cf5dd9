"""What torch promises of its lazy classes holds for both: hooks, operations before the call, models of several."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn
from torch.nn import Module
from torch.nn.parameter import Parameter
from torch.nn.parameter import is_lazy as is_uninitialized
from torch.nn.utils import clip_grad_norm_, parametrizations, spectral_norm, weight_norm

from helpers.promises import (
    CONV,
    FEW,
    LINEAR,
    NAMESPACES,
    NORM,
    NORMS,
    WEIGHTED,
    Kind,
    assert_real,
    both,
    breaks_without_bias,
    uninitialized,
)
from helpers.twins import assert_twins

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:.*torch.jit"),
    # the old weight_norm, in its own words
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning"),
]

torchs = torch.nn


# ---------------------------------------------------------------------------------------------
# Hooks


@both()
def test_the_users_hooks_run_once_a_call(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    log: list[Any] = []
    removed = [
        module.register_forward_hook(lambda *_: log.append("removed")),
        module.register_forward_pre_hook(lambda *_: log.append("removed")),
    ]
    late = module.register_forward_hook(lambda m, args, out: log.append(("forward", type(m), out.shape)))
    module.register_forward_pre_hook(lambda m, args: log.append(("pre", len(args))))
    module.register_forward_pre_hook(lambda m, args, named: log.append(("named", *named)), with_kwargs=True)
    module.register_forward_hook(lambda *_: log.append("always"), always_call=True)
    module.register_full_backward_hook(lambda *_: log.append("backward"))
    for handle in removed:
        handle.remove()
    out = module(kind.input().requires_grad_())
    expected_ = [("pre", 1), ("named",), ("forward", kind.eager_class, out.shape), "always"]
    assert log == expected_
    out.sum().backward()
    assert log == [*expected_, "backward"]
    late.remove()
    log.clear()
    module(input=kind.input())
    assert log == [("pre", 0), ("named", "input"), "always"]


@both(FEW)
def test_a_forward_hook_may_change_the_output(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.register_forward_hook(lambda m, args, out: args[0] + 1)
    x = kind.input()
    assert torch.equal(module(x), x + 1)
    assert_real(kind, module)


@both()
def test_a_pre_hook_put_first_may_change_the_input(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.register_forward_pre_hook(lambda m, args: torch.cat([args[0], args[0]], 1), prepend=True)
    module(kind.input())
    assert_real(kind, module, 12)
    module(kind.input())


@both(FEW)
def test_a_pre_hook_may_change_the_values_of_the_input(kind: Kind, ns: ModuleType) -> None:
    module, twin = kind.lazy(ns), kind.eager()
    module.register_forward_pre_hook(lambda m, args: args[0] + 1)
    module.register_forward_pre_hook(lambda m, args, named: (args, named), with_kwargs=True)
    torch.manual_seed(1)
    out = module(kind.input())
    torch.manual_seed(1)
    twin.reset_parameters()
    assert torch.equal(out, twin(kind.input() + 1))


@both(FEW)
def test_hooks_of_state_dicts(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    log: list[str] = []
    module.register_state_dict_pre_hook(lambda *_: log.append("save"))
    module.register_load_state_dict_post_hook(lambda *_: log.append("load"))
    state = module.state_dict()
    module.load_state_dict(state)
    assert log == ["save", "load"]
    module(kind.input())
    module.load_state_dict(module.state_dict())
    assert log == ["save", "load"] * 2


# ---------------------------------------------------------------------------------------------
# What may be done before, and what is refused


@both()
def test_reset_parameters_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert module.reset_parameters() is None
    assert module.has_uninitialized_params()
    module(kind.input())
    assert_real(kind, module)


@both(FEW)
def test_apply_reaches_it(kind: Kind, ns: ModuleType) -> None:
    met: list[Any] = []
    model = torch.nn.Sequential(kind.lazy(ns), torch.nn.Identity())
    assert model.apply(met.append) is model
    model(kind.input())
    assert len(met) == 3
    assert {id(each) for each in met} == {id(model), id(model[0]), id(model[1])}


@both(FEW)
def test_zero_grad_and_clipping_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.zero_grad()
    assert clip_grad_norm_(module.parameters(), 1.0) == 0
    assert module.has_uninitialized_params()


@both(FEW)
def test_freezing_one_parameter_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.bias.requires_grad = False
    module(kind.input())
    assert [each.requires_grad for each in module.parameters()] == [True, False]


@both(FEW)
def test_attached_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.register_buffer("count", torch.zeros(3))
    module.register_parameter("extra", Parameter(torch.ones(2)))
    module.add_module("inner", torch.nn.Linear(2, 2))
    module.note = "mine"
    assert {"count", "extra", "inner.weight"} <= set(module.state_dict())
    inner, extra = module.inner, module.extra
    module(kind.input())
    assert type(module) is kind.eager_class
    assert {"count", "extra", "inner.weight"} <= set(module.state_dict())
    assert (module.inner, module.extra, module.note) == (inner, extra, "mine")


@both(FEW)
def test_a_bias_taken_away_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.bias = None
    if breaks_without_bias(kind, ns):
        return
    module(kind.input())
    assert type(module) is kind.eager_class
    assert module.bias is None
    assert "bias" not in module.state_dict()


@both(NORMS)
def test_attributes_of_norms_set_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.eps, module.momentum = 0.5, 0.25
    module(kind.input())
    twin = kind.eager(eps=0.5, momentum=0.25)
    twin(kind.input())
    assert_twins(module, twin)


@both()
def test_sharing_memory_is_refused(kind: Kind, ns: ModuleType) -> None:
    for model in (kind.lazy(ns), torch.nn.Sequential(kind.lazy(ns))):
        with pytest.raises(RuntimeError, match="Can't share memory on an uninitialized"):
            model.share_memory()
    assert kind.called(ns).share_memory().weight.is_shared()


@both()
def test_torchscript_is_refused(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=r"has uninitialized (parameters|buffers).*run a forward pass"):
        torch.jit.script(kind.lazy(ns))


@both([LINEAR, CONV, NORM])
def test_tracing_is_refused(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="has uninitialized parameters"):
        torch.jit.trace(kind.lazy(ns), kind.input())


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_torchscript_of_buffers_alone_is_refused(ns: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="uninitialized buffers"):
        torch.jit.script(ns.LazyBatchNorm1d(affine=False))


@both(WEIGHTED)
def test_norms_of_weights_are_refused(kind: Kind, ns: ModuleType) -> None:
    for reparametrize in (weight_norm, spectral_norm):
        with pytest.raises(ValueError, match="can't have uninitialized parameters"):
            reparametrize(kind.lazy(ns))
    for reparametrize in (parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal):
        module = kind.lazy(ns)
        with pytest.raises((ValueError, RuntimeError, IndexError)):
            reparametrize(module)


@both(FEW)
def test_data_parallel_is_refused(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(RuntimeError):
        kind.lazy(ns)._replicate_for_data_parallel()


@both(FEW)
def test_parameters_may_be_initialized_without_a_call(kind: Kind, ns: ModuleType) -> None:
    """torch's public method for it; the module becomes real at the first call, at the latest."""
    module = kind.lazy(ns)
    torch.manual_seed(1)
    module.initialize_parameters(kind.input())
    assert not uninitialized(module)
    assert getattr(module, kind.size) == 6
    torch.manual_seed(1)
    twin = kind.eager()
    assert torch.equal(module(kind.input()), twin(kind.input()))
    assert_twins(module, twin)


# ---------------------------------------------------------------------------------------------
# Models of several


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_a_chain_becomes_real_in_one_call(ns: ModuleType) -> None:
    def network(lazy: bool) -> Module:
        if lazy:
            parts = [
                ns.LazyConv2d(4, 3),
                ns.LazyBatchNorm2d(),
                ns.LazyConvTranspose2d(5, 2),
                ns.LazyInstanceNorm2d(affine=True),
            ]
            parts += [ns.Flatten(), ns.LazyLinear(8), ns.ReLU(), ns.LazyBatchNorm1d(), ns.LazyLinear(2)]
        else:
            parts = [
                ns.Conv2d(3, 4, 3),
                ns.BatchNorm2d(4),
                ns.ConvTranspose2d(4, 5, 2),
                ns.InstanceNorm2d(5, affine=True),
            ]
            parts += [ns.Flatten(), ns.Linear(180, 8), ns.ReLU(), ns.BatchNorm1d(8), ns.Linear(8, 2)]
        if lazy and ns is torchs:  # whose defaults are not those of the eager class
            parts[3] = ns.LazyInstanceNorm2d(affine=True, track_running_stats=False)
        return ns.Sequential(*parts)

    x = torch.randn(4, 3, 7, 7)
    model = network(lazy=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(1)
    out = model(x)
    torch.manual_seed(1)
    twin = network(lazy=False)
    assert torch.equal(out, twin(x))
    assert_twins(model, twin)
    out.sum().backward()
    optimizer.step()
    assert model(x).shape == (4, 2)


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_attributes_of_ones_own_module(ns: ModuleType) -> None:
    class Network(ns.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = ns.LazyLinear(15)
            self.more = ns.ModuleList([ns.LazyLinear(15), ns.LazyLinear(15)])
            self.heads = ns.ModuleDict({"a": ns.LazyLinear(2), "b": ns.LazyLinear(3)})
            self.tied = ns.LazyLinear(15)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            x = self.first(x)
            for each in (*self.more, self.tied, self.tied):
                x = each(x).relu()
            return tuple(head(x) for head in self.heads.values())

    network = Network()
    assert all(is_uninitialized(each) for each in network.parameters())
    assert len(list(network.parameters())) == 12
    first, second = network(torch.ones(5, 10))
    assert (first.shape, second.shape) == ((5, 2), (5, 3))
    assert (network.first.weight.shape, network.tied.weight.shape) == ((15, 10), (15, 15))
    assert all(type(each) is torch.nn.Linear for each in network.modules() if isinstance(each, torch.nn.Linear))


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_an_untouched_branch_stays_lazy(ns: ModuleType) -> None:
    model = ns.ModuleDict({"used": ns.LazyLinear(2), "unused": ns.LazyLinear(2)})
    model["used"](torch.ones(3, 4))
    assert [type(each) is torch.nn.Linear for each in model.values()] == [True, False]
    state = model.state_dict()
    assert [is_uninitialized(each) for each in state.values()] == [False, False, True, True]
    again = ns.ModuleDict({"used": ns.LazyLinear(2), "unused": ns.LazyLinear(2)})
    again.load_state_dict(state)
    assert torch.equal(again["used"].weight, model["used"].weight)
    assert again["unused"].has_uninitialized_params()


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_a_lazy_layer_is_a_leaf_to_torch_fx(ns: ModuleType) -> None:
    model = ns.Sequential(ns.LazyLinear(3), ns.ReLU(), ns.LazyLinear(2))
    traced = torch.fx.symbolic_trace(model)
    assert traced(torch.ones(4, 6)).shape == (4, 2)
    assert [type(each) for each in traced.children()] == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear]
