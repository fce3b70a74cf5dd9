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

import hashlib
from pathlib import Path

from lazify.typing_support import mypy_plugin
from lazify.typing_support.mypy_plugin import plugin as plugin

__all__ = ["plugin"]

_sources = (path.read_bytes() for path in sorted(Path(mypy_plugin.__file__).parent.glob("*.py")))
#: mypy discards its cache when the version of a plugin changes: here, with the source of any part of the plugin.
__version__ = hashlib.sha256(b"".join(_sources)).hexdigest()
