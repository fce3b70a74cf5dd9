"""Placeholders: torch's uninitialized parameters and buffers that become the real ones, the same objects.

What is handed out before the first call (to an optimizer, say) must be what is trained after it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MethodType
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils import swap_tensors

from lazify._torch import (
    ALLOWED_ON_UNINITIALIZED,
    is_shared_with_autograd,
    unset_fake_mode,
    without_torch_function,
)

__all__ = [
    "Placeholder",
    "UserSettings",
    "as_placeholder",
    "choice",
    "convert",
    "new_placeholder",
    "revert",
    "substitute",
    "swap_in",
]


def _nobody() -> None:
    return None


class Placeholder:
    """What lazify's placeholders can do beyond torch's own.

    `detach` returns the placeholder itself, so that `state_dict` works as on any module; `requires_grad_` works;
    the number of dimensions is known, by which optimizers group; and where the lazy instance can become real
    without a call (a copy whose original has), it does when a value is needed.
    """

    torch_class: ClassVar[type]
    #: () -> the lazy instance whose parameter this will be
    owner: Callable[[], Any] = _nobody
    #: `requires_grad` as the real parameter will have it; another value was set by the user, on this very object
    default_requires_grad: bool = True
    #: number of dimensions, if that is known, and whether somebody was told
    rank: int | None = None
    rank_was_read: bool = False

    @property
    def data(self) -> Any:
        """What is written into it would be lost."""
        raise ValueError(
            f"Attempted to use an uninitialized parameter in `{self.torch_class.__name__}.data`: it has no values yet. "
            "`module.apply(...)` waits for the real module"
        )

    @data.setter
    def data(self, value: torch.Tensor) -> None:
        torch.Tensor.data.__set__(self, value)  # type: ignore[attr-defined]

    @property
    def ndim(self) -> int:
        if self.rank is None:
            raise RuntimeError(f"the number of dimensions of this {self.torch_class.__name__} is not known yet")
        self.rank_was_read = True
        return self.rank

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _OWN:
            return _OWN[func](*args, **kwargs)
        if func.__class__.__name__ != "method-wrapper" and func not in ALLOWED_ON_UNINITIALIZED:
            owners = {id(owner): owner for each in args if isinstance(each, Placeholder) and (owner := each.owner())}
            became = [owner.materialize_like_copy() for owner in owners.values()]
            if any(became):
                return func(*args, **kwargs)
            if func is torch.Tensor.detach:
                return args[0]
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[misc]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        twin = memo[id(self)] = _made(type(self), self)
        twin.default_requires_grad, twin.rank, twin.rank_was_read = (
            self.default_requires_grad,
            self.rank,
            self.rank_was_read,
        )
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As torch's own: a file has nothing of lazify in it."""
        return self.torch_class, (self.requires_grad, self.device, self.dtype)  # type: ignore[attr-defined]


def _requires_grad_(placeholder: Any, requires_grad: bool = True) -> Any:
    placeholder.requires_grad = requires_grad
    return placeholder


def _size(placeholder: Any, *_: Any) -> Any:
    """Torch's own `size()` would say `(0,)`."""
    raise ValueError(
        f"Attempted to use an uninitialized parameter in `{placeholder.torch_class.__name__}.size()`: "
        "it has no shape yet"
    )


def _type(placeholder: Any, dtype: Any = None) -> Any:
    if not isinstance(dtype, torch.dtype):
        raise ValueError("an uninitialized tensor is converted to a torch.dtype")
    return placeholder.to(dtype)


#: What placeholders answer themselves.
_OWN: Mapping[Any, Callable[..., Any]] = {
    torch.Tensor.requires_grad_: _requires_grad_,
    torch.Tensor.dim: lambda placeholder: placeholder.ndim,
    torch.Tensor.size: _size,
    torch.Tensor.bfloat16: lambda placeholder: placeholder.to(torch.bfloat16),
    torch.Tensor.type: _type,
    torch.is_complex: lambda placeholder: placeholder.dtype.is_complex,
    torch.is_floating_point: lambda placeholder: placeholder.dtype.is_floating_point,
}


class UninitializedParameter(Placeholder, nn.UninitializedParameter):  # type: ignore[override]
    torch_class = nn.UninitializedParameter


class UninitializedBuffer(Placeholder, nn.UninitializedBuffer):  # type: ignore[override]
    torch_class = nn.UninitializedBuffer


def _made(cls: Any, like: Any) -> Any:
    with unset_fake_mode():
        made = cls(requires_grad=like.requires_grad, device=like.device, dtype=like.dtype)
    made.default_requires_grad = like.requires_grad
    return made


