"""The skeleton: what can be told of the real module before it exists.

somebody asks -> throw-away constructions with several values of what is unknown
              -> the same names in all: placeholders under those names, submodules to hand out
              -> other names: nobody can know yet, an error
first call    -> the placeholders become the real parameters, the submodules handed out the real ones
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias, cast
from weakref import WeakValueDictionary

import torch
from torch import nn

from lazify._deferred.operations import CONVERTING, HOOKING, IMMEDIATE, Operation, RecordsOperations, own_methods
from lazify._deferred.placeholders import Placeholder, as_placeholder, convert, new_placeholder, rank_of, substitute
from lazify._inference.solver import SENTINELS
from lazify._inference.trial_values import construct_preview, format_values, starting_values, unknown_names
from lazify._isolation import CopySources
from lazify._module_tree import PREVIEW_KEY, named_tensors, own_tensors, walk
from lazify._recipe.construction import set_class, subclass_without_hooks
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis
from lazify.errors import NotMaterializedError, compose

__all__ = [
    "CONTENT",
    "Preview",
    "PreviewSubmodule",
    "report_missing_and_unexpected_keys",
]

#: What the skeleton answers for the real module.
CONTENT = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
#: How many numbers are tried for one unknown.
MOST_NUMBERS = 12

Record: TypeAlias = "Callable[..., None]"


class Preview:
    """What was told of one lazy instance.

    Attributes:
        placeholders: path -> the object that will be the real parameter or buffer.
        followed: how much of the journal the placeholders have seen, in a copy.
        root: the module built on fakes, its tensors replaced by placeholders; None until somebody asks.
        facts: attributes of `root` that hold arguments, whatever the unknown will be (`stride`, `out_channels`).
        unknown: attributes of `root` that depend on the unknown.
        failure: why nothing can be told.
        record: notes what is done to a part; handles: on its hooks.
        quiet: whether an operation is being done right now.
        users: ids of modules in it that are the user's own.
        settled: whether the module around is being made real: what is done again then, placeholders have seen.
    """

    def __init__(self, told: Mapping[str, tuple[Any, bool]] | None = None, operations_applied: int = 0) -> None:
        self.placeholders = {path: as_placeholder(each, expected) for path, (each, expected) in (told or {}).items()}
        self.operations_applied = operations_applied
        self.module: nn.Module | None = None
        self.constant_attributes: frozenset[str] = frozenset()
        self.size_dependent_attributes: frozenset[str] = frozenset()
        self.failure: NotMaterializedError | None = None
        self.record: Record = lambda *_: None
        self.handles: dict[int, Any] = {}
        self.recording_paused = False
        self.being_materialized = False
        self.user_module_ids: set[int] = set()

    def build(self, recipe: Recipe, given: Mapping[str, Any], operations: list[Operation], owner: Any) -> None:
        """Find out what the real module will consist of.

        Raises:
            NotMaterializedError: if that depends on what only the call tells.
        """
        if self.failure is not None:
            raise NotMaterializedError(str(self.failure))
        try:
            root, size_dependent_attributes, constant_attributes, user_module_ids = _compare_constructions(
                recipe, given
            )
        except NotMaterializedError as failure:
            self.failure = failure.with_traceback(None)
            raise
        fresh = not self.placeholders
        made: dict[int, tuple[Any, Any]] = {}
        own = {
            path: each
            for path, each in walk(root)
            if id(each) not in user_module_ids and not isinstance(each, RecordsOperations)
        }
        for path, module in own.items():
            for name in size_dependent_attributes.get(path, ()):
                vars(module).pop(name, None)
            self._insert_placeholders(path, module, user_module_ids, made)
        if (device := given.get("device")) is not None:  # which fakes do not follow
            for _, placeholder in made.values():
                with suppress(RuntimeError, TypeError, AssertionError):  # not here: the real construction will say so
                    convert(placeholder, torch.empty(0, device=device).device, placeholder.dtype)
        substitute(own.values(), made)
        for path, module in own.items():
            if path:
                with suppress(TypeError):  # Python cannot change the class of some: these are shown, and no more
                    set_class(module, _part_class(type(module)))
                    vars(module)[PREVIEW_KEY] = (self, path)
        self.set_owner(owner)
        self.module, self.user_module_ids = root, user_module_ids
        self.constant_attributes, self.size_dependent_attributes = (
            constant_attributes,
            frozenset(size_dependent_attributes.get("", ())),
        )
        for number, operation in enumerate(operations):
            self.apply(operation, live=fresh or number >= self.operations_applied)

    def _insert_placeholders(
        self, path: str, module: nn.Module, user_module_ids: set[int], made: dict[int, tuple[Any, Any]]
    ) -> None:
        for kind in (module._parameters, module._buffers):
            for name, tensor in kind.items():
                if tensor is None or id(tensor) in user_module_ids:
                    continue
                where = f"{path}.{name}" if path else name
                if id(tensor) not in made:
                    placeholder = self.placeholders.get(where)
                    placeholder = new_placeholder(tensor) if placeholder is None else placeholder
                    placeholder.default_requires_grad, placeholder.rank = tensor.requires_grad, rank_of(tensor)
                    made[id(tensor)] = (tensor, placeholder)
                self.placeholders[where] = made[id(tensor)][1]

    def split_off(self, path: str, operations_applied: int) -> Preview | None:
        """What a copy was told of the lazy instance at `path`, if anything; from here on that is its own."""
        names = [name for name in self.placeholders if name.startswith(f"{path}.")]
        inside = {name.removeprefix(f"{path}."): self.placeholders.pop(name) for name in names}
        return (
            Preview({name: (each, each.default_requires_grad) for name, each in inside.items()}, operations_applied)
            if inside
            else None
        )

    def set_owner(self, owner: Any) -> None:
        for placeholder in self.placeholders.values():
            placeholder.owner = weakref.ref(owner)

    # what is done to it

    def submodule(self, path: str) -> nn.Module:
        module = cast("nn.Module", self.module)
        for name in path.split(".") if path else ():
            module = cast("nn.Module", vars(module)["_modules"][name])
        return module

    def apply(self, operation: Operation, live: bool = True) -> Any:
        """Do what was recorded, as far as it shows here. `live`: placeholders take the new `requires_grad`, too."""
        target = None if self.module is None else self.submodule(operation.path)
        placeholders = self.placeholders.values() if target is None else _placeholders_in(target)
        if target is not None and operation.method in ("requires_grad_", *CONVERTING):
            for _, inside in walk(target):
                if (
                    isinstance(inside, RecordsOperations)
                    and not isinstance(inside, PreviewSubmodule)
                    and id(inside) not in self.user_module_ids
                ):
                    inside._apply_from_parent(Operation(operation.method, operation.args, operation.kwargs), live)
        if operation.method == "requires_grad_":
            live = live and not self.being_materialized
            flag = (*operation.args, *operation.kwargs.values(), True)[0]
            for placeholder in filter(_is_parameter, placeholders):
                placeholder.default_requires_grad = flag
                placeholder.requires_grad = flag if live else placeholder.requires_grad
        elif operation.method in CONVERTING:
            self._convert(placeholders, operation)
        elif target is not None and is_visible_in_preview(operation):
            self.recording_paused = True
            try:
                return getattr(nn.Module, operation.method)(target, *operation.args, **operation.kwargs)
            finally:
                self.recording_paused = False
        return target

    def _convert(self, placeholders: Iterable[Any], operation: Operation) -> None:
        """Torch's own conversion, of empty tensors in their places."""
        for placeholder in placeholders:
            holder, empty = nn.Module(), torch.empty(0, device=placeholder.device, dtype=placeholder.dtype)
            holder.register_buffer("it", empty)
            if _is_parameter(placeholder):
                holder = nn.Module()
                holder.it = nn.Parameter(empty, requires_grad=False)
            with suppress(Exception):  # waits for the real tensor
                getattr(holder, operation.method)(*operation.args, **operation.kwargs)
                converted: Any = holder.it
                convert(placeholder, converted.device, converted.dtype)

    def submodules(self) -> Iterator[tuple[str, nn.Module]]:
        """What was handed out as submodules: parts, and lazy instances inside."""
        if self.module is not None:
            for path, module in walk(self.module):
                if path and isinstance(module, RecordsOperations) and id(module) not in self.user_module_ids:
                    yield path, module


