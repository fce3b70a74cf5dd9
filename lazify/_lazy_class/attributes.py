"""Attributes of a lazy instance: reading and listing them before it is materialized.

read  ->  what the user set; else a parameter, a buffer, a submodule, or what does not depend on the values to be
          inferred, from the preview; else NotMaterializedError

Setting and deleting attributes are operations.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, cast

from torch import nn

from lazify._deferred.preview import CONTENT
from lazify._deferred.state import STATE_KEY, LazyState, lazy_state
from lazify._first_call.attempt import traced_message
from lazify._torch import JIT_TRACES
from lazify.errors import NotMaterializedError, did_you_mean

__all__ = [
    "known_names",
    "read_attribute",
    "read_class_attribute",
    "state_of",
]


def state_of(module: Any) -> LazyState:
    """The lazy state of a module that is known to be lazy."""
    state: LazyState = vars(module)[STATE_KEY]
    return state


def _missing_attribute_message(module: nn.Module, state: LazyState, name: str) -> str:
    """The text for an attribute that cannot be read: perhaps it is misspelt."""
    recipe = state.recipe
    names = {*dir(recipe.wrapped), *recipe.original_signature.parameters}
    with suppress(NotMaterializedError):
        own = vars(state.previewed(module))
        names.update(own, *(own[each] for each in CONTENT))
    hint = "" if name in names else did_you_mean(name, [each for each in names if not each.startswith("_")])
    return f"{type(module).__name__} has no attribute {name!r}{hint}" if hint else state.not_known_message(name)


def read_attribute(module: Any, state: LazyState, name: str, caller: FrameType) -> Any:
    """`__getattr__` of a lazy instance, called for attributes that are neither in its `__dict__` nor in its class.

    Args:
        module: the lazy instance.
        state: its lazy state.
        name: the name of the attribute.
        caller: the frame of the code that reads the attribute.

    Raises:
        NotMaterializedError: if only the real module has the attribute.
    """
    if name in CONTENT:
        if caller.f_code is JIT_TRACES:
            raise NotMaterializedError(traced_message(module, "torch.jit.trace"))
        return vars(state.previewed(module))[name]
    if not (name.startswith("__") and name.endswith("__")):
        attached_to = state.attached()
        try:
            return getattr(attached_to, name)
        except AttributeError:
            known = state.known_attributes(module)
            if name in known:
                return known[name] if name not in state.containers() else module._lazify_adopt(name, known[name])
    raise NotMaterializedError(_missing_attribute_message(module, state, name))


def known_names(module: nn.Module) -> Iterable[str]:
    """Names of attributes that can be read from a lazy instance, besides those of its class."""
    state = lazy_state(module)
    return () if state is None else (*vars(state.attached()), *state.known_attributes(module))


def read_class_attribute(module: Any, state: LazyState, name: str, value: Any) -> Any:
    """An attribute of a lazy instance that its class has, too.

    Args:
        module: the lazy instance.
        state: its lazy state.
        name: the name of the attribute.
        value: the value that it has in the class.

    Raises:
        NotMaterializedError: if the real module will have an attribute of its own by this name.
    """
    try:
        preview = state.preview_for(module)
    except NotMaterializedError:
        if name in state.recipe.original_signature.parameters:
            raise
        return value
    if preview is None:  # materialized by another thread
        return getattr(module, name)
    own = vars(cast("nn.Module", preview.module))
    if name in own:
        return own[name]
    if name in state.containers():
        return module._lazify_adopt(name, state.containers()[name])
    if name in preview.template.open.get("", ()):
        raise NotMaterializedError(state.not_known_message(name))
    return value
