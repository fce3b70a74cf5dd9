"""Placeholders: uninitialized parameters and buffers that become the real ones, the same objects.

An optimizer may get the parameters of a lazy instance before the first call; after it, they are the trained tensors.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from types import MethodType
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils import swap_tensors
from torch.utils.hooks import RemovableHandle

from lazify._nested import PLAIN
from lazify._torch import (
    ALLOWED_ON_UNINITIALIZED,
    active_fake_mode,
    forget_hooks,
    is_shared_with_autograd,
    unset_fake_mode,
    without_torch_function,
)
from lazify.errors import compose

#: Attribute of a placeholder that holds hooks for the real tensor, by the ids of their handles.
WAITING_HOOKS = "waiting_hooks"
#: How the errors of torch begin that say that an uninitialized tensor was used.
NO_VALUES = "Attempted to use an uninitialized"

__all__ = [
    "NO_VALUES",
    "Placeholder",
    "TensorKind",
    "UserSettings",
    "as_placeholder",
    "choice",
    "convert",
    "kind_of",
    "new_placeholder",
    "pass_hooks_on",
    "revert",
    "substitute",
    "swap_in",
]


def _no_owner() -> None:
    return None


class Placeholder:
    """First base of uninitialized parameters and buffers of lazify, which can do more than those of torch.

    `detach` returns the placeholder itself, so that `state_dict` works as on any module. `requires_grad_` works. The
    number of dimensions, by which optimizers group parameters, is known. A deep copy of a lazy instance whose original
    was materialized is materialized, too, as soon as an operation needs the values of one of its placeholders.
    """

    #: Class of torch that a placeholder is pickled as.
    torch_class: ClassVar[type]
    #: () -> the lazy instance; None if there is none, or not any more.
    owner: Callable[[], Any] = _no_owner
    #: `requires_grad` that the real tensor will have. If the flag of the placeholder differs, the user has set it.
    default_requires_grad: bool = True
    #: Number of dimensions of the real tensor; None if unknown.
    rank: int | None = None
    #: Whether the user has read the number of dimensions, which then must not change.
    rank_was_read: bool = False

    @property
    def data(self) -> Any:
        """A placeholder has no data: values written to it would be lost. That of a copy may become real first."""
        owner = self.owner()
        if owner is not None and owner.materialize_like_copy():
            return self.data
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
        if func in _OVERRIDES:
            return _OVERRIDES[func](*args, **kwargs)
        if func.__class__.__name__ != "method-wrapper" and func not in ALLOWED_ON_UNINITIALIZED:
            owners = {id(owner): owner for each in args if isinstance(each, Placeholder) and (owner := each.owner())}
            materialized = [owner.materialize_like_copy() for owner in owners.values()]
            if any(materialized):
                return func(*args, **kwargs)
            if func is torch.Tensor.detach:
                return args[0]
        try:
            return super().__torch_function__(func, types, args, kwargs)  # type: ignore[misc]
        except ValueError as error:
            if not str(error).startswith(NO_VALUES):
                raise
            raise ValueError(compose(str(error), fix="materialize(model, input)  # or one call, first")) from None

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        original: Any = self
        kind = TensorKind(type(self), original.requires_grad, original.device, original.dtype, self.rank)
        twin = memo[id(self)] = new_placeholder(kind, kind.device)
        twin.default_requires_grad, twin.rank_was_read = self.default_requires_grad, self.rank_was_read
        return twin

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as an uninitialized tensor of torch, so that the file can be loaded without lazify."""
        return self.torch_class, (self.requires_grad, self.device, self.dtype)  # type: ignore[attr-defined]


def _requires_grad_(placeholder: Any, requires_grad: bool = True) -> Any:
    placeholder.requires_grad = requires_grad
    return placeholder


def _size(placeholder: Any, *_: Any) -> Any:
    """Raise an error: the `size()` of torch would return `(0,)`."""
    method = f"{placeholder.torch_class.__name__}.size()"
    headline = f"Attempted to use an uninitialized parameter in `{method}`: it has no shape yet"
    raise ValueError(compose(headline, fix="materialize(model, input)  # or one call, first"))


def _type(placeholder: Any, dtype: Any = None) -> Any:
    if not isinstance(dtype, torch.dtype):
        raise ValueError("an uninitialized tensor is converted to a torch.dtype")
    return placeholder.to(dtype)


