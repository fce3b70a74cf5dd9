"""Making lazy classes: a subclass of `LazyInstance` and of the wrapped class, with the lazified constructor.

recipe  ->  names that only the real module can answer, class attributes, constructor, metaclass  ->  lazy class
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar
from weakref import WeakValueDictionary

import wrapt
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from lazify._deferred.caches import CACHES, Caches
from lazify._deferred.class_attributes import class_attributes
from lazify._deferred.operation_table import own_methods
from lazify._first_call.attempt import materialize_and_call
from lazify._lazy_class.attributes import state_of
from lazify._lazy_class.by_value import Restorable, restore
from lazify._lazy_class.constructor import RECIPE, init_lazy, is_original_construction
from lazify._lazy_class.documentation import class_doc, declares_signature, with_lazy_signature
from lazify._lazy_class.instance import LazyInstance
from lazify._lazy_class.pickling import find_lazy_class
from lazify._recipe.checking import Options
from lazify._recipe.construction import subclass_without_hooks
from lazify._recipe.recipe import Recipe, compile_recipe
from lazify._recipe.signature_reading import ORIGINAL_KEY, call_signature, original_function
from lazify._recipe.torch_nn_table import KNOWN
from lazify.errors import NotMaterializedError

__all__ = ["lazy_class", "make_lazy_class", "metaclass_for_lazy"]

M = TypeVar("M", bound=nn.Module)

#: Methods of containers that depend on the submodules, which a lazy instance does not have yet.
CONTAINER_METHODS = ("__len__", "__iter__", "__getitem__", "__contains__", "__reversed__")

#: Id of the wrapped class and identities of the options -> lazy class, while anything refers to it.
_lazy_classes: WeakValueDictionary[tuple[int, Any, bool], type[nn.Module]] = WeakValueDictionary()


@wrapt.synchronized
def lazy_class(wrapped: type[M], options: Options, keyword_only: bool = False) -> type[M]:
    """The lazy class of `wrapped` with these options, the same one each time.

    It is found by the class itself, not by its name: two classes may have the same name.
    """
    key = _key(wrapped, options, keyword_only)
    lazy = _lazy_classes.get(key)
    if lazy is None:
        lazy = _lazy_classes[key] = make_lazy_class(compile_recipe(wrapped, options, keyword_only=keyword_only))
    return lazy  # type: ignore[return-value]


find_lazy_class[False] = lazy_class


def _key(wrapped: type, options: Options, keyword_only: bool) -> tuple[int, Any, bool]:
    identified = tuple((name, _identity(rule)) for name, rule in options) if isinstance(options, tuple) else options
    return id(wrapped), identified, keyword_only


def _identity(rule: Any) -> Any:
    """The rule itself if it can be compared by equality, else its id. (The lazy class keeps the rule alive.)"""
    try:
        hash(rule)
    except TypeError:
        return id(rule)
    return rule


def make_lazy_class(recipe: Recipe) -> type[nn.Module]:
    """A new subclass of the wrapped class whose instances are lazy. The wrapped class itself is not changed."""
    wrapped = recipe.wrapped
    metaclass: Any = type(wrapped) if recipe.original_metaclass_call is None else metaclass_for_lazy(type(wrapped))
    # Tools of torch, Dynamo above all, recognise lazy modules by `LazyModuleMixin`. As the last base it adds no method.
    torch_class = () if issubclass(wrapped, LazyModuleMixin) else (LazyModuleMixin,)
    lazy: type[nn.Module] = subclass_without_hooks(
        metaclass, recipe.name, (LazyInstance, wrapped, *torch_class), _namespace(recipe)
    )
    recipe.lazy_classes.append(lazy)
    return lazy


def _make_again(lazy: type[nn.Module], what: Restorable) -> None:
    """Give a lazy class that was pickled by value its recipe and its methods."""
    wrapped = getattr(lazy, "cls_to_become")
    recipe = compile_recipe(wrapped, what.options, what.decorated, what.keyword_only, what.signature)
    recipe.lazy_classes.append(lazy)
    for name, value in _namespace(recipe).items():
        setattr(lazy, name, value)
    if not recipe.decorated:
        _lazy_classes.setdefault(_key(wrapped, what.options, what.keyword_only), lazy)


restore[True] = _make_again


def _namespace(recipe: Recipe) -> dict[str, Any]:
    """The attributes of a lazy class."""
    wrapped = recipe.wrapped
    namespace: dict[str, Any] = {
        "__module__": module_for(recipe),
        "__qualname__": recipe.name,
        "__doc__": class_doc(recipe),
        RECIPE: recipe,
        CACHES: Caches(),
        "forward": _forward(wrapped),
        "cls_to_become": wrapped,
        **own_methods(wrapped),
    }
    if wrapped.get_extra_state is not nn.Module.get_extra_state:
        namespace["get_extra_state"] = _get_extra_state(wrapped)
    if not recipe.decorated:
        namespace["__init__"] = with_lazy_signature(recipe, init_lazy, recipe.original_init)
        if declares_signature(wrapped):
            namespace["__signature__"] = recipe.signature
    if recipe.original_new is not None:
        namespace["__new__"] = with_lazy_signature(recipe, _new, recipe.original_new)
    for name, attribute in class_attributes(wrapped).items():
        namespace.setdefault(name, attribute)
    if hasattr(wrapped, "__class_getitem__"):
        namespace["__class_getitem__"] = classmethod(ParametrizedLazyClass)
    for name in CONTAINER_METHODS:
        if hasattr(wrapped, name):
            namespace[name] = _not_materialized(name)
    if hasattr(wrapped, "__len__"):
        namespace["__bool__"] = lambda self: True
    return namespace


def module_for(recipe: Recipe) -> str:
    """`__module__` of a lazy class: the module in which its name refers to it, or to nothing else.

    It is `lazify.nn` for a class of torch with its default rules, the module of the wrapped class if the name is free
    there, else `lazify`.
    """
    if recipe.options is None and not recipe.keyword_only and recipe.wrapped in KNOWN:
        return "lazify.nn"
    module = recipe.wrapped.__module__
    return "lazify" if hasattr(sys.modules.get(module), recipe.name) and not recipe.decorated else module


class ParametrizedLazyClass:
    """`LazyBlock[int]`: instances are as those of `LazyBlock`, and become those of `Block[int]`."""

    def __init__(self, lazy: Any, parameters: Any) -> None:
        self.__origin__ = lazy
        self._wrapped = getattr(lazy, RECIPE).wrapped[parameters]
        self.__args__ = self._wrapped.__args__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        module = self.__origin__(*args, **kwargs)
        module.__orig_class__ = self._wrapped
        return module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__origin__, name)

    def __repr__(self) -> str:
        return f"{self.__origin__.__module__}.Lazy{repr(self._wrapped).rpartition('.')[2]}"


# ---------------------------------------------------------------------------------------------
# Methods of lazy classes


def _new(wrapped: Any, _: None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`__new__`: `__new__` of the wrapped class is called by materialization, with all arguments."""
    return object.__new__(args[0])


