"""The first call: build the real module in the lazy instance's place, run it, keep it or take it back.

The only file that changes live modules. The way of one first call:

    module(x) -> values inferred -> [ gate up, class = wrapped, constructor, journal replayed ] -> the call
              -> passed: gate down           raised: the lazy state again, as if nothing had been

The instance itself is constructed, not a twin that is copied over: whatever the constructor or the journal
ties to `self` (bound methods, hooks, handles) is tied to the object that the user holds. Until the call has
passed, a gate keeps other threads out.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from threading import RLock, get_ident
from types import MethodType
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify.errors import InferenceError
from lazify.inference import NotFound, infer, search, structure, tensors
from lazify.probing import Probe
from lazify.recipe import Recipe
from lazify.torch_private import (
    GATE,
    GLOBAL_PRE_HOOKS,
    any_autocast,
    inside_transform,
    is_made_here,
    outside_transforms,
)

__all__ = ["PENDING", "Entry", "Pending", "call", "construct", "first_call", "local", "original_init", "waiting"]

logger = logging.getLogger("lazify")

#: Past every `__setattr__`: `set_class(module, "__class__", cls)`.
set_class = object.__setattr__

#: The one key that lazify adds to a lazy instance's `__dict__`.
PENDING = "_lazify_pending"


@dataclass
class Entry:
    """One thing done to a lazy instance, to be done again to the real module."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    hook: int | None = None  # id of the hook that it registered


class Pending:
    """What a lazy instance knows before its first call.

    Attributes:
        recipe: that of its lazy class.
        given: constructor arguments, by name.
        journal: what was done to the instance, in order.
        stand_in: a bare module that holds what was attached meanwhile (hooks, attributes, submodules);
            made when first needed.
        handles: hook id -> the handle that the user holds, to be pointed at the real module.
        moved: whether a device was chosen before the first call.
        lock: held during the first call.
    """

    __slots__ = ("given", "handles", "journal", "lock", "moved", "recipe", "stand_in")

    def __init__(self, recipe: Recipe, given: dict[str, Any]) -> None:
        self.recipe = recipe
        self.given = given
        self.journal: list[Entry] = []
        self.stand_in: nn.Module | None = None
        self.handles: dict[int, RemovableHandle] = {}
        self.moved = False
        self.lock = RLock()

    def copy(self, duplicate: Callable[[Any], Any]) -> Pending:
        """A copy with its own lock; nobody holds handles on its hooks."""
        twin = Pending(self.recipe, duplicate(self.given))
        twin.journal, twin.stand_in = duplicate((self.journal, self.stand_in))
        twin.moved = self.moved
        return twin

    def attached(self) -> nn.Module:
        if self.stand_in is None:
            self.stand_in = nn.Module()
        return self.stand_in


# ---------------------------------------------------------------------------------------------
# Constructing in place


class _Local(threading.local):
    """Per thread: which classes are inside their own constructor, which first calls are under way."""

    def __init__(self) -> None:
        self.constructing: list[type] = []
        self.under_way: list[_FirstCall] = []


local = _Local()


def construct(module: nn.Module, recipe: Recipe, arguments: dict[str, Any]) -> None:
    """Make `module` an instance of the wrapped class, as `wrapped(...)` would: `__new__`, metaclass and all."""
    if recipe.new is not None or recipe.metaclass_call is not None:
        _construct_specially(module, recipe, *recipe.arrange(arguments))
        return
    args, kwargs = recipe.arrange(arguments)
    set_class(module, "__class__", recipe.wrapped)
    original_init(module, recipe, args, kwargs)


def original_init(module: nn.Module, recipe: Recipe, args: Any, kwargs: Any) -> None:
    """Run the unlazified constructor; what it constructs of its own class is not lazy (see `lazyclass`)."""
    constructing = local.constructing
    constructing.append(recipe.wrapped)
    try:
        recipe.init(module, *args, **kwargs)
    finally:
        constructing.pop()


