"""Pickles of version 0.1.0 refer to modules that are gone: here they stand under their old names.

`lazify.journal.Entry` was an operation, with other attribute names; `lazify.rules.Axis` and `lazify.lazyclass._revive`
have moved.
"""

import sys
from types import ModuleType
from typing import Any

from lazify._deferred.operations import Operation
from lazify._lazy_class.pickling import unpickle
from lazify._recipe.rules import Axis

__all__ = ["OLD_NAMES"]

#: Attribute of an `Entry` -> attribute of an `Operation`, where they differ.
NEW_ATTRIBUTES = {"hook": "hook_id", "removed": "hook_removed", "given": "applied_to"}


class Entry(Operation):
    """An operation in an old pickle. Unpickling changes its class to `Operation`."""

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__class__ = Operation  # type: ignore[assignment]
        vars(self).update({NEW_ATTRIBUTES.get(name, name): value for name, value in attributes.items()})


#: Old module -> the name that pickles look up in it, and what it is now.
OLD_NAMES = {
    "lazify.journal": ("Entry", Entry),
    "lazify.lazyclass": ("_revive", unpickle),
    "lazify.rules": ("Axis", Axis),
}
for module, (name, value) in OLD_NAMES.items():
    sys.modules[module] = ModuleType(module, "An old name, for pickles of version 0.1.0.")
    setattr(sys.modules[module], name, value)
