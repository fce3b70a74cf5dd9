"""Old module name that pickles of version 0.1.0 refer to: an operation was an `Entry`, with other attribute names."""

from typing import Any

from lazify._deferred.operations import Operation

__all__ = ["Entry"]

#: Attribute of an `Entry` -> attribute of an `Operation`, where they differ.
NEW_NAMES = {"hook": "hook_id", "removed": "hook_removed", "given": "applied_to"}


class Entry(Operation):
    """An operation in an old pickle. Unpickling changes its class to `Operation`."""

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__class__ = Operation  # type: ignore[assignment]
        vars(self).update({NEW_NAMES.get(name, name): value for name, value in attributes.items()})
