"""Whose forward is next on a device, and which go together.

Threads that decode at the same time meet here: one forward at a time runs on a device, and what
several of them ask of one model meanwhile becomes one forward of several sequences. A forward
begins once those that were served lately have come back: what their threads do meanwhile would
hold it up in any case, since Python runs one thread at a time. A thread is one caller, unless it
works for others in turn and says for whom. This module knows neither tokens nor masks.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch

from adafuse.concurrency.callers import current_caller
from adafuse.local.request import Request

__all__ = ["ForwardScheduler", "Forwards", "scheduler_of"]

Then = Callable[[torch.Tensor], None]

_LONG = 64  # tokens; a longer reading fills the device alone, and goes alone
_MOST = 16  # sequences in one forward
_PATIENCE = 1.0  # of the last forward's time: how long to wait for those who were served lately
_LONGEST_WAIT = 0.2  # seconds
_LATELY = 6  # forwards
_OVERTAKEN = 6  # forwards that may pass by a waiting request


class Forwards(Protocol):
    """What runs requests, as the scheduler needs it; see `adafuse.local.runner.Runner`."""

    @property
    def packs(self) -> bool:
        """Whether several sequences may share a forward."""

    def forward(self, request: Request) -> torch.Tensor:
        """One forward of one sequence; returns logits of its last tokens, shape (keep, V)."""

    def forward_packed(self, requests: Sequence[Request]) -> list[torch.Tensor]:
        """One forward of several sequences; returns logits of each as `forward` does."""


@dataclass(eq=False, slots=True)
class _Ticket:
    """A request that waits for its forward."""

    runner: Forwards
    request: Request
    then: Then  # what its thread wants done with the logits
    error: BaseException | None = None
    seconds: float = 0.0
    overtaken: int = 0
    done: bool = False
    leads: bool = False  # its thread is to run the next forward
    caller: Hashable = field(default_factory=current_caller)
    turn: threading.Event = field(default_factory=threading.Event)  # set when it is done or leads

    def finish(self, rows: torch.Tensor) -> None:
        try:
            self.then(rows)
        except Exception as error:
            self.error = error
        self.done = True


@dataclass(slots=True)
class _Caller:
    """One that was served: when, by which forward, and how long it then takes to come back."""

    served: float
    forward: int
    away: float = 0.0  # seconds


class ForwardScheduler:
    """The forwards of all models on one device, one at a time.

    Whoever finds the device free runs the next forward, for others too. Of several models the one
    with most requests is next, unless a request was passed by too often.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._busy = False  # somebody runs a forward, or is about to
        self._waiting: list[_Ticket] = []
        self._callers: dict[Hashable, _Caller] = {}
        self._count = 0  # of forwards
        self._last_seconds = 0.0

    @property
    def callers(self) -> int:
        """How many callers were served lately or wait now; at least 1."""
        with self._lock:
            return max(1, len(self._lately(math.inf) | self._here()))

    def read(self, runner: Forwards, request: Request, then: Then) -> float:
        """Run a request, with others of the same model, and `then` with its logits.

        Whichever thread runs the forward runs `then` too. Returns the forward's seconds; those of
        a shared one are split evenly among those who share it.
        """
        ticket = _Ticket(runner, request, then)
        with self._lock:
            if caller := self._callers.get(ticket.caller):
                caller.away = time.perf_counter() - caller.served
            self._waiting.append(ticket)
            ticket.leads = not self._busy
            self._busy = self._busy or ticket.leads
            self._changed.notify_all()
        try:
            if not ticket.leads:
                ticket.turn.wait()
            while not ticket.done:
                self._next()
        finally:  # also after a KeyboardInterrupt, say: nobody is to run it later
            with self._lock:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                if ticket.leads:
                    self._hand_over()
        if ticket.error is not None:
            raise ticket.error
        return ticket.seconds

    def left(self) -> None:
        """This caller has no more requests for now: nobody should wait for it."""
        with self._lock:
            self._callers.pop(current_caller(), None)
            self._changed.notify_all()

    def _hand_over(self) -> None:
        """Let another thread run the next forward; called with the lock held."""
        self._busy = bool(self._waiting)
        if self._busy:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()
        self._changed.notify_all()

    def _next(self) -> None:
        """Run the next forward; only for whoever made the device busy."""
        with self._lock:
            batch = self._gather()
        try:
            if len(batch) == 1 or not _together(batch):
                for ticket in batch:
                    _alone(ticket)
        finally:
            with self._lock:
                self._count += 1
                self._last_seconds = sum(ticket.seconds for ticket in batch)
                now, mine = time.perf_counter(), current_caller()
                for ticket in batch:
                    if ticket.done:
                        away = self._callers.get(ticket.caller, _Caller(0, 0)).away
                        self._callers[ticket.caller] = _Caller(now, self._count, away)
                        ticket.turn.set()
                    elif ticket.caller != mine:  # this thread was interrupted
                        self._waiting.insert(0, ticket)

    def _gather(self) -> list[_Ticket]:
        """The requests of the next forward, taken from the queue; called with the lock held."""
        patience = min(_PATIENCE * self._last_seconds, _LONGEST_WAIT)
        if not self._changed.wait_for(lambda: self._lately(patience) <= self._here(), patience):
            for caller in self._lately(patience) - self._here():
                self._callers[caller].away = math.inf  # until it comes back
        queues: dict[Forwards, list[_Ticket]] = {}
        for ticket in self._waiting:
            queues.setdefault(ticket.runner, []).append(ticket)
        late = next((ticket for ticket in self._waiting if ticket.overtaken >= _OVERTAKEN), None)
        batch = queues[late.runner] if late else max(queues.values(), key=len)
        first = late or batch[0]
        packed = [ticket for ticket in batch if _packs(ticket)][:_MOST]
        batch = packed if _packs(first) else [first]
        for ticket in batch:
            self._waiting.remove(ticket)
        for ticket in self._waiting:
            ticket.overtaken += 1
        return batch

    def _here(self) -> set[Hashable]:
        return {ticket.caller for ticket in self._waiting}

    def _lately(self, away: float) -> set[Hashable]:
        """Callers that were served lately, and that usually come back within so many seconds."""
        return {
            caller
            for caller, visit in self._callers.items()
            if visit.forward > self._count - _LATELY and visit.away <= away
        }


