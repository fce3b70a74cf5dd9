"""Submodules of a preview: modules that the user can hold before the real ones exist.

lazy.conv.eval()  ->  Operation("eval", path="conv") in the history of `lazy`  ->  first call: real.conv.eval()
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from torch import nn

from lazify._deferred.class_attributes import class_attributes
from lazify._deferred.operation_table import RecordsOperations, own_methods
from lazify._deferred.operations import Operation
from lazify._module_tree import PREVIEW_KEY
from lazify._recipe.construction import subclass_without_hooks
from lazify.errors import NotMaterializedError, compose

__all__ = ["PreviewSubmodule", "preview_class", "report_missing_and_unexpected_keys"]


class PreviewSubmodule(RecordsOperations):
    """First base of a submodule of a preview: operations on it are recorded, and replayed on the real submodule.

    Its `__dict__[PREVIEW_KEY]` holds the preview and the path of the submodule in it. Materialization changes class
    and `__dict__` of this very object to those of the real submodule. A method that was looked up before may be
    called after: it then calls the method of the real class.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Skip the `__init_subclass__` of the class that is previewed."""

    @property
    def _recording_paused(self) -> bool:  # type: ignore[override]
        return bool(vars(self)[PREVIEW_KEY][0].recording_paused)

    def _lazify_perform(self, operation: Operation) -> Any:
        preview, operation.path = vars(self)[PREVIEW_KEY]
        result = preview.apply(operation)
        preview.state.record(operation, result)
        return result

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if PREVIEW_KEY not in vars(self):  # looked up before materialization, called after
            return type(self).__call__(self, *args, **kwargs)
        raise NotMaterializedError(self._lazify_message("called"))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if PREVIEW_KEY not in vars(self):
            return type(self).forward(self, *args, **kwargs)
        raise NotMaterializedError(self._lazify_message("called"))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        """Compare names only. The lazy instance that owns the preview records the tensors to load."""
        report_missing_and_unexpected_keys(self, state_dict, prefix, *rest)  # type: ignore[arg-type]

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        raise NotMaterializedError(self._lazify_message("loaded"))

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NotMaterializedError(self._lazify_message("copied"))

    def __getattr__(self, name: str) -> Any:
        with suppress(AttributeError):
            return super().__getattr__(name)  # type: ignore[misc]
        preview, path = vars(self)[PREVIEW_KEY]
        if name in preview.containers(path):
            return self._lazify_adopt(name, preview.containers(path)[name])
        raise NotMaterializedError(self._lazify_message(f"asked for {name!r}"))

    def _lazify_class_attribute(self, name: str, value: Any) -> Any:
        preview, path = vars(self)[PREVIEW_KEY]
        if name in preview.containers(path) or name in preview.template.open.get(path, ()):
            return self.__getattr__(name)
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(?)"

    def _lazify_message(self, attempted: str) -> str:
        path = vars(self)[PREVIEW_KEY][1]
        return compose(
            f"{path!r} cannot be {attempted} yet: it belongs to a lazy module that waits for its first call",
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
    """Compare names as `nn.Module._load_from_state_dict` does, without loading anything.

    Args:
        module: a lazy instance or a submodule of a preview; its names are compared with those in `state_dict`.
        state_dict: the saved tensors of the whole model.
        prefix: the path of the module in the model, with a dot at the end.
        strict: whether to report at all.
        missing_keys: names in the module, not in `state_dict`, are added to this list.
        unexpected_keys: names in `state_dict`, not in the module, are added to this list.
        error_msgs: not used; an argument of `nn.Module._load_from_state_dict`.
    """
    buffers = [name for name in module._buffers if name not in module._non_persistent_buffers_set]
    own = [n for n in (*module._parameters, *buffers) if {**module._parameters, **module._buffers}[n] is not None]
    if strict:
        missing_keys += [prefix + name for name in own if prefix + name not in state_dict]
        for key in state_dict:
            name, dot, _ = key.removeprefix(prefix).partition(".")
            if key.startswith(prefix) and name not in (module._modules if dot else (*own, "_extra_state")):
                unexpected_keys.append(key)


#: id of a module class -> the subclass of it whose instances are submodules of a preview.
_preview_classes: WeakValueDictionary[int, type[nn.Module]] = WeakValueDictionary()


def preview_class(cls: type[nn.Module]) -> type[nn.Module]:
    """The subclass of `cls` and `PreviewSubmodule` with the same name, the same one each time."""
    found = _preview_classes.get(id(cls))
    if found is None:
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        namespace = {**class_attributes(cls), **names, **own_methods(cls)}
        found = _preview_classes[id(cls)] = subclass_without_hooks(
            type(cls), cls.__name__, (PreviewSubmodule, cls), namespace
        )
    return found
