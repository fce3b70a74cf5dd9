"""What type checkers see of a lazy class: a callable without the first parameter, which gives the wrapped class.

Python's type system can drop one positional parameter of a constructor, the first, and no other (`Concatenate`):
https://typing.python.org/en/latest/spec/generics.html#paramspec. For the rest there are a mypy plugin and stubs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from torch import nn
from typing_extensions import ParamSpec, TypeVar, dataclass_transform

__all__ = ["LazyClass", "M", "P", "keeps_the_class"]

M = TypeVar("M", bound=nn.Module, default=nn.Module)
P = ParamSpec("P", default=...)  # the defaults: of a class that is only known as `type[nn.Module]`

if TYPE_CHECKING:

    class LazyClass(type, Generic[M, P]):
        """A lazy class in static types; `LazyClass[nn.Conv2d, ...]` takes any arguments."""

        def __call__(cls, *args: P.args, **kwargs: P.kwargs) -> M: ...

else:
    LazyClass = type

#: A decorated class stays a class: for pyright only under a decorator of this kind, which changes nothing in a class
#: with a constructor of its own; for mypy always, so it is not to recognise the name, hidden in a tuple here.
keeps_the_class = (dataclass_transform,)[0]
