"""The lazy class: how it is made, and what its instances answer before they are real."""

from __future__ import annotations

import functools
import html
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import is_dataclass, replace
from types import FrameType, ModuleType
from typing import Any, ClassVar, NoReturn, TypeVar, cast
from weakref import WeakValueDictionary

import torch
import wrapt
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from lazify._deferred.operations import (
    CONVERTING,
    FLAGGING,
    HOOKING,
    IMMEDIATE,
    Operation,
    RecordsOperations,
    own_methods,
)
from lazify._deferred.placeholders import Placeholder
from lazify._deferred.preview import CONTENT, Preview
from lazify._deferred.preview_submodule import report_missing_and_unexpected_keys
from lazify._deferred.state import STATE_KEY, LazyState, lazy_state
from lazify._first_call.attempt import call, materialize_and_call, materialize_with
from lazify._first_call.materialization import Plan
from lazify._inference.from_checkpoint import saved_under, values_in
from lazify._isolation.restoring import random_state
from lazify._lazy_class.tables import explained_parameters, signatures_html
from lazify._module_tree import walk
from lazify._recipe.binding import NOT_GIVEN, function_with_signature, positional_binder
from lazify._recipe.construction import (
    construct,
    construction_context,
    original_init,
    set_class,
    subclass_without_hooks,
)
from lazify._recipe.recipe import Recipe, compile_recipe
from lazify._recipe.rules import Axis
from lazify._recipe.signature_reading import (
    ORIGINAL_KEY,
    VARIADIC,
    call_signature,
    original_function,
)
from lazify._recipe.torch_nn_table import KNOWN
from lazify._torch import DYNAMO_HOOK, FOLLOWING_PATHS, tree_map_only, without_symbolic_sizes
from lazify.errors import DefinitionError, NotMaterializedError, UnpicklableError, compose

__all__ = ["RECIPE", "LazyInstance", "decorate", "lazy_class", "state_of"]

M = TypeVar("M", bound=nn.Module)

#: Where a lazy class, and a class rewritten by the decorator, keeps its recipe.
RECIPE = "_lazify_recipe"
#: Where a rewritten class keeps the class of its lazy instances, in a tuple: what walks over classes held by classes
#: (IPython's autoreload) would go round in a circle.
LAZY_CLASS = "_lazify_class"


# ---------------------------------------------------------------------------------------------
# Construction