def _register_hook(method: str, placeholder: Any, hook: Callable[..., Any]) -> RemovableHandle:
    """Keep a hook for the real tensor, which gets it when the placeholder becomes that."""
    if not placeholder.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    waiting = placeholder.__dict__.setdefault(WAITING_HOOKS, OrderedDict())
    handle = RemovableHandle(waiting)
    waiting[handle.id] = (method, hook, handle)
    return handle


#: Functions of torch -> what they do with a placeholder.
_OVERRIDES: Mapping[Any, Callable[..., Any]] = {
    torch.Tensor.requires_grad_: _requires_grad_,
    torch.Tensor.dim: lambda placeholder: placeholder.ndim,
    torch.Tensor.size: _size,
    torch.Tensor.bfloat16: lambda placeholder: placeholder.to(torch.bfloat16),
    torch.Tensor.type: _type,
    torch.Tensor.register_hook: partial(_register_hook, "register_hook"),
    torch.Tensor.register_post_accumulate_grad_hook: partial(_register_hook, "register_post_accumulate_grad_hook"),
    torch.is_complex: lambda placeholder: placeholder.dtype.is_complex,
    torch.is_floating_point: lambda placeholder: placeholder.dtype.is_floating_point,
}


class UninitializedParameter(Placeholder, nn.UninitializedParameter):  # type: ignore[override]
    torch_class = nn.UninitializedParameter


class UninitializedBuffer(Placeholder, nn.UninitializedBuffer):  # type: ignore[override]
    torch_class = nn.UninitializedBuffer


# Placeholders are pickled as these classes of torch. Their constructors only make an empty tensor: so
# `torch.load` may call them also with `weights_only=True`, where it loads nothing but what is known to be safe.
torch.serialization.add_safe_globals([nn.UninitializedParameter, nn.UninitializedBuffer])


class TensorKind(NamedTuple):
    """A tensor of a trial construction without its size: what a placeholder for it has to know."""

    cls: type[Placeholder]
    requires_grad: bool
    device: torch.device
    dtype: torch.dtype
    rank: int | None


def kind_of(tensor: torch.Tensor) -> TensorKind:
    """The kind of a tensor in a trial construction."""
    cls = UninitializedParameter if isinstance(tensor, nn.Parameter) else UninitializedBuffer
    return TensorKind(cls, tensor.requires_grad, tensor.device, tensor.dtype, rank_of(tensor))


def new_placeholder(kind: TensorKind, device: torch.device) -> Any:
    """A placeholder on a device."""
    with unset_fake_mode() if active_fake_mode() else nullcontext():
        placeholder: Any = kind.cls(requires_grad=kind.requires_grad, device=device, dtype=kind.dtype)  # type: ignore[call-arg]
    placeholder.default_requires_grad, placeholder.rank = kind.requires_grad, kind.rank
    return placeholder


