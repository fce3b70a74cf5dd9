"""The form of a constructor that one call means: `L(4)` of `(dim=?, heads)` gives `heads`, as in `range(stop)`.

A signature cannot say it; mypy asks the plugin at each call.
"""

from __future__ import annotations

from typing import Any

from mypy.nodes import ArgKind, CallExpr
from mypy.types import CallableType

from lazify.typing_support.mypy_plugin.reading import POSITIONAL

__all__ = ["as_called"]

_BY_KEYWORD = {ArgKind.ARG_POS: ArgKind.ARG_NAMED, ArgKind.ARG_OPT: ArgKind.ARG_NAMED_OPT}


def as_called(constructor: CallableType, call: Any) -> CallableType:
    """The constructor with keyword-only sizes, if the positional arguments of a call are just the required ones.

    The same is decided at run time by the binder of a lazy class.
    """
    kinds, names = constructor.arg_kinds, constructor.arg_names
    positional = [place for place, kind in enumerate(kinds) if kind in POSITIONAL]
    optional = [place for place in positional if kinds[place] == ArgKind.ARG_OPT]
    late = [place for place in positional if kinds[place] == ArgKind.ARG_POS and optional and place > optional[0]]
    if not late or not isinstance(call, CallExpr) or any(kind.is_star() for kind in call.arg_kinds):
        return constructor
    given = call.arg_kinds.count(ArgKind.ARG_POS)
    if all(names[place] in call.arg_names or place < given for place in late):
        return constructor
    missing = [place for place in positional if kinds[place] == ArgKind.ARG_POS and names[place] not in call.arg_names]
    if len(missing) != given or any(names[place] is None for place in positional):
        return constructor
    order = [*missing, *(place for place in range(len(kinds)) if place not in missing)]
    by_keyword = {place: _BY_KEYWORD[kinds[place]] for place in positional if place not in missing}
    return constructor.copy_modified(
        arg_types=[constructor.arg_types[place] for place in order],
        arg_kinds=[by_keyword.get(place, kinds[place]) for place in order],
        arg_names=[names[place] for place in order],
    )