def is_visible_in_preview(operation: Operation) -> bool:
    """Whether it changes what a skeleton shows. (The hooks of the instance itself are with its stand-in.)"""
    return operation.method in (*IMMEDIATE, "__setattr__", "__delattr__") or (
        operation.method in HOOKING and operation.path != ""
    )


def _placeholders_in(module: nn.Module) -> list[Any]:
    return list({id(t): t for _, t in named_tensors(module) if isinstance(t, Placeholder)}.values())


def _is_parameter(placeholder: Any) -> bool:
    return isinstance(placeholder, nn.Parameter)


# ---------------------------------------------------------------------------------------------
# Throw-away constructions


def _compare_constructions(
    recipe: Recipe, given: Mapping[str, Any]
) -> tuple[nn.Module, dict[str, set[str]], frozenset[str], set[int]]:
    """A module built on fakes; which attributes depend on the unknown; which do not; ids of what is the user's in it.

    That is what was given, and what several constructions share: defaults, globals, what a cache holds.
    """
    names = unknown_names(recipe, given)
    values, module, origins = _first_built(recipe, given, names)
    size_dependent_attributes: dict[str, set[str]] = {}
    shared: set[int] = set()
    varied: set[str] = set()
    for others in (*contrasting_values(recipe, given, values), values):
        try:
            rival, _ = construct_preview(recipe, given, others)
        except Exception:  # not a value that this class takes
            continue
        one, other = _tensor_names(module), _tensor_names(rival)
        if one != other:
            differing = sorted({str(name) for name, *_ in set(one) ^ set(other)})
            constant_attributes: list[tuple[str, object]] = [("there or not", ", ".join(differing[:8]))]
            constant_attributes += [("compared", format_values(values)), ("with", format_values(others))]
            raise _unknowable(recipe, names, constant_attributes)
        _note_size_dependent(module, rival, size_dependent_attributes)
        varied |= {name for name in values if name not in others or others[name] != values[name]}
        shared |= _held(module) & _held(rival)
    _return_to_user(module, origins)
    originals = {id(each) for original, _ in origins.values() for each in _all_of(original)}
    told = (
        _facts(module, recipe, given, size_dependent_attributes.get("", set()))
        if varied.issuperset(names)
        else frozenset[str]()
    )
    return module, size_dependent_attributes, told, shared | originals


