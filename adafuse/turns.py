"""A lock that serves threads in the order in which they came.

`threading.Lock` goes to whichever thread is awake first, so a busy one can keep it from the others.
This module knows nothing of what the lock guards.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType

__all__ = ["Turns"]


class Turns:
    """A mutual exclusion whose holder hands it to the thread that has waited longest.

    A context manager. It is not re-entrant: a thread that enters twice waits for itself.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()  # held for a few instructions only
        self._holder: threading.Lock | None = None  # the ticket that is being served
        self._waiting: deque[threading.Lock] = deque()  # tickets, each opened when its turn comes

    def __enter__(self) -> None:
        ticket = threading.Lock()
        ticket.acquire()
        try:
            with self._guard:
                if self._holder is None:
                    self._holder = ticket
                    return
                self._waiting.append(ticket)
            ticket.acquire()
        except BaseException:  # KeyboardInterrupt, say: others must not wait for this thread
            self._leave(ticket)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._guard:
            self._serve_next()

    @property
    def waiting(self) -> int:
        """How many threads are waiting for their turn."""
        return len(self._waiting)

    def _leave(self, ticket: threading.Lock) -> None:
        """Give up a ticket, wherever the exception met it: not queued, waiting or served."""
        with self._guard:
            if self._holder is ticket:
                self._serve_next()
            elif ticket in self._waiting:
                self._waiting.remove(ticket)

    def _serve_next(self) -> None:
        self._holder = self._waiting.popleft() if self._waiting else None
        if self._holder is not None:
            self._holder.release()