def _forward(wrapped: type[nn.Module]) -> Callable[..., Any]:
    @functools.wraps(wrapped.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return materialize_and_call(self, args, kwargs, "forward")

    return forward


def _get_extra_state(wrapped: type[nn.Module]) -> Callable[..., Any]:
    """`get_extra_state`, which `state_dict` calls: that of the module in the preview."""

    def get_extra_state(self: nn.Module) -> Any:
        return wrapped.get_extra_state(state_of(self).previewed(self))

    return get_extra_state


def _not_materialized(name: str) -> Callable[..., NoReturn]:
    """A method that raises `NotMaterializedError`."""

    def method(self: LazyInstance, *args: Any) -> NoReturn:
        raise NotMaterializedError(state_of(self).not_known_message(name))

    return method


def metaclass_for_lazy(metaclass: Any) -> Any:
    """A metaclass derived from `metaclass` that constructs lazy instances without the `__call__` of `metaclass`."""
    call = original_function(metaclass.__call__)

    def __call__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if is_original_construction(cls, args, kwargs):
            return call(cls, *args, **kwargs)
        return type.__call__(cls, *args, **kwargs)

    setattr(__call__, ORIGINAL_KEY, call)
    namespace = {
        "__call__": __call__,
        "__signature__": property(lambda cls: call_signature(cls.__init__)),
        "__module__": metaclass.__module__,
    }
    return type(metaclass)(metaclass.__name__, (metaclass,), namespace)
