"""Trial constructions for a preview: what is the same in the module whatever the inferred values will be.

recipe, constructor arguments  ->  build on fakes with several values of the unknown parameters
  names of tensors and submodules are the same in all   ->  ComparedConstructions
  they differ                                           ->  NotMaterializedError: only the call determines them
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from torch.jit import ScriptModule

from lazify._deferred.agreement import Agreement
from lazify._deferred.operation_table import RecordsOperations
from lazify._deferred.placeholders import rank_of
from lazify._inference.call_values import derived
from lazify._inference.messages import format_values
from lazify._inference.search_problem import SENTINELS
from lazify._inference.trial_values import construct_preview, starting_values, unknown_names
from lazify._isolation import Constructor, CopySources
from lazify._isolation.observers import observers_off
from lazify._module_tree import own_tensors, walk
from lazify._nested import all_plain
from lazify._recipe.construction import construct_new
from lazify._recipe.recipe import Recipe
from lazify._recipe.rules import Axis
from lazify._recipe.torch_nn_table import KNOWN
from lazify.errors import NotMaterializedError, compose

__all__ = ["ComparedConstructions", "compare_constructions", "first_construction"]

#: The device of tensors without data.
META = torch.device("meta")
#: How many numbers are tried for one unknown parameter, and how many of them because of numbers in the code.
MOST_NUMBERS, MOST_LIMITS = 14, 3
#: A number on the other side of most limits (`dim // 64`), as highly divisible as the others.
LARGE = 720
#: Seconds of processor time that a construction may take, for large numbers to be tried: it may loop over them.
MOST_COST = 0.1
#: How many differing names an error shows.
MOST_NAMES = 8


class ComparedConstructions(NamedTuple):
    """A module built on fakes, and how it compares with modules built with other values.

    Attributes:
        module: the module, with the user's own modules and tensors in it.
        agreement: the attributes that are the same in all, of the module and its submodules.
        user_ids: ids of modules and tensors in it that belong to the user: constructor arguments, and what several
            constructions share (defaults, globals, what a cache holds).
    """

    module: nn.Module
    agreement: Agreement
    user_ids: set[int]


def compare_constructions(recipe: Recipe, given: Mapping[str, Any]) -> ComparedConstructions:
    """Build the module on fakes with several values of the unknown parameters, and compare.

    Raises:
        NotMaterializedError: if names of tensors or submodules depend on these values, or are those of TorchScript.
    """
    names = unknown_names(recipe, given)
    values, module, sources = first_construction(recipe, given, names)
    _refuse_compiled(recipe, names, module, sources)
    tensor_names, agreement = _tensor_names(module), Agreement(module, sources)
    shared: set[int] = set()
    varied: set[str] = set()
    costs: list[float] = []
    for other_values in contrasting_values(recipe, given, values):
        if min(costs, default=0) > MOST_COST and max(_numbers(list(other_values.values())), default=0) >= LARGE:
            continue
        try:
            other, other_sources = _construct(recipe, given, other_values, _timed(recipe, costs))
        except Exception:  # the class does not accept this value
            continue
        if tensor_names != (other_names := _tensor_names(other)):
            differing = sorted({str(name) for name, *_ in set(tensor_names) ^ set(other_names)})
            lines = [("there or not", ", ".join(differing[:MOST_NAMES]))]
            lines += [("compared", format_values(values)), ("with", format_values(other_values))]
            raise _names_unknown_error(recipe, names, lines)
        agreement.compare(other, other_sources)
        varied |= {name for name in values if name not in other_values or other_values[name] != values[name]}
        shared |= _ids_inside(module) & _ids_inside(other)
    defaulted = recipe.defaulted - given.keys()
    varied |= {name for name in defaulted if _vary_default(recipe, given, values, name, agreement)}
    shared |= _build_again(recipe, given, values, module, agreement)
    if not varied.issuperset({*names, *defaulted}):
        agreement.forget()
    _replace_copies(module, sources)
    held = [original for original, _ in sources.values() if isinstance(original, (nn.Module, torch.Tensor))]
    originals = {id(each) for original in held for each in _contents(original)}
    return ComparedConstructions(module, agreement, shared | originals)


def _timed(recipe: Recipe, costs: list[float]) -> Constructor:
    """Builds the module, and adds the seconds of processor time that it took to `costs`."""

    def construct(arguments: Mapping[str, Any]) -> nn.Module:
        start = time.thread_time()
        module = construct_new(recipe, arguments)
        costs.append(time.thread_time() - start)
        return module

    return construct


def _vary_default(
    recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any], name: str, agreement: Agreement
) -> bool:
    """Compare with another value of a parameter whose default the call may refuse; whether the class accepts any."""
    default = recipe.original_signature.parameters[name].default
    for number in (SENTINELS[0], *(factor * each for each in _numbers(default) for factor in (2, 4)), 1):
        if number != default:
            with contextlib.suppress(Exception):
                agreement.compare(*_construct(recipe, given, {**values, name: number}))
                return True
    return False


def _build_again(
    recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any], module: nn.Module, agreement: Agreement
) -> set[int]:
    """Compare with a module of the same values; the ids of modules and tensors that both have.

    It is the second of two that are built without bringing anything back between them: what is random, counted or
    depends on the time is not the same in both. (The constructors of torch's own classes are not like that.)
    """
    make = functools.partial(construct_new, recipe)
    try:
        again, sources = _construct(recipe, given, values, lambda arguments: [make(arguments), make(arguments)][1])
        agreement.compare(again, sources)
    except Exception:  # it takes its arguments, or a name in a registry, only once
        agreement.forget()
        again, _ = _construct(recipe, given, values)
    return _ids_inside(module) & _ids_inside(again)


def first_construction(
    recipe: Recipe, given: Mapping[str, Any], names: list[str], construct: Constructor | None = None
) -> tuple[dict[str, Any], nn.Module, CopySources]:
    """The first values that the constructor accepts, and the module built with them. See `construct_preview`."""
    failure: Exception | None = None
    for values in starting_values(names):
        try:
            return (values, *_construct(recipe, given, values, construct))
        except Exception as error:
            failure = failure or error
    lines = [("a trial construction", f"{type(failure).__name__}: {failure}")]
    raise _names_unknown_error(recipe, names, lines) from failure


def _construct(
    recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any], construct: Constructor | None = None
) -> tuple[nn.Module, CopySources]:
    """A module without real tensors, and the sources of the copies in it: the user's own objects.

    The constructors of torch's own classes have no effect on anything else: they need no fakes and no snapshot. For
    the arguments, see `construct_preview`.

    Raises:
        Exception: whatever the constructor raises.
    """
    if recipe.wrapped not in KNOWN or not all_plain(given.values()):
        return construct_preview(recipe, given, values, construct)
    arguments = derived(recipe, given, values)
    if "device" in given:
        arguments["device"] = META
    with observers_off(), META, torch.enable_grad():
        return (construct or functools.partial(construct_new, recipe))({**given, **arguments}), {}


def contrasting_values(recipe: Recipe, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Values that may take another branch in the constructor.

    Other numbers, a large one too; numbers equal to an argument (`if a != b:`) or to a multiple of one; twice the
    numbers in the code of the constructor (`if dim > 1024:`); the default.
    """
    parameters = recipe.original_signature.parameters
    defaults = [p.default for p in parameters.values() if p.default is not p.empty]
    known = dict.fromkeys(number for each in (*given.values(), *defaults) for number in _numbers(each))
    multiples = [factor * number for factor in (4, 2) for number in known]  # `if in_channels != 4 * width:`
    limits = [2 * number for number in _numbers_in_code(recipe)]
    numbers = dict.fromkeys([*SENTINELS[:2], LARGE, *limits, *known, *multiples][:MOST_NUMBERS])
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
    """The positive integers in an argument."""
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int) and not isinstance(value, bool) and value > 0:
        yield value


