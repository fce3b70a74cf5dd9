"""Class attributes of a wrapped class, which the real module may shadow by attributes of its own.

lazy.stride  ->  the value that the real module will have, the value of the class if it has none, or an error
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lazify._deferred.operation_table import RecordsOperations

__all__ = ["ClassAttribute", "class_attributes"]

_PLAIN = (int, float, str, tuple, torch.dtype, torch.device, type(None))


def class_attributes(wrapped: type) -> dict[str, ClassAttribute]:
    """Descriptors for class attributes that are numbers, texts and the like, apart from those of `nn.Module`."""
    found: dict[str, Any] = {}
    for base in reversed(wrapped.__mro__):
        if base is not nn.Module and base is not object:
            found.update(vars(base))
    names = [name for name, value in found.items() if isinstance(value, _PLAIN) and not hasattr(nn.Module, name)]
    return {name: ClassAttribute(wrapped, name) for name in names if not name.startswith(("__", "_lazify"))}


class ClassAttribute:
    """Descriptor for one class attribute, in a lazy class or in the class of a preview's submodules."""

    def __init__(self, wrapped: type, name: str) -> None:
        self.wrapped, self.name = wrapped, name

    def __get__(self, instance: Any, owner: type) -> Any:
        value = getattr(self.wrapped, self.name)
        if isinstance(instance, RecordsOperations):
            return instance._lazify_class_attribute(self.name, value)
        return value