def _all_of(original: Any) -> list[Any]:
    modules = [each for _, each in walk(original)] if isinstance(original, nn.Module) else []
    return [original, *modules, *(tensor for each in modules for tensor in own_tensors(each))]


def _held(module: nn.Module) -> set[int]:
    return {id(each) for _, module in walk(module) for each in (module, *own_tensors(module))}


def _first_built(
    recipe: Recipe, given: Mapping[str, Any], names: list[str]
) -> tuple[dict[str, Any], nn.Module, CopySources]:
    failure: Exception | None = None
    for values in starting_values(names):
        try:
            return (values, *construct_preview(recipe, given, values))
        except Exception as error:
            failure = failure or error
    raise _unknowable(recipe, names, [("a throw-away module", f"{type(failure).__name__}: {failure}")]) from failure


def contrasting_values(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Values that a constructor may treat otherwise: other numbers, those it was given (`if a != b:`), no value."""
    parameters = recipe.original_signature.parameters
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


def _tensor_names(root: nn.Module) -> list[tuple[Any, ...]]:
    """Every name there is, in order, with what it stands for; tensors that are one and the same are told apart."""
    found: list[tuple[Any, ...]] = []
    first: dict[int, str] = {}
    for path, module in walk(root):
        found.append((path, type(module).__module__, type(module).__qualname__))
        if isinstance(module, RecordsOperations):
            continue
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            full = f"{path}.{name}" if path else name
            same = None if tensor is None else first.setdefault(id(tensor), full)
            rank = None if tensor is None else rank_of(tensor)
            found.append((full, same, rank, name in module._non_persistent_buffers_set))
    return found


def _note_size_dependent(one: nn.Module, other: nn.Module, size_dependent_attributes: dict[str, set[str]]) -> None:
    """Attributes that are not the same in both, or that are tensors without values."""
    for (path, mine), (_, others) in zip(walk(one), walk(other), strict=True):
        for name, value in vars(mine).items():
            rival = vars(others).get(name)
            if isinstance(value, torch.Tensor) or (_is_plain(value) and not (_is_plain(rival) and value == rival)):
                size_dependent_attributes.setdefault(path, set()).add(name)


def _facts(
    module: nn.Module, recipe: Recipe, given: Mapping[str, Any], size_dependent_attributes: set[str]
) -> frozenset[str]:
    """Attributes that were the same in all and are arguments under their own names, as they are or once a dimension.

    (What a class computes may look the same for a few values: `max(1, dim // 64)`.)
    """

    def is_argument(name: str, value: Any) -> bool:
        argument = given.get(name, recipe.original_signature.parameters[name].default)
        repeated = isinstance(value, tuple) and len(value) > 0 and all(each == argument for each in value)
        return bool(value == argument) or repeated

    names = (recipe.original_signature.parameters.keys() & vars(module).keys()) - size_dependent_attributes
    plain = {name: value for name in names if _is_plain(value := vars(module)[name], lists=False)}
    return frozenset(name for name, value in plain.items() if is_argument(name, value))


def _is_plain(value: Any, lists: bool = True) -> bool:
    if isinstance(value, tuple) or (lists and isinstance(value, list)):
        return all(_is_plain(each, lists) for each in value)
    return isinstance(value, (int, float, complex, str, torch.dtype, torch.device, type(None)))


def _unknowable(
    recipe: Recipe, names: list[str], constant_attributes: list[tuple[str, object]]
) -> NotMaterializedError:
    given = f"{recipe.display_name}(..., {'=..., '.join(names)}=...)"
    return NotMaterializedError(
        compose(
            f"the parameters of this {recipe.name} are not known yet: which there are depends on {', '.join(names)}",
            constant_attributes,
            f"materialize(model, input)  # or one call, first\n{given}  # or give them",
        )
    )


def _return_to_user(root: nn.Module, origins: CopySources) -> None:
    """Put what the user gave in the places of its copies."""
    for module in [each for _, each in walk(root) if not isinstance(each, RecordsOperations)]:
        for kind in (module._modules, module._parameters, module._buffers):
            for name, each in cast("dict[str, Any]", kind).items():
                if id(each) in origins:
                    cast("dict[str, Any]", kind)[name] = origins[id(each)][0]


# ---------------------------------------------------------------------------------------------
# Submodules that do not exist yet


class PreviewSubmodule(RecordsOperations):
    """First base of a submodule in a skeleton: what is done to it will be done to the real one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep the class's own `__init_subclass__` out of this."""

    @property
    def _recording_paused(self) -> bool:  # type: ignore[override]
        return bool(vars(self)[PREVIEW_KEY][0].recording_paused)

    def _lazify_apply_now(self, operation: Operation) -> Any:
        preview, path = vars(self)[PREVIEW_KEY]
        return preview.apply(replace(operation, path=path))

    def _hook_handles(self) -> dict[int, Any]:
        handles: dict[int, Any] = vars(self)[PREVIEW_KEY][0].handles
        return handles

    def _lazify_record(self, operation: Operation, handle: Any = None) -> None:
        preview, path = vars(self)[PREVIEW_KEY]
        operation.path = path
        preview.record(operation, handle)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if PREVIEW_KEY not in vars(self):  # kept from before, called after
            return type(self).__call__(self, *args, **kwargs)
        raise NotMaterializedError(self._lazify_waiting("called"))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if PREVIEW_KEY not in vars(self):
            return type(self).forward(self, *args, **kwargs)
        raise NotMaterializedError(self._lazify_waiting("called"))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        """What is loaded into the module around waits with it; here are only names."""
        report_missing_and_unexpected_keys(self, state_dict, prefix, *rest)  # type: ignore[arg-type]

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        raise NotMaterializedError(self._lazify_waiting("loaded"))

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NotMaterializedError(self._lazify_waiting("copied"))

    def __setattr__(self, name: str, value: Any) -> None:
        if self._recording_paused:
            super().__setattr__(name, value)
        else:
            operation = Operation("__setattr__", (name, value), {})
            self._lazify_apply_now(operation)
            self._lazify_record(operation)

    def __delattr__(self, name: str) -> None:
        if self._recording_paused:
            super().__delattr__(name)
        else:
            operation = Operation("__delattr__", (name,), {})
            self._lazify_apply_now(operation)
            self._lazify_record(operation)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            raise NotMaterializedError(self._lazify_waiting(f"asked for {name!r}")) from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(?)"

    def _lazify_waiting(self, wanted: str) -> str:
        path = vars(self)[PREVIEW_KEY][1]
        return compose(
            f"{path!r} cannot be {wanted} yet: it belongs to a lazy module that waits for its first call",
            fix="module(input)  # once",
        )


def report_missing_and_unexpected_keys(
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
        made = _part_classes[id(cls)] = subclass_without_hooks(
            type(cls), cls.__name__, (PreviewSubmodule, cls), namespace
        )
    return made
