"""Trial runs that leave no trace: modules are built and called, and nothing that code can reach is different after.

In: a constructor, its arguments, a call, values to try. Out: how far the run came, or the module built on fakes.
"""

from lazify._isolation.copies import CopySources, UncopyableError, trial_copy
from lazify._isolation.errors_of_fakes import fails_for_fakes_alone
from lazify._isolation.fake_tensors import FailureRecorder, TrialMode
from lazify._isolation.limits import Budget, TrialMemoryError
from lazify._isolation.snapshot import Snapshot
from lazify._isolation.trial import Constructor, TrialRun, TrialRunner, construct_on_fakes, isolated

__all__ = [
    "Budget",
    "Constructor",
    "CopySources",
    "FailureRecorder",
    "Snapshot",
    "TrialMemoryError",
    "TrialMode",
    "TrialRun",
    "TrialRunner",
    "UncopyableError",
    "construct_on_fakes",
    "fails_for_fakes_alone",
    "isolated",
    "trial_copy",
]
