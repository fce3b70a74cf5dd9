"""Making a whole model real from shapes alone.

model, shapes -> rehearsal: the model runs on fakes, each lazy module becomes one on fakes at its first call
              -> plans: the values found; everything is taken back
              -> each lazy module is built with its values, in the order in which they were constructed
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lazify._deferred.operations import attached
from lazify._deferred.placeholders import substitute
from lazify._deferred.state import lazy_state
from lazify._first_call.attempt import materialize_with
from lazify._first_call.materialization import Completed, Plan, TrialKind, call_stack, plans_of
from lazify._isolation import isolated
from lazify._isolation.restoring import Restore, snapshot
from lazify._module_tree import own_tensors, walk
from lazify._nested import map_nested
from lazify._recipe.construction import neutral_contexts
from lazify._torch import FakeMode, fakes_cannot_follow
from lazify.errors import InferenceError, compose

__all__ = ["materialize"]

logger = logging.getLogger("lazify")
#: Words of torch's error where a gradient is asked for that nothing was recorded for.
NEEDS_GRADIENTS = "does not require grad and does not have a grad_fn"
M = TypeVar("M", bound=nn.Module)


def materialize(
    model: M, *args: Any, device: Any = None, strict: bool = True, progress: bool = False, **kwargs: Any
) -> M:
    """Make every lazy module in `model` real from the shapes of its input: nothing is computed.

    Fake tensors run through the model; then real parameters are made, in the order in which the lazy modules were
    constructed, so that under a seed they are those of the eager model. Buffers, modes and hooks stay as they are.
    Where values decide how `forward` goes on, it runs once on real tensors, in eval mode and without gradients.

    Args:
        model: a module with lazy modules in it, or a lazy module.
        *args: the arguments of a call. A tensor on the meta device, or a `torch.Size`, stands for one of its shape.
        device: where the parameters go, `"meta"` included. Left out: to the input's device, or to the default device
            where the input has none.
        strict: whether lazy modules that the call does not reach are an error. If not, they stay lazy.
        progress: show a bar on stderr, if tqdm is installed.
        **kwargs: keyword arguments of the call.

    Returns:
        The model itself.

    Raises:
        InferenceError: if some lazy module is not reached, or if its values do not follow from the call.
        Exception: whatever the model raises. In every case the model is what it was before.

    >>> from lazify import lazify
    >>> LazyConv2d, LazyLinear = lazify(nn.Conv2d), lazify(nn.Linear)
    >>> model = nn.Sequential(LazyConv2d(8, 3), nn.Flatten(), LazyLinear(10))
    >>> materialize(model, torch.empty(32, 3, 16, 16, device="meta"))[2]
    Linear(in_features=1568, out_features=10, bias=True)
    """
    if all(lazy_state(module) is None for _, module in walk(model)):
        return model
    plans, unreached = _found(model, args, kwargs)
    if strict and unreached:
        raise _not_reached(unreached)
    _build(plans, None if device is None else torch.device(device), progress)
    return model


def _not_reached(unreached: list[tuple[str, nn.Module]]) -> InferenceError:
    return InferenceError(
        compose(
            f"the call does not reach {len(unreached)} lazy module{'s' * (len(unreached) != 1)} of the model",
            [(path or "the model itself", f"{module!r}") for path, module in unreached],
            "materialize(model, ..., strict=False)  # they stay lazy",
        )
    )


# ---------------------------------------------------------------------------------------------
# The rehearsal


def _found(model: nn.Module, args: Any, kwargs: Any) -> tuple[list[Plan], list[tuple[str, nn.Module]]]:
    """The plans, and the lazy modules that the call does not reach."""
    paths = {id(module): path for path, module in walk(model)}
    try:
        return _rehearsal(model, args, kwargs, TrialKind.ON_FAKES)
    except InferenceError as error:
        if not (path := paths.get(id(error.module))):
            raise
        headline, *facts = str(error).splitlines()
        raise type(error)("\n".join([f"{headline}, at {path!r} in the model", *facts])) from error
    except Exception as error:
        if NEEDS_GRADIENTS in str(error):  # a forward that takes gradients itself: `torch.autograd.grad`
            return _rehearsal(model, args, kwargs, TrialKind.ON_FAKES, gradients=True)
        if not fakes_cannot_follow(error):
            raise
        logger.info("the forward of %s depends on values (%s): it runs once for real", type(model).__name__, error)
    return _rehearsal(model, args, kwargs, TrialKind.FOR_REAL)


def _rehearsal(
    model: nn.Module, args: Any, kwargs: Any, how: TrialKind, gradients: bool = False
) -> tuple[list[Plan], list[tuple[str, nn.Module]]]:
    calls = Completed()
    on_fakes = how is TrialKind.ON_FAKES
    restore = _restorers(model, on_fakes)
    call_stack.calls.append(calls)
    before, call_stack.calls.trial_kind = call_stack.calls.trial_kind, how
    try:
        mode = FakeMode() if on_fakes else contextlib.nullcontext()
        with (
            isolated(model),
            _random_state_kept(on_fakes),
            neutral_contexts(None),
            mode,
            torch.set_grad_enabled(gradients),
        ):
            stand_for = functools.partial(_stand_for, device=_device_of(model), empty=on_fakes)
            args, kwargs = map_nested(stand_for, (args, kwargs), (torch.Size, torch.Tensor))
            restore.insert(0, _put_on_fakes(model) if on_fakes else _put_in_eval_mode(model))
            model(*args, **kwargs)
        unreached = [(path, module) for path, module in walk(model) if lazy_state(module) is not None]
        return plans_of(calls), unreached
    finally:
        call_stack.calls.trial_kind = before
        call_stack.calls.pop()
        calls.rollback_all()
        for each in restore:
            each()


def _random_state_kept(on_fakes: bool) -> contextlib.AbstractContextManager[None]:
    """A context that leaves torch's random states alone: on fake tensors nothing is drawn anyway."""
    if on_fakes:
        return contextlib.nullcontext()
    devices = (
        list(range(torch.cuda.device_count())) if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    )
    return torch.random.fork_rng(devices=devices)


