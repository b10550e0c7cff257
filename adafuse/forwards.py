"""Whose forward is next on a device, and which go together.

Threads that decode at the same time meet here: one forward at a time runs on a device, and what
several of them ask of one model meanwhile becomes one forward of several sequences. This module
knows neither tokens nor masks.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from adafuse.backbone import Backbone, Request

__all__ = ["Forwards", "forwards_of"]

_LONG = 64  # tokens; a longer reading fills the device alone, and goes alone
_MOST = 16  # sequences in one forward
_PATIENCE = 0.25  # of the last forward's time: how long to wait for those who took part in it
_LONGEST_WAIT = 0.05  # seconds
_OVERTAKEN = 4  # forwards that may pass by a waiting request


@dataclass(eq=False, slots=True)
class _Ticket:
    """A request that waits for its forward."""

    backbone: Backbone
    request: Request
    rows: torch.Tensor | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    overtaken: int = 0
    done: bool = False
    thread: int = field(default_factory=threading.get_ident)


class Forwards:
    """The forwards of all models on one device, one at a time.

    Whoever finds the device free runs the next forward, for others too. Of several models the one
    with most requests is next, unless a request was passed by too often.
    """

    def __init__(self) -> None:
        self._state = threading.Condition()
        self._busy = False
        self._waiting: deque[_Ticket] = deque()
        self._recent: deque[frozenset[int]] = deque(maxlen=3)  # threads served by the last forwards
        self._last_seconds = 0.0

    @property
    def callers(self) -> int:
        """How many threads were served lately or wait now; at least 1."""
        return max(1, len(frozenset().union(*self._recent)))

    def read(self, backbone: Backbone, request: Request) -> tuple[torch.Tensor, float]:
        """Run a request, with others of the same model; return its logits and its seconds.

        The seconds of a shared forward are split evenly among those who share it.
        """
        ticket = _Ticket(backbone, request)
        with self._state:
            self._waiting.append(ticket)
            self._state.notify_all()  # a leader may be waiting for just this one
        try:
            while not ticket.done:
                with self._state:
                    self._state.wait_for(lambda: ticket.done or not self._busy)
                    if self._ended(ticket):
                        break
                    self._busy = True
                    try:
                        batch = self._gather()
                    except BaseException:
                        self._free()
                        raise
                try:
                    self._run(batch)
                except BaseException:  # KeyboardInterrupt, say: others must go on
                    with self._state:
                        left = [one for one in batch if not one.done and one is not ticket]
                        self._waiting.extendleft(reversed(left))
                    raise
                finally:
                    with self._state:
                        self._free()
        except BaseException:  # KeyboardInterrupt, say: nobody is to run it later
            with self._state:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        assert ticket.rows is not None
        return ticket.rows, ticket.seconds

    @staticmethod
    def _ended(ticket: _Ticket) -> bool:
        return ticket.done  # by another thread, while this one waited

    def _free(self) -> None:
        self._busy = False
        self._state.notify_all()

    def _gather(self) -> list[_Ticket]:
        """The requests of the next forward, taken from the queue; called with the lock held."""
        recent = frozenset().union(*self._recent)
        patience = min(_PATIENCE * self._last_seconds, _LONGEST_WAIT)
        self._state.wait_for(
            lambda: recent <= {ticket.thread for ticket in self._waiting}, timeout=patience
        )
        queues: dict[Backbone, list[_Ticket]] = {}
        for ticket in self._waiting:
            queues.setdefault(ticket.backbone, []).append(ticket)
        late = next((one for one in self._waiting if one.overtaken >= _OVERTAKEN), None)
        batch = queues[late.backbone] if late else max(queues.values(), key=len)
        first = late or batch[0]
        together = [one for one in batch if _packs(one)]
        batch = together[:_MOST] if _packs(first) else [first]
        for ticket in batch:
            self._waiting.remove(ticket)
        for ticket in self._waiting:
            ticket.overtaken += 1
        return batch

    def _run(self, batch: list[_Ticket]) -> None:
        begun = time.perf_counter()
        if len(batch) == 1 or not _together(batch):
            for ticket in batch:
                try:
                    with _undone(ticket.request):
                        ticket.rows = ticket.backbone.forward(ticket.request)
                except Exception as error:
                    ticket.error = error
        seconds = time.perf_counter() - begun
        with self._state:
            self._last_seconds = seconds
            self._recent.append(frozenset(one.thread for one in batch))
            for ticket in batch:
                ticket.seconds = seconds / len(batch)
                ticket.done = True


def _together(batch: list[_Ticket]) -> bool:
    """Run several requests in one forward; False, and as if never tried, where that fails.

    Then each runs alone, so that what is wrong with one of them is its own error only.
    """
    requests = [ticket.request for ticket in batch]
    try:
        with _undone(*requests):
            found = batch[0].backbone.forward_packed(requests)
    except Exception:
        return False
    for ticket, rows in zip(batch, found, strict=True):
        ticket.rows = rows
    return True


@contextmanager
def _undone(*requests: Request) -> Iterator[None]:
    """Where a forward fails, take back what it wrote to the caches."""
    held = [request.cache.get_seq_length() for request in requests]
    try:
        yield
    except BaseException:
        for request, length in zip(requests, held, strict=True):
            request.cache.keep(length, [])
        raise


def _packs(ticket: _Ticket) -> bool:
    """Whether a request may share a forward: a short one, of which each token's mask is known."""
    request = ticket.request
    known = request.seen is not None or len(request.tokens) == 1
    return ticket.backbone.packs and known and len(request.tokens) <= _LONG


_devices: weakref.WeakValueDictionary[str, Forwards] = weakref.WeakValueDictionary()
_finding = threading.Lock()


def forwards_of(device: torch.device) -> Forwards:
    """The forwards of a device, which all models on it share."""
    name = f"{device.type}:{device.index or 0}"
    with _finding:
        found = _devices.get(name)
        if found is None:
            found = _devices[name] = Forwards()
        return found
