"""lazify: any `nn.Module` class, lazily constructed."""

from lazify import _old_pickles as _old_pickles
from lazify._recipe.rules import axis as axis
from lazify.api import is_lazy as is_lazy
from lazify.api import lazify as lazify
from lazify.errors import AmbiguousInferenceError as AmbiguousInferenceError
from lazify.errors import DefinitionError as DefinitionError
from lazify.errors import InferenceError as InferenceError
from lazify.errors import LazifyError as LazifyError
from lazify.errors import NotMaterializedError as NotMaterializedError
from lazify.explain import explain as explain
from lazify.explain import lazy_modules as lazy_modules
from lazify.explain import suggest as suggest
from lazify.materialize import materialize as materialize

__all__ = [
    "AmbiguousInferenceError",
    "DefinitionError",
    "InferenceError",
    "LazifyError",
    "NotMaterializedError",
    "axis",
    "explain",
    "is_lazy",
    "lazify",
    "lazy_modules",
    "materialize",
    "suggest",
]
__version__ = "0.1.0"
