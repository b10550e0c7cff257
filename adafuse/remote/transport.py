"""The way to a host: how a call gets there, which of several hosts to ask, and a session's calls.

Knows calls and replies in plain values, and neither prompts nor drafts.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adafuse.remote import wire

__all__ = [
    "Connection",
    "LostSessionError",
    "Replica",
    "Replicas",
    "Transport",
    "read_reply",
    "seconds_left",
]

_REST = 10.0  # seconds for which a replica that failed is tried last

Plain = dict[str, Any]


class Transport(Protocol):
    """How calls get to one host, which may be anywhere."""

    @property
    def place(self) -> str:
        """Where the host is, for people; two hosts never have the same."""

    def call(self, method: str, arguments: Plain, timeout: float | None) -> Plain:
        """The reply of `adafuse.remote.host.Host.call`.

        Raises:
            ConnectionError: the host is gone or cannot be reached; the call may have been done.
            TimeoutError: there was no reply within so many seconds; likewise.
        """

    def post(self, method: str, arguments: Plain) -> None:
        """Call without waiting; whether it gets there is not known. Never raises."""

    def close(self) -> None:
        """End the host, if this side has started it. Closing twice is allowed."""


class LostSessionError(ConnectionError):
    """The host is there, and does not have the session any more."""


def read_reply(reply: Plain) -> Any:
    """The value of a reply; raises LostSessionError, or what the member raised there."""
    if "error" in reply:
        raise wire.read_error(reply["error"])
    if "unknown" in reply:
        raise LostSessionError("its session is not there any more")
    return reply["value"]


def seconds_left(until: float | None) -> float | None:
    """Seconds until a moment of the monotonic clock, if there is one; TimeoutError: it is over."""
    if until is None:
        return None
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no time was left for it")
    return seconds


@dataclass(eq=False, slots=True)
class Replica:
    """One host of a member."""

    transport: Transport
    sessions: int = 0  # of this side's that are open there
    rests_until: float = 0.0  # monotonic seconds; up to then others are asked first

    def failed(self) -> None:
        """It did not answer."""
        self.rests_until = time.monotonic() + _REST


class Replicas:
    """The hosts of one member, at least one; all of them answer alike."""

    def __init__(self, transports: Sequence[Transport]) -> None:
        self._all = [Replica(transport) for transport in transports]
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._all)

    def in_order(self) -> list[Replica]:
        """All, the one to ask first first: it has not failed lately, and has fewest sessions."""
        now = time.monotonic()
        return sorted(self._all, key=lambda replica: (replica.rests_until > now, replica.sessions))

    def take(self, excluded: Collection[Replica] = ()) -> Replica | None:
        """The one to open a session at, which counts as open from now on; None if none is left."""
        with self._lock:
            for replica in self.in_order():
                if replica not in excluded:
                    replica.sessions += 1
                    if replica.rests_until:  # until it answers let others go elsewhere
                        replica.failed()
                    return replica
            return None

    def leave(self, replica: Replica) -> None:
        """One session less."""
        with self._lock:
            replica.sessions -= 1


class Connection:
    """One session at one replica, which was taken from its member's."""

    def __init__(self, replicas: Replicas, replica: Replica) -> None:
        self.replica = replica
        self._replicas = replicas
        self._name = uuid.uuid4().hex
        self._number = 1  # of the next call; one that is repeated has the same
        self._closed = False

    def send(
        self, method: str, arguments: Mapping[str, Any], until: float | None
    ) -> tuple[Any, Plain]:
        """Make a call; return its value and the session's state after it.

        Raises:
            ConnectionError: no reply; sent again, the call is done once all the same.
            LostSessionError: see `read_reply`; also for other errors.
            TimeoutError: it is later than `until`.
        """
        numbered = {"session": self._name, "number": self._number, **arguments}
        seconds = seconds_left(until)
        try:
            reply = self.replica.transport.call(method, numbered, seconds)
        except (ConnectionError, TimeoutError):
            self.replica.failed()
            raise
        self.replica.rests_until = 0.0
        self._number += 1
        return read_reply(reply), reply["state"]

    def close(self) -> None:
        """Have the session closed, without waiting for it. Closing twice is allowed."""
        if not self._closed:
            self._closed = True
            self._replicas.leave(self.replica)
            self.replica.transport.post("close", {"session": self._name})
