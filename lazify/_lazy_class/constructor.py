"""The constructor of a lazy class: bind the arguments, then attach a lazy state, or construct the real module at once.

In: a recipe and the arguments of the user. Out: an instance with a lazy state, or, if nothing is left to infer, the
real module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from lazify._deferred.state import STATE_KEY, LazyState
from lazify._lazy_class.by_value import RECIPE
from lazify._recipe.binding import NOT_GIVEN, positional_binder
from lazify._recipe.construction import construct, construction_context
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import names_read
from lazify._recipe.signature_reading import VARIADIC
from lazify._torch import skip_dynamo
from lazify.errors import compose, did_you_mean, shorten_traceback

__all__ = ["RECIPE", "init_lazy", "is_original_construction"]


@skip_dynamo
def init_lazy(_: Any, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """`__init__` of a lazy class, with the signature that `wrapt.FunctionWrapper` asks for."""
    __tracebackhide__ = True  # IPython and pytest show the line of the user that constructs wrongly
    lazy: Any = type(module)  # not of the module: the class may have a `__getattribute__`
    recipe, binders = lazy._lazify_recipe, lazy._lazify_caches.binders
    binder = binders.get((*kwargs, len(args)))
    if binder is not None:
        given: dict[str, Any] | None = binder(*args, **kwargs)
    else:
        try:
            given = bind_or_construct(recipe, binders, module, args, kwargs)
        except Exception as error:
            shorten_traceback(error)
            raise
    on_inner_lazy = construction_context.on_inner_lazy
    if given is not None:
        state = LazyState(recipe, given)
        if on_inner_lazy is None or not on_inner_lazy(module, state):
            module.__dict__[STATE_KEY] = state


def bind_or_construct(
    recipe: Recipe, binders: dict[Any, Any], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """Constructor arguments by name; None if nothing is left to infer, and the real module has been constructed.

    `binders` gets a fast binder for constructions with the same keywords and number of positional arguments.
    """
    __tracebackhide__ = True
    given = _bind(recipe, args, kwargs)
    if given.keys() >= recipe.rules.keys():
        construct(module, recipe, given)
        return None
    if recipe.extra_parameters and not recipe.extra_parameters.keys() <= given.keys():
        try:
            recipe.bind_strictly(module, *args, **kwargs)
        except TypeError as error:
            raise TypeError(compose(str(error), _readers(recipe, given))) from None
    if not recipe.optional and not any(p.kind in VARIADIC for p in recipe.signature_with_self.parameters.values()):
        binders[(*kwargs, len(args))] = positional_binder(given)
    return given


def _readers(recipe: Recipe, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of the missing parameters that only rules read, those whose names may be misspelt: name and reason."""
    existing = {*recipe.original_signature.parameters, *recipe.forward.parameters}
    for name, p in recipe.extra_parameters.items():
        if name not in given and p.default is p.empty and (hint := did_you_mean(name, existing)):
            rules = [f"{each!r}" for each, rule in recipe.rules.items() if name in names_read(rule)]
            yield name, f"the rule for {', '.join(rules)} reads it, and neither constructor nor forward has it{hint}"


def _bind(recipe: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments by name. Python itself binds them, so errors have the text of Python's own."""
    __tracebackhide__ = True
    if not recipe.decorated:  # errors have this name, and the class may have been renamed
        recipe.bind.__qualname__ = recipe.bind_strictly.__qualname__ = f"{recipe.name}.__init__"
    bound = recipe.bind(None, *args, **kwargs)
    given = {name: value for name, value in bound.items() if value is not NOT_GIVEN}
    del given["self"]
    return given


def is_original_construction(cls: type, args: Any, kwargs: Any, decorated: type | None = None) -> bool:
    """Whether a call of a decorated class's constructor means the original constructor, not the lazified one.

    It does when a subclass with a constructor of its own calls `super().__init__`. It also does when the class
    constructs itself inside its own constructor (a recursive module) with arguments of the original signature.

    Args:
        cls: the class of the instance under construction.
        args, kwargs: arguments of the call, without `self`.
        decorated: the decorated class whose constructor is called, if that is known.
    """
    definer = next(base for base in cls.__mro__ if "__init__" in base.__dict__)
    recipe: Recipe | None = definer.__dict__.get(RECIPE)
    if recipe is None or (decorated is not None and definer is not decorated):
        return True
    if any(issubclass(cls, each) for each in construction_context.classes):
        try:
            recipe.original_signature.bind(*args, **kwargs)
        except TypeError:
            return False
        return True
    return False
