"""The skeleton: what can be told of the real module before it exists.

somebody asks -> throw-away constructions with several values of what is unknown
              -> the same names in all: placeholders under those names, submodules to hand out
              -> other names: nobody can know yet, an error
first call    -> the placeholders become the real parameters, the submodules handed out the real ones
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias, cast
from weakref import WeakValueDictionary

import torch
from torch import nn

from lazify.construction import eager, quiet_subclass, set_class
from lazify.errors import NotMaterializedError, compose
from lazify.inference import derived, is_derived
from lazify.journal import CONVERTING, HOOKING, IMMEDIATE, Entry, Recorded, own_methods
from lazify.placeholders import Placeholder, adopted, convert, placeholder_for, rank_of, substitute
from lazify._isolation import CopySources, construct_on_fakes
from lazify.recipe import Recipe
from lazify.rules import Axis
from lazify.solving import SENTINELS
from lazify.trees import named_tensors, own_tensors, walk

__all__ = ["CONTENT", "Part", "Skeleton", "build", "first_values", "report_names", "shown", "unknown_names"]

#: What the skeleton answers for the real module.
CONTENT = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
#: The one key that lazify adds to the `__dict__` of a submodule that does not exist yet.
PART = "_lazify_part"
#: How many numbers are tried for one unknown.
MOST_NUMBERS = 12

Record: TypeAlias = "Callable[..., None]"


class Skeleton:
    """What was told of one lazy instance.

    Attributes:
        placeholders: path -> the object that will be the real parameter or buffer.
        followed: how much of the journal the placeholders have seen, in a copy.
        root: the module built on fakes, its tensors replaced by placeholders; None until somebody asks.
        facts: attributes of `root` that hold arguments, whatever the unknown will be (`stride`, `out_channels`).
        unknown: attributes of `root` that depend on the unknown.
        failure: why nothing can be told.
        record: notes what is done to a part; handles: on its hooks.
        quiet: whether an entry is being done right now.
        users: ids of modules in it that are the user's own.
        settled: whether the module around is being made real: what is done again then, placeholders have seen.
    """

    def __init__(self, told: Mapping[str, tuple[Any, bool]] | None = None, followed: int = 0) -> None:
        self.placeholders = {path: adopted(each, expected) for path, (each, expected) in (told or {}).items()}
        self.followed = followed
        self.root: nn.Module | None = None
        self.facts: frozenset[str] = frozenset()
        self.unknown: frozenset[str] = frozenset()
        self.failure: NotMaterializedError | None = None
        self.record: Record = lambda *_: None
        self.handles: dict[int, Any] = {}
        self.quiet = False
        self.settled = False
        self.users: set[int] = set()

    def tell(self, recipe: Recipe, given: Mapping[str, Any], journal: list[Entry], owner: Any) -> None:
        """Find out what the real module will consist of.

        Raises:
            NotMaterializedError: if that depends on what only the call tells.
        """
        if self.failure is not None:
            raise NotMaterializedError(str(self.failure))
        try:
            root, unknown, facts, users = _constructed(recipe, given)
        except NotMaterializedError as failure:
            self.failure = failure.with_traceback(None)
            raise
        fresh = not self.placeholders
        made: dict[int, tuple[Any, Any]] = {}
        own = {path: each for path, each in walk(root) if id(each) not in users and not isinstance(each, Recorded)}
        for path, module in own.items():
            for name in unknown.get(path, ()):
                vars(module).pop(name, None)
            self._fill(path, module, users, made)
        if (device := given.get("device")) is not None:  # which fakes do not follow
            for _, placeholder in made.values():
                with suppress(RuntimeError, TypeError, AssertionError):  # not here: the real construction will say so
                    convert(placeholder, torch.empty(0, device=device).device, placeholder.dtype)
        substitute(own.values(), made)
        for path, module in own.items():
            if path:
                with suppress(TypeError):  # Python cannot change the class of some: these are shown, and no more
                    set_class(module, _part_class(type(module)))
                    vars(module)[PART] = (self, path)
        self.belong(owner)
        self.root, self.users = root, users
        self.facts, self.unknown = facts, frozenset(unknown.get("", ()))
        for number, entry in enumerate(journal):
            self.follow(entry, live=fresh or number >= self.followed)

    def _fill(self, path: str, module: nn.Module, users: set[int], made: dict[int, tuple[Any, Any]]) -> None:
        for kind in (module._parameters, module._buffers):
            for name, tensor in kind.items():
                if tensor is None or id(tensor) in users:
                    continue
                where = f"{path}.{name}" if path else name
                if id(tensor) not in made:
                    placeholder = self.placeholders.get(where)
                    placeholder = placeholder_for(tensor) if placeholder is None else placeholder
                    placeholder.expected, placeholder.rank = tensor.requires_grad, rank_of(tensor)
                    made[id(tensor)] = (tensor, placeholder)
                self.placeholders[where] = made[id(tensor)][1]

    def cut(self, path: str, followed: int) -> Skeleton | None:
        """What a copy was told of the lazy instance at `path`, if anything; from here on that is its own."""
        names = [name for name in self.placeholders if name.startswith(f"{path}.")]
        inside = {name.removeprefix(f"{path}."): self.placeholders.pop(name) for name in names}
        return Skeleton({name: (each, each.expected) for name, each in inside.items()}, followed) if inside else None

    def belong(self, owner: Any) -> None:
        for placeholder in self.placeholders.values():
            placeholder.owner = weakref.ref(owner)

    # what is done to it

    def at(self, path: str) -> nn.Module:
        module = cast("nn.Module", self.root)
        for name in path.split(".") if path else ():
            module = cast("nn.Module", vars(module)["_modules"][name])
        return module

    def follow(self, entry: Entry, live: bool = True) -> Any:
        """Do what was recorded, as far as it shows here. `live`: placeholders take the new `requires_grad`, too."""
        target = None if self.root is None else self.at(entry.path)
        placeholders = self.placeholders.values() if target is None else _placeholders_in(target)
        if target is not None and entry.method in ("requires_grad_", *CONVERTING):
            for _, inside in walk(target):
                if isinstance(inside, Recorded) and not isinstance(inside, Part) and id(inside) not in self.users:
                    inside._lazify_follow(Entry(entry.method, entry.args, entry.kwargs), live)
        if entry.method == "requires_grad_":
            live = live and not self.settled
            flag = (*entry.args, *entry.kwargs.values(), True)[0]
            for placeholder in filter(_is_parameter, placeholders):
                placeholder.expected = flag
                placeholder.requires_grad = flag if live else placeholder.requires_grad
        elif entry.method in CONVERTING:
            self._convert(placeholders, entry)
        elif target is not None and _shows(entry):
            self.quiet = True
            try:
                return getattr(nn.Module, entry.method)(target, *entry.args, **entry.kwargs)
            finally:
                self.quiet = False
        return target

    def _convert(self, placeholders: Iterable[Any], entry: Entry) -> None:
        """Torch's own conversion, of empty tensors in their places."""
        for placeholder in placeholders:
            holder, empty = nn.Module(), torch.empty(0, device=placeholder.device, dtype=placeholder.dtype)
            holder.register_buffer("it", empty)
            if _is_parameter(placeholder):
                holder = nn.Module()
                holder.it = nn.Parameter(empty, requires_grad=False)
            with suppress(Exception):  # waits for the real tensor
                getattr(holder, entry.method)(*entry.args, **entry.kwargs)
                converted: Any = holder.it
                convert(placeholder, converted.device, converted.dtype)

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """What was handed out as submodules: parts, and lazy instances inside."""
        if self.root is not None:
            for path, module in walk(self.root):
                if path and isinstance(module, Recorded) and id(module) not in self.users:
                    yield path, module


