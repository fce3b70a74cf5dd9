"""The instance lock: one thread at a time works on a lazy instance.

with InstanceLock(state):  ->  other threads that enter it for the same lazy state wait until it is released
"""

from __future__ import annotations

from threading import Event, RLock, get_ident
from typing import Any

__all__ = ["InstanceLock", "lock_holders"]

#: Held while a release event is created. Reentrant: a finalizer that runs meanwhile may wait for another lock.
_event_creation = RLock()


class InstanceLock:
    """`with InstanceLock(state):` one thread at a time works on a lazy instance; the same thread may enter again.

    Without contention, no `threading.Lock` is allocated. One lock for each instance would be allocated on the heap
    between weights and activations, and would fragment it, so that the process needs more memory.

    Attributes:
        state: the lazy state of the instance.
        thread_id: the thread that created this lock, and that may enter again.
        release_event: set on release; created by the first thread that waits, None until then.
        is_ready: whether others may look at the instance before the release: it has been built.
    """

    is_ready = False

    def __init__(self, state: Any) -> None:
        self.state = state
        self.thread_id = get_ident()
        self.release_event: Event | None = None

    def __enter__(self) -> bool:
        """Acquire the lock; False if the thread that holds it waits, over others perhaps, for this one: a deadlock."""
        # `setdefault` is atomic
        while (other := lock_holders.setdefault(self.state, self)) is not self and other.thread_id != self.thread_id:
            if not other.wait_released():
                return False
        return True

    def enter_or_ready(self) -> None:
        """Acquire the lock, or wait until the thread that holds it has built the instance; not in a deadlock."""
        while (other := lock_holders.setdefault(self.state, self)) is not self and other.thread_id != self.thread_id:
            if other.is_ready or not other.wait_released(or_ready=True):
                return

    def __exit__(self, *_: object) -> None:
        if lock_holders.get(self.state) is self:
            self.release()

    def release(self) -> None:
        """Release the lock and wake waiting threads."""
        # Delete first, then read the event. `wait_released` creates the event first, then reads `lock_holders`.
        # In this order, no thread waits for an event that nobody sets.
        del lock_holders[self.state]
        if self.release_event is not None:
            self.release_event.set()

    def set_ready(self) -> None:
        """Wake threads that wait for the instance to be built; those that wait for the release wait again."""
        holder = lock_holders.get(self.state, self)
        holder.is_ready = True  # first, then read the event, as in `release`
        if (event := holder.release_event) is not None:
            holder.release_event = None
            event.set()

    def wait_released(self, or_ready: bool = False) -> bool:
        """Block until the lock is released (or the instance is built); False, at once, if that would be a deadlock."""
        thread = get_ident()
        with _event_creation:
            self.release_event = release_event = self.release_event or Event()
            holder = self.thread_id
            while (awaited := awaited_locks.get(holder)) is not None:
                holder = awaited.thread_id
            if holder == thread:
                return False
            awaited_locks[thread] = self
        try:
            if lock_holders.get(self.state) is self and not (or_ready and self.is_ready):
                release_event.wait()
        finally:
            awaited_locks.pop(thread, None)
        return True


#: Lazy state -> the lock that is held on it.
lock_holders: dict[Any, InstanceLock] = {}
#: Thread -> the lock that it waits for.
awaited_locks: dict[int, InstanceLock] = {}