def init_lazy(recipe: Recipe, _: Any, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """What `__init__` does: bind, then build at once if everything is given, else become lazy."""
    __tracebackhide__ = True  # of a wrong construction, IPython and pytest show the user's line
    usual = recipe.binders_by_call_shape.get((*kwargs, len(args)))
    given = bind_or_construct(recipe, module, args, kwargs) if usual is None else usual(*args, **kwargs)
    on_inner_lazy = construction_context.on_inner_lazy
    if given is not None and (on_inner_lazy is None or not on_inner_lazy(module, recipe, given)):
        module.__dict__[STATE_KEY] = LazyState(recipe, given)


def bind_or_construct(
    recipe: Recipe, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """What was given, by name; None if that was everything, and the module is built."""
    __tracebackhide__ = True
    given = _bound(recipe, args, kwargs)
    if given.keys() >= recipe.rules.keys():
        construct(module, recipe, given)
        return None
    if recipe.extra_parameters and not recipe.extra_parameters.keys() <= given.keys():
        recipe.bind_strictly(module, *args, **kwargs)  # raises if a required one is missing
    if not any(p.kind in VARIADIC for p in recipe.signature_with_self.parameters.values()):
        recipe.binders_by_call_shape[(*kwargs, len(args))] = positional_binder(given)
    return given


def _bound(recipe: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What was given, by name. Python itself binds, in its own words where it fails."""
    __tracebackhide__ = True
    bound = recipe.bind(None, *args, **kwargs)
    given = {name: value for name, value in bound.items() if value is not NOT_GIVEN}
    del given["self"]
    return given


def selects_device(operation: Operation) -> bool:
    """Whether such a conversion chooses a device: it takes an empty tensor elsewhere, or fails to."""

    def device_after(device: str) -> str:
        probe = nn.Module()
        probe.probe = nn.Parameter(torch.empty(0, device=device))
        getattr(nn.Module, operation.method)(probe, *operation.args, **operation.kwargs)
        return probe.probe.device.type

    if device_after("cpu") != "cpu":
        return True
    try:
        return device_after("meta") != "meta"
    except NotImplementedError:  # torch: "Cannot copy out of meta tensor": to the CPU, then
        return True


def _refuse_sharing(operation: Operation) -> None:
    """What torch refuses to do to uninitialized tensors for good, not only for now, it refuses here: `share_memory`."""
    probe = nn.Module()
    probe.probe = nn.UninitializedParameter()
    with suppress(ValueError, NotImplementedError):  # what waits for the real tensor
        getattr(nn.Module, operation.method)(probe, *operation.args, **operation.kwargs)


def refuse_reregistration(operation: Operation, state: LazyState) -> None:
    """A parameter of this instance under another name: how pruning begins, which computes with its values next."""
    told = () if state.history.preview is None else state.history.preview.placeholders.values()
    if any(isinstance(each, Placeholder) and any(each is p for p in told) for each in operation.args):
        raise NotMaterializedError(
            compose(
                f"{operation.args[0]!r} cannot be made of a parameter that has no values yet",
                fix="module.apply(lambda m: ...)  # what waits for the real module: pruning and the like",
            )
        )


# ---------------------------------------------------------------------------------------------
# The lazy instance


#: What a container would say of its children: unknown yet.
CONTAINER_METHODS = ("__len__", "__iter__", "__getitem__", "__contains__", "__reversed__")


class LazyInstance(RecordsOperations):
    """First base of every lazy class: what instances answer until they become the real module."""

    _lazify_recipe: ClassVar[Recipe]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep the wrapped class's own `__init_subclass__` (registries, required keywords) out of this."""
        if RECIPE not in cls.__dict__:
            wrapped = getattr(cls, RECIPE).wrapped.__name__
            raise DefinitionError(
                compose(
                    f"{cls.__name__} subclasses a lazy class",
                    [
                        ("lazy class", f"Lazy{wrapped}"),
                        ("an instance becomes", f"{wrapped}, which would lose {cls.__name__}"),
                    ],
                    f"class {cls.__name__}({wrapped}): ...\nLazy{cls.__name__} = lazify({cls.__name__})",
                )
            )

    # the first call

    __call__ = call

    def _infer_parameters(self, module: Any, args: Any, kwargs: Any = None) -> None:
        """Called by Dynamo before it traces a lazy module, with its own fakes of the arguments."""
        args, kwargs = tree_map_only(torch.Tensor, without_symbolic_sizes, (tuple(args), dict(kwargs or {})))
        materialize_and_call(module, args, kwargs, None)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """As of torch's own lazy modules: become real for this input, without a call."""
        materialize_and_call(cast("nn.Module", self), args, kwargs, None)

    def has_uninitialized_params(self) -> bool:
        """Those of modules inside included; True where it cannot be told."""
        module = cast("nn.Module", self)
        try:
            return any(map(is_lazy, (*module.parameters(), *module.buffers())))
        except NotMaterializedError:
            return True

    def _replicate_for_data_parallel(self) -> NoReturn:
        raise NotMaterializedError(_waiting(self, "_replicate_for_data_parallel"))

    # what is done before

    def _lazify_apply_now(self, operation: Operation) -> Any:
        if operation.method in CONVERTING:
            _refuse_sharing(operation)
            state_of(self).writable_history().device_is_explicit |= selects_device(operation)
        elif operation.method in (*IMMEDIATE, *HOOKING, "requires_grad_"):
            if operation.method == "register_parameter":
                refuse_reregistration(operation, state_of(self))
            if operation.method in FLAGGING:
                operation.applied_to = tuple(self._lazify_given())
            for module in operation.applied_to:
                getattr(module, operation.method)(*operation.args, **operation.kwargs)
            attached_to = state_of(self).attached()
            result = getattr(nn.Module, operation.method)(attached_to, *operation.args, **operation.kwargs)
            if "training" in vars(self):
                vars(self)["training"] = attached_to.training
            return self if result is attached_to else result
        return self

    def _lazify_given(self) -> Iterator[nn.Module]:
        """Modules given to the constructor that will be in the real module, as far as that can be told."""
        state = state_of(self)
        given = [value for value in state.given.values() if isinstance(value, nn.Module)]
        if given:
            with suppress(NotMaterializedError):
                told = state.preview_for(cast("nn.Module", self))
                inside = set() if told is None or told.module is None else {id(each) for _, each in walk(told.module)}
                yield from (module for module in given if id(module) in inside)

    def _lazify_record(self, operation: Operation, handle: RemovableHandle | None = None) -> None:
        state_of(self).record(operation, handle)

    def _apply_from_parent(self, operation: Operation, live: bool) -> None:
        past = state_of(self).writable_history()
        past.operations.append(operation)
        if past.preview is not None:
            past.preview.apply(operation, live)

    def _hook_handles(self) -> dict[int, RemovableHandle]:
        return state_of(self).writable_history().handles

    def materialize_like_copy(self) -> bool:
        """Become real without a call, if this is a copy of one that has become real.

        Nothing random is drawn for it: an eager copy would have been made before.
        """
        state = lazy_state(cast("nn.Module", self))
        if state is None or state.history.copy_group is None or "plan" not in state.history.copy_group:
            return False
        plan = replace(state.history.copy_group["plan"], module=cast("nn.Module", self))
        random = random_state(plan.device)
        materialize_with(plan)
        for restore, before in random:
            restore(before)
        return True

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool, *lists: list[str]
    ) -> None:
        """Called by `load_state_dict` of this module or of one around it: materialize from the shapes, then load.

        Where they leave the values open, what there is is loaded at the first call.

        Raises:
            InferenceError: if they fit no values; the instance is still lazy, unchanged.
        """
        state = state_of(self)
        saved = saved_under(state_dict, prefix)
        module = cast("nn.Module", self)
        if state.history.owner is not None:  # what is loaded into the module around waits with it; here are only names
            report_missing_and_unexpected_keys(module, state_dict, prefix, strict, *lists)
            return
        values = values_in(state.recipe, state.given, saved, prefix) if saved else None
        if values is not None:
            materialize_with(Plan(module, values, ((), {name: each.shape for name, each in saved.items()})))
            module._load_from_state_dict(state_dict, prefix, local_metadata, strict, *lists)
            return
        report_missing_and_unexpected_keys(module, state_dict, prefix, strict, *lists)
        if saved:  # what there is waits for the first call
            tensors = {name: each.detach().clone() for name, each in saved.items()}
            assign = local_metadata.get("assign_to_params_buffers", False)
            state.record(Operation("load_state_dict", (tensors,), {"strict": False, "assign": assign}))

    # attributes

    def __getattr__(self, name: str) -> Any:
        state = vars(self).get(STATE_KEY)
        if state is None:
            if not isinstance(self, LazyInstance):
                return getattr(self, name)  # another thread has just made it real: look again
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if name in CONTENT:
            told = state.preview_for(cast("nn.Module", self))
            return getattr(self, name) if told is None else vars(cast("nn.Module", told.module))[name]
        if not (name.startswith("__") and name.endswith("__")):
            attached_to = state.attached()
            try:
                return getattr(attached_to, name)
            except AttributeError:
                if name in (by_name := self.known_attributes(sys._getframe(1))):
                    return by_name[name]
        raise NotMaterializedError(_waiting(self, name))

    def known_attributes(self, caller: FrameType) -> dict[str, Any]:
        """What can be had by its name: parameters and buffers, attributes that hold arguments,
        and submodules where a dotted path is followed.

        (As an attribute, a submodule whose values are unknown would promise too much.)
        """
        try:
            told = state_of(self).preview_for(cast("nn.Module", self))
        except NotMaterializedError:
            return {}
        root: Any = self if told is None else told.module
        facts = vars(root).keys() if told is None else told.constant_attributes & vars(root).keys()
        by_path = caller.f_code in FOLLOWING_PATHS
        modules = root._modules if by_path else {}
        return {**{name: vars(root)[name] for name in facts}, **root._parameters, **root._buffers, **modules}

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__class__":
            object.__setattr__(self, name, value)
            return
        state = state_of(self)
        attached_to = state.attached()
        nn.Module.__setattr__(attached_to, name, value)
        if name in vars(attached_to):
            vars(self)[name] = value
        else:
            vars(self).pop(name, None)
        state.record(Operation("__setattr__", (name, value), {}))

    def __delattr__(self, name: str) -> None:
        state = state_of(self)
        try:
            nn.Module.__delattr__(state.attached(), name)
        except AttributeError:
            if name not in self.known_attributes(sys._getframe()):
                raise NotMaterializedError(_waiting(self, name)) from None
        vars(self).pop(name, None)
        state.record(Operation("__delattr__", (name,), {}))

    def __dir__(self) -> Iterable[str]:
        state = lazy_state(cast("nn.Module", self))
        known = () if state is None else (*vars(state.attached()), *self.known_attributes(sys._getframe()))
        return sorted({*dir(type(self)), *known})

    # seeing

    def __repr__(self) -> str:
        state = lazy_state(cast("nn.Module", self))
        if state is None:  # another thread is making it real
            return object.__repr__(self)
        shown = [*state.recipe.original_signature.parameters, *state.recipe.extra_parameters]
        shown += [name for name in state.recipe.rules if name not in shown]
        parts = []
        for name in shown:
            if name in state.given:
                parts.append(f"{name}={state.given[name]!r}")
            elif name in state.recipe.rules:
                parts.append(f"{name}=?")
        return f"{state.recipe.name}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """For Jupyter: the two signatures, what was given, and where the rest will come from."""
        state = lazy_state(cast("nn.Module", self))
        if state is None:
            return f"<pre>{html.escape(repr(self))}</pre>"
        recipe = state.recipe
        parameters = explained_parameters(recipe)
        return signatures_html(recipe.wrapped.__name__, recipe.display_name, parameters, state.given, repr(self))

    # copies

    def __reduce_ex__(self, protocol: Any) -> Any:
        state = state_of(self)
        return unpickle, pickle_reference(type(self), state.recipe), self._lazify_state(state.copy(copy))

    def _lazify_state(self, twin: LazyState) -> tuple[Any, ...]:
        told = twin.copyable_placeholders()
        own = {name: value for name, value in vars(self).items() if name != STATE_KEY}
        past = twin.history
        return twin.given, past.operations, past.attached_to, past.device_is_explicit, told, own

    def __setstate__(self, saved: tuple[Any, ...]) -> None:
        given, operations, attached_to, moved, told, own = saved
        state = LazyState(type(self)._lazify_recipe, given)
        past = state.writable_history()
        past.operations, past.attached_to, past.device_is_explicit = operations, attached_to, moved
        if told is not None:
            past.preview = Preview(told, len(operations))
            past.preview.set_owner(self)
        vars(self).update(own, **{STATE_KEY: state})

    def __copy__(self) -> Any:
        """A shallow copy: shares what was given, has a journal of its own."""
        twin = object.__new__(type(self))
        twin.__setstate__(self._lazify_state(state_of(self).copy(copy)))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy that becomes real on its own; if its parameters are used before its call, as the first of its kin."""
        twin = memo[id(self)] = object.__new__(type(self))
        state = state_of(self)
        copied = state.copy(lambda value: deepcopy(value, memo))
        own = {name: deepcopy(value, memo) for name, value in vars(self).items() if name != STATE_KEY}
        vars(twin).update(own, **{STATE_KEY: copied})
        if copied.history.preview is not None:
            copied.history.preview.set_owner(twin)
        state.writable_history().copy_group = copied.writable_history().copy_group = (
            {} if state.history.copy_group is None else state.history.copy_group
        )
        return twin


setattr(LazyInstance, DYNAMO_HOOK, None)


def state_of(module: Any) -> LazyState:
    state: LazyState = vars(module)[STATE_KEY]
    return state


def _waiting(module: LazyInstance, name: str) -> str:
    state = state_of(module)
    missing = [n for n in state.recipe.rules if n not in state.given]
    given = f"{state.recipe.display_name}(..., {'=..., '.join(missing)}=...)"
    return compose(
        f"attribute {name!r} is not known yet: this {state.recipe.name} waits for its first call",
        [("to be inferred", ", ".join(missing))],
        f"module(input)  # once, or materialize(module, input)\n{given}  # or give them",
    )


def pickle_reference(lazy: type, recipe: Recipe) -> tuple[Any, ...]:
    """What `_revive` finds the lazy class by in another process.

    Raises:
        UnpicklableError: if a rule has no name there, and the lazy class has none either.
    """
    if recipe.decorated:
        return recipe.wrapped, None, True
    options = recipe.options or ()
    nameless = [(name, rule) for name, rule in options if callable(rule) and not _is_importable(rule)]
    if not nameless:
        return recipe.wrapped, recipe.options, False
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
            f"{recipe.name} = lazify(...)  # or the lazy class itself there",
        )
    )


