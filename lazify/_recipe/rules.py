"""Rules: how the value of one inferred parameter follows from a call. Data only; `inference` reads it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Axis", "Computed", "Rule", "Unknown", "axis"]


@dataclass(frozen=True)
class Axis:
    """The size of dimension `dim` of an input tensor: of the `forward` argument `of`, else of the first."""

    dim: int
    of: str | None = None

    def __str__(self) -> str:
        return f"axis({self.dim})" if self.of is None else f"axis({self.dim}, of={self.of!r})"

    __repr__ = __str__


@dataclass(frozen=True)
class Computed:
    """The result of a function whose parameters are filled by name."""

    function: Callable[..., Any]
    signature: inspect.Signature = field(compare=False)

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", repr(self.function))
        return f"{'a lambda' if name == '<lambda>' else name}({', '.join(self.signature.parameters)})"


@dataclass(frozen=True)
class Unknown:
    """Named, but neither a rule nor the name says where the value comes from."""

    def __str__(self) -> str:
        return "the call itself"


Rule: TypeAlias = "Axis | Computed | Unknown"


def axis(dim: int, *, of: str | None = None) -> Any:
    """The rule "size of dimension `dim` of an input".

    Stands in `exclude={"in_channels": axis(1)}`, or as the parameter's own default in a class of yours
    (its static type is `Any`, as that of `dataclasses.field`, so that a checker accepts it there).

    Args:
        dim: a dimension of the input tensor; negative counts from the last, which makes a rule work for
            batched and unbatched input alike.
        of: name of the argument of `forward` to look at. Left out: the first argument that holds a
            floating-point tensor (a mask or an index does not count while there is one). Of a nested
            list, tuple, dict or dataclass, the first tensor in it.

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
