"""Old module name that pickles of version 0.1.0 refer to. Rules made now refer to `lazify._recipe.rules`."""

from lazify._recipe.rules import Axis

__all__ = ["Axis"]
