"""Rules: data that says how the value of an inferred parameter follows from a call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Axis", "Computed", "Rule", "Unknown", "axis", "names_read"]


@dataclass(frozen=True)
class Axis:
    """Rule: the size of dimension `dim` of the argument `of` of `forward`, or of its first argument if `of` is None."""

    dim: int
    of: str | None = None

    def __str__(self) -> str:
        return f"axis({self.dim})" if self.of is None else f"axis({self.dim}, of={self.of!r})"

    __repr__ = __str__


@dataclass(frozen=True)
class Computed:
    """Rule: the result of a function whose parameters are filled by name."""

    function: Callable[..., Any]
    signature: inspect.Signature = field(compare=False)

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", repr(self.function))
        return f"{'a lambda' if name == '<lambda>' else name}({', '.join(self.signature.parameters)})"


@dataclass(frozen=True)
class Unknown:
    """Rule of a parameter about which nothing is known: the solver finds the value by trial runs."""

    def __str__(self) -> str:
        return "the call itself"


Rule: TypeAlias = "Axis | Computed | Unknown"


def names_read(rule: Rule) -> list[str]:
    """The names of the arguments that a function reads as a rule; none for other rules."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = rule.signature.parameters.values() if isinstance(rule, Computed) else ()
    return [p.name for p in parameters if p.kind not in variadic]


def axis(dim: int, *, of: str | None = None) -> Any:
    """The rule "size of dimension `dim` of an input".

    Used in `exclude={"in_channels": axis(1)}`, or as the default of a parameter in your own class. The static type is
    `Any`, like that of `dataclasses.field`, so that type checkers accept such a default.

    Args:
        dim: a dimension of the input tensor. A negative number counts from the last dimension, so that one rule
            works for batched and for unbatched input.
        of: name of an argument of `forward`. None: the first argument that holds a floating-point tensor, or the
            first that holds any tensor. In a nested list, tuple, dict or dataclass, the first tensor counts.

    Raises:
        TypeError: if `dim` is not an int or `of` is not a name.

    >>> axis(-1, of="context")
    axis(-1, of='context')
    """
    if not isinstance(dim, int) or isinstance(dim, bool):
        raise TypeError(f"axis(dim) takes the number of a dimension, got {dim!r}")
    if of is not None and not isinstance(of, str):
        raise TypeError(f"axis(..., of=...) takes the name of an argument of forward, got {of!r}")
    return Axis(dim, of)
