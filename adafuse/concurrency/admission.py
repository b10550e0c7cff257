"""How many may do something at once, and how many may wait for it: first come, first served.

Knows nothing of what is done. Threads wait with `Admission.admitted`; an event loop waits for
`Place.ready` and blocks nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager

from adafuse.errors import AnswerTimeoutError, QueueFullError
from adafuse.validation import check_seconds, whole

__all__ = ["Admission", "Place"]


class Place:
    """A place in the queue, and then among those that are admitted.

    Attributes:
        ready: done once it is admitted. Cancelling it gives no place up; `leave` does.
    """

    def __init__(self, gate: Admission) -> None:
        self.ready: Future[None] = Future()
        self._gate = gate

    def leave(self) -> None:
        """Give the place up, in the queue or behind it; more than once is allowed."""
        self._gate._leave(self)


class Admission:
    """A gate that lets a number of callers through at once.

    Args:
        max_concurrency: how many may be admitted at the same time; None: any number.
        max_queue: how many more may wait for that; None: any number.

    Raises:
        ConfigError: a number is too small.

    It may be used from any thread, and a place may be left by another thread than it was taken in.
    """

    def __init__(self, max_concurrency: int | None = None, max_queue: int | None = None) -> None:
        self._most = (
            None if max_concurrency is None else whole("max_concurrency", max_concurrency, 1)
        )
        self._queue = None if max_queue is None else whole("max_queue", max_queue, 0)
        self._lock = threading.Lock()
        self._running: set[Place] = set()
        self._waiting: deque[Place] = deque()

    def __reduce__(self) -> tuple[type[Admission], tuple[int | None, int | None]]:
        """Pickled by its limits: places are those of a process."""
        return Admission, (self._most, self._queue)

    @property
    def limit(self) -> int | None:
        """How many may be admitted at the same time."""
        return self._most

    @property
    def running(self) -> int:
        """How many are admitted now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def join(self) -> Place:
        """Take a place, at the end of the queue if there is one; whoever takes it leaves it.

        Raises:
            QueueFullError: as many are admitted as may be, and as many wait.
        """
        place = Place(self)
        with self._lock:
            if self._most is not None and len(self._running) >= self._most:
                if self._queue is not None and len(self._waiting) >= self._queue:
                    raise QueueFullError(len(self._running), len(self._waiting))
                self._waiting.append(place)
                return place
            self._running.add(place)
        _admit(place)
        return place

    @contextmanager
    def admitted(self, timeout: float | None = None) -> Generator[None]:
        """Wait until it is this caller's turn, and hold a place for as long as the block runs.

        Args:
            timeout: seconds to wait; None: any time.

        Raises:
            QueueFullError: at once: too many are there already.
            AnswerTimeoutError: it has waited too long, and has left the queue.
        """
        check_seconds("timeout", timeout)
        place = self.join()
        try:
            try:
                place.ready.result(timeout)
            except TimeoutError:
                assert timeout is not None
                raise AnswerTimeoutError(timeout) from None
            yield
        finally:
            place.leave()

    def _leave(self, place: Place) -> None:
        after = None
        with self._lock:
            if place in self._running:
                self._running.remove(place)
                if self._waiting:
                    after = self._waiting.popleft()
                    self._running.add(after)
            elif place in self._waiting:
                self._waiting.remove(place)
        if after is not None:
            _admit(after)


def _admit(place: Place) -> None:
    """Outside the lock: what waits for it may leave at once. One that gave up leaves soon."""
    if place.ready.set_running_or_notify_cancel():
        place.ready.set_result(None)
