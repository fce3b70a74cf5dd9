"""Trial modules: what was done to a lazy instance before its first call, done to a module that will be thrown away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lazify._deferred.operations import CONVERTING, IMMEDIATE, Operation
from lazify._deferred.placeholders import substitute
from lazify._deferred.state import LazyState, lazy_state
from lazify._first_call.materialization import (
    CallStack,
    TrialKind,
    call_stack,
)
from lazify._isolation import trial_copy
from lazify._module_tree import own_tensors, walk
from lazify._recipe.construction import construct_new
from lazify._torch import unset_fake_mode

__all__ = ["apply_operations_for_trial", "trial_module", "trial_run_scope"]


@contextmanager
def trial_run_scope() -> Iterator[None]:
    """First calls of lazy modules inside throw-away ones: nothing that users see is done to them either."""
    before, call_stack.calls = call_stack.calls, CallStack()
    call_stack.calls.trial_kind = TrialKind.ON_FAKES
    try:
        yield
    finally:
        call_stack.calls = before


def trial_module(state: LazyState, arguments: Mapping[str, Any]) -> nn.Module:
    """A throw-away module to which was done what decides how a call goes."""
    module = construct_new(state.recipe, arguments)
    apply_operations_for_trial(module, state, hooks=())
    return module


#: Hooks that may decide how a call goes.
_DECIDING = ("register_forward_pre_hook", "register_forward_hook")


def apply_operations_for_trial(module: nn.Module, state: LazyState, hooks: Sequence[str] = _DECIDING) -> None:
    """Do to a module that will be thrown away what decides how a call goes: modes, dtypes, what was attached."""
    users = {id(each) for value in state.given.values() if isinstance(value, nn.Module) for _, each in walk(value)}
    for operation in state.history.operations:
        target = module.get_submodule(operation.path) if operation.path else module
        if operation.method in (*IMMEDIATE, "__setattr__", "__delattr__"):
            getattr(target, operation.method)(*trial_copy(operation.args), **trial_copy(operation.kwargs))
        elif operation.method in CONVERTING and (dtype := _dtype_after(operation)) is not None:
            _cast(target, dtype, users)
        elif operation.method in hooks and state.still_registered(operation):
            getattr(target, operation.method)(*operation.args, **operation.kwargs)
    if call_stack.calls.trial_kind is TrialKind.FOR_REAL:
        module.eval()


def _cast(module: nn.Module, dtype: torch.dtype, spared: set[int]) -> None:
    """What `module.to(dtype)` does; that takes no fakes whose like is in use elsewhere."""
    inside = [each for _, each in walk(module) if lazy_state(each) is None]
    casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for tensor in (tensor for each in inside for tensor in own_tensors(each)):
        if tensor.dtype.is_floating_point:
            cast_one = tensor.detach().to(dtype)
            is_parameter = isinstance(tensor, nn.Parameter)
            casts[id(tensor)] = (tensor, nn.Parameter(cast_one, tensor.requires_grad) if is_parameter else cast_one)
    substitute(inside, casts)
    for _, each in walk(module):
        if lazy_state(each) is not None and id(each) not in spared:
            each.to(dtype)


def _dtype_after(operation: Operation) -> torch.dtype | None:
    """The floating-point dtype that a conversion leads to, from wherever; None if it leaves dtypes alone."""
    ends = set()
    for start in (torch.float32, torch.float64):
        probe = nn.Module()
        with unset_fake_mode():
            probe.probe = nn.Parameter(torch.empty(0, dtype=start))
            getattr(probe, operation.method)(*operation.args, **operation.kwargs)
        ends.add(probe.probe.dtype)
    return ends.pop() if len(ends) == 1 else None
