"""The table of operations: what may be done to a lazy instance before its first call, and what each kind does.

One row for each kind of method. One column for each module that an operation meets, in this order: the lazy instance
at once, the module of its preview, modules of trial runs, the real module. `replay` goes down one column.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lazify._deferred import operation_effects as effects
from lazify._deferred.agreement import fresh
from lazify._deferred.operations import Operation, conversion_from_closure, getter_codes, has_setter
from lazify._deferred.placeholders import NO_VALUES
from lazify._module_tree import PREVIEW_KEY, STATE_KEY, submodule
from lazify._torch import methods_of_modules
from lazify.errors import NotMaterializedError

__all__ = ["TABLE", "RecordsOperations", "own_methods", "replay"]

#: What an operation does to a module, from the operation, the module and the context that its column documents.
Effect: TypeAlias = "Callable[[Any, Any, Any], Any]"

#: Operations that are no methods: a container of the real module is replaced by the one that the user has read; an
#: attribute that a property's getter did not find is set, unless the real module has it.
ADOPT, FILL_IN = "adopt", "fill_in"


class Kind(NamedTuple):
    """A row of the table. None in a column: the operation does nothing there, and its method returns the module.

    Attributes:
        methods: names of the methods.
        instance: what they do at once to the lazy instance; the context is its `LazyState`.
        preview: what they do to the module of the preview, or to a submodule of it; the context is `PreviewContext`.
        trial: what they do to a module that is built for a trial run; the context is `TrialContext`.
        real: what they do to the real module; the context is the `Materialization`.
    """

    methods: str
    instance: Effect | None
    preview: Effect | None
    trial: Effect | None
    real: Effect


_KINDS = (
    # an attribute, set or deleted; `Module.__setattr__` registers parameters and submodules
    Kind("__setattr__", effects.set_attribute, effects.show_attribute, effects.repeat, effects.call_and_tie),
    Kind("__delattr__", effects.delete_attribute, effects.show_attribute, effects.repeat, effects.call),
    # a list or the like that the constructor makes, read by the user, who may change it
    Kind(ADOPT, effects.adopt_at_once, effects.show_adopted, effects.repeat_adopted, effects.adopt),
    Kind(FILL_IN, effects.adopt_at_once, effects.show_adopted, None, effects.fill_in),
    # a parameter, buffer or submodule
    Kind(
        "register_parameter",
        *(effects.register_parameter, effects.show_parameter, effects.repeat, effects.call_and_tie),
    ),
    Kind(
        "register_buffer add_module register_module set_submodule",
        *(effects.attach, effects.show, effects.repeat, effects.call),
    ),
    # a flag; modules of the user get it at once, and keep what they have when it is replayed
    Kind("train eval", effects.set_flag, effects.show, effects.repeat, effects.call_keeping_flags_of_user),
    Kind("requires_grad_", effects.set_flag, effects.flag_placeholders, None, effects.call_keeping_flags_of_user),
    # a dtype, device or memory format
    Kind(
        "_apply to to_empty cpu cuda ipu xpu mtia type float double half bfloat16 share_memory",
        *(effects.check_conversion, effects.convert_placeholders, effects.cast, effects.call),
    ),
    # a hook; a trial run of a whole model runs those that may decide how the call goes
    Kind(
        "register_forward_pre_hook register_forward_hook",
        *(effects.attach, effects.show_on_submodule, effects.register_for_trial, effects.register),
    ),
    Kind(
        "register_full_backward_pre_hook register_full_backward_hook register_backward_hook"
        " register_state_dict_post_hook register_state_dict_pre_hook _register_state_dict_hook"
        " _register_load_state_dict_pre_hook register_load_state_dict_pre_hook register_load_state_dict_post_hook",
        *(effects.attach, effects.show_on_submodule, None, effects.register),
    ),
    # what needs the values of the real module
    Kind("apply", None, None, None, effects.call),
    Kind("compile zero_grad", effects.return_none, effects.return_none, None, effects.call),
    Kind("load_state_dict", None, None, None, effects.call),
    # the same, of classes that define the method: torch and trainers call this name on any module
    Kind("reset_parameters", effects.return_none, effects.return_none, None, effects.call),
)
#: Name of a method -> its row.
TABLE = {method: kind for kind in _KINDS for method in kind.methods.split()}
#: Methods that `nn.Module` does not have.
CLASS_DEFINED = ("reset_parameters",)


def replay(
    operations: Iterable[Operation],
    root: nn.Module | None,
    column: Literal["instance", "preview", "trial", "real"],
    context: Any,
) -> Any:
    """Perform operations on a module and its submodules, in order, as the column of the table says.

    Args:
        operations: the operations.
        root: the module; None for a preview that holds placeholders only.
        column: which module this is.
        context: see `Kind`.

    Returns:
        What the last operation returns, or the module on which it was performed.
    """
    result: Any = None
    for operation in operations:
        effect: Effect | None = getattr(TABLE[operation.method], column)
        target = None if root is None else submodule(root, operation.path)
        result = target if effect is None else effect(operation, target, context)
    return result


# ---------------------------------------------------------------------------------------------
# The methods


class RecordsOperations:
    """Base of lazy instances and of submodules of a preview: the methods of the table are recorded."""

    # No `__slots__` here. Python assigns `__class__` only between classes of the same layout, and `nn.Module` has a
    # `__dict__`.

    #: Whether an operation is being applied: methods that it calls are not recorded.
    _recording_paused: bool = False

    def _lazify_perform(self, operation: Operation) -> Any:
        """Perform an operation as far as possible, record it, and return what the method of `nn.Module` returns."""
        raise NotImplementedError

    def _lazify_adopt(self, name: str, container: Any) -> Any:
        """An attribute that is a list, dict or set, for the user: what he does to it holds for the real module."""
        adopted = fresh(container)
        self._lazify_perform(Operation(ADOPT, (name, adopted, container), {}))
        return adopted

    def _lazify_class_attribute(self, name: str, value: Any) -> Any:
        """The value of an attribute that the class has, too, with this value there."""
        raise NotImplementedError

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Save as the class does, without detaching placeholders: `detach` may count as a use of their values."""
        before = set(destination)
        super()._save_to_state_dict(destination, prefix, keep_vars=True)  # type: ignore[misc]
        for name in destination.keys() - before if not keep_vars else ():
            value = destination[name]
            if isinstance(value, torch.Tensor) and not is_lazy(value):
                destination[name] = value.detach()


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _recorded(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that records calls of `original`, a method of `nn.Module` or of a class derived from it."""
    name = original.__name__

    @functools.wraps(original)
    def method(self: RecordsOperations, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(self, RecordsOperations):  # looked up before materialization, called after
            return getattr(self, name)(*args, **kwargs)
        if self._recording_paused:
            return original(self, *args, **kwargs)
        _signature(original).bind(self, *args, **kwargs)
        operation = conversion_from_closure(args[0]) if name == "_apply" and args else None
        if operation is None or operation.method not in TABLE:
            operation = Operation(name, args, kwargs)
        return self._lazify_perform(operation)

    return method


for _name, _method in methods_of_modules(TABLE.keys() - {*CLASS_DEFINED, ADOPT, FILL_IN, "load_state_dict"}).items():
    setattr(RecordsOperations, _name, _recorded(_method))


def _attribute_method(recorded: Callable[..., Any], of_object: Callable[..., Any]) -> Callable[..., Any]:
    """`__setattr__` or `__delattr__`: code of the class, as a property's setter, runs at once, and only there.

    What it sets is recorded. If it needs the real module, it waits for that.
    """

    @functools.wraps(recorded)
    def method(self: RecordsOperations, name: str, *value: Any) -> Any:
        is_registered = any(isinstance(each, (nn.Module, nn.Parameter)) for each in value)
        callers = {sys._getframe(1).f_code, sys._getframe(2).f_code}  # a lazy instance has a method of its own between
        if recorded.__name__ == "__setattr__" and not callers.isdisjoint(getter_codes(type(self))):
            return self._lazify_perform(Operation(FILL_IN, (name, *value, None), {}))
        is_real = vars(self).keys().isdisjoint({STATE_KEY, PREVIEW_KEY})
        if is_registered or is_real or self._recording_paused or not has_setter(type(self), name):
            return recorded(self, name, *value)
        preview, path = vars(self).get(PREVIEW_KEY, (None, ""))
        state = vars(self)[STATE_KEY] if preview is None else preview.state
        before = len(state.history.operations)
        try:
            return of_object(self, name, *value)
        except (NotMaterializedError, ValueError) as error:
            needs_values = isinstance(error, NotMaterializedError) or str(error).startswith(NO_VALUES)
            if len(state.history.operations) > before or not needs_values:
                raise
        return state.record(Operation(recorded.__name__, (name, *value), {}, path=path))

    return method


for _name, _by_object in (("__setattr__", object.__setattr__), ("__delattr__", object.__delattr__)):
    setattr(RecordsOperations, _name, _attribute_method(getattr(RecordsOperations, _name), _by_object))


def own_methods(cls: type[nn.Module]) -> dict[str, Callable[..., Any]]:
    """Recording versions of the methods in `CLASS_DEFINED` that a class has."""
    defined = [name for name in CLASS_DEFINED if inspect.isfunction(getattr(cls, name, None))]
    return {name: _recorded(getattr(cls, name)) for name in defined}
