"""Copies of arguments for a trial run: tensors as fakes or clones, everything else by `copy.deepcopy`."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import Any, TypeAlias

import torch

from lazify._isolation.fake_tensors import TrialFunctions, TrialMode
from lazify._isolation.iterators import continued
from lazify._isolation.stand_ins import UncopyableError, thread_private
from lazify._torch import active_fake_mode

__all__ = ["CopySources", "UncopyableError", "copied", "trial_copy"]

#: id of a copy -> (the object of which it is a copy, the copy itself, so that the id stays taken)
CopySources: TypeAlias = "dict[int, tuple[Any, Any]]"

#: How many objects that cannot be copied are shared with the run, before a copy is given up.
MOST_SHARED = 200


def trial_copy(value: Any) -> Any:
    """Such a copy as this moment asks for: of fakes in a trial run on fakes, else of clones."""
    mode = active_fake_mode()
    return copied(value, mode if isinstance(mode, TrialMode) else None)


def copied(
    value: Any, mode: TrialMode | None, sources: CopySources | None = None, replaced: dict[int, Any] | None = None
) -> Any:
    """A copy of an argument of any class: its tensors are fakes of `mode`, which is on, or clones without one.

    What cannot be copied is shared with the run; its `Snapshot` brings that back.

    Args:
        value: the argument, however nested, cyclic or not.
        mode: of the run.
        sources: filled with where the objects in the copy come from.
        replaced: id of an object -> what is in its place in the copy.

    Raises:
        UncopyableError: for what can be used only once. Nothing is consumed.
    """
    replaced = dict(replaced or {})
    kept: list[Any] = []
    while True:
        memo = dict(replaced)
        try:
            with TrialFunctions(mode):
                twin = copy.deepcopy(value, memo)
            break
        except Exception as error:
            found = list(_uncopied(error.__traceback__))
            culprit = next((each for each in found if thread_private(each) is not None), found[-1] if found else None)
            if not found or id(culprit) in replaced or len(kept) == MOST_SHARED:
                raise
            kept.append(culprit)
            replaced[id(culprit)] = culprit  # if what is inside refers to it
            replaced[id(culprit)] = _replacement(culprit, mode, replaced)
    if sources is not None:
        for original in memo.get(id(memo), []):
            if id(original) in memo:
                sources[id(memo[id(original)])] = (original, memo[id(original)])
    return twin


def _uncopied(traceback: TracebackType | None) -> Iterator[Any]:
    """What `copy.deepcopy` was at when it failed, from the outside in."""
    while traceback is not None:
        if traceback.tb_frame.f_code is copy.deepcopy.__code__:
            yield traceback.tb_frame.f_locals["x"]
        traceback = traceback.tb_next


def _replacement(value: Any, mode: TrialMode | None, replaced: dict[int, Any]) -> Any:
    """What a run gets of an object that Python cannot copy."""
    if isinstance(value, dict) and type(value) is not dict:  # one that takes every attribute for a key
        twin = copy.copy(value)
        for key, each in copied(dict(value), mode, replaced={**replaced, id(value): twin}).items():
            twin[key] = each
        return twin
    if isinstance(value, torch.Generator):
        generator = torch.Generator(value.device)
        generator.set_state(value.get_state())
        return generator
    if (twin := continued(value, lambda each: copied(each, mode, replaced=replaced))) is not None:
        return twin
    once = isinstance(value, (GeneratorType, AsyncGeneratorType, CoroutineType)) or hasattr(type(value), "__next__")
    if once and not (isinstance(value, io.IOBase) and value.seekable()):
        raise UncopyableError(
            f"a {value.__class__.__name__} can be used only once, and values are found by trial runs of the call: "
            "pass a list, give the value, or give a rule for it"
        )
    own = thread_private(value)
    return value if own is None else own
