"""`@lazify`: the class itself gets the lazified constructor.

user calls Decorated(...)        ->  an instance of the lazy class of `Decorated`
subclass calls super().__init__  ->  the original constructor
"""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

from lazify._lazy_class.by_value import Restorable, forget_when_pickled, restore
from lazify._lazy_class.constructor import RECIPE, init_lazy, is_original_construction
from lazify._lazy_class.documentation import class_doc, declares_signature, with_lazy_signature
from lazify._lazy_class.factory import make_lazy_class, metaclass_for_lazy
from lazify._lazy_class.instance import LazyInstance
from lazify._lazy_class.pickling import find_lazy_class
from lazify._recipe.checking import Options
from lazify._recipe.construction import original_init, set_class
from lazify._recipe.recipe import Recipe, compile_recipe
from lazify._recipe.rules import Axis
from lazify._torch import skip_dynamo
from lazify.errors import compose

__all__ = ["decorate"]

M = TypeVar("M", bound=nn.Module)

#: Class attribute of a decorated class that holds its lazy class once there is an instance, in a tuple: `autoreload` of
#: IPython would follow the bare class, which is derived from the decorated one, without end.
LAZY_CLASS = "_lazify_class"


def decorate(cls: type[M], options: Options, keyword_only: bool = False) -> type[M]:
    """Replace the constructor of `cls`, in place, by the lazified one."""
    recipe = compile_recipe(cls, options, decorated=True, keyword_only=keyword_only)
    _replace_constructors(cls, recipe)
    if recipe.original_metaclass_call is not None:
        setattr(cls, "__class__", metaclass_for_lazy(type(cls)))
    cls.__doc__ = class_doc(recipe)
    return cls


def _decorate_again(cls: type[nn.Module], what: Restorable) -> None:
    """Give a decorated class that was pickled by value its constructors; docstring and metaclass came with it."""
    _replace_constructors(
        cls, compile_recipe(cls, what.options, True, keyword_only=what.keyword_only, signature=what.signature)
    )


restore[False] = _decorate_again


def _replace_constructors(cls: type[nn.Module], recipe: Recipe) -> None:
    """Replace `__init__`, and `__new__` if there is one, by those with the lazified signature."""
    setattr(cls, RECIPE, recipe)

    @skip_dynamo
    def __init__(wrapped: Any, self: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        __tracebackhide__ = True
        if is_original_construction(type(self), args, kwargs, cls):
            _refuse_rules_as_defaults(recipe, args, kwargs)
            original_init(self, recipe, args, kwargs)
        else:
            set_class(self, lazy_class_of_decorated(type(self)))
            init_lazy(wrapped, self, args, kwargs)

    setattr(cls, "__init__", with_lazy_signature(recipe, __init__, recipe.original_init))
    if declares_signature(cls):
        setattr(cls, "__signature__", recipe.signature)
    if recipe.original_new is not None:
        _replace_new(cls, recipe)


def _replace_new(cls: type[nn.Module], recipe: Recipe) -> None:
    """Replace `__new__`: lazy instances are made without the `__new__` of the class."""
    new = recipe.original_new
    assert new is not None

    def __new__(wrapped: Any, _: None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        constructed_class, *others = args
        if is_original_construction(constructed_class, others, kwargs, cls):
            return new(*args, **kwargs)
        return object.__new__(constructed_class)

    setattr(cls, "__new__", with_lazy_signature(recipe, __new__, new))


def _refuse_rules_as_defaults(recipe: Recipe, args: Any, kwargs: Any) -> None:
    """Require arguments for parameters whose default is a rule (`dim=axis(1)`): a rule is not a value.

    Raises:
        TypeError: if one is missing in a call of the original constructor.
    """
    marked = [p for p in recipe.original_signature.parameters.values() if isinstance(p.default, Axis)]
    if not marked:
        return
    bound = recipe.original_signature.bind_partial(*args, **kwargs).arguments
    for p in marked:
        if p.name not in bound:
            raise TypeError(
                compose(
                    f"{recipe.wrapped.__name__}.__init__() missing the argument {p.name!r}",
                    [("why", "a subclass that calls it sees the original constructor, where nothing is inferred")],
                    f"super().__init__(..., {p.name}=...)",
                )
            )


def lazy_class_of_decorated(cls: type[nn.Module], *_: Any) -> type[nn.Module]:
    """The lazy class of a decorated class or of a subclass that inherits its constructor, made when first needed."""
    if issubclass(cls, LazyInstance):  # `type(self)(...)` in a method of a lazy instance
        return cls
    held: tuple[type[nn.Module]] | None = cls.__dict__.get(LAZY_CLASS)
    if held is None:
        recipe: Recipe = getattr(cls, RECIPE)
        if recipe.wrapped is not cls:
            recipe = compile_recipe(cls, recipe.options, decorated=True, keyword_only=recipe.keyword_only)
        held = forget_when_pickled((make_lazy_class(recipe),))
        setattr(cls, LAZY_CLASS, held)
    return held[0]


find_lazy_class[True] = lazy_class_of_decorated
