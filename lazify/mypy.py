"""A plugin for mypy: the exact constructor of what `lazify` makes, for any `exclude` that is written out.

In the configuration of mypy:

    [tool.mypy]
    plugins = ["lazify.mypy"]

`LazyBlock = lazify(Block, exclude=["dim"])`: `LazyBlock` is called without `dim` and returns a `Block`.
`@lazify(exclude=["dim"])` over `class Block`: `Block` is called without `dim`; a subclass calls `super().__init__`
with all arguments that `Block.__init__` declares.

A dropped argument may be passed by keyword, as at run time. See
https://mypy.readthedocs.io/en/stable/extending_mypy.html#extending-mypy-using-plugins.
"""

from lazify import __version__ as __version__  # mypy reads it: another version of the plugin invalidates its cache
from lazify.typing_support.mypy_plugin import plugin as plugin

__all__ = ["plugin"]
