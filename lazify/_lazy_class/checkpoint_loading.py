"""Loading a checkpoint into a lazy instance.

saved shapes determine the inferred values  ->  materialize, then load
the saved tensors are placeholders          ->  start with the values of their module, as a copy of it does
they do not                                 ->  record `load_state_dict` as an operation: loaded after the first call
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lazify._deferred.operations import Operation
from lazify._deferred.placeholders import Placeholder
from lazify._deferred.preview_submodule import report_missing_and_unexpected_keys
from lazify._deferred.state import LazyState, lazy_state
from lazify._first_call.attempt import materialize_with
from lazify._first_call.commit_and_rollback import Plan
from lazify._inference.from_checkpoint import saved_under, values_in
from lazify._lazy_class.attributes import state_of

__all__ = ["load_from_state_dict", "materialize_by_shape"]


def load_from_state_dict(
    module: nn.Module,
    state_dict: Any,
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    lists: tuple[list[str], ...],
) -> None:
    """`_load_from_state_dict` of a lazy instance, called by `load_state_dict` of it or of a module around it.

    Args:
        module: the lazy instance.
        state_dict, prefix, local_metadata, strict: as of `nn.Module._load_from_state_dict`.
        lists: missing keys, unexpected keys and error messages, to which `nn.Module` adds.

    Raises:
        InferenceError: if no values fit the saved shapes; the instance is still lazy, unchanged.
    """
    state = state_of(module)
    saved = saved_under(state_dict, prefix)
    if state.history.owner is not None:  # the owner of the preview records the tensors; here only names are compared
        report_missing_and_unexpected_keys(module, state_dict, prefix, strict, *lists)
        return
    values = values_in(state.recipe, state.given, saved, prefix) if saved else None
    if values is not None:
        materialize_with(Plan(module, values, ((), {name: each.shape for name, each in saved.items()})))
        module._load_from_state_dict(state_dict, prefix, local_metadata, strict, *lists)
        return
    report_missing_and_unexpected_keys(module, state_dict, prefix, strict, *lists)
    if (source := _lazy_source(module, state_dict, prefix)) is not None:
        state.share_group_of(source)
    if saved:
        tensors = {name: each.detach().clone() for name, each in saved.items()}
        assign = local_metadata.get("assign_to_params_buffers", False)
        state.record(Operation("load_state_dict", (tensors,), {"strict": False, "assign": assign}))


def materialize_by_shape(module: nn.Module, placeholder: Any, like: torch.Tensor) -> None:
    """Materialize a lazy instance with the values that give one of its parameters the shape of another tensor."""
    state = lazy_state(module)
    preview = None if state is None else state.history.preview
    if state is None or preview is None or state.history.owner is not None:
        return
    saved = {path: like for path, each in preview.placeholders.items() if each is placeholder}
    values = values_in(state.recipe, state.given, saved, "") if saved else None
    if values is not None:
        device = None if like.device.type == "cpu" else like.device
        materialize_with(Plan(module, values, ((), dict.fromkeys(saved, like.shape)), device))


def _lazy_source(module: nn.Module, state_dict: Any, prefix: str) -> LazyState | None:
    """The lazy state of another instance of this class whose placeholders are in `state_dict`, or None."""
    saved = (each for name, each in state_dict.items() if name.startswith(prefix) and isinstance(each, Placeholder))
    owner = next((found for each in saved if (found := each.owner()) is not None), None)
    source = None if owner is None else lazy_state(owner)
    own = state_of(module)
    while source is not None and source.recipe.wrapped is not own.recipe.wrapped:
        source = None if source.history.owner is None else source.history.owner[0]
    return None if source is own else source
