"""The first call: build the real module in the lazy instance's place, run it, keep it or take it back.

With `construction` and `restoring`, the only files that change live modules. The way of one first call:

    module(x) -> values inferred -> [ gate up, class = wrapped, constructor, journal replayed ] -> the call
              -> passed: gate down           raised: the lazy state again, as if nothing had been

The instance itself is constructed, not a twin that is copied over: whatever the constructor or the journal
ties to `self` (bound methods, hooks, handles) is tied to the object that the user holds. Until the call has
passed, a gate keeps other threads out.
"""

from __future__ import annotations

import enum
import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify.construction import (
    bring_along,
    construct,
    constructing,
    eager,
    plain_surroundings,
    set_class,
    slots,
    surroundings_are_plain,
)
from lazify.errors import InferenceError, NotMaterializedError, compose
from lazify.inference import NotFound, infer, search, structure, tensors
from lazify.journal import CONVERTING, FLAGGING, IMMEDIATE, Entry, Recorded, attached
from lazify.memory import PLAIN, remember, remembered, seen
from lazify.pending import PENDING, Pending, waiting
from lazify.placeholders import substitute
from lazify.probing import Probe, thrown_away
from lazify.recipe import Recipe
from lazify.restoring import (
    Random,
    Restore,
    carry_over,
    changes,
    contents,
    random_state,
    restorers,
)
from lazify.settling import Settlement, confirm, settle
from lazify.torch_private import GATE, GLOBAL_PRE_HOOKS, hidden_from_dynamo, is_made_here, unset_fake_mode
from lazify.trees import walk

__all__ = [
    "FirstCalls",
    "Plan",
    "Rehearsal",
    "call",
    "first_call",
    "follow",
    "plans_of",
    "under_way",
]

logger = logging.getLogger("lazify")


class _UnderWay(threading.local):
    """Per thread: the first calls under way, each inside the one before, and whether all will be taken back."""

    def __init__(self) -> None:
        self.calls: list[FirstCalls] = []
        self.rehearsal: Rehearsal | None = None


under_way = _UnderWay()


#: Arguments as they are remembered.
Seen: TypeAlias = "tuple[tuple[Any, ...], Mapping[str, Any]]"


class Rehearsal(enum.Enum):
    """A run that only finds values: what it builds is taken back, and nothing that users see is done to it."""

    ON_FAKES = enum.auto()
    FOR_REAL = enum.auto()  # in eval mode


@dataclass(eq=False)
class Plan:
    """What a rehearsal found for one lazy instance.

    Attributes:
        module: the instance, if it exists before the run.
        values: of its inferred parameters.
        seen: from what they were inferred.
        device: of its input, where parameters would be made elsewhere.
        inside: for lazy instances that its constructor makes, by their number.
    """

    module: nn.Module
    values: dict[str, Any]
    seen: Seen
    device: torch.device | None = None
    inside: dict[int, Plan] = field(default_factory=dict)


class FirstCalls:
    """First calls that have passed inside something that may still fail."""

    inner: list[_FirstCall] | None = None

    def take_back(self) -> None:
        for inner in reversed(self.inner or ()):
            inner.undo()
        self.inner = None


