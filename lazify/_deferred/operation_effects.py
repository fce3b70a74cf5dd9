"""What operations do to the modules that they meet: the functions in the columns of `operation_table`.

Each gets the operation, the module on which it is performed, and the context of its column. It returns what the
method of `nn.Module` returns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import nn

from lazify._deferred.operations import Operation, attached, converted, has_setter
from lazify._deferred.placeholders import Placeholder, convert, substitute
from lazify._isolation import trial_copy
from lazify._module_tree import PREVIEW_KEY, STATE_KEY, is_deferred, named_tensors, own_tensors, walk
from lazify._torch import unset_fake_mode
from lazify.errors import NotMaterializedError, compose


def return_none(*_: Any) -> None:
    """The method does nothing yet, and returns None."""


# ---------------------------------------------------------------------------------------------
# The lazy instance. Changes are made to `History.attached_to`, a bare `nn.Module`


def attach(operation: Operation, module: Any, state: Any) -> Any:
    """Perform the operation on the module that holds what the user set on the lazy instance."""
    attached_to = state.attached()
    result = operation.call_base_on(attached_to)
    if "training" in vars(module):
        vars(module)["training"] = attached_to.training
    return module if result is attached_to else result


def set_attribute(operation: Operation, module: Any, state: Any) -> None:
    name, value = operation.args
    attach(operation, module, state)
    if name in vars(state.attached()):
        vars(module)[name] = value
    else:
        vars(module).pop(name, None)


def delete_attribute(operation: Operation, module: Any, state: Any) -> None:
    """Delete an attribute.

    Raises:
        NotMaterializedError: if the user has not set it, and the preview does not know it.
    """
    (name,) = operation.args
    try:
        attach(operation, module, state)
    except AttributeError:
        if name not in state.known_attributes(module):
            raise NotMaterializedError(state.not_known_message(name)) from None
    vars(module).pop(name, None)


def adopt_at_once(operation: Operation, module: Any, state: Any) -> None:
    """Let a lazy instance have the list, dict or set that the user has read."""
    name, value, _ = operation.args
    vars(state.attached())[name] = vars(module)[name] = value


def register_parameter(operation: Operation, module: Any, state: Any) -> Any:
    _refuse_placeholder(operation, state.history.preview)
    return attach(operation, module, state)


def _refuse_placeholder(operation: Operation, preview: Any) -> None:
    """Refuse to register a placeholder of the lazy instance under another name.

    Pruning and similar tools begin like this, and then compute with values that the placeholder does not have.

    Raises:
        NotMaterializedError: if an argument of the operation is such a placeholder.
    """
    placeholders = () if preview is None else preview.placeholders.values()
    if any(isinstance(each, Placeholder) and any(each is p for p in placeholders) for each in operation.args):
        raise NotMaterializedError(
            compose(
                f"{operation.args[0]!r} cannot be made of a parameter that has no values yet",
                fix="module.apply(lambda m: ...)  # what waits for the real module: pruning and the like",
            )
        )


def set_flag(operation: Operation, module: Any, state: Any) -> Any:
    """Set a flag, also of the modules that are constructor arguments and will be submodules, as a preview shows."""
    modules = [value for value in state.given.values() if isinstance(value, nn.Module)]
    if modules:
        with suppress(NotMaterializedError):
            inside = {id(each) for _, each in walk(state.previewed(module))}
            operation.applied_to = tuple(each for each in modules if id(each) in inside)
    for each in operation.applied_to:
        operation.call_on(each)
    return attach(operation, module, state)


def check_conversion(operation: Operation, module: Any, state: Any) -> Any:
    """Raise torch's error for what it refuses to do with uninitialized tensors, and note whether a device is chosen."""
    with suppress(ValueError, NotImplementedError):  # these only say that the conversion needs the real tensor
        converted(operation, nn.UninitializedParameter())
    state.writable_history().device_is_explicit |= _selects_device(operation)
    return module


def _selects_device(conversion: Operation) -> bool:
    """Whether a conversion chooses a device: it moves an empty tensor, or cannot copy it off the meta device."""

    def device_after(device: str) -> str:
        tensor: torch.Tensor = converted(conversion, nn.Parameter(torch.empty(0, device=device)))
        return tensor.device.type

    if device_after("cpu") != "cpu":
        return True
    try:
        return device_after("meta") != "meta"
    except NotImplementedError:  # torch's "Cannot copy out of meta tensor": the conversion moves to the CPU
        return True


