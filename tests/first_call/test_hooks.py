"""Hooks registered before the first call run as on the eager module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from helpers.first_call import X, pair_of
from helpers.hooks import HOOKS, back, post
from helpers.modules import Block
from helpers.pairs import in_form


def use(module: nn.Module, **kwargs: Any) -> Tensor:
    """All that hooks listen to: forward, backward, saving, loading."""
    x = X.clone().requires_grad_()
    out: Tensor = module(x, **kwargs) if not kwargs else module(**kwargs)
    out.sum().backward()
    module.load_state_dict(module.state_dict())
    return out


@pytest.mark.parametrize("kind", HOOKS)
def test_each_kind_of_hook_and_its_handle(form: str, kind: str) -> None:
    pair = pair_of(form)
    mine, twins = pair.do(HOOKS[kind])
    assert type(mine) is type(twins)
    pair.through(use)
    assert pair.logs[0]
    pair.check()
    pair.through(use)
    pair.check()
    mine.remove()
    twins.remove()
    seen = len(pair.logs[0])
    pair.through(use)
    pair.check()
    assert len(pair.logs[0]) == seen


@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_removed_before_the_call_never_run(form: str, kind: str) -> None:
    pair = pair_of(form)
    for handle in pair.do(HOOKS[kind]):
        handle.remove()
    pair.through(use)
    assert pair.logs == ([], [])
    pair.check()


def test_all_hooks_together_in_their_order(form: str) -> None:
    pair = pair_of(form)
    for register in [*HOOKS.values(), *reversed(HOOKS.values())]:
        pair.do(register)
    pair.through(use)
    pair.check()
    pair.through(use)
    pair.check()


def test_some_of_many_hooks_removed(form: str) -> None:
    pair = pair_of(form)
    handles = [pair.do(register) for register in [*HOOKS.values(), *HOOKS.values()]]
    for each in handles[::3]:
        for handle in each:
            handle.remove()
    pair.through(use)
    pair.check()
    for each in handles[1::3]:
        for handle in each:
            handle.remove()
    pair.through(use)
    pair.check()


def test_handles_as_context_managers(form: str) -> None:
    pair = pair_of(form)
    with ExitStack() as stack:
        for handle in pair.do(HOOKS["pre"]) + pair.do(HOOKS["post"]):
            stack.enter_context(handle)
        pair.call(X)
    assert len(pair.logs[0]) == 2
    pair.check()


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_hooks_that_remove_themselves_in_the_first_call(form: str, kind: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        def hook(module: nn.Module, *args: Any) -> None:
            log.append(kind)
            handle.remove()

        register = {"pre": module.register_forward_pre_hook, "post": module.register_forward_hook}[kind]
        handle = register(hook)

    pair.do(act)
    pair.call(X)
    assert pair.logs[0] == [kind]
    pair.call(X)
    assert pair.logs[0] == [kind]
    pair.check()


def test_hooks_may_register_hooks(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        def hook(module: nn.Module, args: Any) -> None:
            module.register_forward_hook(post(log, "registered by a hook"))

        module.register_forward_pre_hook(hook)

    pair.do(act)
    pair.call(X)
    pair.call(X)
    pair.check()


def test_hooks_change_output_and_gradients_as_ever(form: str) -> None:
    pair = pair_of(form)

    def act(module: nn.Module, log: list[Any]) -> None:
        module.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
        module.register_forward_hook(lambda m, args, out: out + 1)
        module.register_full_backward_hook(lambda m, into, out_of: (into[0] * 3,))

    pair.do(act)

    def called(module: nn.Module) -> Any:
        x = X.clone().requires_grad_()
        out = module(x)
        out.sum().backward()
        return out, x.grad

    pair.through(called)
    pair.check()


@pytest.mark.filterwarnings("ignore:Using a non-full backward hook:FutureWarning")
def test_the_old_backward_hook(form: str) -> None:
    pair = pair_of(form)
    pair.do(lambda module, log: module.register_backward_hook(back(log)))
    pair.through(use)
    assert pair.logs[0]
    pair.check()


def test_both_kinds_of_backward_hook_refuse_each_other_at_once(form: str) -> None:
    module = in_form(form, Block)[0]()
    module.register_full_backward_hook(back([]))
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks"):
        module.register_backward_hook(back([]))


def test_a_pre_hook_sees_the_real_module(form: str) -> None:
    pair = pair_of(form)
    pair.do(lambda module, log: module.register_forward_pre_hook(lambda m, _: log.append(m.linear.weight.sum().item())))
    pair.call(X)
    pair.check()


# hooks that change what forward gets
def narrow(module: nn.Module, args: Any) -> Any:
    return (args[0][:, :3],)


def narrow_kwargs(module: nn.Module, args: Any, kwargs: Any) -> Any:
    return (), {"x": kwargs["x"][:, :3]}


def to_tensor(module: nn.Module, args: Any) -> Any:
    return (torch.tensor(args[0]),)


@pytest.mark.parametrize(
    ("hook", "with_kwargs", "args", "kwargs"),
    [
        (narrow, False, (X,), {}),
        (narrow_kwargs, True, (), {"x": X}),
        (to_tensor, False, ([[1.0, 2.0, 3.0]] * 4,), {}),
    ],
)
def test_values_come_from_what_forward_really_gets(
    form: str, hook: Any, with_kwargs: bool, args: Any, kwargs: Any
) -> None:
    pair = pair_of(form, in_features=3)

    def act(module: nn.Module, log: list[Any]) -> None:
        def counting(*each: Any) -> Any:
            log.append("hook")
            return hook(*each)

        module.register_forward_pre_hook(counting, with_kwargs=with_kwargs)
        module.register_forward_hook(post(log))
        module.double()
        module.float()
        module.note = "kept"

    pair.do(act)
    pair.call(*args, **kwargs)
    assert pair.logs[0] == ["hook", ("post", pair.cls.__name__, torch.Size([4, 3]))]
    pair.check()
    assert pair.lazy.linear.in_features == 3
    pair.call(*args, **kwargs)
    pair.check()


def test_a_hook_that_reshapes_and_removes_itself_is_gone(form: str) -> None:
    pair = pair_of(form, in_features=3)

    def act(module: nn.Module, log: list[Any]) -> None:
        def hook(module: nn.Module, args: Any) -> Any:
            log.append("once")
            handle.remove()
            return narrow(module, args)

        handle = module.register_forward_pre_hook(hook)

    pair.do(act)
    pair.call(X)
    pair.call(X[:, :3])
    assert pair.logs[0] == ["once"]
    pair.check()


def test_what_a_reshaping_hook_leaves_on_the_module_stays(form: str) -> None:
    pair = pair_of(form, in_features=3)

    def hook(module: nn.Module, args: Any) -> Any:
        module.seen = getattr(module, "seen", 0) + 1
        return narrow(module, args)

    pair.do(lambda module, log: module.register_forward_pre_hook(hook))
    pair.call(X)
    assert pair.eager.seen == 1
    pair.check()


@contextmanager
def global_hooks(log: list[Any], narrowing: bool) -> Iterator[None]:
    def before(module: nn.Module, args: Any) -> Any:
        log.append(("before", type(module).__name__))
        return narrow(module, args) if narrowing and hasattr(module, "scale") else None

    def after(module: nn.Module, args: Any, output: Any) -> None:
        log.append(("after", type(module).__name__))

    with register_module_forward_pre_hook(before), register_module_forward_hook(after):
        yield


@pytest.mark.parametrize("narrowing", [False, True])
def test_global_hooks_run_as_on_the_eager_module(form: str, narrowing: bool) -> None:
    pair = pair_of(form, in_features=3 if narrowing else 5)

    def called(module: nn.Module) -> Any:
        with global_hooks(pair.logs[module is pair.eager], narrowing):
            return module(X)

    pair.through(called)
    assert pair.logs[1]
    pair.check()
