"""Settling: what was told before the first call comes true in the real module, or the call is taken back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from lazify.construction import set_class, set_dict, slots
from lazify.errors import NotMaterializedError, compose
from lazify.journal import Recorded, attached
from lazify.pending import PENDING, Pending, waiting
from lazify.placeholders import Choice, Placeholder, become, choice, substitute, uninitialized
from lazify.skeleton import Skeleton
from lazify.trees import named_tensors, walk

__all__ = ["Settlement", "confirm", "settle"]


@dataclass(eq=False, repr=False)
class Settlement:
    """What became of what was told.

    Attributes:
        undo: what would take it back, in order.
        told: the tensors by their paths, as they were told; None if that was in another life, of which this is a copy.
        open_paths: of lazy modules inside, whose parameters they told themselves.
        choices: placeholders that have become real, and what they were.
    """

    undo: list[Callable[[], object]] = field(default_factory=list)
    told: dict[str, torch.Tensor] | None = None
    open_paths: tuple[str, ...] = ()
    choices: list[tuple[Any, Choice]] = field(default_factory=list)

    def take_back(self) -> None:
        for each in reversed(self.undo):
            each()


def settle(module: nn.Module, skeleton: Skeleton) -> Settlement:
    """Put what was handed out into its places in the real module: placeholders, submodules, lazy modules inside."""
    settlement = Settlement()
    if skeleton.root is not None:
        settlement.told = dict(named_tensors(skeleton.root))
        settlement.open_paths = tuple(f"{path}." for path, each in walk(skeleton.root) if waiting(each) is not None)
    _settle_modules(module, skeleton, settlement)
    settle_tensors(module, skeleton, settlement, ())
    return settlement


def settle_tensors(module: nn.Module, skeleton: Skeleton, settlement: Settlement, users: tuple[Any, ...]) -> None:
    """Make the placeholders the tensors that stand in their places, except where the user put something else."""
    inside = dict(walk(module))
    others = {id(each) for each in (*users, *skeleton.placeholders.values())}
    pairs: dict[int, tuple[Any, torch.Tensor]] = {}
    for path, placeholder in skeleton.placeholders.items():
        where, _, name = path.rpartition(".")
        owner = inside.get(where)
        tensor = None if owner is None or isinstance(owner, Recorded) else _tensor(owner, name)
        if tensor is not None and id(tensor) not in others and _may_be(placeholder, tensor):
            pairs.setdefault(id(placeholder), (placeholder, tensor))
    real = [each for each in inside.values() if not isinstance(each, Recorded)]
    substitute(real, {id(tensor): (tensor, placeholder) for placeholder, tensor in pairs.values()})
    for placeholder, tensor in pairs.values():
        if isinstance(placeholder, Placeholder):
            before = choice(placeholder)
            settlement.choices.append((placeholder, before))
            settlement.undo.append(functools.partial(uninitialized, placeholder, before))
        become(placeholder, tensor)


def _may_be(placeholder: Any, tensor: torch.Tensor) -> bool:
    """Whether the tensor has as many dimensions as somebody was told."""
    return not (isinstance(placeholder, Placeholder) and placeholder.rank_told) or placeholder.rank == tensor.dim()


def _tensor(module: nn.Module, name: str) -> torch.Tensor | None:
    found = module._parameters.get(name)
    return module._buffers.get(name) if found is None else found


def _settle_modules(module: nn.Module, skeleton: Skeleton, settlement: Settlement) -> None:
    """The very modules that were handed out stand in the real one, as those that its constructor made."""
    inside = dict(walk(module))
    if skeleton.root is None:
        _hand_on(skeleton, inside, settlement)
    pairs: dict[int, tuple[Any, Any]] = {}
    for path, told in list(skeleton.parts()):
        made = inside.get(path)
        if made is not None and made is not told:
            pairs[id(made)] = (made, told)
    substitute([each for each in inside.values() if not isinstance(each, Recorded)], pairs)
    for made, told in pairs.values():
        settlement.undo.append(functools.partial(_show, told, type(told), vars(told), _slotted(told)))
        known = vars(told).get(PENDING)
        _show(told, type(made), vars(made), _slotted(made))
        if known is None or known.past.skeleton is None:
            continue
        if (pending := waiting(told)) is None:  # planned for, and real already
            inner = settle(told, known.past.skeleton)
            settlement.undo += inner.undo
            settlement.choices += inner.choices
        else:
            settlement.undo.append(functools.partial(known.take, known.past.skeleton))
            pending.take(known.past.skeleton)
            known.past.skeleton.settled = True
            known.past.skeleton.belong(told)


def _show(part: nn.Module, cls: type, state: dict[str, Any], slotted: dict[str, Any]) -> None:
    """Make a module that was handed out what another one is: same class, same state."""
    set_class(part, cls)
    set_dict(part, state)
    for name, value in slotted.items():
        object.__setattr__(part, name, value)


def _slotted(module: nn.Module) -> dict[str, Any]:
    return {name: getattr(module, name) for name in slots(type(module)) if hasattr(module, name)}


def _hand_on(skeleton: Skeleton, inside: dict[str, nn.Module], settlement: Settlement) -> None:
    """Of a copy: the placeholders of lazy modules inside become theirs."""
    for path, module in inside.items():
        pending = waiting(module)
        if pending is not None and (told := skeleton.cut(path, len(pending.past.journal))) is not None:
            back = {f"{path}.{name}": each for name, each in told.placeholders.items()}
            settlement.undo.append(functools.partial(skeleton.placeholders.update, back))
            pending.own_past().skeleton = told
            told.settled = True
            told.belong(module)


def confirm(module: nn.Module, pending: Pending, settlement: Settlement) -> None:
    """Check that the real module, to which all was done that was done before, has what was told and nothing else.

    Raises:
        NotMaterializedError: if not: an optimizer made before would train something else.
    """
    skeleton = cast("Skeleton", pending.past.skeleton)
    settle_tensors(module, skeleton, settlement, tuple(attached(pending.past.journal)))
    real, told = dict(named_tensors(module)), settlement.told
    if told is not None:
        lost = [path for path in told if path not in real and not path.startswith(settlement.open_paths)]
        lost += [path for path in told if isinstance(real.get(path), Placeholder)]
        extra = [path for path in real if path not in told and not path.startswith(settlement.open_paths)]
        lost += [path for path, each in skeleton.placeholders.items() if told.get(path) is each and _is_open(each)]
    else:
        lost, extra = [path for path, each in skeleton.placeholders.items() if path in real and _is_open(each)], []
    if lost or extra:
        raise NotMaterializedError(
            compose(
                f"the parameters of {pending.recipe.wrapped.__name__} are not those that were told before the call",
                [
                    ("told, not there", ", ".join(dict.fromkeys(lost)) or "none"),
                    ("there, not told", ", ".join(extra) or "none"),
                ],
                "module(input)  # once, before its parameters are asked for; then the optimizer",
            )
        )
    _put_in_place(skeleton, told or {}, dict(walk(module)))
    for placeholder, before in settlement.choices:
        if before.chosen:
            placeholder.requires_grad = before.requires_grad
        for name, value in before.own():
            setattr(placeholder, name, value)
    for _, inside in walk(module):
        inner = waiting(inside)
        if inner is not None and inner.past.skeleton is not None:
            inner.past.skeleton.settled = False


def _is_open(placeholder: Any) -> bool:
    return isinstance(placeholder, Placeholder)


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
