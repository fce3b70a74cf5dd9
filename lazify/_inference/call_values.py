"""From a call to values: what the rules of a recipe say about the arguments of `forward`."""

from __future__ import annotations

import dataclasses
import inspect
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn.parameter import is_lazy

from lazify._inference.solver import Problem, Solution, solve, suggestions
from lazify._isolation import TrialRun, TrialRunner
from lazify._module_tree import own_tensors, walk
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis, Computed, Rule, Unknown
from lazify._recipe.signature_reading import NOT_GIVEN, VARIADIC
from lazify.errors import AmbiguousInferenceError, InferenceError, compose, split_fix

__all__ = [
    "PLAIN",
    "GuessFailed",
    "all_plain",
    "cache_key",
    "derived",
    "describe",
    "infer",
    "is_derived",
    "search",
    "tensors",
]


class GuessFailed(Exception):
    """No rule, and no name, says what a parameter is: it takes a search."""


#: Of a search that failed: how many of its tries an error shows.
MOST_SHOWN = 6


@dataclass(frozen=True, eq=False, repr=False)
class Reason:
    """Why a rule yields no value."""

    text: str
    cause: Exception | None = None


# ---------------------------------------------------------------------------------------------
# Reading a call


def tensors(value: Any, around: tuple[int, ...] = ()) -> Iterator[torch.Tensor]:
    """The tensors in a nested argument, in order.

    >>> [t.shape[0] for t in tensors([torch.empty(2), {"a": (torch.empty(3), None)}])]
    [2, 3]
    """
    if isinstance(value, torch.Tensor):
        yield value
        return
    if isinstance(value, (list, tuple)):
        inside: Iterable[Any] = value
    elif isinstance(value, Mapping):
        inside = value.values()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = (getattr(value, f.name, None) for f in dataclasses.fields(value))
    else:
        return
    if id(value) not in around:
        for each in inside:
            yield from tensors(each, (*around, id(value)))


