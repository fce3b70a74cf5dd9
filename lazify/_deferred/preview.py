"""The preview: which parameters, buffers and submodules the real module will have, before it exists.

someone asks for parameters -> trial constructions with several values of the unknown parameters
                            -> same names in all: placeholders under these names, and submodules that record operations
                            -> different names: NotMaterializedError, since only the call determines the names
materialization             -> placeholders and submodules become the real ones, the same objects
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias, cast

import torch
from torch import nn

from lazify._deferred.constructions import compare_constructions
from lazify._deferred.operations import CONVERTING, HOOKING, IMMEDIATE, Operation, RecordsOperations
from lazify._deferred.placeholders import Placeholder, as_placeholder, convert, new_placeholder, rank_of, substitute
from lazify._deferred.preview_submodule import PreviewSubmodule, preview_class
from lazify._module_tree import PREVIEW_KEY, named_tensors, walk
from lazify._recipe.construction import set_class
from lazify._recipe.recipe import Recipe
from lazify.errors import NotMaterializedError

__all__ = ["CONTENT", "Preview", "is_visible_in_preview"]

#: Attributes of a lazy instance that are read from the module of its preview.
CONTENT = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")

Record: TypeAlias = "Callable[..., None]"


class Preview:
    """The preview of one lazy instance.

    Args:
        placeholders: of a copied instance: path -> placeholder, or torch's own uninitialized tensor out of a file,
            and its `default_requires_grad`.
        operations_applied: how many operations of the history these placeholders already reflect.

    Attributes:
        placeholders: path -> the object that will be the real parameter or buffer.
        operations_applied: as above.
        module: the module built on fakes, its tensors replaced by placeholders; None until someone asks.
        constant_attributes: attributes of `module` that hold constructor arguments, whatever values are inferred
            (`stride`, `out_channels`).
        size_dependent_attributes: attributes of `module` that depend on the values to be inferred.
        failure: why there is no preview; None if there is no failure.
        record: records an operation on a submodule in the history of the lazy instance.
        handles: hook id -> the user's handle on a hook of a submodule.
        recording_paused: whether an operation is being applied, whose inner steps are not recorded.
        being_materialized: whether the real module is being built around this instance: operations are then replayed
            that the placeholders already reflect.
        user_module_ids: ids of modules and tensors in `module` that belong to the user.
    """

    def __init__(self, placeholders: Mapping[str, tuple[Any, bool]] | None = None, operations_applied: int = 0) -> None:
        self.placeholders = {path: as_placeholder(each, flag) for path, (each, flag) in (placeholders or {}).items()}
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

    # building

    def build(self, recipe: Recipe, given: Mapping[str, Any], operations: list[Operation], owner: Any) -> None:
        """Build `module` on fakes, insert placeholders, and apply the operations of the history.

        Args:
            recipe: the recipe of the lazy class.
            given: constructor arguments, by name.
            operations: the history of the lazy instance.
            owner: the lazy instance.

        Raises:
            NotMaterializedError: if the names of the parameters depend on values that only the call determines.
        """
        if self.failure is not None:
            raise NotMaterializedError(str(self.failure))
        try:
            compared = compare_constructions(recipe, given)
        except NotMaterializedError as failure:
            self.failure = failure.with_traceback(None)
            raise
        is_first = not self.placeholders
        modules = {
            path: each
            for path, each in walk(compared.module)
            if id(each) not in compared.user_ids and not isinstance(each, RecordsOperations)
        }
        for path, module in modules.items():
            for name in compared.size_dependent_attributes.get(path, ()):
                vars(module).pop(name, None)
        self._insert_placeholders(modules, compared.user_ids, given.get("device"))
        self._record_submodules(modules)
        self.set_owner(owner)
        self.module, self.user_module_ids = compared.module, compared.user_ids
        self.constant_attributes = compared.constant_attributes
        self.size_dependent_attributes = frozenset(compared.size_dependent_attributes.get("", ()))
        for number, operation in enumerate(operations):
            self.apply(operation, live=is_first or number >= self.operations_applied)

    def _insert_placeholders(self, modules: Mapping[str, nn.Module], user_ids: set[int], device: Any) -> None:
        """Replace the tensors of `modules` (path -> module) by placeholders, except those of the user."""
        pairs: dict[int, tuple[Any, Any]] = {}
        for path, module in modules.items():
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is None or id(tensor) in user_ids:
                    continue
                tensor_path = f"{path}.{name}" if path else name
                if id(tensor) not in pairs:
                    placeholder = self.placeholders.get(tensor_path)
                    placeholder = new_placeholder(tensor) if placeholder is None else placeholder
                    placeholder.default_requires_grad, placeholder.rank = tensor.requires_grad, rank_of(tensor)
                    pairs[id(tensor)] = (tensor, placeholder)
                self.placeholders[tensor_path] = pairs[id(tensor)][1]
        if device is not None:  # the fakes are on the CPU, whatever the argument says
            for _, placeholder in pairs.values():
                with suppress(RuntimeError, TypeError, AssertionError):  # no such device: the constructor will fail
                    convert(placeholder, torch.empty(0, device=device).device, placeholder.dtype)
        substitute(modules.values(), pairs)

    def _record_submodules(self, modules: Mapping[str, nn.Module]) -> None:
        """Make the submodules record operations."""
        for path, module in modules.items():
            if path:
                with suppress(TypeError):  # Python cannot change the class of some modules: they do not record
                    set_class(module, preview_class(type(module)))
                    vars(module)[PREVIEW_KEY] = (self, path)

    def split_off(self, path: str, operations_applied: int) -> Preview | None:
        """Move the placeholders of the lazy submodule at `path` to a preview of its own; None if there are none."""
        names = [name for name in self.placeholders if name.startswith(f"{path}.")]
        inside = {name.removeprefix(f"{path}."): self.placeholders.pop(name) for name in names}
        if not inside:
            return None
        return Preview({name: (each, each.default_requires_grad) for name, each in inside.items()}, operations_applied)

    def set_owner(self, owner: Any) -> None:
        """Set the lazy instance of all placeholders."""
        for placeholder in self.placeholders.values():
            placeholder.owner = weakref.ref(owner)

    # reading

    def submodule(self, path: str) -> nn.Module:
        """The submodule at `path`; for the empty path, `module` itself."""
        module = cast("nn.Module", self.module)
        for name in path.split(".") if path else ():
            module = cast("nn.Module", vars(module)["_modules"][name])
        return module

    def submodules(self) -> Iterator[tuple[str, nn.Module]]:
        """Paths and submodules that record operations: `PreviewSubmodule`s, and lazy instances inside."""
        if self.module is not None:
            for path, module in walk(self.module):
                if path and isinstance(module, RecordsOperations) and id(module) not in self.user_module_ids:
                    yield path, module

    # operations

    def apply(self, operation: Operation, live: bool = True) -> Any:
        """Apply an operation to placeholders and module, as far as it is visible there.

        Args:
            operation: the operation, with the path of the submodule on which it was performed.
            live: whether `requires_grad_` sets the flag of placeholders; else only what they expect of the real
                parameter, because they already have the flag or the user changed it since.

        Returns:
            What the method of `nn.Module` returns.
        """
        target = None if self.module is None else self.submodule(operation.path)
        placeholders = self.placeholders.values() if target is None else _placeholders_in(target)
        if target is not None and operation.method in ("requires_grad_", *CONVERTING):
            for lazy in self._lazy_instances_in(target):
                lazy._apply_from_parent(Operation(operation.method, operation.args, operation.kwargs), live)
        if operation.method == "requires_grad_":
            flag = (*operation.args, *operation.kwargs.values(), True)[0]
            for placeholder in filter(_is_parameter, placeholders):
                placeholder.default_requires_grad = flag
                if live and not self.being_materialized:
                    placeholder.requires_grad = flag
        elif operation.method in CONVERTING:
            _convert_placeholders(placeholders, operation)
        elif target is not None and is_visible_in_preview(operation):
            self.recording_paused = True
            try:
                return getattr(nn.Module, operation.method)(target, *operation.args, **operation.kwargs)
            finally:
                self.recording_paused = False
        return target

    def _lazy_instances_in(self, target: nn.Module) -> Iterator[RecordsOperations]:
        """The lazy instances in a submodule, except those of the user."""
        for _, inside in walk(target):
            if (
                isinstance(inside, RecordsOperations)
                and not isinstance(inside, PreviewSubmodule)
                and id(inside) not in self.user_module_ids
            ):
                yield inside


def is_visible_in_preview(operation: Operation) -> bool:
    """Whether the operation changes the module of the preview.

    Hooks of the lazy instance itself do not: they are registered on `History.attached_to`.
    """
    return operation.method in (*IMMEDIATE, "__setattr__", "__delattr__") or (
        operation.method in HOOKING and operation.path != ""
    )


def _placeholders_in(module: nn.Module) -> list[Any]:
    return list({id(t): t for _, t in named_tensors(module) if isinstance(t, Placeholder)}.values())


def _is_parameter(placeholder: Any) -> bool:
    return isinstance(placeholder, nn.Parameter)


def _convert_placeholders(placeholders: Iterable[Any], operation: Operation) -> None:
    """Convert placeholders as torch converts empty tensors of the same device and dtype."""
    for placeholder in placeholders:
        holder, empty = nn.Module(), torch.empty(0, device=placeholder.device, dtype=placeholder.dtype)
        if _is_parameter(placeholder):
            holder.tensor = nn.Parameter(empty, requires_grad=False)
        else:
            holder.register_buffer("tensor", empty)
        with suppress(Exception):  # materialization will replay the operation on the real tensor, and fail there
            getattr(holder, operation.method)(*operation.args, **operation.kwargs)
            converted: Any = holder.tensor
            convert(placeholder, converted.device, converted.dtype)