class _FirstCall(FirstCalls):
    """One first call under way: how to begin again, and how to leave the instance as it was."""

    # on the class: what most first calls never need
    made: Sequence[nn.Module] = ()  # lazy instances that the constructor made, in a rehearsal
    plan: Plan | None = None  # what a rehearsal found
    seen: Seen = ((), {})  # the arguments of the call
    device: torch.device | None = None
    arguments: Sequence[Restore] = ()
    random: Random = ()
    handles: list[tuple[RemovableHandle, tuple[Any, ...]]] | None = None
    compiled: Callable[..., Any] | None = None  # set if the journal holds `compile()`
    values: dict[str, Any] | None = None  # with which it was built
    settled: Settlement | None = None  # takes back what became of the skeleton

    def __init__(self, module: nn.Module, pending: Pending) -> None:
        self.module = module
        self.pending = pending
        self.lazy = type(module)
        self.state = module.__dict__.copy()
        self.owner = get_ident()

    def keep_arguments(self) -> None:
        """Remember what constructor arguments hold now."""
        given, journal = self.pending.given.values(), self.pending.journal
        if journal or not PLAIN.issuperset(map(type, given)):
            attached = [entry.args for entry in journal]
            applies = any(entry.method == "apply" for entry in journal)
            self.arguments = restorers([*given, *attached], tensors_too=applies)

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

    def passed(self, calls: list[FirstCalls]) -> None:
        """Open the gate. The instance is the real module, nothing of lazify left in it."""
        if self.compiled is None:
            self.module.__dict__.pop(GATE, None)
        else:
            self.module.__dict__[GATE] = self.compiled
        if calls:
            outer = calls[-1]
            if outer.inner is None:
                outer.inner = []
            outer.inner.append(self)

    def rewind(self) -> None:
        """Undo all but the lazy state itself."""
        self.take_back()
        if self.settled is not None:
            self.settled.take_back()
        for handle, (hooks, number, extra) in reversed(self.handles or ()):
            handle.hooks_dict_ref, handle.id, handle.extra_dict_ref = hooks, number, extra
        for restore_argument in self.arguments:
            restore_argument()
        for restore, state in self.random:
            restore(state)
        for name in slots(type(self.module)):
            if hasattr(self.module, name):
                object.__delattr__(self.module, name)
        self.handles = self.settled = None

    def undo(self) -> None:
        """Make the instance lazy again. Its lock is still held: whoever waits finds it so."""
        self.rewind()
        remembered.pop(self.module, None)
        state = vars(self.module)
        state.update(self.state)
        set_class(self.module, "__class__", self.lazy)
        for name in [name for name in state if name not in self.state]:
            del state[name]


# ---------------------------------------------------------------------------------------------
# Building


def _build(call: _FirstCall, values: dict[str, Any], device: torch.device | None) -> None:
    """From lazy, bare or wrongly built to the real module, with all that was done before done to it."""
    # contexts cost microseconds, and nearly every first call stands in plain surroundings
    if device is None and surroundings_are_plain():
        _build_here(call, values)
        return
    with plain_surroundings(device):
        _build_here(call, values, device)


def _build_here(call: _FirstCall, values: dict[str, Any], device: torch.device | None = None) -> None:
    module, pending = call.module, call.pending
    recipe, state = pending.recipe, module.__dict__
    state[GATE] = call
    set_class(module, "__class__", recipe.wrapped)
    for name in [name for name in state if name != GATE]:
        del state[name]
    call.values, call.device = values, device
    if call.plan is not None or under_way.rehearsal is not None or pending.kin is not None:
        with _observed(call):
            construct(module, recipe, {**pending.given, **values})
    elif recipe.plain_init:
        recipe.init(module, **pending.given, **values)
    else:
        construct(module, recipe, {**pending.given, **values})
    if device is not None:
        bring_along(module, device)
    if under_way.rehearsal is not None:
        _rehearse(module, pending)
    else:
        _bring_up_to_date(call)


def _bring_up_to_date(call: _FirstCall) -> None:
    """What was told and what was done before, on the module just constructed."""
    module, pending = call.module, call.pending
    if pending.skeleton is not None:
        call.settled = settle(module, pending.skeleton)
    if pending.journal:
        _replay(call)
    if call.settled is not None:
        confirm(module, pending, call.settled)


@contextmanager
def _observed(call: _FirstCall) -> Iterator[None]:
    """Follow which lazy instances the constructor makes: in a rehearsal note them, else build those with a plan."""
    made: list[nn.Module] = []

    def observer(module: nn.Module, recipe: Recipe, given: dict[str, Any]) -> bool:
        made.append(module)
        plan = None if call.plan is None else call.plan.inside.get(len(made) - 1)
        if plan is None:
            return False
        inner = _FirstCall(module, Pending(recipe, given))
        inner.plan = plan
        with _observed(inner):
            construct(module, recipe, {**given, **plan.values})
        remember(module, recipe, given, plan.values, plan.seen)
        return True

    before, constructing.observer = constructing.observer, observer
    try:
        yield
    finally:
        constructing.observer = before
        call.made = made


