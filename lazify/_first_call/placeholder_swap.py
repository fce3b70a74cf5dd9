"""Placeholders and submodules of a preview become those of the real module, the same objects, or are rolled back.

constructed module, preview  ->  swap_placeholders  ->  operations are replayed  ->  check_names_kept
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from lazify._deferred.operation_table import RecordsOperations
from lazify._deferred.operations import attached
from lazify._deferred.placeholders import Placeholder, UserSettings, choice, pass_hooks_on, revert, substitute, swap_in
from lazify._deferred.preview import Preview
from lazify._deferred.state import STATE_KEY, LazyState, lazy_state
from lazify._isolation.argument_snapshot import Restore
from lazify._module_tree import tensors_in, walk
from lazify._recipe.construction import set_class, set_dict, slot_values
from lazify._torch import without_torch_function
from lazify.errors import NotMaterializedError, compose

__all__ = ["SwapTransaction", "check_names_kept", "swap_placeholders"]


@dataclass(eq=False, repr=False)
class SwapTransaction:
    """Changes to placeholders and submodules of a preview during one materialization.

    Attributes:
        on_rollback: is called with functions that undo the changes, in order.
        previewed: tensors of the preview by path; None for a copied instance whose preview has placeholders only.
        lazy_prefixes: paths of lazy submodules, with a dot at the end. They preview their own parameters.
        choices: placeholders that have become real tensors, and their state before.
    """

    on_rollback: Callable[[Restore], None]
    previewed: dict[str, torch.Tensor] | None = None
    lazy_prefixes: tuple[str, ...] = ()
    choices: list[tuple[Any, UserSettings]] = field(default_factory=list)


def swap_placeholders(module: nn.Module, preview: Preview, on_rollback: Callable[[Restore], None]) -> SwapTransaction:
    """Replace submodules and tensors of a module just constructed by those of the preview, which become real."""
    transaction = SwapTransaction(on_rollback)
    if preview.module is not None:
        previewed = list(walk(preview.module))
        transaction.previewed = dict(tensors_in(previewed))
        transaction.lazy_prefixes = tuple(f"{path}." for path, each in previewed if lazy_state(each) is not None)
    inside = dict(walk(module))
    if _swap_submodules(inside, preview, transaction):
        inside = dict(walk(module))
    swap_tensors_in(inside, preview, transaction)
    return transaction


def swap_tensors_in(
    inside: Mapping[str, nn.Module], preview: Preview, transaction: SwapTransaction, users: Iterable[Any] = ()
) -> None:
    """Turn placeholders into the tensors at their paths, except where a tensor of the user is.

    Args:
        inside: the submodules of the real module by path, the module itself under the empty path.
        preview: the preview with the placeholders.
        transaction: gets what undoes the changes.
        users: tensors of the user.
    """
    others = {id(each) for each in (*users, *preview.placeholders.values())}
    pairs: dict[int, tuple[Any, torch.Tensor]] = {}
    for path, placeholder in preview.placeholders.items():
        where, _, name = path.rpartition(".")
        owner = inside.get(where)
        if owner is None or isinstance(owner, RecordsOperations):
            continue
        tensor = {**owner._buffers, **owner._parameters}.get(name)
        if tensor is None or id(tensor) in others:
            continue
        if not (getattr(placeholder, "rank_was_read", False) and placeholder.rank != tensor.dim()):
            pairs.setdefault(id(placeholder), (placeholder, tensor))
    real = [each for each in inside.values() if not isinstance(each, RecordsOperations)]
    substitute(real, {id(tensor): (tensor, placeholder) for placeholder, tensor in pairs.values()})
    with without_torch_function():
        for placeholder, tensor in pairs.values():
            if isinstance(placeholder, Placeholder):
                before = choice(placeholder)
                transaction.choices.append((placeholder, before))
                transaction.on_rollback(functools.partial(revert, placeholder, before))
            swap_in(placeholder, tensor)


def _swap_submodules(inside: Mapping[str, nn.Module], preview: Preview, transaction: SwapTransaction) -> bool:
    """Replace submodules by those of the preview, which get their class and attributes; whether there are any."""
    if preview.module is None:
        _pass_to_nested(preview, inside, transaction)
    pairs: dict[int, tuple[Any, Any]] = {}
    for path, previewed in list(preview.submodules()):
        made = inside.get(path)
        if made is not None and made is not previewed:
            pairs[id(made)] = (made, previewed)
    substitute([each for each in inside.values() if not isinstance(each, RecordsOperations)], pairs)
    for made, previewed in pairs.values():
        transaction.on_rollback(
            functools.partial(_turn_into, previewed, type(previewed), vars(previewed), slot_values(previewed))
        )
        known = vars(previewed).get(STATE_KEY)
        _turn_into(previewed, type(made), vars(made), slot_values(made))
        if known is None or known.history.preview is None:
            continue
        if (state := lazy_state(previewed)) is None:  # a plan has materialized it
            inner = swap_placeholders(previewed, known.history.preview, transaction.on_rollback)
            transaction.choices += inner.choices
        else:
            transaction.on_rollback(functools.partial(known.adopt_preview, known.history.preview))
            state.adopt_preview(known.history.preview)
            known.history.preview.being_materialized = True
            known.history.preview.set_owner(previewed)
    return bool(pairs)


def _turn_into(module: nn.Module, cls: type, attributes: dict[str, Any], slotted: dict[str, Any]) -> None:
    """Give a module the class and the attributes of another one."""
    set_class(module, cls)
    set_dict(module, attributes)
    for name, value in slotted.items():
        object.__setattr__(module, name, value)


def _pass_to_nested(preview: Preview, inside: Mapping[str, nn.Module], transaction: SwapTransaction) -> None:
    """Move the placeholders of lazy submodules to previews of their own. (For the preview of a copied instance.)"""
    for path, module in inside.items():
        state = lazy_state(module)
        if state is not None and (previewed := preview.split_off(path, len(state.history.operations))) is not None:
            back = {f"{path}.{name}": each for name, each in previewed.placeholders.items()}
            transaction.on_rollback(functools.partial(preview.placeholders.update, back))
            state.writable_history().preview = previewed
            previewed.being_materialized = True
            previewed.set_owner(module)


def check_names_kept(module: nn.Module, state: LazyState, transaction: SwapTransaction) -> None:
    """Check that the real module has the parameters and buffers of the preview and no others, then give them the
    flags and attributes that the user has set on the placeholders.

    Raises:
        NotMaterializedError: if it has others: an optimizer made before the call would not train the module.
    """
    preview = cast("Preview", state.history.preview)
    inside = dict(walk(module))
    if state.history.operations or _open_paths(preview.placeholders):
        swap_tensors_in(inside, preview, transaction, attached(state.history.operations))
    lost, extra = _differences(dict(tensors_in(inside.items())), preview, transaction)
    if lost or extra:
        raise NotMaterializedError(
            compose(
                f"{state.recipe.wrapped.__name__} has other parameters than its preview showed before the call",
                [
                    ("only in the preview", ", ".join(lost) or "none"),
                    ("only in the module", ", ".join(extra) or "none"),
                ],
                "module(input)  # once, before its parameters are asked for; then the optimizer",
            )
        )
    _keep_user_replacements(preview, transaction.previewed or {}, inside)
    for placeholder, before in transaction.choices:
        for undo in pass_hooks_on(placeholder, before):
            transaction.on_rollback(undo)
        if before.chosen:
            placeholder.requires_grad = before.requires_grad
        for name, value in before.own():
            setattr(placeholder, name, value)
    for each in inside.values():
        inner = lazy_state(each)
        if inner is not None and inner.history.preview is not None:
            inner.history.preview.being_materialized = False


def _differences(
    real: Mapping[str, torch.Tensor], preview: Preview, transaction: SwapTransaction
) -> tuple[list[str], list[str]]:
    """Paths of tensors that only the preview has, or whose placeholder is still open; paths that only `real` has."""
    previewed, still_open = transaction.previewed, _open_paths(preview.placeholders)
    if previewed is None:
        return [path for path in still_open if path in real], []
    lost = _open_paths(real) & previewed.keys()
    if not still_open and not lost and previewed.keys() == real.keys():  # nearly always
        return [], []
    lost.update(path for path in still_open if previewed.get(path) is preview.placeholders[path])
    lost.update(path for path in previewed.keys() - real.keys() if not path.startswith(transaction.lazy_prefixes))
    extra = [path for path in real if path not in previewed and not path.startswith(transaction.lazy_prefixes)]
    return [path for path in previewed if path in lost], extra


def _open_paths(tensors: Mapping[str, Any]) -> set[str]:
    """Paths of placeholders that have not become real."""
    return {path for path, each in tensors.items() if isinstance(each, Placeholder)}


def _keep_user_replacements(
    preview: Preview, previewed: Mapping[str, torch.Tensor], inside: Mapping[str, nn.Module]
) -> None:
    """Keep tensors that replace a placeholder in `_parameters`, as those of `torch.func.functional_call` for a call."""
    for path, placeholder in preview.placeholders.items():
        other = previewed.get(path)
        if other is None or other is placeholder or isinstance(other, Placeholder):
            continue
        where, _, name = path.rpartition(".")
        holder = inside.get(where)
        for kind in () if holder is None else (holder._parameters, holder._buffers):
            if kind.get(name) is placeholder:
                cast("dict[str, Any]", kind)[name] = other
