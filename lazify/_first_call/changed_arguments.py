"""Calls whose arguments change before they reach `forward`: by forward pre-hooks, or by a `__call__` of the class."""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import torch

from lazify._deferred.state import LazyState
from lazify._first_call.building import build, random_state_kept_if_recomputed
from lazify._first_call.commit_and_rollback import Materialization
from lazify._first_call.find_values import ValueFinder, or_none
from lazify._isolation.argument_snapshot import random_state
from lazify._nested import tensors
from lazify._recipe.construction import reset_to_uninitialized
from lazify._torch import COMPILED_CALL, is_made_here

__all__ = ["build_and_recheck_at_forward", "other_device"]


def build_and_recheck_at_forward(
    call: Materialization, values: dict[str, Any] | None, device: torch.device | None, find: ValueFinder
) -> None:
    """Build the module, and find the values again when the arguments reach `forward`.

    Args:
        call: the materialization.
        values: from the arguments as passed; None if they determine none. The module is then built in `forward` only.
        device: where parameters are made; None for the default device.
        find: finds values from arguments. If those in `forward` give other values, the module is built again.
    """
    module, state = call.module, call.state
    call.before = [*call.before, *random_state(device)]
    if values is None:
        reset_to_uninitialized(module, state.recipe, call)
        vars(module).update(vars(state.attached()))
    else:
        build(call, values, device)
    own_forward = vars(module).get("forward")

    def watch(*args: Any, **kwargs: Any) -> Any:
        vars(module).pop("forward")
        if own_forward is not None:
            vars(module)["forward"] = own_forward
        looked = find if values is None else functools.partial(or_none, find)
        final = looked(state, args, kwargs, "forward")
        if final is not None and not _same(values, final):
            done = {} if values is None else diff(built, vars(module))
            where = device if device is not None else other_device(state, args, kwargs)
            with random_state_kept_if_recomputed(where):
                call.rollback_module()
                build(call, final, where)
            apply_diff(built, done, vars(module))
        return module.forward(*args, **kwargs)

    built = snapshot_dict(vars(module))
    vars(module)["forward"] = watch


def _same(values: Any, others: Any) -> bool:
    try:
        return bool(values == others)
    except Exception:  # arrays and the like do not compare to one truth
        return True


def other_device(state: LazyState, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    """The device of the input; None if it is the default device, if the user has chosen one, or without an input."""
    tensor = args[0] if args and isinstance(args[0], torch.Tensor) else next(tensors((args, kwargs)), None)
    if (
        tensor is None
        or is_made_here(tensor)
        or state.history.device_is_explicit
        or state.given.get("device") is not None
    ):
        return None
    return tensor.device


# ---------------------------------------------------------------------------------------------
# What was done to attributes in between

#: Of a module's `__dict__`: its values, and for dicts in it what they hold, in order.
_Contents: TypeAlias = "dict[str, Any]"
REMOVED = object()


def snapshot_dict(state: dict[str, Any]) -> _Contents:
    return {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in state.items()
        if name != COMPILED_CALL
    }


def diff(before: _Contents, state: dict[str, Any]) -> _Contents:
    """What hooks did to a module since it was built: for each attribute, or key of a dict in it, the new value."""
    after = snapshot_dict(state)
    diff: _Contents = {}
    for name in {**before, **after}:
        old, new = before.get(name, REMOVED), after.get(name, REMOVED)
        if isinstance(old, dict) and isinstance(new, dict):
            inside = {k: new.get(k, REMOVED) for k in {**old, **new} if new.get(k, REMOVED) is not old.get(k, REMOVED)}
            if inside:
                diff[name] = inside
        elif new is not old:
            diff[name] = new
    return diff


def apply_diff(before: _Contents, diff: _Contents, state: dict[str, Any]) -> None:
    """Do the same to the module built anew; its hooks have other numbers, in the same order."""
    for name, change in diff.items():
        if isinstance(before.get(name), dict) and isinstance(change, dict):
            renumbered = dict(zip(before[name], state[name], strict=False)) if "_hooks" in name else {}
            for key, value in change.items():
                _put(state[name], renumbered.get(key, key), value)
        else:
            _put(state, name, change)


def _put(container: dict[Any, Any], key: Any, value: Any) -> None:
    if value is REMOVED:
        container.pop(key, None)
    else:
        container[key] = value
