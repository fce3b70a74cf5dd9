"""Equal modules of torch.nn in a trial run of a model: one of them is built and called on fakes, the others follow it.

first of its kind  ->  built and called          ->  its attributes, and what its result looks like, are kept
another one        ->  gets copies of the attributes, and an empty result of the same kind

The constructor and `forward` of a class of torch, with plain arguments, depend on nothing else. The parameters of
modules that follow are the same tensors; should code look at that, or ask for their gradients, the run is repeated with
each module on its own (`materialize`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from lazify._deferred.preview_template import shallow_copy
from lazify._deferred.state import LazyState
from lazify._first_call.commit_and_rollback import Materialization, TrialKind, call_stack
from lazify._nested import all_plain
from lazify._recipe.construction import contexts_are_neutral, set_class, set_dict
from lazify._recipe.torch_nn_table import KNOWN
from lazify._torch import COMPILED_CALL, GLOBAL_HOOKS, FakeTensor, function_modes, no_dispatch, no_torch_function

__all__ = ["Outcomes", "follow", "keep_outcome", "kind_of_call"]


class Outcomes(dict[Any, "_Outcome"]):
    """What calls did in one trial run, by their kind.

    Attributes:
        were_used: whether a module followed another one.
    """

    were_used = False


class _Outcome(NamedTuple):
    """What a call did with a lazy instance in this trial run.

    Attributes:
        built: a copy of the module.
        values, seen, device: as in `Materialization`.
        result: shape, strides and dtype of the result, and its device.
    """

    built: nn.Module
    values: dict[str, Any]
    seen: Any
    device: torch.device | None
    result: tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]


def kind_of_call(state: LazyState, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A key that is the same for calls with the same outcome; None if that is not known."""
    if call_stack.trial_kind is not TrialKind.ON_FAKES or kwargs or len(args) != 1:
        return None
    recipe, given, history, x = state.recipe, state.given, state.history, args[0]
    if recipe.wrapped not in KNOWN or recipe.guessed or not all_plain(given.values()) or any(GLOBAL_HOOKS):
        return None
    if type(x) is not FakeTensor or x.constant is not None or getattr(x.fake_mode, "outcomes", None) is None:
        return None
    if not contexts_are_neutral() or history.copy_group is not None or history.owner is not None:
        return None
    done = [(each.method, each.path, *each.args, *each.kwargs.items()) for each in history.operations]
    if not all(all_plain(each) for each in done):
        return None
    arguments = tuple((name, type(value), value) for name, value in given.items())
    contexts = (torch.get_default_dtype(), function_modes())
    with no_torch_function():
        return recipe, arguments, tuple(done), contexts, x.shape, x.stride(), x.dtype, x.device, x.requires_grad


def keep_outcome(module: nn.Module, kind: Any, x: Any, result: Any) -> None:
    """Note what a call of this kind did, if modules that follow can have the same without running."""
    call = vars(module).get(COMPILED_CALL)
    if not isinstance(call, Materialization) or call.compiled is not None or module._modules:
        return
    if type(result) is not FakeTensor or result is x or result._base is not None or result.constant is not None:
        return
    with no_torch_function():
        looks = (tuple(result.shape), result.stride(), result.dtype, result.device)
    x.fake_mode.outcomes[kind] = _Outcome(shallow_copy(module), call.values, call.seen, call.device, looks)


def follow(module: nn.Module, state: LazyState, kind: Any, x: Any) -> Any:
    """Become what an equal module has become, and return what it has returned; None if there is none."""
    outcomes: Outcomes = x.fake_mode.outcomes
    outcome = outcomes.get(kind)
    if outcome is None:
        return None
    outcomes.were_used = True
    call = Materialization(module, state, outcome.values, outcome.seen)
    call.trial_kind, call.device = TrialKind.ON_FAKES, outcome.device
    call.lazy_class, call.lazy_dict = type(module), vars(module)
    attributes = vars(shallow_copy(outcome.built))
    attributes[COMPILED_CALL] = call
    set_dict(module, attributes)
    set_class(module, state.recipe.wrapped)
    call.commit(call_stack.calls[-1])
    parameters = () if x.requires_grad else [each for each in module._parameters.values() if each is not None][:1]
    apply: Any = _Following.apply
    return apply(outcome.result, module, x, *parameters)


class _Following(torch.autograd.Function):
    """The result of a module that was not run, with a place in the graph of gradients: that of the input.

    If that needs no gradient, a parameter says whether the result does.
    """

    @staticmethod
    def forward(ctx: Any, looks: Any, module: nn.Module, x: Any, *parameters: Any) -> Any:
        ctx.module, ctx.x, ctx.others = module, x, len(parameters)
        size, stride, dtype, device = looks
        with no_dispatch(), no_torch_function():
            return FakeTensor(x.fake_mode, torch.empty_strided(size, stride, dtype=dtype, device="meta"), device)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Run the module after all."""
        if not ctx.x.requires_grad:
            raise RuntimeError("the gradient of a parameter of a module that was not run")
        with torch.enable_grad():
            result = ctx.module.forward(ctx.x)
        found = torch.autograd.grad(result, ctx.x, gradients, create_graph=torch.is_grad_enabled())
        return None, None, *found, *[None] * ctx.others
