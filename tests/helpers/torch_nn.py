"""The classes of the installed `torch.nn` and of `lazify.nn`, by name."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import torch
import torch.nn
from torch.nn.modules.lazy import LazyModuleMixin

from lazify import lazify, nn

Module = torch.nn.Module


def public(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


def module_classes(module: ModuleType) -> dict[str, type[Module]]:
    return {n: v for n, v in public(module).items() if isinstance(v, type) and issubclass(v, Module)}


#: torch's own lazy classes, and lazify's: name -> class.
TORCHS = {n: cls for n, cls in module_classes(torch.nn).items() if issubclass(cls, LazyModuleMixin)}
LAZIES = {n: cls for n, cls in module_classes(nn).items() if n.startswith("Lazy")}
EAGER = {n: cls for n, cls in module_classes(torch.nn).items() if n not in TORCHS}


def lazify_of(name: str) -> type[Module]:
    return lazify(getattr(torch.nn, name.removeprefix("Lazy")))


def constructor(cls: type[Module]) -> inspect.Signature:
    """Of the nearest base that does not only pass `*args, **kwargs` on."""
    for base in cls.__mro__:
        if "__init__" in vars(base):
            signature = inspect.signature(vars(base)["__init__"])
            if len([p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]) > 1:
                return signature
    return inspect.Signature()
