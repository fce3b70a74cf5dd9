"""Writing Python code: constructor calls with explicit arguments, and the imports that they need."""

from __future__ import annotations

from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import nn

from lazify._first_call.records import OpaqueArgument
from lazify._recipe.recipe import Recipe

__all__ = ["CodeWriter", "NotExpressibleError"]


class NotExpressibleError(Exception):
    """A value for which there is no Python expression."""


class CodeWriter:
    """Writes values and constructor calls as Python expressions, and collects the imports that they need.

    >>> writer = CodeWriter()
    >>> writer.value({"norm": nn.BatchNorm2d, "dtype": torch.float16, "sizes": (3,)})
    "{'norm': nn.BatchNorm2d, 'dtype': torch.float16, 'sizes': (3,)}"
    >>> writer.import_lines()
    ['from torch import nn', 'import torch']
    """

    def __init__(self) -> None:
        self._import_lines: set[str] = set()

    def import_lines(self) -> list[str]:
        """The import statements that the expressions written so far need, sorted."""
        return sorted(self._import_lines)

    def constructor_call(self, recipe: Recipe, arguments: Mapping[str, Any]) -> str:
        """The call that constructs the wrapped class of `recipe` with `arguments`, by keyword where possible.

        Raises:
            NotExpressibleError: if an argument, or the class itself, has no Python expression.
        """
        args, kwargs = recipe.to_args_kwargs(arguments)
        written = [self.value(each) for each in args]
        written += [f"{name}={self.value(each)}" for name, each in kwargs.items()]
        return f"{self.name(recipe.wrapped)}({', '.join(written)})"

    def name(self, definition: Any) -> str:
        """The name of a class or function after the import that makes the name available."""
        module, name = definition.__module__, definition.__qualname__
        if "<" in name:
            raise NotExpressibleError(name)
        if isinstance(definition, type) and getattr(nn, name, None) is definition:
            self._import_lines.add("from torch import nn")
            return f"nn.{name}"
        self._import_lines.add(f"from {module} import {name.partition('.')[0]}")
        return str(name)

    def value(self, value: Any) -> str:
        """The expression that evaluates to `value`."""
        if isinstance(value, (torch.dtype, torch.device, torch.Size)):
            self._import_lines.add("import torch")
            return f"torch.device({str(value)!r})" if isinstance(value, torch.device) else str(value)
        if type(value) in (list, tuple):
            items = ", ".join(map(self.value, value))
            comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
            return f"[{items}]" if isinstance(value, list) else f"({items}{comma})"
        if type(value) is dict:
            return "{" + ", ".join(f"{self.value(k)}: {self.value(v)}" for k, v in value.items()) + "}"
        if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
            return self.name(value)
        if isinstance(value, OpaqueArgument):
            raise NotExpressibleError(value)
        return repr(value)