def _replay(call: _FirstCall) -> None:
    """Do again, in order, what was done to the lazy instance."""
    module, pending = call.module, call.pending
    for entry in pending.journal:
        target = module.get_submodule(entry.path) if entry.path else module
        again = _attached(pending) if entry.method in FLAGGING else ()
        result = getattr(target, entry.method)(*entry.args, **entry.kwargs)
        for restore_attached in again:
            restore_attached()
        if entry.hook is None:
            continue
        if not pending.still_registered(entry):
            result.remove()
        elif (handle := pending.handles.get(entry.hook)) is not None:
            before = (handle.hooks_dict_ref, handle.id, handle.extra_dict_ref)
            call.handles = [*(call.handles or ()), (handle, before)]
            handle.hooks_dict_ref, handle.id = result.hooks_dict_ref, result.id
            handle.extra_dict_ref = result.extra_dict_ref
            if isinstance(target, Recorded):  # of a lazy module inside: it has its first call before it
                target._lazify_handles()[handle.id] = handle
    if (compiled := module.__dict__.get(GATE)) is not call:
        call.compiled, module.__dict__[GATE] = compiled, call


def _attached(pending: Pending) -> list[Restore]:
    """Keeps flags of what is the user's own: it got them at once when they were set, and others since, perhaps."""
    found: list[Restore] = []
    for each in attached(pending.journal):
        inner = waiting(each) if isinstance(each, nn.Module) else None
        if inner is not None:
            found.append(functools.partial(inner.journal.__delitem__, slice(len(inner.journal), None)))
            found.append(functools.partial(setattr, inner.attached(), "training", inner.attached().training))
            told = () if inner.skeleton is None else inner.skeleton.placeholders.values()
            found += [functools.partial(setattr, t, "requires_grad", t.requires_grad) for t in told]
        else:
            flag = "training" if isinstance(each, nn.Module) else "requires_grad"
            found.append(functools.partial(setattr, each, flag, getattr(each, flag)))
    return found


# ---------------------------------------------------------------------------------------------
# The first call


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
    if pending is None:  # another thread came first
        return module(*args, **kwargs)
    return _first_of_all(module, pending, args, kwargs)


@hidden_from_dynamo
def _first_of_all(module: Any, pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with pending.lock:
        if PENDING in module.__dict__:
            recipe = pending.recipe
            if recipe.direct is not None and len(args) == 1 and not kwargs and _is_simple(pending, args[0]):
                return _simple_attempt(module, pending, recipe, args[0])
            if recipe.guessed:
                return _guess_or_search(module, pending, args, kwargs, "__call__")
            return _attempt(module, pending, args, kwargs, "__call__", _by_rules)
    return module(*args, **kwargs)


@hidden_from_dynamo
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
    # a method kept from before: of the class, not what stands in the instance by now (it may be a wrapper around this)
    return None if method is None else getattr(type(module), method)(module, *args, **kwargs)


def _attempt(
    module: nn.Module,
    pending: Pending,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    method: str | None,
    find: _Find,
    plan: Plan | None = None,
) -> Any:
    """Build with the values that `find` yields and make the call; whatever raises, it was never tried."""
    recipe = pending.recipe
    if pending.part is not None:
        raise NotMaterializedError(_only_told(pending))
    watched = method == "__call__" and (not recipe.plain_call or _has_pre_hooks(pending))
    values = _if_found(find, pending, args, kwargs, method) if watched else find(pending, args, kwargs, method)
    device = _other_device(pending, args, kwargs) if plan is None else plan.device
    calls = under_way.calls
    first = _FirstCall(module, pending)
    first.plan = plan
    first.seen = seen(args, kwargs) if plan is None else plan.seen
    first.keep_arguments()
    calls.append(first)
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
        calls.pop()
    first.passed(calls)
    remember(module, recipe, pending.given, first.values or {}, first.seen)
    if pending.kin is not None:
        own = FirstCalls()
        own.inner = [first]
        pending.kin.setdefault("plan", plans_of(own)[-1])
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, first.values)
    return result


