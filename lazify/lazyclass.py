"""The lazy class: how it is made, and what its instances answer before they are real."""

from __future__ import annotations

import abc
import functools
import inspect
from collections.abc import Callable, Iterable
from copy import copy, deepcopy
from typing import Any, ClassVar, NoReturn, TypeVar, cast
from weakref import WeakValueDictionary

import torch
import wrapt
from torch import nn

from lazify.construction import construct, constructing, original_init
from lazify.errors import DefinitionError, NotMaterializedError, compose
from lazify.materialization import call, first_call
from lazify.pending import PENDING, Entry, Pending, waiting
from lazify.recipe import Recipe, compile_recipe
from lazify.rules import Axis
from lazify.signatures import NOT_GIVEN, ORIGINAL, annotations_of, call_signature, unlazified
from lazify.torch_private import DYNAMO_HOOK

__all__ = ["RECIPE", "LazyInstance", "lazy_class", "pending_of", "rewrite"]

M = TypeVar("M", bound=nn.Module)

#: Where a lazy class, and a class rewritten by the decorator, keeps its recipe.
RECIPE = "_lazify_recipe"
#: Where a rewritten class keeps the class of its lazy instances.
LAZY_CLASS = "_lazify_class"


# ---------------------------------------------------------------------------------------------
# Construction


