"""Replay: operations on the lazy instance, done again in order to the real module."""

from __future__ import annotations

import functools

from torch import nn

from lazify._deferred.operations import FLAGGING, RecordsOperations, attached
from lazify._deferred.state import LazyState, lazy_state
from lazify._first_call.materialization import Materialization
from lazify._isolation.restoring import Restore

__all__ = ["replay"]


def replay(call: Materialization) -> None:
    """Do again, in order, what was done to the lazy instance."""
    module, state = call.module, call.state
    for operation in state.history.operations:
        target = module.get_submodule(operation.path) if operation.path else module
        again = flags_of_attached(state) if operation.method in FLAGGING else ()
        result = getattr(target, operation.method)(*operation.args, **operation.kwargs)
        for restore_flag in again:
            restore_flag()
        if operation.hook_id is None:
            continue
        if not state.still_registered(operation):
            result.remove()
        elif (handle := state.history.handles.get(operation.hook_id)) is not None:
            before = (handle.hooks_dict_ref, handle.id, handle.extra_dict_ref)
            call.handles = [*(call.handles or ()), (handle, before)]
            handle.hooks_dict_ref, handle.id = result.hooks_dict_ref, result.id
            handle.extra_dict_ref = result.extra_dict_ref
            if isinstance(target, RecordsOperations):  # of a lazy module inside: it has its first call before it
                target._hook_handles()[handle.id] = handle


def flags_of_attached(state: LazyState) -> list[Restore]:
    """Keeps flags of what is the user's own: it got them at once when they were set, and others since, perhaps."""
    found: list[Restore] = []
    for each in attached(state.history.operations):
        inner = lazy_state(each) if isinstance(each, nn.Module) else None
        if inner is not None:
            found.append(
                functools.partial(inner.history.operations.__delitem__, slice(len(inner.history.operations), None))
            )
            found.append(functools.partial(setattr, inner.attached(), "training", inner.attached().training))
            placeholders = () if inner.history.preview is None else inner.history.preview.placeholders.values()
            found += [functools.partial(setattr, t, "requires_grad", t.requires_grad) for t in placeholders]
        else:
            flag = "training" if isinstance(each, nn.Module) else "requires_grad"
            found.append(functools.partial(setattr, each, flag, getattr(each, flag)))
    return found