def convert(placeholder: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Let it say that the real tensor will be there and of that type."""
    if (placeholder.device, placeholder.dtype) == (device, dtype):
        return
    with unset_fake_mode(), without_torch_function():
        if weakref.getweakrefs(placeholder):  # which a swap would leave with the other one
            placeholder.data = torch.empty(0, device=device, dtype=dtype)
            return
        twin = type(placeholder)(requires_grad=placeholder.requires_grad, device=device, dtype=dtype)
        twin.__dict__ = placeholder.__dict__.copy()
        swap_tensors(placeholder, twin)


def new_placeholder(tensor: torch.Tensor) -> Any:
    """A placeholder for a tensor of a module built on fakes."""
    made = _made(UninitializedParameter if isinstance(tensor, nn.Parameter) else UninitializedBuffer, tensor)
    made.rank = rank_of(tensor)
    return made


def rank_of(tensor: torch.Tensor) -> int | None:
    """None of torch's own uninitialized tensors."""
    return None if is_lazy(tensor) else tensor.dim()


def as_placeholder(tensor: Any, default_requires_grad: bool) -> Any:
    """A placeholder again of what came out of a file as torch's own."""
    made: Any = tensor
    if not isinstance(tensor, Placeholder):
        made.__class__ = UninitializedParameter if isinstance(tensor, nn.Parameter) else UninitializedBuffer
        made.default_requires_grad = default_requires_grad
    return made


# ---------------------------------------------------------------------------------------------
# Becoming real

Substitutes: TypeAlias = "Mapping[int, tuple[Any, Any]]"


class UserSettings(NamedTuple):
    """What a placeholder was before it became real: what the user chose on it, and how to go back."""

    cls: type
    requires_grad: bool
    chosen: bool  # by the user, against what was expected
    attributes: dict[str, Any]

    def own(self) -> Iterator[tuple[str, Any]]:
        """What the user attached."""
        for name, value in self.attributes.items():
            if name not in ("owner", "default_requires_grad", "rank", "rank_was_read", "persistent", "_is_buffer"):
                yield name, value


def choice(placeholder: Any) -> UserSettings:
    flag = placeholder.requires_grad
    return UserSettings(type(placeholder), flag, flag != placeholder.default_requires_grad, dict(placeholder.__dict__))


def swap_in(placeholder: Any, real: torch.Tensor) -> None:
    """Give the placeholder everything that `real` is: data, class, attributes, hooks. `real` is not used any more."""
    with without_torch_function():
        if not (weakref.getweakrefs(placeholder) or weakref.getweakrefs(real) or is_shared_with_autograd(real)):
            try:
                swap_tensors(placeholder, real)
            except RuntimeError:  # torch holds on to one of them
                pass
            else:
                return
        placeholder.data = real.data
        placeholder.requires_grad = real.requires_grad
        placeholder.__class__ = type(real)
        placeholder.__dict__ = real.__dict__


def revert(placeholder: Any, before: UserSettings) -> None:
    """Make it the placeholder again that it was."""
    with without_torch_function():
        placeholder.grad = None
        placeholder.__class__ = before.cls
        placeholder.__dict__ = dict(before.attributes)
        placeholder.requires_grad = False
        placeholder.data = torch.empty(0, device=placeholder.device, dtype=placeholder.dtype)
        placeholder.requires_grad = before.requires_grad


def substitute(modules: Iterable[nn.Module], substitutes: Substitutes) -> None:
    """Put the second of each pair wherever the first stands in these modules: registered, or in containers of theirs.

    Args:
        modules: whose attributes to look through.
        substitutes: id of a tensor or module -> (that, its substitute).
    """
    if substitutes:
        seen: set[int] = set()
        for module in modules:
            _substitute_in(vars(module), substitutes, seen)


def _substitute_in(container: Any, substitutes: Substitutes, seen: set[int]) -> None:
    if id(container) in seen:
        return
    seen.add(id(container))
    for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
        if isinstance(value, (weakref.ref, torch.Tensor, nn.Module)):
            target = value() if isinstance(value, weakref.ref) else value
            if (pair := substitutes.get(id(target))) is not None:
                container[key] = weakref.ref(pair[1]) if isinstance(value, weakref.ref) else pair[1]
        elif isinstance(value, MethodType) and id(value.__self__) in substitutes:
            container[key] = MethodType(value.__func__, substitutes[id(value.__self__)][1])
        elif isinstance(value, tuple) and any(id(each) in substitutes for each in value):
            made = [substitutes[id(each)][1] if id(each) in substitutes else each for each in value]
            container[key] = type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
        elif isinstance(value, (dict, list)):
            _substitute_in(value, substitutes, seen)
