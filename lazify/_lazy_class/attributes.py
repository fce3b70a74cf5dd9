"""Attributes of a lazy instance: reading and listing them before it is materialized.

read  ->  what the user set; else a parameter, a buffer or a constructor argument, from the preview;
          else NotMaterializedError

Setting and deleting attributes are operations.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, cast

import torch
from torch import nn

from lazify._deferred.preview import CONTENT
from lazify._deferred.state import STATE_KEY, LazyState, lazy_state
from lazify._lazy_class.constructor import RECIPE
from lazify._torch import FOLLOWING_PATHS, JIT_TRACES
from lazify.errors import NotMaterializedError, compose, did_you_mean

__all__ = [
    "ClassAttribute",
    "class_attribute_names",
    "known_names",
    "read_attribute",
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


def _traced_message(module: Any) -> str:
    """Text of the error where `torch.jit.trace` looks into a lazy instance."""
    headline = f"torch.jit.trace needs the real module: this {type(module).__name__} has uninitialized parameters"
    return compose(headline, fix="materialize(model, input)  # or one call, first")


def read_attribute(module: nn.Module, state: LazyState, name: str, caller: FrameType) -> Any:
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
            raise NotMaterializedError(_traced_message(module))
        return vars(state.previewed(module))[name]
    if not (name.startswith("__") and name.endswith("__")):
        attached_to = state.attached()
        try:
            return getattr(attached_to, name)
        except AttributeError:
            # submodules only for torch's functions that follow a dotted path (`get_submodule`): other code that reads
            # one as an attribute would expect its sizes to be known
            known = state.known_attributes(module, submodules=caller.f_code in FOLLOWING_PATHS)
            if name in known:
                return known[name]
    raise NotMaterializedError(_missing_attribute_message(module, state, name))


def known_names(module: nn.Module) -> Iterable[str]:
    """Names of attributes that can be read from a lazy instance, besides those of its class."""
    state = lazy_state(module)
    return () if state is None else (*vars(state.attached()), *state.known_attributes(module))


# ---------------------------------------------------------------------------------------------
# Class attributes of the wrapped class

_PLAIN = (int, float, str, tuple, torch.dtype, torch.device, type(None))


def class_attribute_names(wrapped: type) -> list[str]:
    """Public class attributes that are numbers, texts and the like, apart from those of `nn.Module`."""
    found: dict[str, Any] = {}
    for base in reversed(wrapped.__mro__):
        if base is not nn.Module and base is not object:
            found.update(vars(base))
    return [n for n, value in found.items() if isinstance(value, _PLAIN) and n[0] != "_" and not hasattr(nn.Module, n)]


class ClassAttribute:
    """Descriptor for a plain class attribute of the wrapped class.

    A lazy instance has the value of the class, unless the real module will have an attribute of its own by this name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        value = getattr(getattr(owner, RECIPE).wrapped, self.name)
        if instance is None or (state := lazy_state(instance)) is None:
            return value
        try:
            preview = state.preview_for(instance)
        except NotMaterializedError:
            if self.name in state.recipe.original_signature.parameters:
                raise
            return value
        if preview is None:  # materialized by another thread
            return getattr(instance, self.name)
        own = vars(cast("nn.Module", preview.module))
        if self.name in preview.template.constant_attributes and self.name in own:
            return own[self.name]
        if self.name in own or self.name in preview.template.size_dependent_attributes:
            raise NotMaterializedError(state.not_known_message(self.name))
        return value
