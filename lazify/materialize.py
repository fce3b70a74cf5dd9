"""Making a whole model real from shapes alone.

model, shapes -> trial run: the model runs on fakes, each lazy module becomes one on fakes at its first call
              -> plans: the values found; everything is rolled back
              -> each lazy module is built with its values, in the order in which they were constructed
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import importlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn

from lazify._deferred.operations import attached
from lazify._deferred.state import lazy_state, next_construction_index
from lazify._first_call.attempt import materialize_with
from lazify._first_call.commit_and_rollback import Completed, Plan, TrialKind, call_stack, plans_of, trial_run_scope
from lazify._first_call.equal_modules import Outcomes
from lazify._isolation import TrialMemoryError, TrialMode, fails_for_fakes_alone, isolated
from lazify._isolation.copies import copied
from lazify._isolation.disposal import dispose
from lazify._isolation.fake_tensors import TrialFunctions
from lazify._isolation.limits import memory_limit
from lazify._isolation.trial import real_trial
from lazify._isolation.waiting import call_to_the_end
from lazify._module_tree import own_tensors, walk
from lazify._nested import children
from lazify._recipe.construction import neutral_contexts
from lazify._torch import default_device
from lazify.errors import InferenceError, compose, shorten_traceback

__all__ = ["materialize"]

logger = logging.getLogger("lazify")
M = TypeVar("M", bound=nn.Module)
#: What a trial run finds: plans, and the lazy modules that the call does not reach, with their paths.
_Found: TypeAlias = "tuple[list[Plan], list[tuple[str, nn.Module]]]"


def materialize(
    model: M, *args: Any, device: Any = None, strict: bool = True, progress: bool = False, **kwargs: Any
) -> M:
    """Make every lazy module in `model` real from the shapes of its input: nothing is computed.

    Fake tensors run through the model; then real parameters are made, in the order in which the lazy modules were
    constructed, so that under a seed they are those of the eager model. Buffers, modes and hooks stay as they are.
    Where values decide how `forward` goes on, it runs once on real tensors, in eval mode and without gradients.

    Args:
        model: a module with lazy modules in it, or a lazy module.
        *args: the arguments of a call. A tensor on the meta device, or a `torch.Size`, stands for one of its shape; so
            does a tuple of sizes, if no argument is a tensor and the model takes no tuple.
        device: where the parameters go, `"meta"` included. Left out: to the input's device, or to the default device
            where the input has none.
        strict: whether lazy modules that the call does not reach are an error. If not, they stay lazy.
        progress: show a bar on stderr, if tqdm is installed.
        **kwargs: keyword arguments of the call.

    Returns:
        The model itself.

    Raises:
        InferenceError: if some lazy module is not reached, or if its values do not follow from the call.
        TypeError: if `model` is no module.
        Exception: whatever the model raises. In every case the model is what it was before.

    >>> from lazify import lazify
    >>> LazyConv2d, LazyLinear = lazify(nn.Conv2d), lazify(nn.Linear)
    >>> model = nn.Sequential(LazyConv2d(8, 3), nn.Flatten(), LazyLinear(10))
    >>> materialize(model, torch.empty(32, 3, 16, 16, device="meta"))[2]
    Linear(in_features=1568, out_features=10, bias=True)
    """
    try:
        return _materialized(model, args, kwargs, device, strict, progress)
    except Exception as error:
        shorten_traceback(error)
        raise


def _check_module(model: Any) -> None:
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
        fix = f"materialize({model.__name__}(...), ...)" if isinstance(model, type) else "materialize(model, input)"
        raise TypeError(compose(f"materialize takes a module first, got {what}", fix=fix))


def _materialized(model: M, args: Any, kwargs: Any, device: Any, strict: bool, progress: bool) -> M:
    _check_module(model)
    if all(lazy_state(module) is None for _, module in walk(model)):
        return model
    first_in_trials = next_construction_index()
    plans, unreached = _found_for_shapes(model, args, kwargs)
    if strict and unreached:
        raise _not_reached(unreached)
    _build(plans, None if device is None else torch.device(device), progress, first_in_trials)
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
# The trial run


def _found_for_shapes(model: nn.Module, args: Any, kwargs: Any) -> _Found:
    """The same as `_found`; where no argument is a tensor or a `torch.Size`, tuples of sizes are tried as shapes."""
    has_tensors = any(isinstance(each, (torch.Tensor, torch.Size)) for each in (*args, *kwargs.values()))
    if has_tensors or not any(map(_is_plain_shape, args)):
        try:
            return _found(model, args, kwargs)
        except Exception as error:
            _refuse_open_shapes(args, error)
            raise
    shapes = tuple(torch.Size(each) if _is_plain_shape(each) else each for each in args)
    try:
        return _found(model, args, kwargs)
    except Exception as error:
        try:
            return _found(model, shapes, kwargs)
        except Exception as as_shapes:
            if hasattr(as_shapes, "add_note"):  # from Python 3.11 on
                taken = ", ".join(f"torch.Size({tuple(each)})" for each in args if _is_plain_shape(each))
                as_shapes.add_note(f"read as shapes, as the call fails with tuples: {taken}")
            raise as_shapes from error


def _is_plain_shape(value: Any) -> bool:
    """Whether an argument is a tuple or list of sizes that may have been meant as a `torch.Size`."""
    return _is_open_shape(value) and all(each is not None and each >= 0 for each in value)


def _is_open_shape(value: Any) -> bool:
    """Whether an argument may have been meant as a shape in which None or -1 stands for any size."""
    is_size = all(each is None or type(each) is int for each in value) if type(value) in (tuple, list) else False
    return is_size and len(value) > 0


def _refuse_open_shapes(args: Any, error: Exception) -> None:
    """Raise the error of a call that failed with what may have been meant as shapes with sizes left open."""
    if open_shapes := [each for each in args if _is_open_shape(each)]:
        sizes = [tuple(1 if size is None or size < 0 else size for size in each) for each in open_shapes]
        fix = f"materialize(model, {', '.join(map(repr, sizes))})  # any batch size will do"
        raise TypeError(compose(f"a shape has a number for each size, got {open_shapes[0]!r}", fix=fix)) from error


def _found(model: nn.Module, args: Any, kwargs: Any) -> _Found:
    """The plans, and the lazy modules that the call does not reach."""
    paths = {id(module): path for path, module in walk(model)}
    try:
        try:
            return _found_on_fakes(model, args, kwargs)
        except InferenceError:
            raise
        except Exception as error:
            return _found_for_real(model, args, kwargs, error)
    except InferenceError as error:
        if not (path := paths.get(id(error.module))):
            raise
        headline, *facts = str(error).splitlines()
        raise type(error)("\n".join([f"{headline}, at {path!r} in the model", *facts])) from error


def _found_on_fakes(model: nn.Module, args: Any, kwargs: Any) -> _Found:
    outcomes = Outcomes()
    try:
        return contextvars.copy_context().run(_trial_run, model, args, kwargs, TrialKind.ON_FAKES, outcomes)
    except Exception:
        if not outcomes.were_used:
            raise
    return contextvars.copy_context().run(_trial_run, model, args, kwargs, TrialKind.ON_FAKES)


def _found_for_real(model: nn.Module, args: Any, kwargs: Any, error: Exception) -> _Found:
    """By a run on real tensors, where one on fakes failed with this error: code may ask for what fakes do not have.

    Where it is not known to do so, the run may only take little memory, and the error stands if that is not enough.
    """
    limit = None if fails_for_fakes_alone(error) else memory_limit(0)
    logger.info("the forward of %s fails on fakes (%s): it runs once for real", type(model).__name__, error)
    try:
        return contextvars.copy_context().run(_trial_run, model, args, kwargs, TrialKind.FOR_REAL, limit=limit)
    except TrialMemoryError:
        raise error from None


def _trial_run(
    model: nn.Module,
    args: Any,
    kwargs: Any,
    how: TrialKind,
    outcomes: Outcomes | None = None,
    limit: int | None = None,
) -> _Found:
    """One call of the model, on fakes or in eval mode on real tensors, of which nothing is left."""
    calls = Completed()
    device, default = _device_of(model), default_device()
    lazy = [module for _, module in walk(model) if lazy_state(module) is not None]
    copies = None
    with trial_run_scope(how, calls), isolated(list(_real_modules(model)), _code_of(model), args, kwargs) as snapshot:
        try:
            fakes = TrialMode(None, device, outcomes) if how is TrialKind.ON_FAKES else None
            with neutral_contexts(None if default.type == "cpu" else default), fakes or real_trial(limit):
                copies = copied((args, kwargs), fakes, replaced=_stand_ins((args, kwargs), device))
                _call(model, copies, fakes)
            unreached = [(path, module) for path, module in walk(model) if lazy_state(module) is not None]
            return plans_of(calls.inner or ()), unreached
        finally:
            dispose([copies, *map(vars, lazy)], None, snapshot.seen)
            calls.rollback_all()


def _call(model: nn.Module, arguments: tuple[Any, Any], mode: TrialMode | None) -> None:
    """Call the model: with gradients on fakes, else without, in eval mode."""
    with TrialFunctions(mode), torch.set_grad_enabled(mode is not None):
        for module in _real_modules(model) if mode is None else ():
            module.training = False
        args, kwargs = arguments
        call_to_the_end(model, *args, **kwargs)


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


def _code_of(model: nn.Module) -> list[Any]:
    """What becomes part of the model: classes of its lazy modules, what they were given, what was done to them."""
    states = [state for _, module in walk(model) if (state := lazy_state(module)) is not None]
    return [
        (each.recipe.wrapped, dict(each.given), [(done.args, done.kwargs) for done in each.history.operations])
        for each in states
    ]


def _device_of(model: nn.Module) -> torch.device:
    """Where an input that does not exist is supposed to be: with the model's first tensor."""
    first = next((tensor for _, module in walk(model) for tensor in own_tensors(module)), None)
    return default_device() if first is None else first.device


