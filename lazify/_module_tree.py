"""Trees of modules, walked without waking what is lazy in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import nn

__all__ = ["PREVIEW_KEY", "STATE_KEY", "is_deferred", "named_tensors", "own_tensors", "submodule", "tensors_in", "walk"]

#: The one key that lazify adds to a lazy instance's `__dict__`.
STATE_KEY = "_lazify_pending"
#: The one key that lazify adds to the `__dict__` of a submodule that exists only in a preview.
PREVIEW_KEY = "_lazify_part"


def is_deferred(module: nn.Module) -> bool:
    """Whether the module is lazy, or a submodule in the preview of a lazy one."""
    return STATE_KEY in vars(module) or PREVIEW_KEY in vars(module)


def walk(module: nn.Module, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, nn.Module]]:
    """The module and those inside it, with their paths; what waits inside for a first call of its own is a leaf."""
    seen = set() if seen is None else seen
    if id(module) in seen:
        return
    seen.add(id(module))
    yield prefix, module
    for name, child in vars(module).get("_modules", {}).items():
        if child is not None:
            yield from walk(child, f"{prefix}.{name}" if prefix else name, seen)


def submodule(module: nn.Module, path: str) -> nn.Module:
    """The submodule at a dotted path; for the empty path, the module itself."""
    for name in path.split(".") if path else ():
        module = cast("nn.Module", module._modules[name])
    return module


def own_tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    """The parameters and buffers of a module itself; of a lazy one, none."""
    for kind in ("_parameters", "_buffers"):
        yield from (tensor for tensor in vars(module).get(kind, {}).values() if tensor is not None)


def named_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """All parameters and buffers with their paths, those of lazy modules inside left out."""
    return tensors_in(walk(module))


def tensors_in(modules: Iterable[tuple[str, nn.Module]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers of modules given with their paths, tied ones under each of their paths."""
    for path, module in modules:
        for kind in ("_parameters", "_buffers"):
            for name, tensor in vars(module).get(kind, {}).items():
                if tensor is not None:
                    yield (f"{path}.{name}" if path else name), tensor