def describe(value: Any, around: tuple[int, ...] = ()) -> str:
    """An argument as an error shows it: shapes, never values.

    >>> describe({"a": torch.empty(2, 3), "b": [1, None]})
    "{'a': (2, 3) float32, 'b': [int, None]}"
    """
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if id(value) in around:
        return "..."
    around = (*around, id(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {describe(each, around)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(describe(each, around) for each in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        read = ((f.name, getattr(value, f.name, None)) for f in dataclasses.fields(value))
        fields = ", ".join(f"{name}={describe(each, around)}" for name, each in read)
        return f"{type(value).__name__}({fields})"
    return "None" if value is None else type(value).__name__


def _first_tensor(call: Mapping[str, Any]) -> torch.Tensor | None:
    """The first floating-point tensor of the call, else the first tensor."""
    first = None
    for value in call.values():
        for tensor in (value,) if isinstance(value, torch.Tensor) else tensors(value):
            if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
                return tensor
            first = tensor if first is None else first
    return first


def _argument(name: str, recipe: Recipe, call: Mapping[str, Any]) -> Any:
    """The argument of `forward` of this name, if need be from its `**kwargs`, else its default."""
    if (value := call.get(name, NOT_GIVEN)) is not NOT_GIVEN:
        return value
    for p in recipe.forward.parameters.values():
        if p.kind is p.VAR_KEYWORD and name in call[p.name]:
            return call[p.name][name]
        if p.name == name and p.kind not in VARIADIC:
            return p.default
    return NOT_GIVEN


# ---------------------------------------------------------------------------------------------
# Following the rules


def infer(recipe: Recipe, given: Mapping[str, Any], call: Mapping[str, Any], only: str | None = None) -> dict[str, Any]:
    """The values of the inferred parameters that were not given, for one call.

    Args:
        recipe: the recipe of the lazy class.
        given: constructor arguments, by name.
        call: the arguments as `forward` binds them (`Recipe.bind_forward`).

    Raises:
        InferenceError: if some rule yields no value; it names the parameter and what was seen.
        NotFound: if it is a guess that yields none.
    """
    values: dict[str, Any] = {}
    for name, rule in recipe.rules.items():
        if name in given or (only is not None and name != only):
            continue
        if type(rule) is Axis:
            value = _from_axis(rule, recipe, call)
        elif type(rule) is Computed:
            value = _from_function(rule, recipe, {**given, **values}, call)
        else:
            value = Reason("neither its name nor a rule says where the value comes from")
        if type(value) is Reason:
            if name in recipe.guessed:
                if optional_input_missing(name, rule, recipe, call):
                    continue
                raise GuessFailed(name)
            raise _error(recipe, name, rule, value, call) from value.cause
        values[name] = value
    return values


def derived(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, and what rules make of constructor arguments alone.

    Raises:
        Exception: whatever such a rule raises.
    """
    values = dict(values)
    for name, rule in recipe.rules.items():
        if name not in given and name not in values and is_derived(recipe, name):
            value = _from_function(cast("Computed", rule), recipe, {**given, **values}, {})
            if isinstance(value, Reason):
                raise value.cause or ValueError(f"{name}: {value.text}")
            values[name] = value
    return values


def is_derived(recipe: Recipe, name: str) -> bool:
    """Whether the rule for `name` reads constructor arguments only, nothing of the call."""
    rule = recipe.rules[name]
    if not isinstance(rule, Computed):
        return False
    read = [p.name for p in rule.signature.parameters.values() if p.kind not in VARIADIC]
    return bool(read) and not any(name in recipe.forward.parameters for name in read)


def optional_input_missing(name: str, rule: Rule, recipe: Recipe, call: Mapping[str, Any]) -> bool:
    """Whether a guess looks at an optional input that this call does not have: the constructor's default holds."""
    p = recipe.original_signature.parameters.get(name)
    if p is None or not _is_default(p) or not isinstance(rule, Axis) or rule.of is None:
        return False
    argument = _argument(rule.of, recipe, call)
    return argument is None or argument is NOT_GIVEN


def search(recipe: Recipe, given: Mapping[str, Any], probe: TrialRunner) -> dict[str, Any]:
    """The values for one call, found by throw-away runs of it, for a recipe whose rules are guesses.

    Raises:
        AmbiguousInferenceError: if several values pass and nothing decides between them.
        InferenceError: if none passes.
    """
    call = _loosely_bound(recipe, probe)
    fixed: dict[str, Any] = {}
    guesses: dict[str, Any] = {}
    absent: set[str] = set()
    for name in recipe.rules:
        if name in given:
            continue
        try:
            value = infer(recipe, given, call, only=name).get(name, NOT_GIVEN)
        except (GuessFailed, InferenceError):
            continue
        if value is NOT_GIVEN:
            absent.add(name)
            continue
        (guesses if name in recipe.guessed else fixed)[name] = value
    names = tuple(name for name in recipe.rules if name not in given and name not in fixed and name not in absent)
    parameters = recipe.original_signature.parameters
    sizes, structures = suggestions([v for n, v in call.items() if n != "self"], tensors)
    problem = Problem(
        names=names,
        guesses=guesses,
        defaults={n: parameters[n].default for n in names if n in parameters and _is_default(parameters[n])},
        sizes=sizes,
        structures=structures,
        sequences=frozenset(n for n in names if n in parameters and _wants_sequence(parameters[n].annotation)),
    )
    probe.given = {**given, **fixed}
    solution = solve(probe, problem)
    if solution.values is not None:
        return {**fixed, **solution.values}
    error = _unsolved(recipe, solution, call)
    failed = [run for _, run in solution.tried if run.error is not None]
    error.furthest = max(failed, key=lambda run: run.progress).error if failed else None
    raise error from error.furthest


def _is_default(p: inspect.Parameter) -> bool:
    return p.default is not p.empty and not isinstance(p.default, Axis)


def _wants_sequence(annotation: Any) -> bool:
    text = str(annotation).lower()
    return any(word in text for word in ("tuple", "list", "sequence", "torch.size")) and "union" not in text


def _loosely_bound(recipe: Recipe, probe: TrialRunner) -> dict[str, Any]:
    try:
        return recipe.bind_forward(None, *probe.args, **probe.kwargs)
    except TypeError:  # a `__call__` of its own may take other arguments than forward
        return {**{f"argument {i}": each for i, each in enumerate(probe.args)}, **probe.kwargs}


_PLAIN = (int, float, bool, str, type(None), type, torch.dtype, torch.device)
#: Types of values that hold nothing else and do not change.
PLAIN: frozenset[type] = frozenset(_PLAIN)


def all_plain(values: Iterable[Any]) -> bool:
    """Whether these do not change, and hold nothing that does: numbers, texts and the like, and tuples of them."""
    return PLAIN.issuperset(map(type, values)) or all(
        type(each) in PLAIN or (type(each) is tuple and all_plain(each)) for each in values
    )


class SameObject(weakref.ref[Any]):
    """A key for one object as long as it lives, whether or not it has a hash or compares to one truth."""

    __slots__ = ("_hash",)
    _hash: int

    def __new__(cls, value: Any) -> SameObject:
        made = super().__new__(cls, value)
        made._hash = id(value)
        return made

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        value = self()
        return isinstance(other, SameObject) and value is not None and value is other()


def cache_key(value: Any, around: tuple[int, ...] = ()) -> Any:
    """A hashable description of arguments that keeps nothing of them alive: shapes, types, plain values."""
    if isinstance(value, _PLAIN):
        return value
    if id(value) in around:
        return around.index(id(value))  # a cycle
    if isinstance(value, torch.Tensor):
        return (tuple(value.shape), value.dtype)
    if isinstance(value, torch.nn.Module):
        return tuple(_module_key(path, each) for path, each in walk(value))
    if isinstance(value, (list, tuple)):
        around = (*around, id(value))
        return (type(value), *(cache_key(each, around) for each in value))
    if isinstance(value, Mapping):
        around = (*around, id(value))
        return (type(value), *((_key(key), cache_key(each, around)) for key, each in value.items()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        around = (*around, id(value))
        fields = (getattr(value, f.name, None) for f in dataclasses.fields(value))
        return (type(value), *(cache_key(each, around) for each in fields))
    try:
        return SameObject(value)  # a function, say
    except TypeError:
        return object()  # never seen before


def _module_key(path: str, module: torch.nn.Module) -> Any:
    """What tells a module apart from others of its class: plain attributes, the shapes of its tensors."""
    attributes = [
        (name, each) for name, each in list(vars(module).items()) if type(each) in PLAIN or all_plain((each,))
    ]
    if "_parameters" not in vars(module):
        return (path, SameObject(module))  # a lazy instance
    return (path, type(module), *attributes, *(tuple(each.shape) for each in own_tensors(module) if not is_lazy(each)))


def _key(key: Any) -> Any:
    return key if isinstance(key, _PLAIN) else cache_key(key)


def _unsolved(recipe: Recipe, solution: Solution, call: Mapping[str, Any]) -> InferenceError:
    wrapped = recipe.wrapped.__name__
    names = [name for name in recipe.rules if name in recipe.guessed]
    facts: list[tuple[str, object]] = [
        ("forward", f"{wrapped}.forward{recipe.forward}"),
        ("called with", _called_with(call)),
    ]
    fix = f"lazify({wrapped}, exclude={{{names[0]!r}: axis(1)}})  # or axis(n, of=...), or a function"
    if solution.alternatives:
        facts += [("passes", _shown(each)) for each in solution.alternatives]
        return AmbiguousInferenceError(
            compose(f"more than one value fits the call of {wrapped}: {', '.join(names)}", facts, fix)
        )
    order = sorted(range(len(solution.tried)), key=lambda at: solution.tried[at][1].progress, reverse=True)[:MOST_SHOWN]
    for at in sorted(order):  # those that came furthest, in the order tried
        values, run = solution.tried[at]
        facts.append((f"tried, {at + 1} of {len(solution.tried)}", f"{_shown(values)}: {_why(run)}"))
    return InferenceError(compose(f"no value of {', '.join(names)} lets the call of {wrapped} pass", facts, fix))


def _called_with(call: Mapping[str, Any]) -> str:
    shapes = (f"{n}: {describe(v)}" for n, v in call.items() if v is not NOT_GIVEN and n != "self")
    return ", ".join(shapes) or "no arguments"


def _shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _why(run: TrialRun) -> str:
    if run.error is None:
        return "passes, but so does every other value"
    first = next(iter(str(run.error).strip().splitlines()), "")
    where = "constructor" if not run.built else run.operation or "forward"
    return f"{where}: {type(run.error).__name__}: {first[:120]}"


def _from_axis(rule: Axis, recipe: Recipe, call: Mapping[str, Any]) -> Any:
    if rule.of is None:
        tensor = _first_tensor(call)
    else:
        tensor = call.get(rule.of)
        if not isinstance(tensor, torch.Tensor):
            tensor = next(tensors(_argument(rule.of, recipe, call)), None)
    if tensor is None:
        return Reason("no tensor in the call" if rule.of is None else f"no tensor in the argument {rule.of!r}")
    try:
        return tensor.shape[rule.dim]
    except IndexError:
        return Reason(f"a tensor of shape {tuple(tensor.shape)} has no dimension {rule.dim}")


def _from_function(rule: Computed, recipe: Recipe, known: Mapping[str, Any], call: Mapping[str, Any]) -> Any:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for p in rule.signature.parameters.values():
        if p.kind in VARIADIC:
            continue
        value = _argument(p.name, recipe, call)
        if value is NOT_GIVEN or value is p.empty:
            value = _constructor_argument(p.name, recipe, known)
        if value is p.empty:
            if p.default is p.empty:
                return Reason(f"its argument {p.name!r} was not given")
            value = p.default
        if p.kind is p.POSITIONAL_ONLY:
            args.append(value)
        else:
            kwargs[p.name] = value
    try:
        return rule.function(*args, **kwargs)
    except Exception as error:
        return Reason(f"it raised {type(error).__name__}: {error}", error)


def _constructor_argument(name: str, recipe: Recipe, known: Mapping[str, Any]) -> Any:
    if name in known:
        return known[name]
    p = recipe.original_signature.parameters.get(name) or recipe.extra_parameters.get(name)
    return p.default if p is not None else inspect.Parameter.empty


def _error(recipe: Recipe, name: str, rule: Rule, reason: Reason, call: Mapping[str, Any]) -> InferenceError:
    """The message. A rule that raised knows best what mends it, if it says so."""
    wrapped = recipe.wrapped.__name__
    text, fix = split_fix(reason.text)
    advice = {
        Unknown: f"lazify({wrapped}, exclude={{{name!r}: axis(1)}})  # or axis(n, of=...), or a function",
        Axis: f"lazify({wrapped}, exclude={{{name!r}: axis(n, of='...')}})  # another argument of forward",
    }.get(type(rule), f"lazify({wrapped}, exclude={{{name!r}: axis(n)}})")
    return InferenceError(
        compose(
            f"the call does not determine {name!r} of {wrapped}",
            [
                ("parameter", name),
                ("forward", f"{wrapped}.forward{recipe.forward}"),
                ("called with", _called_with(call)),
                ("tried", f"{rule}: {text}"),
            ],
            fix or f"{advice}\n{recipe.display_name}(..., {name}=...)  # or give it",
        )
    )