def _stand_ins(value: Any, device: torch.device, outer: tuple[int, ...] = ()) -> dict[int, Any]:
    """For sizes in nested arguments, and for tensors of the meta device, what runs through the model: by their ids."""
    if isinstance(value, torch.Size):
        return {id(value): torch.zeros(value, device=device)}
    if isinstance(value, torch.Tensor):
        return {id(value): torch.zeros_like(value, device=device)} if value.is_meta else {}
    found: dict[int, Any] = {}
    if id(value) not in outer:
        for _, child in children(value) or ():
            found.update(_stand_ins(child, device, (*outer, id(value))))
    return found


# ---------------------------------------------------------------------------------------------
# Building


def _build(plans: list[Plan], device: torch.device | None, progress: bool, first_in_trials: int) -> None:
    """Make them real, all or none, except those that exist since a trial run only (`first_in_trials` and later)."""
    states = [(lazy_state(plan.module), plan) for plan in plans]  # a call in another thread may have come before
    still_lazy = [(state.construction_index, plan) for state, plan in states if state is not None]
    ordered = [plan for index, plan in sorted(still_lazy, key=lambda pair: pair[0]) if index < first_in_trials]
    calls = Completed()
    call_stack.calls.append(calls)
    try:
        for plan in _with_bar(ordered, progress):
            where = device or plan.device
            materialize_with(dataclasses.replace(plan, device=None if where == default_device() else where))
        calls.commit_all()
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