def _begin(
    module: nn.Module, lazy: type[nn.Module], recipe: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """What `__init__` does: bind, then build at once if everything is given, else become lazy."""
    given = _bound(recipe, args, kwargs)
    for name in recipe.rules:
        if name not in given:
            break
    else:
        construct(module, recipe, given)
        return
    if recipe.added and not recipe.added.keys() <= given.keys():
        recipe.bind_strictly(module, *args, **kwargs)  # raises if a required one is missing
    if type(module) is not lazy:
        module.__class__ = lazy
    module.__dict__[PENDING] = Pending(recipe, given)


def _bound(recipe: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What was given, by name.

    Python itself binds, in its own words where it fails; a plain call of a plain signature it need not be asked about.
    """
    names = recipe.positional
    if names is not None and len(args) <= len(names) and recipe.accepted >= kwargs.keys():
        given = dict(zip(names, args, strict=False))
        given.update(kwargs)
        if len(given) == len(args) + len(kwargs) and given.keys() >= recipe.required:
            return given
    bound = recipe.bind(None, *args, **kwargs)
    given = {name: value for name, value in bound.items() if value is not NOT_GIVEN}
    del given["self"]
    return given


# ---------------------------------------------------------------------------------------------
# What is done to a lazy instance, and done again to the real module

#: Wait for the real module altogether.
_DEFERRED = ("apply", "compile", "requires_grad_", "zero_grad")
#: Likewise, but tried at once on an empty module: errors surface, and whether a device was chosen.
_CONVERTING = """
    _apply to to_empty cpu cuda ipu xpu mtia type float double half bfloat16 share_memory
""".split()
#: Done at once to the stand-in (so that the instance shows it), and recorded.
_IMMEDIATE = """
    train eval register_buffer register_parameter add_module register_module set_submodule
""".split()
#: As those, with a handle that must go on working.
_HOOKING = """
    register_forward_pre_hook register_forward_hook register_full_backward_pre_hook register_full_backward_hook
    register_backward_hook register_state_dict_post_hook register_state_dict_pre_hook _register_state_dict_hook
    _register_load_state_dict_pre_hook register_load_state_dict_pre_hook register_load_state_dict_post_hook
""".split()
#: What a container would say of its children: unknown yet.
_CONTAINER = ("__len__", "__iter__", "__getitem__", "__contains__", "__reversed__")


def _recorded(name: str, now: Callable[[LazyInstance, tuple[Any, ...], dict[str, Any]], Any]) -> Callable[..., Any]:
    """The method `name` of lazy instances: `now` at once, the call itself again at the first call."""
    original = getattr(nn.Module, name)

    @functools.wraps(original)
    def method(self: LazyInstance, *args: Any, **kwargs: Any) -> Any:
        result = now(self, args, kwargs)
        pending_of(self).journal.append(Entry(name, args, kwargs))
        return result

    return method


def _deferred(name: str) -> Callable[..., Any]:
    original = getattr(nn.Module, name)
    signature = inspect.signature(original)

    def now(self: LazyInstance, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        signature.bind(self, *args, **kwargs)
        return None if name in ("compile", "zero_grad") else self

    return _recorded(name, now)


def _converting(name: str) -> Callable[..., Any]:
    def now(self: LazyInstance, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        pending_of(self).moved |= _moves(name, args, kwargs)
        return self

    return _recorded(name, now)


def _moves(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether such a conversion chooses a device: it takes an empty tensor elsewhere, or fails to."""

    def device_after(device: str) -> str:
        probe = nn.Module()
        probe.probe = nn.Parameter(torch.empty(0, device=device))
        getattr(nn.Module, name)(probe, *args, **kwargs)
        return probe.probe.device.type

    if device_after("cpu") != "cpu":
        return True
    try:
        return device_after("meta") != "meta"
    except NotImplementedError:  # torch: "Cannot copy out of meta tensor": to the CPU, then
        return True


def _immediate(name: str) -> Callable[..., Any]:
    def now(self: LazyInstance, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        stand_in = pending_of(self).attached()
        result = getattr(nn.Module, name)(stand_in, *args, **kwargs)
        if "training" in vars(self):
            vars(self)["training"] = stand_in.training
        return self if result is stand_in else result

    return _recorded(name, now)


def _hooking(name: str) -> Callable[..., Any]:
    original = getattr(nn.Module, name)

    @functools.wraps(original)
    def method(self: LazyInstance, *args: Any, **kwargs: Any) -> Any:
        pending = pending_of(self)
        handle = original(pending.attached(), *args, **kwargs)
        pending.handles[handle.id] = handle
        pending.journal.append(Entry(name, args, kwargs, hook=handle.id))
        return handle

    return method


# ---------------------------------------------------------------------------------------------
# The lazy instance


class LazyInstance:
    """First base of every lazy class: what instances answer until they become the real module."""

    # no __slots__ here: with a __dict__ of its own this base has the layout of nn.Module,
    # without which Python refuses to assign __class__
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
        """Called by Dynamo before it traces a lazy module."""
        first_call(module, tuple(args), dict(kwargs or {}), None)

    # attributes

    def __getattr__(self, name: str) -> Any:
        pending = vars(self).get(PENDING)
        if pending is None:
            if not isinstance(self, LazyInstance):
                return getattr(self, name)  # another thread has just made it real: look again
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if name not in ("_parameters", "_buffers") and not (name.startswith("__") and name.endswith("__")):
            stand_in = pending.attached()
            try:
                return getattr(stand_in, name)
            except AttributeError:
                pass
        raise NotMaterializedError(_waiting(self, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__class__":
            object.__setattr__(self, name, value)
            return
        pending = pending_of(self)
        stand_in = pending.attached()
        nn.Module.__setattr__(stand_in, name, value)
        if name in vars(stand_in):
            vars(self)[name] = value
        else:
            vars(self).pop(name, None)
        pending.journal.append(Entry("__setattr__", (name, value), {}))

    def __delattr__(self, name: str) -> None:
        pending = pending_of(self)
        try:
            nn.Module.__delattr__(pending.attached(), name)
        except AttributeError:
            raise NotMaterializedError(_waiting(self, name)) from None
        vars(self).pop(name, None)
        pending.journal.append(Entry("__delattr__", (name,), {}))

    def __dir__(self) -> Iterable[str]:
        pending = waiting(cast("nn.Module", self))
        return sorted({*dir(type(self)), *(vars(pending.attached()) if pending is not None else ())})

    # seeing

    def __repr__(self) -> str:
        pending = waiting(cast("nn.Module", self))
        if pending is None:  # another thread is making it real
            return object.__repr__(self)
        shown = [*pending.recipe.signature.parameters, *pending.recipe.added]
        shown += [name for name in pending.recipe.rules if name not in shown]
        parts = []
        for name in shown:
            if name in pending.given:
                parts.append(f"{name}={pending.given[name]!r}")
            elif name in pending.recipe.rules:
                parts.append(f"{name}=?")
        return f"{pending.recipe.name}({', '.join(parts)})"

    # copies

    def __reduce_ex__(self, protocol: Any) -> Any:
        pending = pending_of(self)
        twin = pending.copy(copy)
        own = {name: value for name, value in vars(self).items() if name != PENDING}
        state = (twin.given, twin.journal, twin.stand_in, twin.moved, own)
        decorated = pending.recipe.decorated
        return _revive, (pending.recipe.wrapped, None if decorated else pending.recipe.options, decorated), state

    def __setstate__(self, state: Any) -> None:
        pending = Pending(type(self)._lazify_recipe, state[0])
        pending.journal, pending.stand_in, pending.moved = state[1], state[2], state[3]
        vars(self).update(state[4], **{PENDING: pending})

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        twin = memo[id(self)] = object.__new__(type(self))
        pending = pending_of(self).copy(lambda value: deepcopy(value, memo))
        own = {name: deepcopy(value, memo) for name, value in vars(self).items() if name != PENDING}
        vars(twin).update(own, **{PENDING: pending})
        return twin


for _names, _kind in (
    (_DEFERRED, _deferred),
    (_CONVERTING, _converting),
    (_IMMEDIATE, _immediate),
    (_HOOKING, _hooking),
):
    for _name in _names:
        setattr(LazyInstance, _name, _kind(_name))
setattr(LazyInstance, DYNAMO_HOOK, None)


def pending_of(module: Any) -> Pending:
    pending: Pending = vars(module)[PENDING]
    return pending


def _waiting(module: LazyInstance, name: str) -> str:
    pending = pending_of(module)
    missing = [n for n in pending.recipe.rules if n not in pending.given]
    what = {"_parameters": "the parameters are", "_buffers": "the buffers are"}.get(name, f"attribute {name!r} is")
    return compose(
        f"{what} not known yet: this {pending.recipe.name} waits for its first call",
        [("to be inferred", ", ".join(missing))],
        f"module(input)  # once\n{pending.recipe.called}(..., {'=..., '.join(missing)}=...)  # or give them",
    )


def _revive(wrapped: type[nn.Module], options: Any, decorated: bool) -> nn.Module:
    """Unpickle: an empty lazy instance; `__setstate__` follows."""
    lazy: Any = _lazy_class_of_decorated(wrapped) if decorated else lazy_class(wrapped, options)
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
        made = _make(compile_recipe(wrapped, options))
        _lazy_classes[key] = made
    return made  # type: ignore[return-value]


def _identity(rule: Any) -> Any:
    """What tells rules apart: equality where they have it. (The lazy class keeps an unhashable one alive.)"""
    try:
        hash(rule)
    except TypeError:
        return id(rule)
    return rule


def _make(recipe: Recipe) -> type[nn.Module]:
    """A subclass of the wrapped class whose instances are lazy; the wrapped class does not notice."""
    wrapped = recipe.wrapped
    doc = _documented(recipe)
    namespace: dict[str, Any] = {
        "__module__": wrapped.__module__,
        "__qualname__": recipe.name,
        "__doc__": doc,
        RECIPE: recipe,
        "forward": _lazy_forward(wrapped),
    }
    if not recipe.decorated:
        namespace["__init__"] = _signed(recipe, _lazy_init(recipe), recipe.init)
    if recipe.new is not None:
        namespace["__new__"] = _signed(recipe, _plain_new(), recipe.new)
    for name in _CONTAINER:
        if hasattr(wrapped, name):
            namespace[name] = _unknown_content(name)
    if hasattr(wrapped, "__len__"):
        namespace["__bool__"] = lambda self: True
    metaclass: Any = type(wrapped) if recipe.metaclass_call is None else _quiet_metaclass(type(wrapped))
    # abc needs its own bookkeeping; any other metaclass's __new__ may register or refuse what it sees
    maker = abc.ABCMeta if issubclass(metaclass, abc.ABCMeta) else type
    made: Any = maker.__new__(metaclass, recipe.name, (LazyInstance, wrapped), namespace)
    return cast("type[nn.Module]", made)


def _signed(recipe: Recipe, function: Callable[..., Any], original: Callable[..., Any]) -> Any:
    """`function` in the place of `original`: its name and doc, the lazified signature."""
    functools.update_wrapper(function, original)
    function.__annotations__ = annotations_of(recipe.shown)
    setattr(function, ORIGINAL, original)
    return wrapt.with_signature(signature=recipe.shown)(function)


def _lazy_init(recipe: Recipe) -> Callable[..., None]:
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        _begin(self, type(self), recipe, args, kwargs)

    return __init__


def _plain_new() -> Callable[..., Any]:
    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    return __new__


def _lazy_forward(wrapped: type[nn.Module]) -> Callable[..., Any]:
    @functools.wraps(wrapped.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return first_call(self, args, kwargs, "forward")

    return forward


def _unknown_content(name: str) -> Callable[..., NoReturn]:
    def method(self: LazyInstance, *args: Any) -> NoReturn:
        raise NotMaterializedError(_waiting(self, name))

    return method


def _quiet_metaclass(metaclass: Any) -> Any:
    """A metaclass whose `__call__` leaves lazy instances alone and is otherwise that of `metaclass`."""
    call = unlazified(metaclass.__call__)

    def __call__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_original_construction(cls, args, kwargs):
            return call(cls, *args, **kwargs)
        return type.__call__(cls, *args, **kwargs)

    setattr(__call__, ORIGINAL, call)
    namespace = {
        "__call__": __call__,
        "__signature__": property(lambda cls: call_signature(cls.__init__)),
        "__module__": metaclass.__module__,
    }
    return type(metaclass)(metaclass.__name__, (metaclass,), namespace)


def _documented(recipe: Recipe) -> str:
    inferred = "; ".join(f"`{name}` from {rule}" for name, rule in recipe.rules.items())
    own = inspect.getdoc(recipe.wrapped) or ""
    if own == inspect.getdoc(nn.Module):
        own = ""  # inherited, and says nothing of this class
    return (
        f"Lazily constructed {recipe.wrapped.__name__}. Inferred at the first call: {inferred}.\n\n{own}".rstrip()
        + "\n"
    )


# ---------------------------------------------------------------------------------------------
# The decorator form: the class itself becomes lazily constructed


def rewrite(cls: type[M], options: tuple[tuple[str, Any], ...] | None) -> type[M]:
    """Replace the constructor of `cls`, in place, by the lazified one."""
    recipe = compile_recipe(cls, options, decorated=True)
    setattr(cls, RECIPE, recipe)
    setattr(cls, LAZY_CLASS, _make(recipe))

    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        if _is_original_construction(type(self), args, kwargs, cls):
            _refuse_markers(recipe, args, kwargs)
            original_init(self, recipe, args, kwargs)
        else:
            lazy = _lazy_class_of_decorated(type(self))
            _begin(self, lazy, getattr(lazy, RECIPE), args, kwargs)

    setattr(cls, "__init__", _signed(recipe, __init__, recipe.init))
    if recipe.new is not None:
        _rewrite_new(cls, recipe)
    if recipe.metaclass_call is not None:
        setattr(cls, "__class__", _quiet_metaclass(type(cls)))
    cls.__doc__ = _documented(recipe)
    return cls


def _rewrite_new(cls: type[nn.Module], recipe: Recipe) -> None:
    new = recipe.new
    assert new is not None

    def __new__(klass: type, *args: Any, **kwargs: Any) -> Any:
        if _is_original_construction(klass, args, kwargs, cls):
            return new(klass, *args, **kwargs)
        return object.__new__(klass)

    setattr(cls, "__new__", _signed(recipe, __new__, new))


def _is_original_construction(cls: type, args: Any, kwargs: Any, decorated: type | None = None) -> bool:
    """Whether this is not a user's `Decorated(...)` but the class's own business.

    So it is when a subclass with a constructor of its own calls `super().__init__`, and for the same class
    inside its own constructor (recursive modules), if the original signature takes the arguments.
    """
    definer = next(base for base in cls.__mro__ if "__init__" in base.__dict__)
    recipe: Recipe | None = definer.__dict__.get(RECIPE)
    if recipe is None or (decorated is not None and definer is not decorated):
        return True
    if any(issubclass(cls, each) for each in constructing.classes):
        try:
            recipe.signature.bind(*args, **kwargs)
        except TypeError:
            return False
        return True
    return False


def _refuse_markers(recipe: Recipe, args: Any, kwargs: Any) -> None:
    """A rule that stands as a default is no value: the original constructor needs the argument."""
    marked = [p for p in recipe.signature.parameters.values() if isinstance(p.default, Axis)]
    if not marked:
        return
    bound = recipe.signature.bind_partial(*args, **kwargs).arguments
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
    made: type[nn.Module] | None = cls.__dict__.get(LAZY_CLASS)
    if made is None:
        base: Recipe = getattr(cls, RECIPE)
        made = _make(compile_recipe(cls, base.options, decorated=True))
        setattr(cls, LAZY_CLASS, made)
    return made