def _construct_specially(module: nn.Module, recipe: Recipe, args: Any, kwargs: Any) -> None:
    """Where the class has its own `__new__`, or its metaclass its own `__call__`, these decide what is made."""
    wrapped: Any = recipe.wrapped
    local.constructing.append(wrapped)
    try:
        if recipe.metaclass_call is not None:
            _adopt(module, recipe.metaclass_call(wrapped, *args, **kwargs))
            return
        assert recipe.new is not None
        made = recipe.new(wrapped, *args, **kwargs)
        _adopt(module, made)
        if type(made) is wrapped:
            recipe.init(module, *args, **kwargs)
        elif isinstance(made, wrapped):
            type(made).__init__(module, *args, **kwargs)
    finally:
        local.constructing.pop()


def _adopt(module: nn.Module, made: nn.Module) -> None:
    """Take over class and state of an object that only its own class can make, and what it ties to itself."""
    set_class(module, "__class__", type(made))
    state = vars(made)
    if (gate := vars(module).get(GATE)) is not None:
        state[GATE] = gate
    object.__setattr__(module, "__dict__", state)  # shared from here on: what still holds `made` sees the same
    for name in _slots(type(made)):
        if hasattr(made, name):
            object.__setattr__(module, name, getattr(made, name))
    for inside in module.modules() if "_modules" in state else ():
        for container in (vars(inside), *(each for each in vars(inside).values() if isinstance(each, dict))):
            for key, value in container.items():
                if isinstance(value, MethodType) and value.__self__ is made:
                    container[key] = MethodType(value.__func__, module)
                elif value is made:
                    container[key] = module


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                yield name if not name.startswith("__") else f"_{base.__name__.lstrip('_')}{name}"


# ---------------------------------------------------------------------------------------------
# The surroundings of a construction: as if it stood in a plain line of code, on the right device


def _surroundings_are_plain() -> bool:
    return (
        torch.is_grad_enabled()
        and not torch.is_inference_mode_enabled()
        and not any_autocast()
        and inside_transform() is None
    )


def _plain_surroundings(device: torch.device | None) -> ExitStack:
    """Gradients on, no inference mode, autocast or transform, `device` as the default: whatever the call stands in."""
    stack = ExitStack()
    if inside_transform() is not None:
        stack.enter_context(outside_transforms())
    if torch.is_inference_mode_enabled():
        stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())
    for kind in {"cpu", "cuda" if device is None else device.type} - {"meta"}:
        if torch.is_autocast_enabled(kind):
            stack.enter_context(torch.autocast(kind, enabled=False))
    if device is not None:
        stack.enter_context(device)
    return stack


