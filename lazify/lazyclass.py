"""Old module name that pickles of version 0.1.0 refer to. Pickles made now refer to `lazify._lazy_class.pickling`."""

from lazify._lazy_class.pickling import unpickle as _revive

__all__ = ["_revive"]
