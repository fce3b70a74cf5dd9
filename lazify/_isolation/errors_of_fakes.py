"""Which errors of a run on fake tensors say nothing of the call: values decide, or torch has no rule for fakes."""

from __future__ import annotations

from lazify.errors import LazifyError

__all__ = ["fails_for_fakes_alone"]

#: Names of the classes of errors that say so.
NEEDS_VALUES = frozenset(
    """DataDependentOutputException DynamicOutputShapeException UnsupportedFakeTensorException
    UnsupportedOperatorException GuardOnDataDependentSymNode""".split()
)
#: Words of errors that have no class of their own.
_WORDS = (
    "fake tensor",
    "FakeTensor",
    "FunctionMode",
    "Cannot access data pointer",
    "its data is not allocated yet",
    "no fake impl",
    "Could not run '",
    "is not supported for tensor subclasses",  # `numpy()`
    "Couldn't swap",  # a conversion of a parameter to which code has a weak reference
    "'NoneType' object has no attribute 'create_unbacked_symint'",  # `tolist()`, `unique()` before 2.5
)
#: Kinds of errors with which torch does not refuse sizes, and the code that raises them where it has no rule for fakes.
_OTHER_KINDS = (NotImplementedError, AssertionError, AttributeError, KeyError)
_HANDLES_FAKES = ("torch._", "torch.fx.", "torch.nested.", "torch.utils._", "lazify.")


def fails_for_fakes_alone(error: BaseException) -> bool:
    """Whether a run on fake tensors failed only because they are fakes, and real tensors may come further."""
    if isinstance(error, RecursionError):  # operations on sparse fakes call each other
        return True
    if any(cls.__name__ in NEEDS_VALUES for cls in type(error).__mro__):
        return True
    return any(words in str(error) for words in _WORDS) or _is_torchs_own(error)


def _is_torchs_own(error: BaseException) -> bool:
    """Whether torch's own code failed where it handles fakes, as it does with operations on jagged tensors."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    raised_in = "" if last is None else str(last.tb_frame.f_globals.get("__name__"))
    is_other = isinstance(error, _OTHER_KINDS) and not isinstance(error, LazifyError)
    return is_other and raised_in.startswith(_HANDLES_FAKES)