def _other_device(pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    """The input's device, where parameters would not be made on it anyway.

    None too if a device was chosen before, or if there is no input tensor to follow.
    """
    if pending.moved or pending.given.get("device") is not None:
        return None
    tensor = args[0] if args and isinstance(args[0], torch.Tensor) else next(tensors((args, kwargs)), None)
    if tensor is None or is_made_here(tensor):
        return None
    return tensor.device


def _bring_along(module: nn.Module, device: torch.device) -> None:
    """Move what the constructor made elsewhere all the same (from numpy arrays, say)."""
    if any(t is not None and t.device != device for t in (*module.parameters(), *module.buffers())):
        module.to(device)


# ---------------------------------------------------------------------------------------------
# Taking back

_Random: TypeAlias = "Sequence[tuple[Callable[[torch.Tensor], Any], torch.Tensor]]"


def _random_state(device: torch.device | None) -> _Random:
    """What restores the random state: of the CPU, and of the device where parameters will be drawn."""
    cpu = torch.default_generator
    states: list[Any] = [(cpu.set_state, cpu.get_state())]
    if device is not None and device.type not in ("cpu", "meta"):
        backend = torch.get_device_module(device)
        states.append((lambda state: backend.set_rng_state(state, device), backend.get_rng_state(device)))
    return states


class _FirstCall:
    """One first call under way: how to begin again, and how to leave the instance as it was."""

    __slots__ = ("arguments", "compiled", "handles", "inner", "lazy", "module", "owner", "pending", "random", "state")

    def __init__(self, module: nn.Module, pending: Pending) -> None:
        self.module = module
        self.pending = pending
        self.lazy = type(module)
        self.state = module.__dict__.copy()
        self.arguments: Sequence[_Restore] = ()
        self.owner = get_ident()
        self.random: _Random = ()
        self.handles: list[tuple[RemovableHandle, tuple[Any, ...]]] | None = None
        self.inner: list[_FirstCall] | None = None
        self.compiled: Callable[..., Any] | None = None  # set if the journal holds `compile()`

    def keep_arguments(self) -> None:
        """Remember what constructor arguments hold now."""
        given, journal = self.pending.given.values(), self.pending.journal
        if journal or not _PLAIN.issuperset(map(type, given)):
            attached = [entry.args for entry in journal]
            applies = any(entry.method == "apply" for entry in journal)
            self.arguments = _restorers([*given, *attached], tensors_too=applies)

    # the gate: stands in torch's own switch in `nn.Module.__call__` until the first call has passed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Let this thread through, others wait and then look again."""
        if get_ident() == self.owner:
            return (self.compiled or self.module._call_impl)(*args, **kwargs)
        with self.pending.lock:
            pass
        if isinstance(self.module, self.lazy):  # it failed: this call is now the first
            return self.module(*args, **kwargs)
        return self.module._wrapped_call_impl(*args, **kwargs)

    def passed(self, under_way: list[_FirstCall]) -> None:
        """Open the gate. The instance is the real module, nothing of lazify left in it."""
        if self.compiled is None:
            self.module.__dict__.pop(GATE, None)
        else:
            self.module.__dict__[GATE] = self.compiled
        if under_way:
            outer = under_way[-1]
            outer.inner = [*(outer.inner or ()), self]

    def rewind(self) -> None:
        """Undo all but the lazy state itself."""
        for inner in reversed(self.inner or ()):
            inner.undo()
        for handle, (hooks, number, extra) in reversed(self.handles or ()):
            handle.hooks_dict_ref, handle.id, handle.extra_dict_ref = hooks, number, extra
        for restore_argument in self.arguments:
            restore_argument()
        for restore, state in self.random:
            restore(state)
        for name in _slots(type(self.module)):
            if hasattr(self.module, name):
                object.__delattr__(self.module, name)
        self.inner = self.handles = None

    def undo(self) -> None:
        """Make the instance lazy again. Its lock is still held: whoever waits finds it so."""
        self.rewind()
        state = vars(self.module)
        state.update(self.state)
        set_class(self.module, "__class__", self.lazy)
        for name in [name for name in state if name not in self.state]:
            del state[name]


_Restore: TypeAlias = "Callable[[], object]"
_PLAIN = frozenset({int, float, bool, str, type(None), type, torch.dtype, torch.device})


def _restorers(values: Iterable[Any], tensors_too: bool) -> list[_Restore]:
    """What brings constructor arguments back to what they are now, should constructor or call change them.

    Containers and modules, however nested; the values of tensors only if asked, since they take memory.
    """
    found: list[_Restore] = []
    for value in values:
        if isinstance(value, (list, dict, set)):
            found.append(functools.partial(_refill, value, list(value.items() if isinstance(value, dict) else value)))
        if isinstance(value, (list, tuple, set)):
            found += _restorers(value, tensors_too)
        elif isinstance(value, dict):
            found += _restorers(value.values(), tensors_too)
        elif isinstance(value, nn.Module):
            found += _module_restorers(value, tensors_too)
    return found


def _refill(container: Any, content: list[Any]) -> None:
    if isinstance(container, list):
        container[:] = content
    else:
        container.clear()
        container.update(content)


def _module_restorers(module: nn.Module, tensors_too: bool) -> Iterator[_Restore]:
    state = vars(module)
    if PENDING in state or GATE in state:
        return  # lazy, or being made by another thread: its own first call undoes itself
    for each in state.values():
        if isinstance(each, (dict, set)):
            yield functools.partial(_refill, each, list(each.items() if isinstance(each, dict) else each))
    yield functools.partial(_refill, state, list(state.items()))
    for tensor in (*module._parameters.values(), *module._buffers.values()):
        if tensor is not None:
            yield functools.partial(
                _restore_tensor, tensor, tensor.data, tensor.detach().clone() if tensors_too else None
            )
    for child in list(module._modules.values()):
        if child is not None:
            yield from _module_restorers(child, tensors_too)


def _restore_tensor(tensor: torch.Tensor, data: torch.Tensor, values: torch.Tensor | None) -> None:
    tensor.data = data  # the same storage: others may share it
    if values is not None:
        data.copy_(values)


# ---------------------------------------------------------------------------------------------
# Building


def _build(call: _FirstCall, values: dict[str, Any], device: torch.device | None) -> None:
    """From lazy, bare or wrongly built to the real module, with all that was done before done to it."""
    # contexts cost microseconds, and nearly every first call stands in plain surroundings
    if device is None and _surroundings_are_plain():
        _build_here(call, values)
        return
    with _plain_surroundings(device):
        _build_here(call, values, device)


def _build_here(call: _FirstCall, values: dict[str, Any], device: torch.device | None = None) -> None:
    module, pending = call.module, call.pending
    recipe, state = pending.recipe, module.__dict__
    state[GATE] = call
    set_class(module, "__class__", recipe.wrapped)
    for name in [name for name in state if name != GATE]:
        del state[name]
    if recipe.plain_init:
        recipe.init(module, **pending.given, **values)
    else:
        construct(module, recipe, {**pending.given, **values})
    if device is not None:
        _bring_along(module, device)
    if pending.journal:
        _replay(call)


def _replay(call: _FirstCall) -> None:
    """Do again, in order, what was done to the lazy instance."""
    module, pending = call.module, call.pending
    for entry in pending.journal:
        result = getattr(module, entry.method)(*entry.args, **entry.kwargs)
        if entry.hook is None:
            continue
        if not _still_registered(pending, entry.hook):
            result.remove()
        elif (handle := pending.handles.get(entry.hook)) is not None:
            before = (handle.hooks_dict_ref, handle.id, handle.extra_dict_ref)
            call.handles = [*(call.handles or ()), (handle, before)]
            handle.hooks_dict_ref, handle.id = result.hooks_dict_ref, result.id
            handle.extra_dict_ref = result.extra_dict_ref
    if (compiled := module.__dict__.get(GATE)) is not call:
        call.compiled, module.__dict__[GATE] = compiled, call


def _still_registered(pending: Pending, hook: int) -> bool:
    return any(hook in each for each in vars(pending.attached()).values() if isinstance(each, dict))


# ---------------------------------------------------------------------------------------------
# The first call


def waiting(module: nn.Module) -> Pending | None:
    """What `module` knows while it is lazy, None once it is real."""
    return module.__dict__.get(PENDING)


def call(module: Any, /, *args: Any, **kwargs: Any) -> Any:
    """`__call__` of a lazy instance: materialize it and make the call.

    Of concurrent first calls one materializes, the others wait for it.

    Raises:
        InferenceError: if the call does not determine the inferred parameters.
        Exception: whatever the constructor or the call raises.

    In every case the instance is then lazy and unchanged, and so are lazy modules inside that had been
    materialized by this call.
    """
    pending: Pending | None = module.__dict__.get(PENDING)
    if pending is not None:
        with pending.lock:
            if PENDING in module.__dict__:
                recipe = pending.recipe
                if recipe.direct is not None and len(args) == 1 and not kwargs and _is_simple(pending, args[0]):
                    return _simple_attempt(module, pending, recipe, args[0])
                if recipe.guessed:
                    return _guess_or_search(module, pending, args, kwargs, "__call__")
                return _attempt(module, pending, args, kwargs, "__call__", _by_rules)
    return module(*args, **kwargs)  # another thread came first


def first_call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None) -> Any:
    """The same for `module.forward(...)`, or for no call at all, with the arguments of one.

    (Threads that call `forward` directly, past `__call__`, do not meet the gate.)
    """
    pending = waiting(module)
    if pending is not None:
        with pending.lock:
            if waiting(module) is pending:
                if pending.recipe.guessed:
                    return _guess_or_search(module, pending, args, kwargs, method)
                return _attempt(module, pending, args, kwargs, method, _by_rules)
    return None if method is None else getattr(module, method)(*args, **kwargs)


