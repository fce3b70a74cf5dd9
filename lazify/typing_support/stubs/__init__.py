"""Type stubs: a module as type checkers should see it, with the lazified constructors written out.

In: a module's source, and the imported module, from which the recipes of its lazy classes are read.
Out: the text of its `.pyi` file: the same statements without bodies and values, with every lazy class declared.
"""

from lazify.typing_support.stubs.files import write as write
from lazify.typing_support.stubs.modules import lazy_classes as lazy_classes
from lazify.typing_support.stubs.statements import stub as stub

__all__ = ["lazy_classes", "stub", "write"]
