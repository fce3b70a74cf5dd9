"""Copy groups: a lazy instance and its copies start with the same values, as a module and its copies do.

the first of a group is built  ->  the group keeps the random state from before
any other one is built         ->  from that random state; afterwards the generators are as they were
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lazify._isolation.argument_snapshot import Restore, random_state

__all__ = ["CopyGroup"]


class CopyGroup:
    """What a lazy instance shares with its copies.

    Attributes:
        built_first: the lazy state of the first of them that was built; None until then.
        plan: the values with which it was materialized, for those that become real without a call; None until then.
        draws_inside: whether its constructor drew the values of lazy instances that it makes. They draw at their own
            first calls otherwise.
        inside: the groups of the lazy instances that their constructors make, by the order in which they make them.
    """

    def __init__(self) -> None:
        self.inside: dict[int, CopyGroup] = {}
        self.forget()

    def forget(self) -> None:
        """Forget the first that was built: it was rolled back."""
        self.built_first: Any = None
        self.plan: Any = None
        self.draws_inside = False
        self._device: torch.device | None = None
        self._random: list[Restore] = []

    @contextmanager
    def in_step(self, state: Any, device: torch.device | None, draws_inside: bool = False) -> Iterator[None]:
        """Build one of the group inside this context.

        Args:
            state: its lazy state.
            device: where its parameters are made; None for the default device.
            draws_inside: whether its constructor draws the values of lazy instances that it makes.
        """
        if self.built_first is None:
            before = random_state(device)
            yield
            self.built_first, self.draws_inside = state, draws_inside
            self._device, self._random = device, before
            return
        now = [*random_state(device), *random_state(self._device)]
        for restore in self._random:
            restore()
        try:
            yield
        finally:
            for restore in now:
                restore()