def _attempt(
    module: nn.Module,
    pending: Pending,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None,
    find: _Find,
) -> Any:
    """Build with the values that `find` yields and make the call; whatever raises, it was never tried."""
    recipe = pending.recipe
    watched = method == "__call__" and (not recipe.plain_call or _has_pre_hooks(pending))
    values = _if_found(find, pending, args, kwargs, method) if watched else find(pending, args, kwargs, method)
    device = _other_device(pending, args, kwargs)
    under_way = local.under_way
    first = _FirstCall(module, pending)
    first.keep_arguments()
    under_way.append(first)
    try:
        if watched:
            _build_watched(first, values, device, find)
        else:
            _build(first, cast("dict[str, Any]", values), device)
        if method == "__call__":
            result = module(*args, **kwargs)
        else:
            result = None if method is None else getattr(module, method)(*args, **kwargs)
    except BaseException:
        first.undo()
        raise
    finally:
        under_way.pop()
    first.passed(under_way)
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, values)
    return result


def _is_simple(pending: Pending, x: Any) -> bool:
    """Whether nothing was done to the instance, nothing stands in the way, and `x` is all there is to look at."""
    return (
        type(x) is torch.Tensor
        and pending.stand_in is None
        and not pending.journal
        and not GLOBAL_PRE_HOOKS
        and is_made_here(x)
        and x.dim() > pending.recipe.direct[1] >= -x.dim()  # type: ignore[index]
        and _PLAIN.issuperset(map(type, pending.given.values()))
        and _surroundings_are_plain()
    )