# ---------------------------------------------------------------------------------------------
# The preview


class PreviewContext(NamedTuple):
    """A preview to which an operation is applied.

    Attributes:
        preview: the preview.
        live: whether placeholders get a flag of `requires_grad_`; else only what they expect of the real parameter
            changes, because they already have the flag or the user changed it since.
    """

    preview: Any
    live: bool


def show(operation: Operation, target: nn.Module | None, context: PreviewContext) -> Any:
    """Perform the operation on the module of the preview, so that everyone sees it."""
    if target is None:
        return None
    context.preview.recording_paused = True
    try:
        return operation.call_base_on(target)
    finally:
        context.preview.recording_paused = False


def show_attribute(operation: Operation, target: nn.Module | None, context: PreviewContext) -> Any:
    """The same for an attribute, unless the class of the module decides what becomes of it."""
    decides = target is not None and has_setter(type(target), operation.args[0])
    return None if decides else show(operation, target, context)


def show_adopted(operation: Operation, target: nn.Module | None, _: PreviewContext) -> None:
    if target is not None:
        name, value, _ = operation.args
        vars(target)[name] = value


def show_parameter(operation: Operation, target: nn.Module | None, context: PreviewContext) -> Any:
    _refuse_placeholder(operation, context.preview)
    return show(operation, target, context)


def show_on_submodule(operation: Operation, target: nn.Module | None, context: PreviewContext) -> Any:
    """The same for hooks. Those of the lazy instance itself are registered on `History.attached_to`."""
    return show(operation, target, context) if operation.path else target


def flag_placeholders(operation: Operation, target: nn.Module | None, context: PreviewContext) -> Any:
    flag = (*operation.args, *operation.kwargs.values(), True)[0]
    for placeholder in _placeholders_in(target, operation, context):
        if _is_parameter(placeholder):
            placeholder.default_requires_grad = flag
            if context.live and not context.preview.being_materialized:
                placeholder.requires_grad = flag
    return target


def convert_placeholders(operation: Operation, target: nn.Module | None, context: PreviewContext) -> Any:
    """Convert placeholders as torch converts empty tensors of the same device and dtype."""
    for placeholder in _placeholders_in(target, operation, context):
        empty = torch.empty(0, device=placeholder.device, dtype=placeholder.dtype)
        with suppress(Exception):  # the real module will be converted again, and raise the error
            after = converted(operation, nn.Parameter(empty, False) if _is_parameter(placeholder) else empty)
            convert(placeholder, after.device, after.dtype)
    return target


def _is_parameter(placeholder: Any) -> bool:
    return isinstance(placeholder, nn.Parameter)


def _placeholders_in(target: nn.Module | None, operation: Operation, context: PreviewContext) -> list[Any]:
    """The placeholders in a module of the preview. Lazy instances in it record the operation for their own."""
    preview, live = context
    if target is None:
        return list(preview.placeholders.values())
    for _, inside in walk(target):
        if STATE_KEY in vars(inside) and id(inside) not in preview.template.user_ids:
            vars(inside)[STATE_KEY].perform_for_owner(
                Operation(operation.method, operation.args, operation.kwargs), live
            )
    return list({id(t): t for _, t in named_tensors(target) if isinstance(t, Placeholder)}.values())


# ---------------------------------------------------------------------------------------------
# Trial runs


class TrialContext(NamedTuple):
    """A trial run for which a module was built.

    Attributes:
        state: the lazy state of the instance that the module stands for.
        user_module_ids: ids of modules in it that belong to the user.
        with_hooks: whether hooks run in the trial.
    """

    state: Any
    user_module_ids: set[int]
    with_hooks: bool


def repeat(operation: Operation, target: nn.Module, _: TrialContext) -> None:
    """Perform the operation with copies of its arguments.

    A parameter that is tied to one of another lazy instance, which has no values yet, is left as it is.
    """
    if any(isinstance(each, Placeholder) for each in operation.args):
        return
    getattr(target, operation.method)(*trial_copy(operation.args), **trial_copy(operation.kwargs))


def repeat_adopted(operation: Operation, target: nn.Module, _: TrialContext) -> None:
    """Put a copy of a list, dict or set that the user has changed into its place."""
    name, value, before = operation.args
    if value != before:
        vars(target)[name] = trial_copy(value)


