"""What runs beside a model: a member's sessions, by id, for callers that speak in plain values.

A call is a method's name and plain arguments, and its reply is plain too, errors included. Calls of
a session carry a number: one that comes again, since its reply was lost, is answered from memory,
so that nothing is done twice. Knows neither how calls arrive nor what a tensor is.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adafuse._version import __version__
from adafuse.concurrency.callers import calling_as
from adafuse.decoding.member import Member, Rated, Session, Speculative
from adafuse.errors import ConfigError
from adafuse.remote import wire
from adafuse.spec import LEASE

__all__ = ["METHODS", "Host"]

_CLOSED = 1024  # ids of closed sessions to remember, for calls that come later than the closing

Plain = dict[str, Any]


@dataclass(slots=True)
class _Held:
    """A session and its last reply.

    Attributes:
        lock: held by whoever works with it.
        number: of the call that was answered last.
        used: when that was, in monotonic seconds.
        told_ids, told_losses: how many of its ids and losses the caller has been told.
        unwanted: to be closed once nobody works with it.
    """

    session: Session | None = None
    number: int = 0
    reply: Plain = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)
    told_ids: int = 0
    told_losses: int = 0
    unwanted: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class _UnknownSessionError(Exception):
    """The session was closed, or this process has never had it."""


class Host:
    """One member and its sessions.

    Args:
        member: in this process.
        lease: seconds after which a session that nobody has used is closed: its caller has gone,
            or comes back and restores it.

    May be called from several threads; calls of one session wait for each other.
    """

    def __init__(self, member: Member, lease: float = LEASE) -> None:
        self._member = member
        self._lease = lease
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._ended = threading.Event()
        sweeping = (weakref.ref(self), self._ended, lease / 4)
        threading.Thread(target=_sweep, args=sweeping, name="adafuse-lease", daemon=True).start()

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._held)

    def call(self, method: str, arguments: Mapping[str, Any]) -> Plain:
        """Answer one call.

        Returns:
            {"value": …}; {"error": …} (see `wire.write_error`); or {"unknown": True} where the
            session is not here: it was closed, or this process is not the one that it was opened
            in.
        """
        try:
            if method in self._ABOUT:
                return {"value": self._ABOUT[method](self, **arguments)}
            return self._of_session(method, **arguments)
        except _UnknownSessionError:
            return {"unknown": True}
        except Exception as error:
            return {"error": wire.write_error(error)}

    def sweep(self) -> None:
        """Close the sessions that nobody has used for a lease."""
        late = time.monotonic() - self._lease
        with self._lock:
            held = list(self._held.items())
        for name, one in held:
            if one.used < late and not one.lock.locked():
                self._drop(name)

    def close(self) -> None:
        """Close every session; no call may follow."""
        self._ended.set()
        for name in list(self._held):
            self._drop(name)

    # What is asked of the member.

    def _describe(self) -> Plain:
        inner = getattr(self._member, "runner", self._member)
        return {
            "version": __version__,
            "name": self._member.name,
            "weight": float(self._member.weight),
            "window": getattr(inner, "window", None),
        }

    def _count_tokens(self, text: str) -> int:
        return int(self._counter("count_tokens")(text))

    def _count_prompt_tokens(self, prompt: Plain) -> int:
        return int(self._counter("count_prompt_tokens")(wire.read_prompt(prompt)))

    def _counter(self, name: str) -> Callable[[Any], int]:
        found: Callable[[Any], int] | None = getattr(self._member, name, None)
        if found is None:
            raise ConfigError(f"member {self._member.name!r} cannot count tokens")
        return found

    # What is asked of a session.

    def _of_session(self, method: str, session: str, number: int, **arguments: Any) -> Plain:
        held = self._take(session, new=method == "open")
        try:
            with held.lock, calling_as(session):
                if held.number != number:
                    if held.unwanted:
                        raise _UnknownSessionError
                    if number < held.number:
                        raise ValueError(f"call {number} came after call {held.number}")
                    held.reply = self._reply(held, method, arguments)
                    held.number = number
                held.used = time.monotonic()
                return held.reply
        finally:
            if held.unwanted:
                self._drop(session)

    def _reply(self, held: _Held, method: str, arguments: Mapping[str, Any]) -> Plain:
        try:
            if method == "open":
                value = self._open(held, **arguments)
            else:
                value = METHODS[method](_session(held), **arguments)
            return {"value": value, "state": _state(held)}
        except Exception as error:
            held.unwanted = held.unwanted or method == "open"
            return {"error": wire.write_error(error)}

    def _open(self, held: _Held, prompt: Plain, config: Plain) -> Plain:
        held.session = opened = self._member.open(
            wire.read_prompt(prompt), wire.read_config(config)
        )
        return {
            "templated": opened.templated,
            "extra_stops": list(opened.extra_stops),
            "price": opened.price if isinstance(opened, Speculative) else 0.0,
            "rated": isinstance(opened, Rated),
        }

    def _take(self, name: str, *, new: bool) -> _Held:
        with self._lock:
            if name not in self._held:
                if not new or name in self._closed:
                    raise _UnknownSessionError
                self._held[name] = _Held()
            return self._held[name]

    def _drop(self, session: str) -> None:
        """Close a session as soon as nobody works with it."""
        with self._lock:
            held = self._held.get(session)
            self._closed[session] = None
            while len(self._closed) > _CLOSED:
                self._closed.popitem(last=False)
        if held is None:
            return
        held.unwanted = True
        if held.lock.acquire(blocking=False):  # else whoever works with it does this afterwards
            try:
                with self._lock:
                    self._held.pop(session, None)
                opened, held.session = held.session, None
                if opened is not None:
                    with calling_as(session):
                        opened.close()
            finally:
                held.lock.release()

    _ABOUT: Mapping[str, Callable[..., Any]] = {
        "describe": _describe,
        "count_tokens": _count_tokens,
        "count_prompt_tokens": _count_prompt_tokens,
        "close": _drop,
    }


def _sweep(host: weakref.ref[Host], ended: threading.Event, seconds: float) -> None:
    """Sweep from time to time, until the host is closed or nobody has it any more."""
    while not ended.wait(seconds) and (one := host()) is not None:
        one.sweep()
        del one


def _session(held: _Held) -> Session:
    if held.session is None:
        raise _UnknownSessionError
    return held.session


def _state(held: _Held) -> Plain:
    """What a caller should know after a call; ids and losses that it has not been told yet."""
    session = _session(held)
    usage = session.usage
    state = {
        "room": session.room,
        "usage": wire.write_usage(usage),
        "ids": list(usage.token_ids[held.told_ids :]),
        "losses": [[one.text, one.reads] for one in usage.losses[held.told_losses :]],
        "likely": session.likely() if isinstance(session, Speculative) else [],
    }
    held.told_ids, held.told_losses = len(usage.token_ids), len(usage.losses)
    return state


def _prefill(session: Session, rate: bool) -> Plain | None:
    session.prefill()
    return wire.write_fit(session.prompt_nll()) if rate and isinstance(session, Rated) else None


def _draft(session: Session, strip_blank: bool, hints: list[str]) -> Plain:
    if hints and isinstance(session, Speculative):
        session.hint(hints)
    drafts = session.draft(strip_blank=strip_blank)
    sizes = [session.count(one.text, one.ends) for one in drafts.drafts]
    return {**wire.write_drafts(drafts), "sizes": sizes}


def _score(session: Session, candidates: list[tuple[str, bool]]) -> Plain:
    spans = [(text, ends) for text, ends in candidates]
    return {"scores": session.score(spans), "sizes": [session.count(*span) for span in spans]}


def _restore(session: Session, spans: list[tuple[str, list[int]]]) -> None:
    restore = getattr(session, "restore", None)
    if restore is not None:
        restore([(text, ids) for text, ids in spans])
        return
    for text, _ in spans:  # a member of one's own
        session.commit(text, False)


METHODS: Mapping[str, Callable[..., Any]] = {
    "prefill": _prefill,
    "draft": _draft,
    "score": _score,
    "count": lambda session, text, ends: session.count(text, ends),
    "fit": lambda session, text, ends, limit: session.fit(text, ends, limit),
    "commit": lambda session, text, ends: session.commit(text, ends),
    "restore": _restore,
}
"""What may be asked of an open session, by name."""
