"""Placeholders and previewed submodules become those of the real module, the same objects, or are rolled back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from lazify._deferred.operation_table import RecordsOperations
from lazify._deferred.operations import attached
from lazify._deferred.placeholders import Placeholder, UserSettings, choice, revert, substitute, swap_in
from lazify._deferred.preview import Preview
from lazify._deferred.state import STATE_KEY, LazyState, lazy_state
from lazify._module_tree import named_tensors, walk
from lazify._recipe.construction import set_class, set_dict, slot_names
from lazify.errors import NotMaterializedError, compose

__all__ = ["SwapTransaction", "check_names_kept", "swap_placeholders"]


@dataclass(eq=False, repr=False)
class SwapTransaction:
    """What became of placeholders and previewed submodules.

    Attributes:
        rollback: functions that undo it, in order.
        previewed: tensors of the preview by their paths; None for a copy whose original previewed its parameters.
        lazy_prefixes: paths of lazy modules inside, which preview their own parameters.
        choices: placeholders that have become real, and what they were.
    """

    rollback: list[Callable[[], object]] = field(default_factory=list)
    previewed: dict[str, torch.Tensor] | None = None
    lazy_prefixes: tuple[str, ...] = ()
    choices: list[tuple[Any, UserSettings]] = field(default_factory=list)

    def rollback_all(self) -> None:
        for each in reversed(self.rollback):
            each()


def swap_placeholders(module: nn.Module, preview: Preview) -> SwapTransaction:
    """Put what was handed out into its places in the real module: placeholders, submodules, lazy modules inside."""
    transaction = SwapTransaction()
    if preview.module is not None:
        transaction.previewed = dict(named_tensors(preview.module))
        transaction.lazy_prefixes = tuple(
            f"{path}." for path, each in walk(preview.module) if lazy_state(each) is not None
        )
    _swap_submodules(module, preview, transaction)
    swap_tensors_in(module, preview, transaction, ())
    return transaction


def swap_tensors_in(module: nn.Module, preview: Preview, transaction: SwapTransaction, users: tuple[Any, ...]) -> None:
    """Make the placeholders the tensors that stand in their places, except where the user put something else."""
    inside = dict(walk(module))
    others = {id(each) for each in (*users, *preview.placeholders.values())}
    pairs: dict[int, tuple[Any, torch.Tensor]] = {}
    for path, placeholder in preview.placeholders.items():
        where, _, name = path.rpartition(".")
        owner = inside.get(where)
        tensor = None if owner is None or isinstance(owner, RecordsOperations) else _tensor(owner, name)
        if tensor is not None and id(tensor) not in others and _may_be(placeholder, tensor):
            pairs.setdefault(id(placeholder), (placeholder, tensor))
    real = [each for each in inside.values() if not isinstance(each, RecordsOperations)]
    substitute(real, {id(tensor): (tensor, placeholder) for placeholder, tensor in pairs.values()})
    for placeholder, tensor in pairs.values():
        if isinstance(placeholder, Placeholder):
            before = choice(placeholder)
            transaction.choices.append((placeholder, before))
            transaction.rollback.append(functools.partial(revert, placeholder, before))
        swap_in(placeholder, tensor)


def _may_be(placeholder: Any, tensor: torch.Tensor) -> bool:
    """Whether the tensor has as many dimensions as the placeholder said, if that was read."""
    return not (isinstance(placeholder, Placeholder) and placeholder.rank_was_read) or placeholder.rank == tensor.dim()


def _tensor(module: nn.Module, name: str) -> torch.Tensor | None:
    found = module._parameters.get(name)
    return module._buffers.get(name) if found is None else found


def _swap_submodules(module: nn.Module, preview: Preview, transaction: SwapTransaction) -> None:
    """The very modules that were handed out stand in the real one, as those that its constructor made."""
    inside = dict(walk(module))
    if preview.module is None:
        pass_to_nested(preview, inside, transaction)
    pairs: dict[int, tuple[Any, Any]] = {}
    for path, previewed in list(preview.submodules()):
        made = inside.get(path)
        if made is not None and made is not previewed:
            pairs[id(made)] = (made, previewed)
    substitute([each for each in inside.values() if not isinstance(each, RecordsOperations)], pairs)
    for made, previewed in pairs.values():
        transaction.rollback.append(
            functools.partial(_show, previewed, type(previewed), vars(previewed), _slotted(previewed))
        )
        known = vars(previewed).get(STATE_KEY)
        _show(previewed, type(made), vars(made), _slotted(made))
        if known is None or known.history.preview is None:
            continue
        if (state := lazy_state(previewed)) is None:  # planned for, and real already
            inner = swap_placeholders(previewed, known.history.preview)
            transaction.rollback += inner.rollback
            transaction.choices += inner.choices
        else:
            transaction.rollback.append(functools.partial(known.adopt_preview, known.history.preview))
            state.adopt_preview(known.history.preview)
            known.history.preview.being_materialized = True
            known.history.preview.set_owner(previewed)


def _show(part: nn.Module, cls: type, attributes: dict[str, Any], slotted: dict[str, Any]) -> None:
    """Make a module that was handed out what another one is: same class, same state."""
    set_class(part, cls)
    set_dict(part, attributes)
    for name, value in slotted.items():
        object.__setattr__(part, name, value)


def _slotted(module: nn.Module) -> dict[str, Any]:
    return {name: getattr(module, name) for name in slot_names(type(module)) if hasattr(module, name)}


def pass_to_nested(preview: Preview, inside: dict[str, nn.Module], transaction: SwapTransaction) -> None:
    """Of a copy: the placeholders of lazy modules inside become theirs."""
    for path, module in inside.items():
        state = lazy_state(module)
        if state is not None and (previewed := preview.split_off(path, len(state.history.operations))) is not None:
            back = {f"{path}.{name}": each for name, each in previewed.placeholders.items()}
            transaction.rollback.append(functools.partial(preview.placeholders.update, back))
            state.writable_history().preview = previewed
            previewed.being_materialized = True
            previewed.set_owner(module)


def check_names_kept(module: nn.Module, state: LazyState, transaction: SwapTransaction) -> None:
    """Check that the real module, to which all was done that was done before, has what was told and nothing else.

    Raises:
        NotMaterializedError: if not: an optimizer made before would train something else.
    """
    preview = cast("Preview", state.history.preview)
    swap_tensors_in(module, preview, transaction, tuple(attached(state.history.operations)))
    real, previewed = dict(named_tensors(module)), transaction.previewed
    if previewed is not None:
        lost = [path for path in previewed if path not in real and not path.startswith(transaction.lazy_prefixes)]
        lost += [path for path in previewed if isinstance(real.get(path), Placeholder)]
        extra = [path for path in real if path not in previewed and not path.startswith(transaction.lazy_prefixes)]
        lost += [path for path, each in preview.placeholders.items() if previewed.get(path) is each and _is_open(each)]
    else:
        lost, extra = [path for path, each in preview.placeholders.items() if path in real and _is_open(each)], []
    if lost or extra:
        raise NotMaterializedError(
            compose(
                f"the parameters of {state.recipe.wrapped.__name__} are not those that were told before the call",
                [
                    ("told, not there", ", ".join(dict.fromkeys(lost)) or "none"),
                    ("there, not told", ", ".join(extra) or "none"),
                ],
                "module(input)  # once, before its parameters are asked for; then the optimizer",
            )
        )
    keep_user_replacements(preview, previewed or {}, dict(walk(module)))
    for placeholder, before in transaction.choices:
        if before.chosen:
            placeholder.requires_grad = before.requires_grad
        for name, value in before.own():
            setattr(placeholder, name, value)
    for _, inside in walk(module):
        inner = lazy_state(inside)
        if inner is not None and inner.history.preview is not None:
            inner.history.preview.being_materialized = False


def _is_open(placeholder: Any) -> bool:
    return isinstance(placeholder, Placeholder)


def keep_user_replacements(preview: Preview, previewed: dict[str, torch.Tensor], inside: dict[str, nn.Module]) -> None:
    """What was put straight into the place of a placeholder, as `torch.func.functional_call` does for one call."""
    for path, placeholder in preview.placeholders.items():
        where, _, name = path.rpartition(".")
        other = previewed.get(path)
        if other is None or other is placeholder or isinstance(other, Placeholder) or where not in inside:
            continue
        for kind in (inside[where]._parameters, inside[where]._buffers):
            if kind.get(name) is placeholder:
                cast("dict[str, Any]", kind)[name] = other