def _simple_attempt(module: nn.Module, pending: Pending, recipe: Recipe, x: torch.Tensor) -> Any:
    """What `_attempt` does where `_is_simple`: most first calls of torch's own classes, so without detours.

    (A first call competes with the construction of one small layer: a tenth of that is a dozen Python calls.)
    """
    name, dim = cast("tuple[str, int]", recipe.direct)
    state, under_way = module.__dict__, local.under_way
    first = _FirstCall(module, pending)
    under_way.append(first)
    try:
        state[GATE] = first
        set_class(module, "__class__", recipe.wrapped)
        del state[PENDING]
        recipe.init(module, **{name: x.shape[dim]}, **pending.given)
        result = module(x)
    except BaseException:
        first.undo()
        raise
    finally:
        under_way.pop()
    first.passed(under_way)
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, {name: x.shape[dim]})
    return result


#: How values are found: from what is pending, and from the arguments of the call of a method.
_Find: TypeAlias = "Callable[..., dict[str, Any]]"


def _by_rules(
    pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None = "forward"
) -> dict[str, Any]:
    recipe = pending.recipe
    return infer(recipe, pending.given, recipe.bind_forward(None, *args, **kwargs))


# ---------------------------------------------------------------------------------------------
# Classes that nobody described: a guess is proved by the call itself, or values are searched for


def _guess_or_search(
    module: nn.Module, pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None
) -> Any:
    """The first call of a class whose rules are guesses.

    The guess is proved by the real call where a wrong one would leave no trace: not if there are hooks to see
    it, or arguments that change on the way. Then, and if it fails, values are searched for.
    """
    recipe = pending.recipe
    guess = _if_found(_by_rules, pending, args, kwargs, method)
    seen = not recipe.plain_call or pending.handles or _has_pre_hooks(pending)
    if seen or guess is None or structure((pending.given, args, kwargs)) in recipe.solved:
        return _attempt(module, pending, args, kwargs, method, _by_search)
    random = _random_state(_other_device(pending, args, kwargs))
    try:
        return _attempt(module, pending, args, kwargs, method, _by_rules)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as failure:
        for restore, state in random:
            restore(state)
        try:
            values = _by_search(pending, args, kwargs, method)
        except InferenceError as error:
            raise failure from error
        if values == guess:
            raise  # not for its sizes
    return _attempt(module, pending, args, kwargs, method, lambda *_: values)


def _by_search(
    pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None = "forward"
) -> dict[str, Any]:
    """The values remembered for such a call, else those with which a run that nobody sees passes."""
    recipe = pending.recipe
    key = structure((pending.given, args, kwargs))
    if key not in recipe.solved:
        made = functools.partial(_throw_away, recipe)
        probe = Probe(made, pending.given, args, kwargs, method or "__call__")
        recipe.solved[key] = search(recipe, pending.given, probe)
    return recipe.solved[key]