def _numbers_in_code(recipe: Recipe) -> list[int]:
    """The positive integers in the code of a constructor, a few of the greatest."""
    constants = getattr(getattr(recipe.original_init, "__code__", None), "co_consts", ())
    return sorted({n for n in _numbers(list(constants)) if 1 < n < 3 * LARGE}, reverse=True)[:MOST_LIMITS]


def _refuse_compiled(recipe: Recipe, names: list[str], module: nn.Module, sources: CopySources) -> None:
    """Refuse a module that the constructor has made into TorchScript: nothing in it can be replaced."""
    compiled = [path for path, each in walk(module) if isinstance(each, ScriptModule) and id(each) not in sources]
    if compiled:
        raise _names_unknown_error(recipe, names, [], f"{compiled[0]!r} is a module of TorchScript")


def _names_unknown_error(
    recipe: Recipe, names: list[str], lines: list[tuple[str, str]], why: str = ""
) -> NotMaterializedError:
    given = f"{recipe.display_name}(..., {'=..., '.join(names)}=...)"
    why = why or f"which there are depends on {', '.join(names)}"
    return NotMaterializedError(
        compose(
            f"the parameters of this {recipe.name} are not known yet: {why}",
            lines,
            f"materialize(model, input)  # or one call, first\n{given}  # or give them",
        )
    )


# ---------------------------------------------------------------------------------------------
# Comparing two modules


def _tensor_names(root: nn.Module) -> list[tuple[Any, ...]]:
    """Submodules as (path, module and name of the class); tensors as (path, first path, rank, whether not persistent).

    The first path is that under which the same tensor occurs first: it tells tied tensors from separate ones.
    """
    found: list[tuple[Any, ...]] = []
    first_paths: dict[int, str] = {}
    for path, module in walk(root):
        found.append((path, type(module).__module__, type(module).__qualname__))
        if isinstance(module, RecordsOperations):
            continue
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            tensor_path = f"{path}.{name}" if path else name
            first_path = None if tensor is None else first_paths.setdefault(id(tensor), tensor_path)
            rank = None if tensor is None else rank_of(tensor)
            found.append((tensor_path, first_path, rank, name in module._non_persistent_buffers_set))
    return found


# ---------------------------------------------------------------------------------------------
# The user's own modules and tensors


def _ids_inside(module: nn.Module) -> set[int]:
    """The ids of all modules and tensors in a module."""
    return {id(each) for _, inside in walk(module) for each in (inside, *own_tensors(inside))}


def _contents(original: Any) -> list[Any]:
    """A constructor argument, with the modules and tensors in it."""
    modules = [each for _, each in walk(original)] if isinstance(original, nn.Module) else []
    return [original, *modules, *(tensor for each in modules for tensor in own_tensors(each))]


def _replace_copies(root: nn.Module, sources: CopySources) -> None:
    """Replace copies of the user's modules and tensors by the originals."""
    for module in [each for _, each in walk(root) if not isinstance(each, RecordsOperations)]:
        for kind in (module._modules, module._parameters, module._buffers):
            registered = cast("dict[str, Any]", kind)
            for name, each in registered.items():
                if id(each) in sources:
                    registered[name] = sources[id(each)][0]