def _restorers(model: nn.Module, on_fakes: bool) -> list[Restore]:
    """What brings back attributes and, after a run on real tensors, buffers."""
    found = snapshot([model], tensors_too=False)
    for buffer in (buffer for module in _real_modules(model) for buffer in module._buffers.values()):
        if buffer is not None and not buffer.is_meta and not on_fakes:
            found.append(functools.partial(buffer.copy_, buffer.clone()))
    return found


def _real_modules(model: nn.Module) -> Iterator[nn.Module]:
    """Those in the model, and those that lazy ones were given or that were attached to them."""
    for _, module in walk(model):
        state = lazy_state(module)
        if state is None:
            yield module
        else:
            for each in (*state.given.values(), *attached(state.history.operations)):
                if isinstance(each, nn.Module):
                    yield from _real_modules(each)


def _put_on_fakes(model: nn.Module) -> Restore:
    """The model's own tensors as fakes, too: an operation among real ones alone would be computed, or change them."""
    real = list(_real_modules(model))
    fakes: dict[int, tuple[Any, Any]] = {}
    for tensor in (tensor for module in real for tensor in own_tensors(module)):
        if tensor.layout is torch.strided and not is_lazy(tensor):
            fake = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=tensor.device)
            twin = nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
            fakes[id(tensor)] = (tensor, twin)
    substitute(real, fakes)
    return functools.partial(substitute, real, {id(fake): (fake, tensor) for tensor, fake in fakes.values()})


def _put_in_eval_mode(model: nn.Module) -> Restore:
    modes = [(module, module.training) for module in _real_modules(model)]
    for module, _ in modes:
        module.training = False

    def restore() -> None:
        for module, mode in modes:
            module.training = mode

    return restore


def _device_of(model: nn.Module) -> torch.device:
    """Where an input that does not exist is supposed to be: with the model's first tensor."""
    first = next((tensor for _, module in walk(model) for tensor in own_tensors(module)), None)
    return torch.get_default_device() if first is None else first.device


def _stand_for(value: Any, device: torch.device, empty: bool) -> Any:
    """What runs through the model in the place of an argument."""
    if isinstance(value, torch.Size):
        return torch.empty(value, device=device) if empty else torch.zeros(value, device=device)
    if not isinstance(value, torch.Tensor):
        return value
    where = device if value.is_meta else value.device
    if empty and value.layout is torch.strided:
        fake = torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device=where)
        return fake.requires_grad_(value.requires_grad)
    return torch.zeros_like(value, device=where) if value.is_meta else value.detach().clone()


# ---------------------------------------------------------------------------------------------
# Building


def _build(plans: list[Plan], device: torch.device | None, progress: bool) -> None:
    """Make them real, all or none."""
    ordered = sorted(plans, key=lambda plan: lazy_state(plan.module).construction_index)  # type: ignore[union-attr]
    calls = Completed()
    call_stack.calls.append(calls)
    try:
        for plan in _with_bar(ordered, progress):
            where = device or plan.device
            materialize_with(dataclasses.replace(plan, device=None if where == torch.get_default_device() else where))
    except BaseException:
        calls.rollback_all()
        raise
    finally:
        call_stack.calls.pop()


def _with_bar(plans: list[Plan], progress: bool) -> Iterable[Plan]:
    if progress:
        with contextlib.suppress(ImportError):
            bar: Iterable[Plan] = importlib.import_module("tqdm").tqdm(plans, desc="materialize", unit="module")
            return bar
    return plans
