"""The static type of a lazy class: a callable that returns the wrapped class, without its first parameter.

Python's type system can drop the first positional parameter of a constructor and no other (`Concatenate`):
https://typing.python.org/en/latest/spec/generics.html#paramspec. The mypy plugin and stubs drop the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from torch import nn
from typing_extensions import ParamSpec, TypeVar, dataclass_transform

__all__ = ["LazyClass", "M", "P", "keeps_the_class"]

M = TypeVar("M", bound=nn.Module, default=nn.Module)
P = ParamSpec("P", default=...)  # the two defaults are for a class of which only `type[nn.Module]` is known

if TYPE_CHECKING:

    class LazyClass(type, Generic[M, P]):
        """A lazy class in static types; `LazyClass[nn.Conv2d, ...]` takes any arguments."""

        def __call__(cls, *args: P.args, **kwargs: P.kwargs) -> M: ...

else:
    LazyClass = type

#: Marks `lazify` as a decorator whose result is the decorated class. pyright treats it so only under a
#: `dataclass_transform`, which changes nothing in a class that defines `__init__`. mypy treats it so anyway and must
#: not recognise `dataclass_transform`: the tuple hides the name.
keeps_the_class = (dataclass_transform,)[0]