def _throw_away(recipe: Recipe, arguments: Mapping[str, Any]) -> nn.Module:
    """An eager module for a run that nobody sees."""
    module: nn.Module = object.__new__(recipe.wrapped)
    construct(module, recipe, dict(arguments))
    return module


# ---------------------------------------------------------------------------------------------
# Calls whose arguments change on the way to `forward`


def _has_pre_hooks(pending: Pending) -> bool:
    stand_in = pending.stand_in
    return bool(GLOBAL_PRE_HOOKS or (stand_in is not None and stand_in._forward_pre_hooks))


def _if_found(find: _Find, pending: Pending, args: Any, kwargs: Any, method: str | None) -> dict[str, Any] | None:
    """The values for the arguments as passed, if they can be had."""
    try:
        return find(pending, args, kwargs, method)
    except (InferenceError, NotFound, TypeError):
        return None


def _build_watched(call: _FirstCall, values: dict[str, Any] | None, device: torch.device | None, find: _Find) -> None:
    """Build from the arguments as passed, and look again when they reach `forward`.

    A pre-forward hook or a `__call__` of the class's own may change them. Where the values then are
    others the module is built anew; where they could not be had before, it is built only there.
    """
    module, pending = call.module, call.pending
    call.random = _random_state(device)
    if values is None:
        set_class(module, "__class__", pending.recipe.wrapped)
        vars(module).update(vars(pending.attached()), **{GATE: call})
        vars(module).pop(PENDING)
    else:
        _build(call, values, device)
    own_forward = vars(module).get("forward")

    def watch(*args: Any, **kwargs: Any) -> Any:
        vars(module).pop("forward")
        if own_forward is not None:
            vars(module)["forward"] = own_forward
        looked = find if values is None else functools.partial(_if_found, find)
        final = looked(pending, args, kwargs, "forward")
        if final is not None and not _same(values, final):
            changes = {} if values is None else _changes(built, vars(module))
            call.rewind()
            _build(call, final, device if device is not None else _other_device(pending, args, kwargs))
            _carry_over(built, changes, vars(module))
        return module.forward(*args, **kwargs)

    built = _contents(vars(module))
    vars(module)["forward"] = watch


#: Of a module's `__dict__`: its values, and for dicts in it what they hold, in order.
_Contents: TypeAlias = "dict[str, Any]"
_GONE = object()


def _contents(state: dict[str, Any]) -> _Contents:
    return {name: dict(value) if isinstance(value, dict) else value for name, value in state.items() if name != GATE}


def _changes(before: _Contents, state: dict[str, Any]) -> _Contents:
    """What hooks did to a module since it was built: for each attribute, or key of a dict in it, the new value."""
    after = _contents(state)
    changes: _Contents = {}
    for name in {**before, **after}:
        old, new = before.get(name, _GONE), after.get(name, _GONE)
        if isinstance(old, dict) and isinstance(new, dict):
            inside = {k: new.get(k, _GONE) for k in {**old, **new} if new.get(k, _GONE) is not old.get(k, _GONE)}
            if inside:
                changes[name] = inside
        elif new is not old:
            changes[name] = new
    return changes


def _carry_over(before: _Contents, changes: _Contents, state: dict[str, Any]) -> None:
    """Do the same to the module built anew; its hooks have other numbers, in the same order."""
    for name, change in changes.items():
        if isinstance(before.get(name), dict) and isinstance(change, dict):
            renumbered = dict(zip(before[name], state[name], strict=False)) if "_hooks" in name else {}
            for key, value in change.items():
                _put(state[name], renumbered.get(key, key), value)
        else:
            _put(state, name, change)


def _put(container: dict[Any, Any], key: Any, value: Any) -> None:
    if value is _GONE:
        container.pop(key, None)
    else:
        container[key] = value


def _same(values: Any, others: Any) -> bool:
    try:
        return bool(values == others)
    except Exception:  # arrays and the like do not compare to one truth
        return True