def _shows(entry: Entry) -> bool:
    """Whether it changes what a skeleton shows. (The hooks of the instance itself are with its stand-in.)"""
    return entry.method in (*IMMEDIATE, "__setattr__", "__delattr__") or (entry.method in HOOKING and entry.path != "")


def _placeholders_in(module: nn.Module) -> list[Any]:
    return list({id(t): t for _, t in named_tensors(module) if isinstance(t, Placeholder)}.values())


def _is_parameter(placeholder: Any) -> bool:
    return isinstance(placeholder, nn.Parameter)


# ---------------------------------------------------------------------------------------------
# Throw-away constructions


def unknown_names(recipe: Recipe, given: Mapping[str, Any]) -> list[str]:
    """The inferred parameters that were not given and do not follow from others."""
    return [name for name in recipe.rules if name not in given and not is_derived(recipe, name)]


def build(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[nn.Module, CopySources]:
    """A throw-away module on fakes, and where its given parts come from; raises what the constructor raises."""
    return construct_on_fakes(
        functools.partial(eager, recipe), given, derived(recipe, given, values), (recipe.wrapped,)
    )


def first_values(names: list[str]) -> Iterator[dict[str, Any]]:
    """Values for a first try: all different, then all the same."""
    numbers = (*SENTINELS, 64, 16, 1)
    for shift in range(len(numbers)):
        yield {name: numbers[(shift + at) % len(numbers)] for at, name in enumerate(names)}
    if len(names) > 1:
        for number in numbers:
            yield dict.fromkeys(names, number)


def _constructed(
    recipe: Recipe, given: Mapping[str, Any]
) -> tuple[nn.Module, dict[str, set[str]], frozenset[str], set[int]]:
    """A module built on fakes; which attributes depend on the unknown; which do not; ids of what is the user's in it.

    That is what was given, and what several constructions share: defaults, globals, what a cache holds.
    """
    names = unknown_names(recipe, given)
    values, root, origins = _first_built(recipe, given, names)
    unknown: dict[str, set[str]] = {}
    shared: set[int] = set()
    varied: set[str] = set()
    for others in (*_other_values(recipe, given, values), values):
        try:
            rival, _ = build(recipe, given, others)
        except Exception:  # not a value that this class takes
            continue
        one, other = _inventory(root), _inventory(rival)
        if one != other:
            differing = sorted({str(name) for name, *_ in set(one) ^ set(other)})
            facts: list[tuple[str, object]] = [("there or not", ", ".join(differing[:8]))]
            facts += [("compared", shown(values)), ("with", shown(others))]
            raise _unknowable(recipe, names, facts)
        _note_unknown(root, rival, unknown)
        varied |= {name for name in values if name not in others or others[name] != values[name]}
        shared |= _held(root) & _held(rival)
    _return_to_user(root, origins)
    originals = {id(each) for original, _ in origins.values() for each in _all_of(original)}
    told = _facts(root, recipe, given, unknown.get("", set())) if varied.issuperset(names) else frozenset[str]()
    return root, unknown, told, shared | originals


def _all_of(original: Any) -> list[Any]:
    modules = [each for _, each in walk(original)] if isinstance(original, nn.Module) else []
    return [original, *modules, *(tensor for each in modules for tensor in own_tensors(each))]


def _held(root: nn.Module) -> set[int]:
    return {id(each) for _, module in walk(root) for each in (module, *own_tensors(module))}


def _first_built(
    recipe: Recipe, given: Mapping[str, Any], names: list[str]
) -> tuple[dict[str, Any], nn.Module, CopySources]:
    failure: Exception | None = None
    for values in first_values(names):
        try:
            return (values, *build(recipe, given, values))
        except Exception as error:
            failure = failure or error
    raise _unknowable(recipe, names, [("a throw-away module", f"{type(failure).__name__}: {failure}")]) from failure


def _other_values(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Values that a constructor may treat otherwise: other numbers, those it was given (`if a != b:`), no value."""
    parameters = recipe.signature.parameters
    defaults = [p.default for p in parameters.values() if p.default is not p.empty]
    known = dict.fromkeys(number for each in (*given.values(), *defaults) for number in _numbers(each))
    multiples = [factor * number for factor in (4, 2) for number in known]  # `if in_channels != 4 * width:`
    numbers = dict.fromkeys([*SENTINELS[:2], *known, *multiples][:MOST_NUMBERS])
    for name in values:
        for number in numbers:
            if number != values[name]:
                yield {**values, name: number}
        p = parameters.get(name)
        if p is not None and p.default is not p.empty and not isinstance(p.default, Axis):
            yield {other: value for other, value in values.items() if other != name}
    if len(values) > 1:
        yield dict.fromkeys(values, SENTINELS[0])


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int) and not isinstance(value, bool) and value > 0:
        yield value


def _inventory(root: nn.Module) -> list[tuple[Any, ...]]:
    """Every name there is, in order, with what it stands for; tensors that are one and the same are told apart."""
    found: list[tuple[Any, ...]] = []
    first: dict[int, str] = {}
    for path, module in walk(root):
        found.append((path, type(module).__module__, type(module).__qualname__))
        if isinstance(module, Recorded):
            continue
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            full = f"{path}.{name}" if path else name
            same = None if tensor is None else first.setdefault(id(tensor), full)
            rank = None if tensor is None else rank_of(tensor)
            found.append((full, same, rank, name in module._non_persistent_buffers_set))
    return found


def _note_unknown(one: nn.Module, other: nn.Module, unknown: dict[str, set[str]]) -> None:
    """Attributes that are not the same in both, or that are tensors without values."""
    for (path, mine), (_, others) in zip(walk(one), walk(other), strict=True):
        for name, value in vars(mine).items():
            rival = vars(others).get(name)
            if isinstance(value, torch.Tensor) or (_is_plain(value) and not (_is_plain(rival) and value == rival)):
                unknown.setdefault(path, set()).add(name)


def _facts(root: nn.Module, recipe: Recipe, given: Mapping[str, Any], unknown: set[str]) -> frozenset[str]:
    """Attributes that were the same in all and are arguments under their own names, as they are or once a dimension.

    (What a class computes may look the same for a few values: `max(1, dim // 64)`.)
    """

    def is_argument(name: str, value: Any) -> bool:
        argument = given.get(name, recipe.signature.parameters[name].default)
        repeated = isinstance(value, tuple) and len(value) > 0 and all(each == argument for each in value)
        return bool(value == argument) or repeated

    names = (recipe.signature.parameters.keys() & vars(root).keys()) - unknown
    plain = {name: value for name in names if _is_plain(value := vars(root)[name], lists=False)}
    return frozenset(name for name, value in plain.items() if is_argument(name, value))


def _is_plain(value: Any, lists: bool = True) -> bool:
    if isinstance(value, tuple) or (lists and isinstance(value, list)):
        return all(_is_plain(each, lists) for each in value)
    return isinstance(value, (int, float, complex, str, torch.dtype, torch.device, type(None)))


def shown(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _unknowable(recipe: Recipe, names: list[str], facts: list[tuple[str, object]]) -> NotMaterializedError:
    given = f"{recipe.called}(..., {'=..., '.join(names)}=...)"
    return NotMaterializedError(
        compose(
            f"the parameters of this {recipe.name} are not known yet: which there are depends on {', '.join(names)}",
            facts,
            f"materialize(model, input)  # or one call, first\n{given}  # or give them",
        )
    )


def _return_to_user(root: nn.Module, origins: CopySources) -> None:
    """Put what the user gave in the places of its copies."""
    for module in [each for _, each in walk(root) if not isinstance(each, Recorded)]:
        for kind in (module._modules, module._parameters, module._buffers):
            for name, each in cast("dict[str, Any]", kind).items():
                if id(each) in origins:
                    cast("dict[str, Any]", kind)[name] = origins[id(each)][0]


# ---------------------------------------------------------------------------------------------
# Submodules that do not exist yet


class Part(Recorded):
    """First base of a submodule in a skeleton: what is done to it will be done to the real one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep the class's own `__init_subclass__` out of this."""

    @property
    def _lazify_quiet(self) -> bool:  # type: ignore[override]
        return bool(vars(self)[PART][0].quiet)

    def _lazify_do(self, entry: Entry) -> Any:
        skeleton, path = vars(self)[PART]
        return skeleton.follow(replace(entry, path=path))

    def _lazify_handles(self) -> dict[int, Any]:
        handles: dict[int, Any] = vars(self)[PART][0].handles
        return handles

    def _lazify_record(self, entry: Entry, handle: Any = None) -> None:
        skeleton, path = vars(self)[PART]
        entry.path = path
        skeleton.record(entry, handle)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if PART not in vars(self):  # kept from before, called after
            return type(self).__call__(self, *args, **kwargs)
        raise NotMaterializedError(self._lazify_waiting("called"))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if PART not in vars(self):
            return type(self).forward(self, *args, **kwargs)
        raise NotMaterializedError(self._lazify_waiting("called"))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        """What is loaded into the module around waits with it; here are only names."""
        report_names(self, state_dict, prefix, *rest)  # type: ignore[arg-type]

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        raise NotMaterializedError(self._lazify_waiting("loaded"))

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NotMaterializedError(self._lazify_waiting("copied"))

    def __setattr__(self, name: str, value: Any) -> None:
        if self._lazify_quiet:
            super().__setattr__(name, value)
        else:
            entry = Entry("__setattr__", (name, value), {})
            self._lazify_do(entry)
            self._lazify_record(entry)

    def __delattr__(self, name: str) -> None:
        if self._lazify_quiet:
            super().__delattr__(name)
        else:
            entry = Entry("__delattr__", (name,), {})
            self._lazify_do(entry)
            self._lazify_record(entry)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            raise NotMaterializedError(self._lazify_waiting(f"asked for {name!r}")) from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(?)"

    def _lazify_waiting(self, wanted: str) -> str:
        path = vars(self)[PART][1]
        return compose(
            f"{path!r} cannot be {wanted} yet: it belongs to a lazy module that waits for its first call",
            fix="module(input)  # once",
        )


def report_names(
    module: nn.Module,
    state_dict: Mapping[str, Any],
    prefix: str,
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    """The part of `nn.Module._load_from_state_dict` that compares names."""
    buffers = [name for name in module._buffers if name not in module._non_persistent_buffers_set]
    own = [n for n in (*module._parameters, *buffers) if {**module._parameters, **module._buffers}[n] is not None]
    if strict:
        missing_keys += [prefix + name for name in own if prefix + name not in state_dict]
        for key in state_dict:
            name, dot, _ = key.removeprefix(prefix).partition(".")
            if key.startswith(prefix) and name not in (module._modules if dot else (*own, "_extra_state")):
                unexpected_keys.append(key)


_part_classes: WeakValueDictionary[int, type[nn.Module]] = WeakValueDictionary()


def _part_class(cls: type[nn.Module]) -> type[nn.Module]:
    made = _part_classes.get(id(cls))
    if made is None:
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        namespace = {**names, **own_methods(cls)}
        made = _part_classes[id(cls)] = quiet_subclass(type(cls), cls.__name__, (Part, cls), namespace)
    return made