def convert(placeholder: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Change device and dtype of a placeholder in place."""
    if (placeholder.device, placeholder.dtype) == (device, dtype):
        return
    with unset_fake_mode(), without_torch_function():
        if weakref.getweakrefs(placeholder):  # they would refer to the other tensor after a swap
            placeholder.data = torch.empty(0, device=device, dtype=dtype)
            return
        twin = type(placeholder)(requires_grad=placeholder.requires_grad, device=device, dtype=dtype)
        twin.__dict__ = placeholder.__dict__.copy()
        swap_tensors(placeholder, twin)


def rank_of(tensor: torch.Tensor) -> int | None:
    """The number of dimensions; None for an uninitialized tensor of torch."""
    return None if is_lazy(tensor) else tensor.dim()


def as_placeholder(tensor: Any, default_requires_grad: bool) -> Any:
    """Change an uninitialized tensor of torch, as loaded from a file, to a placeholder in place."""
    placeholder: Any = tensor
    if not isinstance(tensor, Placeholder):
        placeholder.__class__ = UninitializedParameter if isinstance(tensor, nn.Parameter) else UninitializedBuffer
        placeholder.default_requires_grad = default_requires_grad
    return placeholder


# ---------------------------------------------------------------------------------------------
# Placeholders become real tensors

#: id of a tensor or module -> (the tensor or module, its substitute)
Substitutes: TypeAlias = "Mapping[int, tuple[Any, Any]]"


#: Attributes of a placeholder that the user has not set.
_OWN_ATTRIBUTES = {*Placeholder.__annotations__, WAITING_HOOKS, "persistent", "_is_buffer"}


class UserSettings(NamedTuple):
    """State of a placeholder before it becomes the real tensor: to keep the user's settings, and for `revert`.

    Attributes:
        cls: its class.
        requires_grad: its flag.
        chosen: whether the user has set the flag, to another value than the real tensor has by default.
        attributes: its `__dict__`.
    """

    cls: type
    requires_grad: bool
    chosen: bool
    attributes: dict[str, Any]

    def own(self) -> Iterator[tuple[str, Any]]:
        """Names and values of attributes that the user has set."""
        for name, value in self.attributes.items():
            if name not in _OWN_ATTRIBUTES:
                yield name, value


def pass_hooks_on(real: Any, before: UserSettings) -> Iterator[Callable[[], object]]:
    """Register the hooks of a placeholder on the tensor that it has become; what undoes that.

    The handles that the user has then remove them there.
    """
    flag = real.requires_grad
    for method, hook, handle in list(before.attributes.get(WAITING_HOOKS, {}).values()):
        real.requires_grad = True  # it did when the user registered the hook
        made = getattr(real, method)(hook)
        waiting = handle.hooks_dict_ref, handle.id
        handle.hooks_dict_ref, handle.id = made.hooks_dict_ref, made.id
        yield partial(_take_back, real, handle, waiting)
    real.requires_grad = flag


def _take_back(real: Any, handle: RemovableHandle, waiting: tuple[Any, int]) -> None:
    forget_hooks(real)
    handle.hooks_dict_ref, handle.id = waiting


def choice(placeholder: Any) -> UserSettings:
    """The state of a placeholder now."""
    flag = placeholder.requires_grad
    return UserSettings(type(placeholder), flag, flag != placeholder.default_requires_grad, dict(placeholder.__dict__))


def swap_in(placeholder: Any, real: torch.Tensor) -> None:
    """Turn a placeholder into the real tensor: data, class, attributes, hooks. Do not use `real` afterwards.

    To be called in `without_torch_function`.
    """
    if not (weakref.getweakrefs(placeholder) or weakref.getweakrefs(real) or is_shared_with_autograd(real)):
        try:
            swap_tensors(placeholder, real)
        except RuntimeError:  # torch holds a reference to one of them
            pass
        else:
            return
    placeholder.data = real.data
    placeholder.requires_grad = real.requires_grad
    placeholder.__class__ = type(real)
    placeholder.__dict__ = real.__dict__


def revert(placeholder: Any, before: UserSettings) -> None:
    """Turn a real tensor back into the placeholder that it was, the inverse of `swap_in`."""
    with without_torch_function():
        placeholder.grad = None
        placeholder.__class__ = before.cls
        placeholder.__dict__ = dict(before.attributes)
        placeholder.requires_grad = False
        placeholder.data = torch.empty(0, device=placeholder.device, dtype=placeholder.dtype)
        placeholder.requires_grad = before.requires_grad


def substitute(modules: Iterable[nn.Module], substitutes: Substitutes) -> None:
    """Replace tensors and modules wherever these modules hold them: registered, as attributes, or in containers.

    Args:
        modules: the modules whose attributes are searched; their submodules are not.
        substitutes: id of a tensor or module -> (the tensor or module, its substitute).
    """
    if substitutes:
        seen: set[int] = set()
        for module in modules:
            _substitute_in(vars(module), substitutes, seen)


_DICTS = (dict, OrderedDict)


def _substitute_in(container: Any, substitutes: Substitutes, seen: set[int]) -> None:
    if id(container) in seen:
        return
    seen.add(id(container))
    for key, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
        kind = type(value)
        if kind in PLAIN or (kind in _DICTS and not value):  # nearly all attributes
            continue
        if isinstance(value, (weakref.ref, torch.Tensor, nn.Module)):
            target = value() if isinstance(value, weakref.ref) else value
            if (pair := substitutes.get(id(target))) is not None:
                container[key] = weakref.ref(pair[1]) if isinstance(value, weakref.ref) else pair[1]
        elif isinstance(value, MethodType) and id(value.__self__) in substitutes:
            container[key] = MethodType(value.__func__, substitutes[id(value.__self__)][1])
        elif isinstance(value, tuple) and not substitutes.keys().isdisjoint(map(id, value)):
            items = [substitutes[id(each)][1] if id(each) in substitutes else each for each in value]
            container[key] = type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        elif isinstance(value, (dict, list)):
            _substitute_in(value, substitutes, seen)