def follow(plan: Plan) -> None:
    """Make a lazy instance real without a call, and those inside that its constructor makes."""
    pending = waiting(plan.module)
    if pending is None:
        return
    with pending.lock:
        if waiting(plan.module) is pending:
            _attempt(plan.module, pending, (), {}, None, lambda *_: plan.values, plan)


def plans_of(calls: FirstCalls) -> list[Plan]:
    """What the first calls of a rehearsal found, for each instance that existed before."""
    plans: list[Plan] = []
    for call in calls.inner or ():
        plan = Plan(call.module, cast("dict[str, Any]", call.values), call.seen, call.device)
        numbers = {id(each): number for number, each in enumerate(call.made)}
        for inner in plans_of(call):
            if (number := numbers.get(id(inner.module))) is not None:
                plan.inside[number] = inner
            else:
                plans.append(inner)
        plans.append(plan)
    return plans


def _only_told(pending: Pending) -> str:
    whole, path = cast("tuple[Pending, str]", pending.part)
    return compose(
        f"{path!r} cannot be called yet: it belongs to a {whole.recipe.name} that waits for its first call",
        fix="module(input)  # once",
    )


def _is_simple(pending: Pending, x: Any) -> bool:
    """Whether nothing was done to the instance, nothing stands in the way, and `x` is all there is to look at."""
    return (
        type(x) is torch.Tensor
        and pending.stand_in is None
        and pending.skeleton is None
        and pending.kin is None
        and not pending.journal
        and not GLOBAL_PRE_HOOKS
        and is_made_here(x)
        and x.dim() > pending.recipe.direct[1] >= -x.dim()  # type: ignore[index]
        and PLAIN.issuperset(map(type, pending.given.values()))
        and surroundings_are_plain()
        and under_way.rehearsal is None
    )


def _simple_attempt(module: nn.Module, pending: Pending, recipe: Recipe, x: torch.Tensor) -> Any:
    """What `_attempt` does where `_is_simple`: most first calls of torch's own classes, so without detours.

    (A first call competes with the construction of one small layer: a tenth of that is a dozen Python calls.)
    """
    name, dim = cast("tuple[str, int]", recipe.direct)
    state, calls = module.__dict__, under_way.calls
    first = _FirstCall(module, pending)
    first.values = values = {name: x.shape[dim]}
    calls.append(first)
    try:
        state[GATE] = first
        set_class(module, "__class__", recipe.wrapped)
        del state[PENDING]
        recipe.init(module, **values, **pending.given)
        result = module(x)
    except BaseException:
        first.undo()
        raise
    finally:
        calls.pop()
    first.passed(calls)
    remembered[module] = (recipe, pending.given, values, ((x.shape,), {}))  # all of it plain
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s became %s with %s", recipe.name, recipe.wrapped.__name__, values)
    return result


#: How values are found: from what is pending, and from the arguments of the call of a method.
_Find: TypeAlias = "Callable[..., dict[str, Any]]"


def _by_rules(
    pending: Pending, args: tuple[Any, ...], kwargs: dict[str, Any], method: str | None = "forward"
) -> dict[str, Any]:
    recipe = pending.recipe
    return infer(recipe, pending.given, recipe.bind_forward(None, *args, **kwargs))


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
    key = structure((pending.given, args, kwargs))
    guess = recipe.solved.get(key) or _if_found(_by_rules, pending, args, kwargs, method)
    seen = method is None or not recipe.plain_call or pending.handles or _has_pre_hooks(pending)
    if seen or guess is None:
        return _attempt(module, pending, args, kwargs, method, _by_search)
    random = random_state(_other_device(pending, args, kwargs))
    try:
        return _attempt(module, pending, args, kwargs, method, lambda *_: guess)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as failure:
        for restore, state in random:
            restore(state)
        recipe.solved.pop(key, None)
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
        probe = Probe(functools.partial(_rehearsed, pending), pending.given, args, kwargs, method or "__call__")
        with _thrown_away():
            recipe.solved[key] = search(recipe, pending.given, probe)
    return recipe.solved[key]


