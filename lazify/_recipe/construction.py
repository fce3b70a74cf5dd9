"""Construction of an instance of the wrapped class, in an existing object or in a new one."""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Mapping
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
    "slot_values",
    "subclass_without_hooks",
]

#: Setters of `__class__` and `__dict__`, called with (module, value). They bypass any `__setattr__` of the class.
set_class = vars(object)["__class__"].__set__
set_dict = vars(nn.Module)["__dict__"].__set__


class _Constructing(threading.local):
    """Constructions in progress in the current thread.

    Attributes:
        classes: the wrapped classes whose constructors are running.
        on_inner_lazy: None, or a function that is called before an instance becomes lazy, with the instance and its
            lazy state. It returns True if it has constructed the real module in that instance.
    """

    def __init__(self) -> None:
        self.classes: list[type] = []
        self.on_inner_lazy: Callable[[nn.Module, Any], bool] | None = None


construction_context = _Constructing()


def reset_to_uninitialized(module: nn.Module, recipe: Recipe, gate: Any) -> None:
    """Turn `module` into an instance of the wrapped class whose constructor has not run.

    Its compiled call is `gate`. The `__dict__` is replaced in one step: no thread sees the module without the gate.
    """
    state = recipe.dict_template.copy()
    state[COMPILED_CALL] = gate
    set_dict(module, state)  # before the class: attribute access of the lazy class reads this dict, too
    set_class(module, recipe.wrapped)


def construct(module: nn.Module, recipe: Recipe, arguments: dict[str, Any]) -> None:
    """Construct an instance of the wrapped class in `module`, by its `__new__` and metaclass if it has its own."""
    if recipe.original_new is not None or recipe.original_metaclass_call is not None:
        _construct_specially(module, recipe, *recipe.to_args_kwargs(arguments))
        return
    args, kwargs = ((), arguments) if recipe.init_takes_keywords else recipe.to_args_kwargs(arguments)
    set_class(module, recipe.wrapped)
    original_init(module, recipe, args, kwargs)


def construct_new(recipe: Recipe, arguments: Mapping[str, Any]) -> nn.Module:
    """Module of the wrapped class, constructed in a new object from all arguments by name."""
    module: nn.Module = object.__new__(recipe.wrapped)
    construct(module, recipe, dict(arguments))
    return module


def original_init(module: nn.Module, recipe: Recipe, args: Any, kwargs: Any) -> None:
    """Run the constructor of the undecorated class. Instances of the same class that it constructs are not lazy."""
    classes = construction_context.classes
    classes.append(recipe.wrapped)
    try:
        recipe.original_init(module, *args, **kwargs)
    finally:
        classes.pop()


def _construct_specially(module: nn.Module, recipe: Recipe, args: Any, kwargs: Any) -> None:
    """Construct by the `__new__` of the class or the `__call__` of its metaclass, and move the result into `module`."""
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
    """Move class, `__dict__`, slots and bound methods of the object `made` to `module`."""
    set_class(module, type(made))
    state = vars(made)
    if (gate := vars(module).get(COMPILED_CALL)) is not None:
        state[COMPILED_CALL] = gate
    set_dict(module, state)  # shared: references to `made` that others hold stay valid
    for name, value in slot_values(made).items():
        object.__setattr__(module, name, value)
    for inside in module.modules() if "_modules" in state else ():
        for container in (vars(inside), *(each for each in vars(inside).values() if isinstance(each, dict))):
            for key, value in container.items():
                if isinstance(value, MethodType) and value.__self__ is made:
                    container[key] = MethodType(value.__func__, module)
                elif value is made:
                    container[key] = module


def subclass_without_hooks(metaclass: Any, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
    """Class made without running the `__new__` of its metaclass, which might register or refuse the class."""
    # `isinstance` needs the data that abc.ABCMeta.__new__ adds to a class
    maker = abc.ABCMeta if issubclass(metaclass, abc.ABCMeta) else type
    made: Any = maker.__new__(metaclass, name, bases, namespace)
    return made


def slot_values(module: nn.Module) -> dict[str, Any]:
    """The attributes that stand in `__slots__` of the class and its bases, with private names mangled."""
    found: dict[str, Any] = {}
    for base in type(module).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            mangled = f"_{base.__name__.lstrip('_')}{name}" if name.startswith("__") else name
            if name not in ("__dict__", "__weakref__") and hasattr(module, mangled):
                found[mangled] = getattr(module, mangled)
    return found


# ---------------------------------------------------------------------------------------------
# Contexts of a construction: it runs as at module level, whatever contexts the first call is in


def contexts_are_neutral() -> bool:
    """Whether gradients are enabled, and no inference mode, autocast or functorch transform is active."""
    return is_grad_enabled() and not is_inference_mode_enabled() and not any_autocast() and inside_transform() is None


def neutral_contexts(device: torch.device | None) -> ExitStack:
    """Context with gradients, without inference mode, autocast and transforms, and with `device` as default device."""
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
    """Move parameters and buffers that the constructor made on another device, from numpy arrays for example."""
    if any(t is not None and t.device != device for t in (*module.parameters(), *module.buffers())):
        module.to(device)