def _is_importable(function: Any) -> bool:
    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in getattr(function, "__qualname__", "<none>").split("."):
        found = getattr(found, name, None)
    return found is function


def unpickle(where: Any, options: Any, decorated: bool) -> nn.Module:
    """Unpickle: an empty lazy instance; `__setstate__` follows."""
    lazy: Any
    if isinstance(where, str):
        lazy = getattr(importlib.import_module(where), options)
    else:
        lazy = _lazy_class_of_decorated(where) if decorated else lazy_class(where, options)
    module: nn.Module = object.__new__(lazy)
    return module


# ---------------------------------------------------------------------------------------------
# Making lazy classes

_lazy_classes: WeakValueDictionary[tuple[int, Any], type[nn.Module]] = WeakValueDictionary()


@wrapt.synchronized
def lazy_class(wrapped: type[M], options: tuple[tuple[str, Any], ...] | None) -> type[M]:
    """The lazy class of `wrapped` with these options, the same one each time.

    Found by the class itself, not its name; an entry goes when nobody holds the lazy class any more.
    """
    key = (id(wrapped), options and tuple((name, _identity(rule)) for name, rule in options))
    made = _lazy_classes.get(key)
    if made is None:
        made = make_lazy_class(compile_recipe(wrapped, options))
        _lazy_classes[key] = made
    return made  # type: ignore[return-value]


