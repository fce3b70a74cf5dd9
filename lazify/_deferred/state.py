"""The lazy state: what a lazy instance holds until it is materialized.

LazyInstance.__dict__[STATE_KEY]  ->  recipe, constructor arguments, history (operations, preview)
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from threading import RLock
from types import MappingProxyType
from typing import Any, cast

from torch import nn
from torch.utils.hooks import RemovableHandle

from lazify._deferred.agreement import STRUCTURE
from lazify._deferred.copy_group import CopyGroup
from lazify._deferred.operations import Operation
from lazify._deferred.preview import Preview
from lazify._deferred.preview_submodule import PreviewSubmodule
from lazify._lock import InstanceLock
from lazify._module_tree import STATE_KEY
from lazify._nested import PLAIN, all_plain
from lazify._recipe.recipe import Recipe
from lazify.errors import NotMaterializedError, compose

__all__ = ["STATE_KEY", "History", "LazyState", "lazy_state", "next_construction_index"]

next_construction_index = itertools.count().__next__


class History:
    """Operations performed on a lazy instance before it is materialized, and the preview if anyone asked for it.

    Attributes:
        operations: the operations, in order.
        attached_to: a bare `nn.Module` that holds hooks, attributes and submodules that the user set on the lazy
            instance; None until one is set.
        handles: hook id -> the user's handle, which materialization redirects to the real module.
        device_is_explicit: whether an operation chose a device.
        preview: the preview of the real module's parameters and submodules; None until someone asks for them.
        owner: for a lazy instance inside the preview of another one: the lazy state of the other one, and the path
            of this instance in it; else None.
        named: a module of a trial construction that has the names of the real one, and how many operations were
            performed on it; None until an operation might be refused.
        copy_group: shared by a lazy instance and its copies, which start with the same values; None without copies.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.attached_to: nn.Module | None = None
        self.handles: dict[int, RemovableHandle] = {}
        self.device_is_explicit = False
        self.preview: Preview | None = None
        self.owner: tuple[LazyState, str] | None = None
        self.copy_group: CopyGroup | None = None
        self.named: tuple[nn.Module, int] | None = None


class _EmptyHistory(History):
    """The read-only history that all lazy states share on which no operation was performed."""

    def __init__(self) -> None:
        vars(self).update(vars(History()), operations=(), handles=MappingProxyType({}))

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"{name} of a lazy state without a history: write to `writable_history()`")


_EMPTY_HISTORY = _EmptyHistory()
#: Held while a history is created. Reentrant: a finalizer that runs meanwhile may create another one.
_history_creation = RLock()


