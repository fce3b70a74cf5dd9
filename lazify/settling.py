"""Settling: what was told before the first call comes true in the real module, or the call is taken back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from lazify.construction import set_class
from lazify.errors import NotMaterializedError, compose
from lazify.journal import Recorded, walk
from lazify.pending import PENDING, Pending, waiting
from lazify.placeholders import Choice, Placeholder, become, choice, substitute, uninitialized
from lazify.skeleton import Part, Skeleton, named_tensors

__all__ = ["Settlement", "confirm", "settle"]

#: What would take back what was settled, in order.
Settlement = list[Callable[[], object]]


def settle(module: nn.Module, skeleton: Skeleton, undo: Settlement) -> None:
    """Make the placeholders what stands in their places in the real module.

    Called when the module is built, and again when all that was done before has been done to it.
    """
    inside = dict(walk(module))
    real = [each for each in inside.values() if not isinstance(each, Recorded)]
    _settle_lazies(skeleton, inside, real, undo)
    pairs: dict[int, tuple[Any, torch.Tensor]] = {}
    for path, placeholder in skeleton.placeholders.items():
        where, _, name = path.rpartition(".")
        owner = inside.get(where)
        tensor = None if owner is None or isinstance(owner, Recorded) else _tensor(owner, name)
        if tensor is not None and tensor is not placeholder and _may_be(placeholder, tensor):
            pairs.setdefault(id(placeholder), (placeholder, tensor))
    substitute(real, {id(tensor): (tensor, placeholder) for placeholder, tensor in pairs.values()})
    for placeholder, tensor in pairs.values():
        if isinstance(placeholder, Placeholder):
            undo.append(functools.partial(uninitialized, placeholder, choice(placeholder)))
        become(placeholder, tensor)


def _may_be(placeholder: Any, tensor: torch.Tensor) -> bool:
    """Whether the tensor has as many dimensions as somebody was told."""
    return not (isinstance(placeholder, Placeholder) and placeholder.rank_told) or placeholder.rank == tensor.dim()


def _tensor(module: nn.Module, name: str) -> torch.Tensor | None:
    found = module._parameters.get(name)
    return module._buffers.get(name) if found is None else found


def _settle_lazies(skeleton: Skeleton, inside: dict[str, nn.Module], real: list[nn.Module], undo: Settlement) -> None:
    """Lazy modules inside, of which something may have been told: the very ones stand in the real module."""
    if skeleton.root is None:
        _hand_on(skeleton, inside, undo)
    pairs: dict[int, tuple[Any, Any]] = {}
    for path, told in skeleton.parts():
        made = inside.get(path)
        if isinstance(told, Part) or made is None or made is told:
            continue
        before = dict(vars(told))
        known: Pending = before[PENDING]
        if waiting(made) is None:
            if known.skeleton is not None:
                settle(made, known.skeleton, undo)
            continue
        pairs[id(made)] = (made, told)
        vars(told).clear()
        vars(told).update(vars(made))
        undo.append(functools.partial(_restore_lazy, told, before))
        if known.skeleton is not None:
            vars(told)[PENDING].take(known.skeleton)
    substitute(real, pairs)


def _hand_on(skeleton: Skeleton, inside: dict[str, nn.Module], undo: Settlement) -> None:
    """Of a copy: the placeholders of lazy modules inside become theirs."""
    for path, module in inside.items():
        pending = waiting(module)
        if pending is not None and (told := skeleton.cut(path, len(pending.journal))) is not None:
            back = {f"{path}.{name}": each for name, each in told.placeholders.items()}
            undo.append(functools.partial(skeleton.placeholders.update, back))
            pending.skeleton = told
            told.belong(module)


def _restore_lazy(told: nn.Module, before: dict[str, Any]) -> None:
    vars(told).clear()
    vars(told).update(before)
    known: Pending = before[PENDING]
    if known.skeleton is not None:
        known.take(known.skeleton)


def confirm(module: nn.Module, pending: Pending, undo: Settlement) -> None:
    """Check that the real module has what was told and nothing else, and leave nothing of the skeleton.

    Raises:
        NotMaterializedError: if not: an optimizer made before would train something else.
    """
    skeleton = pending.skeleton
    assert skeleton is not None
    real = dict(named_tensors(module))
    told = real if skeleton.root is None else dict(named_tensors(skeleton.root))
    lost = [path for path, each in skeleton.placeholders.items() if isinstance(each, Placeholder) and path in told]
    open_ones = tuple(f"{path}." for path, part in skeleton.parts() if not isinstance(part, Part))
    extra = [path for path in real if path not in told and not path.startswith(open_ones)]
    if lost or extra:
        raise NotMaterializedError(
            compose(
                f"the parameters of {pending.recipe.wrapped.__name__} are not those that were told before the call",
                [("told, not there", ", ".join(lost) or "none"), ("there, not told", ", ".join(extra) or "none")],
                "module(input)  # once, before its parameters are asked for; then the optimizer",
            )
        )
    _put_in_place(skeleton, told, dict(walk(module)))
    for placeholder, before in _choices(undo):
        if before.chosen:
            placeholder.requires_grad = before.requires_grad
        for name, value in before.own():
            setattr(placeholder, name, value)
    inside = dict(walk(module))
    for path, part in skeleton.parts():
        if isinstance(part, Part) and path in inside and type(inside[path]) is type(part).__bases__[1]:
            undo.append(functools.partial(_show, part, type(part), vars(part)))
            _show(part, type(inside[path]), vars(inside[path]))


def _put_in_place(skeleton: Skeleton, told: dict[str, torch.Tensor], inside: dict[str, nn.Module]) -> None:
    """What was put straight into the place of a placeholder, as `torch.func.functional_call` does for one call."""
    for path, placeholder in skeleton.placeholders.items():
        where, _, name = path.rpartition(".")
        other = told.get(path)
        if other is None or other is placeholder or isinstance(other, Placeholder) or where not in inside:
            continue
        for kind in (inside[where]._parameters, inside[where]._buffers):
            if kind.get(name) is placeholder:
                cast("dict[str, Any]", kind)[name] = other


def _choices(undo: Settlement) -> list[tuple[Any, Choice]]:
    return [each.args for each in undo if isinstance(each, functools.partial) and each.func is uninitialized]


def _show(part: nn.Module, cls: type, state: dict[str, Any]) -> None:
    """A submodule that was handed out shows the real one from here on: same class, same state."""
    set_class(part, "__class__", cls)
    object.__setattr__(part, "__dict__", state)
