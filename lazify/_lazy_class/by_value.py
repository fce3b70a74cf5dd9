"""Lazy and decorated classes that are pickled by value, as cloudpickle does (notebooks, Ray, Dask, joblib).

pickling   ->  the recipe and the constructors of the class are pickled as `NotRestored`: what `lazify` was given
loading    ->  a new class gets them as attributes, one after the other
first use  ->  `NotRestored.__get__` applies `lazify` again, to the class that is complete by now
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable
from inspect import Signature
from threading import RLock
from types import FrameType
from typing import Any, NamedTuple

from lazify._recipe.checking import Options
from lazify._recipe.recipe import Recipe

__all__ = ["RECIPE", "NotRestored", "Restorable", "forget_when_pickled", "is_pickled_by_value", "restore"]

#: Class attribute that holds the recipe, of lazy classes and of decorated classes.
RECIPE = "_lazify_recipe"


class Restorable(NamedTuple):
    """What a recipe is compiled from, besides the class. The signature, as the source may be out of reach there."""

    options: Options
    keyword_only: bool
    decorated: bool
    signature: Signature


#: Whether a class is lazy (not decorated) -> function that gives it its recipe and constructors again.
#: Lazy classes refer to this file, so it cannot import them: `factory` and `decorator` enter their functions here.
restore: dict[bool, Callable[[Any, Restorable], None]] = {}

#: Held while a class is restored. Reentrant: that reads the original constructors.
_lock = RLock()
_being_restored: list[type] = []


class NotRestored:
    """Stands in a class made from a pickle for its recipe or a constructor, until any of these is used.

    Attributes:
        name: the name of the class attribute.
        original: the constructor of the undecorated class; of a recipe, what it is compiled from.
    """

    def __init__(self, name: str, original: Any) -> None:
        self.name = name
        self.original = original

    def __get__(self, instance: Any, owner: type) -> Any:
        with _lock:  # another thread may have restored the class meanwhile
            cls = next((each for each in owner.__mro__ if vars(each).get(self.name) is self), None)
            if cls in _being_restored:
                return self.original
            if cls is not None:
                _being_restored.append(cls)
                try:
                    restore[hasattr(cls, "cls_to_become")](cls, vars(cls)[RECIPE].original)
                finally:
                    _being_restored.remove(cls)
        return getattr(owner if instance is None else instance, self.name)


def _reduce_recipe(recipe: Recipe) -> tuple[Any, ...]:
    what = Restorable(recipe.options, recipe.keyword_only, recipe.decorated, recipe.original_signature)
    return NotRestored, (RECIPE, what)


copyreg.pickle(Recipe, _reduce_recipe)


class forget_when_pickled(tuple[Any, ...]):
    """A tuple that is pickled as None."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


def is_pickled_by_value() -> bool:
    """Whether cloudpickle is pickling, or a copy of it in another library: it pickles classes and rules by value."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if "cloudpickle" in str(frame.f_globals.get("__name__")).split("."):
            return True
        frame = frame.f_back
    return False
