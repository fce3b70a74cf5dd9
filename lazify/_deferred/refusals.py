"""What the real module would refuse is refused at once: names that are taken, values that its `__setattr__` refuses.

operation  ->  performed on a module of a trial construction, like all before it  ->  the error that it raises there
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from torch import nn

from lazify._deferred.constructions import first_construction
from lazify._deferred.operation_effects import TrialContext
from lazify._deferred.operation_table import replay
from lazify._deferred.operations import Operation, has_setter
from lazify._deferred.preview_template import shallow_copy
from lazify._inference.trial_values import unknown_names
from lazify._isolation import trial_copy
from lazify._isolation.reachable_names import names_in
from lazify._recipe.construction import construct_new
from lazify._recipe.signature_reading import original_function
from lazify.errors import NotMaterializedError

__all__ = ["refuse_at_once"]

#: Operations whose first argument is a name that a module may refuse.
_NAMING = ("register_parameter", "register_buffer", "add_module", "register_module", "__setattr__")
_CHANGING_NAMES = (*_NAMING, "__delattr__")


def refuse_at_once(operation: Operation, state: Any) -> None:
    """Raise the error that the operation would raise on the real module.

    Args:
        operation: the operation, which is not yet in the history.
        state: the lazy state of the instance on which it is performed.
    """
    wrapped = state.recipe.wrapped
    own = getattr(wrapped, operation.method, None)
    with suppress(NotMaterializedError):  # there is no module to ask
        if operation.method in _CHANGING_NAMES and not str(getattr(own, "__module__", None)).startswith("torch."):
            _ask_the_class(operation, state)
        elif _may_be_refused(operation, wrapped):
            _ask_for_the_name(operation, state)


def _may_be_refused(operation: Operation, wrapped: type[nn.Module]) -> bool:
    """Whether the class, or code in it, has the name. (Most attributes that users set are mentioned nowhere.)"""
    name, value, *_ = (*operation.args, *operation.kwargs.values(), None, None)
    if operation.method not in _NAMING or hasattr(wrapped, str(name)):
        return operation.method in _NAMING
    is_replaced = operation.method == "__setattr__" and isinstance(value, (nn.Module, nn.Parameter))
    return not is_replaced and name in _mentioned(wrapped)


def _mentioned(wrapped: type[nn.Module]) -> set[str]:
    """Names in the code of a class and its bases."""
    own = [base for base in wrapped.__mro__ if base not in nn.Module.__mro__]
    functions = [each for base in own for each in vars(base).values() if inspect.isfunction(each)]
    functions += [init for base in own if inspect.isfunction(init := original_function(getattr(base, "__init__")))]
    return {name for each in functions for name in names_in(each.__code__)}


def _ask_for_the_name(operation: Operation, state: Any) -> None:
    """Perform the operation, as torch does, on a module that has the names of the real one."""
    history = state.writable_history()
    if history.preview is not None and history.preview.module is not None:
        operation.call_base_on(shallow_copy(history.preview.module))
        return
    if history.named is None:
        _, module, _ = first_construction(state.recipe, state.given, unknown_names(state.recipe, state.given))
        history.named = (module, 0)
    module, performed = history.named
    for each in history.operations[performed:]:
        if each.method in _CHANGING_NAMES and not each.path and not has_setter(type(module), each.args[0]):
            with suppress(Exception):  # it was accepted, and is only to leave its name
                each.call_base_on(module)
    history.named = (module, len(history.operations))
    operation.call_base_on(shallow_copy(module))


def _ask_the_class(operation: Operation, state: Any) -> None:
    """Perform the operation by the class's own method, in a trial run."""
    refusal: list[Exception] = []

    def construct(arguments: Mapping[str, Any]) -> nn.Module:
        module = construct_new(state.recipe, arguments)
        replay(state.history.operations, module, "trial", TrialContext(state, set(), False))
        try:
            getattr(module, operation.method)(*trial_copy(operation.args), **trial_copy(operation.kwargs))
        except Exception as error:
            refusal.append(error)
        return module

    first_construction(state.recipe, state.given, unknown_names(state.recipe, state.given), construct)
    if refusal:
        raise refusal[-1].with_traceback(None) from None
