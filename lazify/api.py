"""The public interface: `lazify` and `is_lazy`.

>>> import torch
>>> from torch import nn
>>> from lazify import axis
>>> LazyConv2d = lazify(nn.Conv2d)
>>> conv = LazyConv2d(8, kernel_size=3)
>>> conv
LazyConv2d(in_channels=?, out_channels=8, kernel_size=3)
>>> conv(torch.zeros(2, 3, 16, 16)).shape  # (N, C, H, W)
torch.Size([2, 8, 14, 14])
>>> conv
Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))

With a derived argument and a new constructor parameter:

>>> LazyExpand = lazify(nn.Conv2d, exclude={
...     "in_channels": axis(1),
...     "out_channels": lambda in_channels, expansion_ratio: in_channels * expansion_ratio,
... })
>>> LazyExpand(kernel_size=1, expansion_ratio=4)(torch.zeros(2, 3, 16, 16)).shape
torch.Size([2, 12, 16, 16])
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Concatenate, Literal, TypeVar, overload

from torch import nn

from lazify._lazy_class.constructor import RECIPE
from lazify._lazy_class.decorator import decorate
from lazify._lazy_class.factory import lazy_class
from lazify._lazy_class.instance import LazyInstance
from lazify._lazy_class.static_types import LazyClass, M, P, keeps_the_class
from lazify._recipe.checking import Exclude, Options, normalize_exclude
from lazify._recipe.signature_reading import ORIGINAL_KEY
from lazify.errors import DefinitionError, LazifyError, compose, shorten_traceback

__all__ = ["is_lazy", "lazify"]

C = TypeVar("C", bound=type[nn.Module])
#: Classes of torch.nn for which `Concatenate[Any, P]` would drop the wrong parameters: not just the first is inferred.
Elsewhere = TypeVar("Elsewhere", bound="nn.Bilinear | nn.GroupNorm")


@overload
@keeps_the_class(eq_default=False, kw_only_default=True)
def lazify(
    module_cls: type[Elsewhere], *, exclude: None = None, keyword_only: Literal[False] = False
) -> LazyClass[Elsewhere, ...]: ...
@overload
def lazify(
    module_cls: Callable[Concatenate[Any, P], M], *, exclude: None = None, keyword_only: Literal[False] = False
) -> LazyClass[M, P]: ...
@overload
def lazify(module_cls: type[M], *, exclude: Exclude = None, keyword_only: bool = False) -> LazyClass[M, ...]: ...
@overload
def lazify(module_cls: None = None, *, exclude: Exclude = None, keyword_only: bool = False) -> Callable[[C], C]: ...
def lazify(module_cls: Any = None, *, exclude: Exclude = None, keyword_only: bool = False) -> Any:
    """Make an `nn.Module` class lazily constructed: its constructor drops the parameters that the input determines.

    As a function (`LazyConv2d = lazify(nn.Conv2d)`) it returns a new class and leaves `module_cls` unchanged. As a
    decorator (`@lazify`, `@lazify()`, `@lazify(exclude=...)`) it changes the class itself. An instance becomes the
    real module at its first call, on the device of the input.

    Args:
        module_cls: the class to wrap.
        exclude: the constructor parameters to infer, as a name, an iterable of names, or a mapping from names to
            rules. A rule is `axis(n)`, `axis(n, of="argument")`, or a function. The parameters of a function are
            filled by name, first from the arguments of `forward`, then from those of the constructor; any other
            name becomes a keyword parameter of the lazy class. The Ellipsis (`exclude=...`): whatever is left out when
            an instance is constructed. None: the parameters with an `axis` as their default, or those in the table of
            torch.nn, or those whose name can only mean the size of an input (`in_channels`); of other sizes, those that
            are left out. Their default is shown as `?`. They are inferred if the first call leaves no choice, else it
            is an error that says which is open.
        keyword_only: make every parameter that is left keyword-only. Without the dropped parameters, the same
            positional arguments mean something else; with this, a call that was written for the original constructor
            and passes arguments by position is an error.

    Returns:
        The lazy class. The same class and options give the same lazy class.

    Raises:
        DefinitionError: (a `TypeError`) if `module_cls` is not a module class or is lazy already, if it has no
            parameter to infer, or if a rule cannot work.

    >>> from torch import nn
    >>> lazify(nn.Conv2d)(8, kernel_size=3)
    LazyConv2d(in_channels=?, out_channels=8, kernel_size=3)
    """
    try:
        return _lazified(module_cls, normalize_exclude(exclude), keyword_only, sys._getframe(1))
    except LazifyError as error:
        shorten_traceback(error)
        raise


def _lazified(module_cls: Any, options: Options, keyword_only: bool, caller: FrameType) -> Any:
    """The lazy class, or a decorator if there is no class yet."""
    if module_cls is None:
        return functools.partial(_decorated, options=options, keyword_only=keyword_only)
    cls = _checked(module_cls)
    if options is None and not keyword_only and _is_decorating(cls, caller):
        return decorate(cls, None)
    return lazy_class(cls, options, keyword_only)


def _decorated(cls: type[nn.Module], options: Options, keyword_only: bool) -> Any:
    """What `@lazify(...)` makes of the class below it."""
    try:
        return decorate(_checked(cls), options, keyword_only)
    except LazifyError as error:
        shorten_traceback(error)
        raise


def is_lazy(module: nn.Module) -> bool:
    """Whether `module` is a lazy instance that is not materialized yet. Its submodules do not count.

    >>> from torch import nn
    >>> is_lazy(lazify(nn.Linear)(3)), is_lazy(nn.Linear(2, 3))
    (True, False)
    """
    return isinstance(module, LazyInstance)


def _checked(cls: Any) -> type[nn.Module]:
    """The class `cls`, if it is a module class that is not lazy; raise otherwise."""
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        what, fix = repr(cls), "lazify(nn.Conv2d)"
        if isinstance(cls, nn.Module):
            what, fix = f"an instance of {type(cls).__name__}", "lazify(type(module))  # its class"
        elif isinstance(cls, str):
            fix = f"@lazify(exclude=[{cls!r}])  # above a class, if that is a parameter of it"
        raise DefinitionError(compose(f"lazify takes an nn.Module class, got {what}", fix=fix))
    if issubclass(cls, LazyInstance) or hasattr(cls.__init__, ORIGINAL_KEY):
        raise DefinitionError(
            compose(
                f"{cls.__name__} is lazily constructed already",
                [("inferred", ", ".join(getattr(cls, RECIPE).rules))],
                f"{cls.__name__}(...)  # as it is",
            )
        )
    return cls


def _is_decorating(cls: type, caller: FrameType) -> bool:
    """Whether `caller` applies a bare `@lazify` to the class statement of `cls`, rather than calling `lazify(cls)`.

    With a decorator, the code of the caller contains the class statement, and no variable refers to the class yet.
    """
    bodies = (cls.__name__, f"<generic parameters of {cls.__name__}>")  # the second: `class Name[T]`, Python 3.12
    if not any(isinstance(c, CodeType) and c.co_name in bodies for c in caller.f_code.co_consts):
        return False
    return not any(value is cls for value in (*caller.f_locals.values(), *caller.f_globals.values()))