def _identity(rule: Any) -> Any:
    """What tells rules apart: equality where they have it. (The lazy class keeps an unhashable one alive.)"""
    try:
        hash(rule)
    except TypeError:
        return id(rule)
    return rule


def make_lazy_class(recipe: Recipe) -> type[nn.Module]:
    """A subclass of the wrapped class whose instances are lazy; the wrapped class does not notice."""
    wrapped = recipe.wrapped
    doc = _documented(recipe)
    namespace: dict[str, Any] = {
        "__module__": module_for(recipe),
        "__qualname__": recipe.name,
        "__doc__": doc,
        RECIPE: recipe,
        "forward": _lazy_forward(wrapped),
        "cls_to_become": wrapped,
        **own_methods(wrapped),
    }
    if wrapped.get_extra_state is not nn.Module.get_extra_state:
        namespace["get_extra_state"] = _told_extra_state(wrapped)
    if not recipe.decorated:
        namespace["__init__"] = with_lazy_signature(recipe, functools.partial(init_lazy, recipe), recipe.original_init)
    if recipe.original_new is not None:
        namespace["__new__"] = with_lazy_signature(recipe, _plain_new, recipe.original_new)
    for name in _class_attributes(wrapped):
        namespace.setdefault(name, _ClassAttribute(name))
    for name in CONTAINER_METHODS:
        if hasattr(wrapped, name):
            namespace[name] = _unknown_content(name)
    if hasattr(wrapped, "__len__"):
        namespace["__bool__"] = lambda self: True
    metaclass: Any = type(wrapped) if recipe.original_metaclass_call is None else _quiet_metaclass(type(wrapped))
    # last, so that it adds nothing: the name under which torch's own tools, Dynamo first, know lazy modules
    torch_class = () if issubclass(wrapped, LazyModuleMixin) else (LazyModuleMixin,)
    made: type[nn.Module] = subclass_without_hooks(
        metaclass, recipe.name, (LazyInstance, wrapped, *torch_class), namespace
    )
    return made


