"""Pickles of lazy instances: the lazy class by a name that another process can find, and the lazy state as a tuple.

`LazyInstance.__reduce_ex__`  ->  unpickle, pickle_reference(...), saved_state(...)
loading                       ->  unpickle(...) makes an empty instance  ->  restore_state(...)
copies                        ->  an empty instance of the same class    ->  restore_state(saved_state(...))

Files of users hold the name `lazify._lazy_class.pickling.unpickle`: it must not move. Names in files of version 0.1.0
are kept by `lazify._old_pickles`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from torch import nn

from lazify._deferred.operation_table import RecordsOperations
from lazify._deferred.preview import Preview
from lazify._deferred.state import STATE_KEY, LazyState
from lazify._lazy_class.by_value import RECIPE, is_pickled_by_value
from lazify._recipe.recipe import Recipe
from lazify.errors import DefinitionError, UnpicklableError, compose, split_fix

__all__ = ["find_lazy_class", "pickle_reference", "restore_state", "saved_state", "unpickle"]

#: Whether a class is decorated -> function of the class and the options of `lazify` that returns its lazy class.
#: Lazy classes refer to this file, so it cannot import them: `factory` and `decorator` enter their functions here.
find_lazy_class: dict[bool, Callable[[Any, Any, bool], Any]] = {}


def pickle_reference(lazy: type, recipe: Recipe) -> tuple[Any, ...]:
    """Arguments by which `unpickle` finds the lazy class in another process.

    They are the class and the options of `lazify`, or, if a rule cannot be pickled, the module and the name of the
    lazy class itself.

    Raises:
        UnpicklableError: if neither a rule nor the lazy class can be found by name.
    """
    if recipe.decorated:
        return recipe.wrapped, None, True
    if is_pickled_by_value():
        return lazy, None, False
    options = recipe.options if isinstance(recipe.options, tuple) else ()
    nameless = [(name, rule) for name, rule in options if callable(rule) and not _is_importable(rule)]
    if not nameless:
        return recipe.wrapped, recipe.options, False, *([True] if recipe.keyword_only else [])
    for module_name, module in list(sys.modules.items()):
        for name, value in list(vars(module).items()) if isinstance(module, ModuleType) else ():
            if value is lazy:
                return module_name, name, False
    name, rule = nameless[0]
    raise UnpicklableError(
        compose(
            f"a {recipe.name} cannot be pickled: the rule for {name!r} has no name to find it by",
            [("rule", getattr(rule, "__qualname__", repr(rule))), ("in", getattr(rule, "__module__", "?"))],
            f"def {name}(...): ...  # at the top of a module, and exclude={{{name!r}: {name}}}\n"
            f"{recipe.name} = lazify(...)  # or define the lazy class at the top of a module",
        )
    )


def _is_importable(function: Any) -> bool:
    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in getattr(function, "__qualname__", "<none>").split("."):
        found = getattr(found, name, None)
    return found is function


def unpickle(where: Any, options: Any, decorated: bool, keyword_only: bool = False) -> nn.Module:
    """An empty lazy instance. Its lazy state follows, by `__setstate__`.

    Args:
        where: the wrapped class; or the lazy class, if it is pickled by value; or the name of the module that holds it.
        options: the options of `lazify`, or the name of the lazy class in that module.
        decorated: whether the class is decorated with `lazify`.
        keyword_only: the option of `lazify`; left out where it is not set, as in files of earlier versions.

    Raises:
        UnpicklableError: if there is no such lazy class in this process.
    """
    try:
        if isinstance(where, str):
            lazy = getattr(importlib.import_module(where), options)
        elif issubclass(where, RecordsOperations):
            lazy = where
        else:
            lazy = find_lazy_class[decorated](where, options, keyword_only)
    except (ImportError, AttributeError, DefinitionError) as error:
        raise _not_found_error(where, options, decorated, str(error)) from error
    if not (isinstance(lazy, type) and issubclass(lazy, RecordsOperations)):
        raise _not_found_error(where, options, decorated, f"{lazy!r} is no lazy class")
    module: nn.Module = object.__new__(lazy)  # type: ignore[assignment]
    return module


def _not_found_error(where: Any, options: Any, decorated: bool, reason: str) -> UnpicklableError:
    if isinstance(where, str):
        name = f"{where}.{options}"
        fix = f"{options} = lazify(...)  # in {where}, as in the program that saved the file"
    else:
        name = f"{where.__module__}.{where.__qualname__}"
        fix = f"class {where.__name__}(nn.Module): ...  # with the constructor that it had when the file was saved"
        fix = f"@lazify\n{fix}" if decorated else fix
    lines = [("saved as", name), ("because", split_fix(reason)[0])]
    return UnpicklableError(compose("the lazy class of a pickled instance is not found", lines, fix))


def saved_state(module: Any) -> tuple[Any, ...]:
    """What `restore_state` needs to make a lazy instance like this one, which has no handles on its hooks."""
    own = dict(vars(module))
    state: LazyState = own.pop(STATE_KEY)
    history = state.history
    operations = [
        operation if state.still_registered(operation) else replace(operation, hook_removed=True)
        for operation in history.operations
    ]
    placeholders = state.copyable_placeholders()
    return dict(state.given), operations, history.attached_to, history.device_is_explicit, placeholders, own


def restore_state(module: nn.Module, saved: tuple[Any, ...]) -> None:
    """Fill an empty lazy instance.

    Raises:
        UnpicklableError: if `saved` was not made by `saved_state` of this version of lazify, or of 0.1.0.
    """
    try:
        given, operations, attached_to, device_is_explicit, placeholders, own = saved
    except (TypeError, ValueError) as error:
        fix = "torch.save(model.state_dict(), path)  # with the version of lazify that saved the file"
        raise UnpicklableError(compose("the file was saved by another version of lazify", fix=fix)) from error
    state = LazyState(getattr(type(module), RECIPE), given)
    history = state.writable_history()
    history.operations, history.attached_to, history.device_is_explicit = operations, attached_to, device_is_explicit
    if placeholders is not None:
        history.preview = Preview(placeholders, len(operations))
        history.preview.set_owner(module)
    vars(module).update(own, **{STATE_KEY: state})
