"""Lazy classes for static type checkers: what a checker sees of `lazify`, the stub writer and the mypy plugin.

In: the source of a module and its imported lazy classes (stubs), or mypy's own tree of a program (plugin).
Out: the exact lazified constructors, as `.pyi` text or as mypy's types. `lazify.mypy` is the plugin's public path.
"""
