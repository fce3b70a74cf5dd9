"""Constructing in place: an object that exists becomes an instance of a class, as if the class had been called."""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from types import MethodType
from typing import Any

import torch
from torch import is_grad_enabled, is_inference_mode_enabled, nn

from lazify._recipe.recipe import Recipe
from lazify._torch import COMPILED_CALL, any_autocast, inside_transform, outside_transforms

__all__ = [
    "construct",
    "construct_new",
    "construction_context",
    "contexts_are_neutral",
    "move_stragglers",
    "neutral_contexts",
    "original_init",
    "reset_to_uninitialized",
    "set_class",
    "set_dict",
    "slot_names",
    "subclass_without_hooks",
]

#: (module, value): past every `__setattr__` that a class has.
set_class = vars(object)["__class__"].__set__
set_dict = vars(nn.Module)["__dict__"].__set__


class _Constructing(threading.local):
    """Per thread: what is being constructed.

    Attributes:
        classes: the wrapped classes that are inside their own constructor.
        observer: told of each lazy instance that is about to begin, with its recipe and what it was given;
            returns True if it has made it real instead.
    """

    def __init__(self) -> None:
        self.classes: list[type] = []
        self.on_inner_lazy: Callable[[nn.Module, Recipe, dict[str, Any]], bool] | None = None


construction_context = _Constructing()


def reset_to_uninitialized(module: nn.Module, recipe: Recipe, gate: Any) -> None:
    """Make `module` what an instance of the wrapped class is before its constructor, at no moment without the gate."""
    state = recipe.dict_template.copy()
    state[COMPILED_CALL] = gate
    set_dict(module, state)  # a lazy instance looks there, too, if it waits for nothing any more
    set_class(module, recipe.wrapped)


def construct(module: nn.Module, recipe: Recipe, arguments: dict[str, Any]) -> None:
    """Make `module` an instance of the wrapped class, as `wrapped(...)` would: `__new__`, metaclass and all."""
    if recipe.original_new is not None or recipe.original_metaclass_call is not None:
        _construct_specially(module, recipe, *recipe.to_args_kwargs(arguments))
        return
    args, kwargs = recipe.to_args_kwargs(arguments)
    set_class(module, recipe.wrapped)
    original_init(module, recipe, args, kwargs)


def construct_new(recipe: Recipe, arguments: Mapping[str, Any]) -> nn.Module:
    """A module of the wrapped class, from all its constructor arguments by name."""
    module: nn.Module = object.__new__(recipe.wrapped)
    construct(module, recipe, dict(arguments))
    return module


def original_init(module: nn.Module, recipe: Recipe, args: Any, kwargs: Any) -> None:
    """Run the unlazified constructor; what it constructs of its own class is not lazy (see `lazyclass`)."""
    classes = construction_context.classes
    classes.append(recipe.wrapped)
    try:
        recipe.original_init(module, *args, **kwargs)
    finally:
        classes.pop()


def _construct_specially(module: nn.Module, recipe: Recipe, args: Any, kwargs: Any) -> None:
    """Where the class has its own `__new__`, or its metaclass its own `__call__`, these decide what is made."""
    wrapped: Any = recipe.wrapped
    construction_context.classes.append(wrapped)
    try:
        if recipe.original_metaclass_call is not None:
            _adopt(module, recipe.original_metaclass_call(wrapped, *args, **kwargs))
            return
        assert recipe.original_new is not None
        made = recipe.original_new(wrapped, *args, **kwargs)
        _adopt(module, made)
        if type(made) is wrapped:
            recipe.original_init(module, *args, **kwargs)
        elif isinstance(made, wrapped):
            type(made).__init__(module, *args, **kwargs)
    finally:
        construction_context.classes.pop()


def _adopt(module: nn.Module, made: nn.Module) -> None:
    """Take over class and state of an object that only its own class can make, and what it ties to itself."""
    set_class(module, type(made))
    state = vars(made)
    if (gate := vars(module).get(COMPILED_CALL)) is not None:
        state[COMPILED_CALL] = gate
    set_dict(module, state)  # shared from here on: what still holds `made` sees the same
    for name in slot_names(type(made)):
        if hasattr(made, name):
            object.__setattr__(module, name, getattr(made, name))
    for inside in module.modules() if "_modules" in state else ():
        for container in (vars(inside), *(each for each in vars(inside).values() if isinstance(each, dict))):
            for key, value in container.items():
                if isinstance(value, MethodType) and value.__self__ is made:
                    container[key] = MethodType(value.__func__, module)
                elif value is made:
                    container[key] = module


def subclass_without_hooks(metaclass: Any, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    """A class that no registry hears of."""
    # abc needs its own bookkeeping; any other metaclass's __new__ may register or refuse what it sees
    maker = abc.ABCMeta if issubclass(metaclass, abc.ABCMeta) else type
    made: Any = maker.__new__(metaclass, name, bases, namespace)
    return made


def slot_names(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slot_names = base.__dict__.get("__slots__", ())
        for name in (slot_names,) if isinstance(slot_names, str) else slot_names:
            if name not in ("__dict__", "__weakref__"):
                yield name if not name.startswith("__") else f"_{base.__name__.lstrip('_')}{name}"


# ---------------------------------------------------------------------------------------------
# The surroundings of a construction: as if it stood in a plain line of code, on the right device


def contexts_are_neutral() -> bool:
    """Whether a constructor would run as in a plain line of code."""
    return is_grad_enabled() and not is_inference_mode_enabled() and not any_autocast() and inside_transform() is None


def neutral_contexts(device: torch.device | None) -> ExitStack:
    """Gradients on, no inference mode, autocast or transform, `device` as the default: whatever the call stands in."""
    stack = ExitStack()
    if inside_transform() is not None:
        stack.enter_context(outside_transforms())
    if torch.is_inference_mode_enabled():
        stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    for kind in {"cpu", "cuda" if device is None else device.type} - {"meta"}:
        if torch.is_autocast_enabled(kind):
            stack.enter_context(torch.autocast(kind, enabled=False))
    if device is not None:
        stack.enter_context(device)
    return stack


def move_stragglers(module: nn.Module, device: torch.device) -> None:
    """Move what the constructor made elsewhere all the same (from numpy arrays, say)."""
    if any(t is not None and t.device != device for t in (*module.parameters(), *module.buffers())):
        module.to(device)
