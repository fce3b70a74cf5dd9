"""Exceptions, and the one place where a message is composed."""

from __future__ import annotations

import difflib
import pickle
import textwrap
from collections.abc import Iterable
from types import TracebackType
from typing import Any

__all__ = [
    "AmbiguousInferenceError",
    "DefinitionError",
    "InferenceError",
    "LazifyError",
    "NotMaterializedError",
    "UnpicklableError",
    "UnsupportedTorchError",
]


class LazifyError(Exception):
    """Base of every error that lazify raises."""


class DefinitionError(LazifyError, TypeError):
    """A lazy class cannot be made: raised at the line that calls `lazify`, never later."""


class InferenceError(LazifyError, RuntimeError):
    """A call does not determine an inferred parameter. The instance is still lazy, unchanged.

    Attributes:
        module: the lazy instance, where one was called.
        furthest: of a search, the error of the trial run that came furthest.
    """

    module: Any = None
    furthest: Exception | None = None


class AmbiguousInferenceError(InferenceError):
    """More than one value fits the call, and nothing decides between them."""


class NotMaterializedError(LazifyError, AttributeError, RuntimeError):
    """Something was asked of a lazy instance that only the real module can answer.

    It is an `AttributeError`, so that `hasattr` and duck typing work as on any other module.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.obj = None  # else Python notes what was asked for, and puts "Did you mean ...?" behind the last line: code


class UnpicklableError(LazifyError, pickle.PicklingError):
    """A lazy instance cannot be pickled: a rule has no name that another process could find it by."""


class UnsupportedTorchError(LazifyError, RuntimeError):
    """The installed torch lacks a private name that lazify needs here. What does not need the name goes on."""


#: The line of a message after which comes code.
FIX_HEADER = "Fix:"


def compose(headline: str, lines: Iterable[tuple[str, object]] = (), fix: str = "") -> str:
    """Put a message together: what happened, aligned facts, the code that fixes it.

    >>> print(compose("no value for 'dim'", [("class", "Block"), ("called with", "x: (2, 3)")],
    ...               "lazify(Block, exclude={'dim': axis(-1)})"))
    no value for 'dim'
      class:       Block
      called with: x: (2, 3)
    Fix:
      lazify(Block, exclude={'dim': axis(-1)})
    """
    facts = [(f"{label}:", str(text)) for label, text in lines]
    width = max((len(label) for label, _ in facts), default=0)
    parts = [headline]
    for label, text in facts:
        first, *more = text.splitlines() or [""]
        parts.append(f"  {label:<{width}} {first}")
        parts.extend(f"  {'':<{width}} {line}" for line in more)
    if fix:
        parts.append(FIX_HEADER)
        parts.extend(f"  {line}" for line in fix.splitlines())
    return "\n".join(parts)


def split_fix(message: str) -> tuple[str, str]:
    """What happened, and the code that fixes it, of a message put together by `compose`.

    >>> split_fix(compose("no value", fix="dim=1"))
    ('no value', 'dim=1')
    """
    said, _, fix = message.partition(f"\n{FIX_HEADER}\n")
    return said, textwrap.dedent(fix)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The question that names the nearest of `names`; empty if `name` is none of them misspelt.

    >>> did_you_mean("in_chanels", ["out_channels", "in_channels"]), did_you_mean("zork", ["in_channels"])
    ("; did you mean 'in_channels'?", '')
    """
    nearest = difflib.get_close_matches(name, [each for each in names if each != name], n=1, cutoff=0.7)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


#: The packages whose frames a traceback does not show, but the outermost of them; what users write against is no part.
_INTERNAL, _SHIPPED = ("lazify", "wrapt"), ("lazify.demo", "lazify.layers", "lazify.__main__")


def shorten_traceback(error: BaseException) -> None:
    """Leave out of a traceback what lazify does between the user's line and the code that raised.

    To be called where the user's code enters lazify; the frame of the caller stays. An error that lazify raises without
    meaning to keeps all its frames. Where lazify raised the error that is the cause of this one is not shown.
    """
    frames = list(_frames(error.__traceback__))
    is_meant = isinstance(error, (LazifyError, TypeError)) or isinstance(error.__cause__, LazifyError)
    if not frames or (_is_internal(frames[-1]) and not is_meant):
        return
    last = frames[0]
    for each in frames[1:]:
        if not _is_internal(each):
            last.tb_next = each
            last = each
    last.tb_next = None
    if isinstance(cause := error.__cause__, LazifyError) and all(map(_is_internal, _frames(cause.__traceback__))):
        cause.__traceback__ = None


def _frames(traceback: TracebackType | None) -> Iterable[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _is_internal(traceback: TracebackType) -> bool:
    name = str(traceback.tb_frame.f_globals.get("__name__"))
    return name.partition(".")[0] in _INTERNAL and not name.startswith(_SHIPPED)
