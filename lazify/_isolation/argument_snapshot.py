"""Taking back after a first call that fails: random states and constructor arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import torch
from torch import nn

from lazify._module_tree import STATE_KEY
from lazify._torch import COMPILED_CALL

__all__ = ["Restore", "random_state", "snapshot_arguments"]

Restore: TypeAlias = "Callable[[], object]"


def random_state(device: torch.device | None) -> list[Restore]:
    """What restores the random state: of the CPU, and of the device where parameters will be drawn."""
    cpu = torch.default_generator
    found: list[Restore] = [functools.partial(cpu.set_state, cpu.get_state())]
    if device is not None and device.type not in ("cpu", "meta"):
        backend = torch.get_device_module(device)
        found.append(functools.partial(backend.set_rng_state, backend.get_rng_state(device), device))
    return found


def snapshot_arguments(values: Iterable[Any], tensors_too: bool, seen: set[int] | None = None) -> list[Restore]:
    """What brings constructor arguments back to what they are now, should constructor or call change them.

    Containers and modules, however nested; the values of tensors only if asked, since they take memory.
    """
    found: list[Restore] = []
    seen = set() if seen is None else seen
    for value in values:
        if id(value) in seen:
            continue
        if isinstance(value, (list, dict, set)):
            seen.add(id(value))
            found.append(functools.partial(_refill, value, list(value.items() if isinstance(value, dict) else value)))
        if isinstance(value, (list, tuple, set)):
            found += snapshot_arguments(value, tensors_too, seen)
        elif isinstance(value, dict):
            found += snapshot_arguments(value.values(), tensors_too, seen)
        elif isinstance(value, nn.Module):
            found += _module_restorers(value, tensors_too)
    return found


def _refill(container: Any, content: list[Any]) -> None:
    if isinstance(container, list):
        container[:] = content
    else:
        container.clear()
        container.update(content)


def _module_restorers(module: nn.Module, tensors_too: bool) -> Iterator[Restore]:
    state = vars(module)
    if STATE_KEY in state or COMPILED_CALL in state:
        return  # lazy, or being made by another thread: its own first call undoes itself
    for each in state.values():
        if isinstance(each, (dict, set)):
            yield functools.partial(_refill, each, list(each.items() if isinstance(each, dict) else each))
    yield functools.partial(_refill, state, list(state.items()))
    for tensor in (*module._parameters.values(), *module._buffers.values()):
        if tensor is not None:
            yield functools.partial(
                _restore_tensor, tensor, tensor.data, tensor.detach().clone() if tensors_too else None
            )
    for child in list(module._modules.values()):
        if child is not None:
            yield from _module_restorers(child, tensors_too)


def _restore_tensor(tensor: torch.Tensor, data: torch.Tensor, values: torch.Tensor | None) -> None:
    tensor.data = data  # the same storage: others may share it
    if values is not None:
        data.copy_(values)