def _together(batch: list[_Ticket]) -> bool:
    """Run several requests in one forward; False, and as if never tried, where that fails.

    Then each runs alone, so that what is wrong with one of them is its own error only.
    """
    begun = time.perf_counter()
    with _undone(batch):
        try:
            logits = batch[0].runner.forward_packed([ticket.request for ticket in batch])
        except Exception:
            return False
        seconds = time.perf_counter() - begun
        for ticket, rows in zip(batch, logits, strict=True):
            ticket.seconds = seconds / len(batch)
            ticket.finish(rows)
    return True


def _alone(ticket: _Ticket) -> None:
    begun = time.perf_counter()
    with _undone([ticket]):
        try:
            rows = ticket.runner.forward(ticket.request)
        except Exception as error:
            ticket.error, ticket.done = error, True
            return
        ticket.seconds = time.perf_counter() - begun
        ticket.finish(rows)


@contextmanager
def _undone(batch: Sequence[_Ticket]) -> Iterator[None]:
    """Where a forward fails, take back what it wrote to the caches."""
    held = [ticket.request.cache.get_seq_length() for ticket in batch]
    try:
        yield
    finally:
        for ticket, length in zip(batch, held, strict=True):
            if not ticket.done or ticket.error is not None:
                ticket.request.cache.keep(length, [])


def _packs(ticket: _Ticket) -> bool:
    """Whether a request may share a forward: a short one that is no mere text."""
    request = ticket.request
    return ticket.runner.packs and not request.is_text and len(request.tokens) <= _LONG


_devices: weakref.WeakValueDictionary[str, ForwardScheduler] = weakref.WeakValueDictionary()
_devices_lock = threading.Lock()


def scheduler_of(device: torch.device) -> ForwardScheduler:
    """The forwards of a device, which all models on it share."""
    with _devices_lock:
        return _devices.setdefault(f"{device.type}:{device.index or 0}", ForwardScheduler())