@contextmanager
def _thrown_away() -> Iterator[None]:
    """First calls of lazy modules inside throw-away ones: nothing that users see is done to them either."""
    before = under_way.calls, under_way.rehearsal
    under_way.calls, under_way.rehearsal = [], Rehearsal.ON_FAKES
    try:
        yield
    finally:
        under_way.calls, under_way.rehearsal = before


def _rehearsed(pending: Pending, arguments: Mapping[str, Any]) -> nn.Module:
    """A throw-away module to which was done what decides how a call goes."""
    module = eager(pending.recipe, arguments)
    _rehearse(module, pending, hooks=())
    return module


#: Hooks that may decide how a call goes.
_DECIDING = ("register_forward_pre_hook", "register_forward_hook")


def _rehearse(module: nn.Module, pending: Pending, hooks: Sequence[str] = _DECIDING) -> None:
    """Do to a module that will be thrown away what decides how a call goes: modes, dtypes, what was attached."""
    users = {id(each) for value in pending.given.values() if isinstance(value, nn.Module) for _, each in walk(value)}
    for entry in pending.journal:
        target = module.get_submodule(entry.path) if entry.path else module
        if entry.method in (*IMMEDIATE, "__setattr__", "__delattr__"):
            getattr(target, entry.method)(*thrown_away(entry.args), **thrown_away(entry.kwargs))
        elif entry.method in CONVERTING and (dtype := _dtype_after(entry)) is not None:
            _cast(target, dtype, users)
        elif entry.method in hooks and pending.still_registered(entry):
            getattr(target, entry.method)(*entry.args, **entry.kwargs)
    if under_way.rehearsal is Rehearsal.FOR_REAL:
        module.eval()


def _cast(module: nn.Module, dtype: torch.dtype, spared: set[int]) -> None:
    """What `module.to(dtype)` does; that takes no fakes whose like is in use elsewhere."""
    inside = [each for _, each in walk(module) if waiting(each) is None]
    casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for tensor in (t for each in inside for t in (*each._parameters.values(), *each._buffers.values())):
        if tensor is not None and tensor.dtype.is_floating_point:
            cast_one = tensor.detach().to(dtype)
            is_parameter = isinstance(tensor, nn.Parameter)
            casts[id(tensor)] = (tensor, nn.Parameter(cast_one, tensor.requires_grad) if is_parameter else cast_one)
    substitute(inside, casts)
    for _, each in walk(module):
        if waiting(each) is not None and id(each) not in spared:
            each.to(dtype)


def _dtype_after(entry: Entry) -> torch.dtype | None:
    """The floating-point dtype that a conversion leads to, from wherever; None if it leaves dtypes alone."""
    ends = set()
    for start in (torch.float32, torch.float64):
        probe = nn.Module()
        with unset_fake_mode():
            probe.probe = nn.Parameter(torch.empty(0, dtype=start))
            getattr(probe, entry.method)(*entry.args, **entry.kwargs)
        ends.add(probe.probe.dtype)
    return ends.pop() if len(ends) == 1 else None


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
    call.random = random_state(device)
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
            done = {} if values is None else changes(built, vars(module))
            call.rewind()
            _build(call, final, device if device is not None else _other_device(pending, args, kwargs))
            carry_over(built, done, vars(module))
        return module.forward(*args, **kwargs)

    built = contents(vars(module))
    vars(module)["forward"] = watch


def _same(values: Any, others: Any) -> bool:
    try:
        return bool(values == others)
    except Exception:  # arrays and the like do not compare to one truth
        return True