def module_for(recipe: Recipe) -> str:
    """The module in which the lazy class is found by its name, or one where nothing else is."""
    if recipe.options is None and recipe.wrapped in KNOWN:
        return "lazify.nn"
    where = recipe.wrapped.__module__
    return "lazify" if hasattr(sys.modules.get(where), recipe.name) and not recipe.decorated else where


_PLAIN = (int, float, str, tuple, torch.dtype, torch.device, type(None))


class _ClassAttribute:
    """A plain class attribute: what an instance says, unless the real module will have one of its own by this name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        value = getattr(getattr(owner, RECIPE).wrapped, self.name)
        if instance is None or (state := lazy_state(instance)) is None:
            return value
        try:
            told = state.preview_for(instance)
        except NotMaterializedError:
            if self.name in state.recipe.original_signature.parameters:
                raise
            return value
        if told is None:
            return getattr(instance, self.name)
        own = vars(cast("nn.Module", told.module))
        if self.name in told.constant_attributes and self.name in own:
            return own[self.name]
        if self.name in own or self.name in told.size_dependent_attributes:
            raise NotMaterializedError(_waiting(instance, self.name))
        return value


def _class_attributes(wrapped: type) -> list[str]:
    """Numbers, texts and the like; nn.Module's own and private ones are left alone."""
    found: dict[str, Any] = {}
    for base in reversed(wrapped.__mro__):
        if base is not nn.Module and base is not object:
            found.update(vars(base))
    return [n for n, value in found.items() if isinstance(value, _PLAIN) and n[0] != "_" and not hasattr(nn.Module, n)]