class LazyState:
    """The lazy state of one instance.

    Attributes:
        recipe: the recipe of the lazy class.
        given: the constructor arguments that the user passed, by name.
        history: operations and preview, to be read; to change them, use `writable_history()`.
        is_untouched: whether the history is empty and all constructor arguments are known to be immutable.
        construction_index: a counter over all lazy instances, in the order of their construction.
    """

    __slots__ = ("construction_index", "given", "history", "is_untouched", "recipe")

    def __init__(self, recipe: Recipe, given: dict[str, Any]) -> None:
        self.recipe = recipe
        self.given = given
        self.history: History = _EMPTY_HISTORY
        # `issuperset` is the fast path: it is nearly always enough
        self.is_untouched = PLAIN.issuperset(map(type, given.values())) or all_plain(given.values())
        self.construction_index = next_construction_index()

    def writable_history(self) -> History:
        """The history of this instance alone, created if need be."""
        if self.history is _EMPTY_HISTORY:
            with _history_creation:
                if self.history is _EMPTY_HISTORY:
                    self.history, self.is_untouched = History(), False
        return self.history

    def share_group_of(self, other: LazyState) -> None:
        """From now on start with the values of another instance of the same class, whichever is called first."""
        history = other.writable_history()
        history.copy_group = self.writable_history().copy_group = history.copy_group or CopyGroup()

    def attached(self) -> nn.Module:
        """The module that holds what the user set on the lazy instance, created if need be."""
        history = self.writable_history()
        if history.attached_to is None:
            history.attached_to = nn.Module()
        return history.attached_to

    def preview_for(self, module: nn.Module) -> Preview | None:
        """The preview of the lazy instance `module`, which has this lazy state.

        None if another thread has materialized the module meanwhile.

        Raises:
            NotMaterializedError: if the names of the parameters depend on values that only the call determines.
        """
        with InstanceLock(self):
            if lazy_state(module) is not self:  # materialized while this thread waited for the lock
                return None
            history = self.writable_history()
            if history.preview is None or history.preview.module is None:
                preview = history.preview = history.preview or Preview()
                preview.build(self.recipe, self.given, history.operations, module)
                self.adopt_preview(preview)
            return history.preview

    def previewed(self, module: nn.Module) -> nn.Module:
        """The module in the preview of the lazy instance `module`; the instance itself if it is not lazy any more."""
        preview = self.preview_for(module)
        return module if preview is None else cast("nn.Module", preview.module)

    def known_attributes(self, module: nn.Module) -> dict[str, Any]:
        """Attributes of the real module that are known: parameters, buffers, submodules, and what does not depend on
        the values to be inferred. Containers are those of the preview's template.

        Args:
            module: the lazy instance, which has this lazy state.
        """
        try:
            root = self.previewed(module)
        except NotMaterializedError:
            return {}
        own = {name: value for name, value in vars(root).items() if name not in STRUCTURE}
        return {**self.containers(), **own, **root._parameters, **root._buffers, **root._modules}

    def containers(self) -> dict[str, Any]:
        """Those of the known attributes that are lists, dicts and the like of the preview's template."""
        return {} if self.history.preview is None else self.history.preview.containers("")

    def not_known_message(self, name: str) -> str:
        """Text of the error for an attribute that only the real module has."""
        recipe = self.recipe
        missing = recipe.left_out(self.given) or [each for each in recipe.rules if each not in self.given]
        return compose(
            f"attribute {name!r} is not known yet: this {recipe.name} waits for its first call",
            [("to be inferred", ", ".join(missing))],
            "module(input)  # once, or materialize(module, input)\n"
            f"{recipe.display_name}(..., {'=..., '.join(missing)}=...)  # or give them",
        )

    def adopt_preview(self, preview: Preview) -> None:
        """Make `preview` the preview of this instance, and record operations on its submodules in this history."""
        history = self.writable_history()
        history.preview = preview
        preview.state = self
        for path, submodule in preview.submodules():
            if isinstance(submodule, PreviewSubmodule):
                continue
            inner: LazyState = vars(submodule)[STATE_KEY]
            inner.writable_history().owner = (self, path)
            inner.attached()
            if inner.history.preview is None:
                inner_preview = preview.split_off(path, len(inner.history.operations))
                if inner_preview is not None:
                    inner.history.preview = inner_preview
                    inner_preview.set_owner(submodule)

    def copyable_placeholders(self) -> dict[str, tuple[Any, bool]] | None:
        """Path -> placeholder and its `default_requires_grad`, lazy submodules included; None without a preview."""
        if self.history.preview is None:
            return None
        placeholders = {
            path: (each, each.default_requires_grad) for path, each in self.history.preview.placeholders.items()
        }
        for path, submodule in self.history.preview.submodules():
            if not isinstance(submodule, PreviewSubmodule):
                inner = vars(submodule)[STATE_KEY].copyable_placeholders() or {}
                placeholders.update({f"{path}.{name}": each for name, each in inner.items()})
        return placeholders

    def record(self, operation: Operation, result: Any = None) -> None:
        """Add an operation to the history, and to the history of the owner if there is one.

        Args:
            operation: the operation.
            result: what its method returned; for a hook, the user's handle.
        """
        history = self.writable_history()
        history.operations.append(operation)
        if isinstance(result, RemovableHandle):
            operation.hook_id = result.id
            history.handles[result.id] = result
        if history.preview is not None and not operation.path:
            history.preview.apply(operation)
        if history.owner is not None:
            owner, path = history.owner
            owner.record(replace(operation, path=f"{path}.{operation.path}" if operation.path else path), result)

    def perform_for_owner(self, operation: Operation, live: bool) -> None:
        """Record an operation that was performed on an outer module. For `live`, see `PreviewContext`."""
        history = self.writable_history()
        history.operations.append(operation)
        if history.preview is not None:
            history.preview.apply(operation, live)

    def still_registered(self, operation: Operation) -> bool:
        """False if the operation registered a hook that was removed since; else True."""
        handle = None if operation.hook_id is None else self.history.handles.get(operation.hook_id)
        if handle is None or operation.hook_removed:
            return not operation.hook_removed
        hooks = handle.hooks_dict_ref()
        return hooks is not None and handle.id in hooks


def lazy_state(module: nn.Module) -> LazyState | None:
    """The lazy state of a module; None if the module is not lazy, or not any more."""
    return module.__dict__.get(STATE_KEY)
