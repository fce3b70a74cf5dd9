"""The preview: which parameters, buffers and submodules the real module will have, before it exists.

someone asks for parameters -> trial constructions with several values of the unknown parameters
                            -> same names in all: placeholders under these names, and submodules that record operations
                            -> different names: NotMaterializedError, since only the call determines the names
materialization             -> placeholders and submodules become the real ones, the same objects
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from lazify._deferred.caches import caches_of
from lazify._deferred.operation_effects import PreviewContext
from lazify._deferred.operation_table import RecordsOperations, replay
from lazify._deferred.operations import Operation
from lazify._deferred.placeholders import as_placeholder, new_placeholder, substitute
from lazify._deferred.preview_submodule import preview_class
from lazify._deferred.preview_template import EMPTY_TEMPLATE, shallow_copy, template_of
from lazify._module_tree import PREVIEW_KEY, walk
from lazify._recipe.construction import set_class
from lazify._recipe.recipe import Recipe
from lazify._recipe.torch_nn_table import KNOWN
from lazify.errors import NotMaterializedError

__all__ = ["CONTENT", "Preview"]

#: Attributes of a lazy instance that are read from the module of its preview.
CONTENT = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")


class Preview:
    """The preview of one lazy instance.

    Args:
        placeholders: of a copied instance: path -> placeholder, or torch's own uninitialized tensor out of a file,
            and its `default_requires_grad`.
        operations_applied: how many operations of the history these placeholders already reflect.

    Attributes:
        placeholders: path -> the object that will be the real parameter or buffer.
        operations_applied: as above.
        module: a module from a trial construction, its tensors replaced by placeholders; None until someone asks.
        template: what the trial constructions told of `module`; empty until then.
        failure: why there is no preview; None if there is no failure.
        state: the lazy state of the instance, which records operations on submodules.
        recording_paused: whether an operation is being applied, whose inner steps are not recorded.
        being_materialized: whether the real module is being built around this instance: operations are then replayed
            that the placeholders already reflect.
    """

    def __init__(self, placeholders: Mapping[str, tuple[Any, bool]] | None = None, operations_applied: int = 0) -> None:
        self.placeholders = {path: as_placeholder(each, flag) for path, (each, flag) in (placeholders or {}).items()}
        self.operations_applied = operations_applied
        self.module: nn.Module | None = None
        self.template = EMPTY_TEMPLATE
        self.failure: NotMaterializedError | None = None
        self.state: Any = None
        self.recording_paused = False
        self.being_materialized = False

    # building

    def build(self, recipe: Recipe, given: Mapping[str, Any], operations: list[Operation], owner: Any) -> None:
        """Make `module` from the template, insert placeholders, and apply the operations of the history.

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
            self.template = template_of(recipe, given, caches_of(type(owner)).templates)
        except NotMaterializedError as failure:
            self.failure = failure.with_traceback(None)
            raise
        is_first = not self.placeholders
        modules = self._insert_placeholders(_device_of(recipe, given))
        self.module = modules[""]
        for path, module in modules.items():
            if path:
                with suppress(TypeError):  # Python cannot change the class of some modules: they do not record
                    set_class(module, preview_class(type(module)))
                    vars(module)[PREVIEW_KEY] = (self, path)
        self.set_owner(owner)
        for number, operation in enumerate(operations):
            self.apply(operation, live=is_first or number >= self.operations_applied)

    def _insert_placeholders(self, device: torch.device | None) -> dict[str, nn.Module]:
        """The modules of the template by path, with placeholders for all tensors except those of the user."""
        template, modules = self.template, self.template.modules
        substitutes: dict[int, tuple[Any, Any]] = {}
        if template.is_shared:
            modules = {path: shallow_copy(module) for path, module in modules.items()}
            substitutes.update((id(old), (old, modules[path])) for path, old in template.modules.items())
        for path, tensor, kind in template.tensors:
            if id(tensor) not in substitutes:
                placeholder = self.placeholders.get(path)
                if placeholder is None:
                    placeholder = new_placeholder(kind, device or kind.device)
                placeholder.default_requires_grad, placeholder.rank = kind.requires_grad, kind.rank
                substitutes[id(tensor)] = (tensor, placeholder)
            self.placeholders[path] = substitutes[id(tensor)][1]
        substitute(modules.values(), substitutes)
        return modules

    def split_off(self, path: str, operations_applied: int) -> Preview | None:
        """Move the placeholders of the lazy submodule at `path` to a preview of its own; None if there are none."""
        names = [name for name in self.placeholders if name.startswith(f"{path}.")]
        inside = {name.removeprefix(f"{path}."): self.placeholders.pop(name) for name in names}
        if not inside:
            return None
        return Preview({name: (each, each.default_requires_grad) for name, each in inside.items()}, operations_applied)

    def set_owner(self, owner: Any) -> None:
        """Set the lazy instance of all placeholders."""
        reference = weakref.ref(owner)
        for placeholder in self.placeholders.values():
            placeholder.owner = reference

    def containers(self, path: str) -> dict[str, Any]:
        """The lists, dicts and the like that a module will have, none of which is anybody's yet."""
        return self.template.containers.get(path, {})

    def submodules(self) -> Iterator[tuple[str, nn.Module]]:
        """Paths and submodules that record operations: `PreviewSubmodule`s, and lazy instances inside."""
        if self.module is not None and self.module._modules:
            for path, module in walk(self.module):
                if path and isinstance(module, RecordsOperations) and id(module) not in self.template.user_ids:
                    yield path, module

    def apply(self, operation: Operation, live: bool = True) -> Any:
        """Apply an operation to placeholders and module. For `live`, see `PreviewContext`.

        Returns:
            What the method of `nn.Module` returns.
        """
        return replay((operation,), self.module, "preview", PreviewContext(self, live))


def _device_of(recipe: Recipe, given: Mapping[str, Any]) -> torch.device | None:
    """The device of placeholders; None for that of the tensor in the trial construction."""
    if given.get("device") is not None:
        with suppress(RuntimeError, TypeError, AssertionError):  # there is no such device: the constructor will say so
            return torch.empty(0, device=given["device"]).device
    return torch.device("cpu") if recipe.wrapped in KNOWN else None