def with_lazy_signature(recipe: Recipe, behaviour: Callable[..., Any], original: Callable[..., Any]) -> Any:
    """In the place of `original`: its name and doc, the lazified signature; what it does, `behaviour` does."""
    shown = function_with_signature(recipe.signature_with_self)
    functools.update_wrapper(shown, original, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    shown.__doc__ = original.__doc__ or _inferred(recipe)
    setattr(shown, ORIGINAL_KEY, original)
    return wrapt.FunctionWrapper(shown, behaviour)


def _plain_new(wrapped: Any, _: None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return object.__new__(args[0])


def _lazy_forward(wrapped: type[nn.Module]) -> Callable[..., Any]:
    @functools.wraps(wrapped.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return materialize_and_call(self, args, kwargs, "forward")

    return forward


def _told_extra_state(wrapped: type[nn.Module]) -> Callable[..., Any]:
    def get_extra_state(self: nn.Module) -> Any:
        told = state_of(self).preview_for(self)
        return wrapped.get_extra_state(self if told is None or told.module is None else told.module)

    return get_extra_state


def _unknown_content(name: str) -> Callable[..., NoReturn]:
    def method(self: LazyInstance, *args: Any) -> NoReturn:
        raise NotMaterializedError(_waiting(self, name))

    return method


def _quiet_metaclass(metaclass: Any) -> Any:
    """A metaclass whose `__call__` leaves lazy instances alone and is otherwise that of `metaclass`."""
    call = original_function(metaclass.__call__)

    def __call__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_original_construction(cls, args, kwargs):
            return call(cls, *args, **kwargs)
        return type.__call__(cls, *args, **kwargs)

    setattr(__call__, ORIGINAL_KEY, call)
    namespace = {
        "__call__": __call__,
        "__signature__": property(lambda cls: call_signature(cls.__init__)),
        "__module__": metaclass.__module__,
    }
    return type(metaclass)(metaclass.__name__, (metaclass,), namespace)


def _documented(recipe: Recipe) -> str:
    own = inspect.getdoc(recipe.wrapped) or ""
    if own == inspect.getdoc(nn.Module) or (
        is_dataclass(recipe.wrapped) and own.startswith(f"{recipe.wrapped.__name__}(")
    ):
        own = ""  # inherited, or made of the signature: says nothing of this class
    return f"Lazily constructed {recipe.wrapped.__name__}. {_inferred(recipe)}\n\n{own}".rstrip() + "\n"


def _inferred(recipe: Recipe) -> str:
    return f"Inferred at the first call: {'; '.join(f'`{name}` from {rule}' for name, rule in recipe.rules.items())}."


# ---------------------------------------------------------------------------------------------
# The decorator form: the class itself becomes lazily constructed


def decorate(cls: type[M], options: tuple[tuple[str, Any], ...] | None) -> type[M]:
    """Replace the constructor of `cls`, in place, by the lazified one."""
    recipe = compile_recipe(cls, options, decorated=True)
    setattr(cls, RECIPE, recipe)
    setattr(cls, LAZY_CLASS, (make_lazy_class(recipe),))

    def __init__(wrapped: Any, self: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        __tracebackhide__ = True
        if _is_original_construction(type(self), args, kwargs, cls):
            _refuse_markers(recipe, args, kwargs)
            original_init(self, recipe, args, kwargs)
        else:
            lazy = _lazy_class_of_decorated(type(self))
            init_lazy(getattr(lazy, RECIPE), wrapped, self, args, kwargs)
            if lazy_state(self) is not None:
                set_class(self, lazy)

    setattr(cls, "__init__", with_lazy_signature(recipe, __init__, recipe.original_init))
    if recipe.original_new is not None:
        _rewrite_new(cls, recipe)
    if recipe.original_metaclass_call is not None:
        setattr(cls, "__class__", _quiet_metaclass(type(cls)))
    cls.__doc__ = _documented(recipe)
    return cls


def _rewrite_new(cls: type[nn.Module], recipe: Recipe) -> None:
    new = recipe.original_new
    assert new is not None

    def __new__(wrapped: Any, _: None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        klass, *others = args
        if _is_original_construction(klass, others, kwargs, cls):
            return new(*args, **kwargs)
        return object.__new__(klass)

    setattr(cls, "__new__", with_lazy_signature(recipe, __new__, new))


def _is_original_construction(cls: type, args: Any, kwargs: Any, decorated: type | None = None) -> bool:
    """Whether this is not a user's `Decorated(...)` but the class's own business.

    So it is when a subclass with a constructor of its own calls `super().__init__`, and for the same class
    inside its own constructor (recursive modules), if the original signature takes the arguments.
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


def _refuse_markers(recipe: Recipe, args: Any, kwargs: Any) -> None:
    """A rule that stands as a default is no value: the original constructor needs the argument."""
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


def _lazy_class_of_decorated(cls: type[nn.Module]) -> type[nn.Module]:
    """The lazy class of a decorated class or of a subclass that inherits its constructor."""
    if issubclass(cls, LazyInstance):  # `type(self)(...)` of a lazy instance
        return cls
    held: tuple[type[nn.Module]] | None = cls.__dict__.get(LAZY_CLASS)
    if held is None:
        base: Recipe = getattr(cls, RECIPE)
        held = (make_lazy_class(compile_recipe(cls, base.options, decorated=True)),)
        setattr(cls, LAZY_CLASS, held)
    return held[0]