def register_for_trial(operation: Operation, target: nn.Module, context: TrialContext) -> None:
    if context.with_hooks and context.state.still_registered(operation):
        operation.call_on(target)


def cast(operation: Operation, target: nn.Module, context: TrialContext) -> None:
    """Change the dtypes of a module without `module.to`, which takes no fakes whose like is in use elsewhere."""
    with unset_fake_mode():
        starts = [nn.Parameter(torch.empty(0, dtype=dtype)) for dtype in (torch.float32, torch.float64)]
        dtypes = {converted(operation, start).dtype for start in starts}
    if len(dtypes) > 1:  # the conversion does not choose one
        return
    (dtype,) = dtypes
    inside = [each for _, each in walk(target)]
    casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for tensor in (tensor for each in inside for tensor in own_tensors(each)):
        if tensor.dtype.is_floating_point:
            after = tensor.detach().to(dtype)
            is_parameter = isinstance(tensor, nn.Parameter)
            casts[id(tensor)] = (tensor, nn.Parameter(after, tensor.requires_grad) if is_parameter else after)
    substitute([each for each in inside if STATE_KEY not in vars(each)], casts)
    for each in inside:
        if STATE_KEY in vars(each) and id(each) not in context.user_module_ids:
            each.to(dtype)


# ---------------------------------------------------------------------------------------------
# The real module


def call(operation: Operation, target: nn.Module, _: Any) -> Any:
    return operation.call_on(target)


def call_and_tie(operation: Operation, target: nn.Module, _: Any) -> Any:
    """Call the method. A placeholder of another lazy instance has the shape of the parameter that it replaces: that
    instance is materialized, too, if the shape tells how.
    """
    for each in operation.args:
        owner = each.owner() if isinstance(each, Placeholder) else None
        replaced = target._parameters.get(operation.args[0])
        if owner is not None and replaced is not None:
            owner.materialize_for_tie(each, replaced)
    return operation.call_on(target)


def adopt(operation: Operation, target: nn.Module, _: Any) -> None:
    """Replace a list, dict or set of the constructor by the one that the user has read, and perhaps changed.

    If it has other contents than were shown, and the user changed nothing, it stays.
    """
    name, value, before = operation.args
    if value != before or vars(target).get(name) == before:
        vars(target)[name] = value


def fill_in(operation: Operation, target: nn.Module, _: Any) -> None:
    """Set an attribute that the module does not have."""
    name, value, _ = operation.args
    if name not in vars(target):
        setattr(target, name, value)


def call_keeping_flags_of_user(operation: Operation, target: nn.Module, materialization: Any) -> Any:
    """Set a flag, but not of modules and tensors of the user, who may have set another one since."""
    before = list(_flags_of_user(materialization.state.history.operations))
    result = operation.call_on(target)
    for restore in before:
        restore()
    return result


def _flags_of_user(operations: list[Operation]) -> Iterator[Callable[[], object]]:
    """What restores the flags of modules and tensors of the user, and the operations of lazy ones among them."""
    for each in attached(operations):
        inner = vars(each).get(STATE_KEY) if isinstance(each, nn.Module) else None
        if inner is None:
            flag = "training" if isinstance(each, nn.Module) else "requires_grad"
            yield functools.partial(setattr, each, flag, getattr(each, flag))
            continue
        recorded = inner.history.operations
        yield functools.partial(recorded.__delitem__, slice(len(recorded), None))
        yield functools.partial(setattr, inner.attached(), "training", inner.attached().training)
        placeholders = () if inner.history.preview is None else inner.history.preview.placeholders.values()
        for placeholder in placeholders:
            yield functools.partial(setattr, placeholder, "requires_grad", placeholder.requires_grad)


def register(operation: Operation, target: nn.Module, materialization: Any) -> Any:
    """Register a hook, and let the user's handle refer to it; remove the hook if the user has."""
    state, handle = materialization.state, operation.call_on(target)
    if not state.still_registered(operation):
        handle.remove()
    elif (of_user := state.history.handles.get(operation.hook_id)) is not None:
        materialization.redirect(of_user, handle)
        if is_deferred(target):  # in a lazy module inside, which registers the hook again at its own first call
            preview, _ = vars(target).get(PREVIEW_KEY, (None, ""))
            inner = vars(target)[STATE_KEY] if preview is None else preview.state
            inner.history.handles[of_user.id] = of_user
    return handle
