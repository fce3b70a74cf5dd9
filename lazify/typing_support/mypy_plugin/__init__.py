"""The mypy plugin: the exact constructor of what `lazify` makes, for any `exclude` that is written out.

In: mypy's tree of a program. A call or decorator `lazify` is read into a `SignatureChange`: which parameters of the
constructor are dropped and which are added. Out: the changed constructor as mypy's types. Errors: unknown names.
"""

from lazify.typing_support.mypy_plugin.plugin import plugin as plugin

__all__ = ["plugin"]
