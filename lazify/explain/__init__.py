"""`explain`: which constructor arguments lazify infers, from which input, and the code that does without lazify.

In: a lazy class, or a model with modules that are or were lazy. Out: `ExplainedClass` or `ExplainedModel`, whose
fields are for programs; its `str` is a table for a terminal, and Jupyter shows its HTML. (`suggest`: from one call to
the line to write.) In the package `lazify` the name `explain` is the function: import from this one in full.
"""

from lazify._lazy_class.parameter_table import ExplainedParameter as ExplainedParameter
from lazify.explain.gather import explain as explain
from lazify.explain.gather import lazy_modules as lazy_modules
from lazify.explain.results import ExplainedClass as ExplainedClass
from lazify.explain.results import ExplainedModel as ExplainedModel
from lazify.explain.results import ExplainedModule as ExplainedModule
from lazify.explain.suggestions import Suggestion as Suggestion
from lazify.explain.suggestions import suggest as suggest

__all__ = [
    "ExplainedClass",
    "ExplainedModel",
    "ExplainedModule",
    "ExplainedParameter",
    "Suggestion",
    "explain",
    "lazy_modules",
    "suggest",
]
