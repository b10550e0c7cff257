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

_MOST_CLOSED_IDS = 1024  # of closed sessions to remember, for calls that come after the close

Plain = dict[str, Any]


@dataclass(slots=True)
class _HostedSession:
    """A session and its last reply."""

    session: Session | None = None
    number: int = 0  # of the call that was answered last
    reply: Plain = field(default_factory=dict)
    used: float = field(default_factory=time.monotonic)  # when that was
    sent_ids: int = 0  # how many of its ids were sent to the caller
    sent_losses: int = 0
    close_pending: bool = False  # once nobody works with it
    lock: threading.Lock = field(default_factory=threading.Lock)  # held by whoever does


class _UnknownSessionError(Exception):
    """The session was closed, or this process has never had it."""


class Host:
    """One member and its sessions; may be called from several threads.

    A session that nobody has used for the seconds of the lease is closed: its caller has gone, or
    comes back and restores it. Calls of one session wait for each other.
    """

    def __init__(self, member: Member, lease: float = LEASE) -> None:
        self._member = member
        self._lease = lease
        self._lock = threading.Lock()
        self._sessions: dict[str, _HostedSession] = {}
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._ended = threading.Event()
        sweep = (weakref.ref(self), self._ended, lease / 4)
        threading.Thread(target=_sweep, args=sweep, name="adafuse-lease", daemon=True).start()

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._sessions)

    def call(self, method: str, arguments: Mapping[str, Any]) -> Plain:
        """Answer one call by {"value": …}; {"error": …} (see `wire.write_error`); or
        {"unknown": True} where the session is not here: it was closed, or opened elsewhere.
        """
        try:
            if method in self._MEMBER_METHODS:
                return {"value": self._MEMBER_METHODS[method](self, **arguments)}
            return self._session_call(method, **arguments)
        except _UnknownSessionError:
            return {"unknown": True}
        except Exception as error:
            return {"error": wire.write_error(error)}

    def _sweep(self) -> None:
        """Close the sessions that nobody has used for a lease."""
        late = time.monotonic() - self._lease
        with self._lock:
            sessions = list(self._sessions.items())
        for name, hosted in sessions:
            if hosted.used < late and not hosted.lock.locked():
                self._close_session(name)

    def close(self) -> None:
        """Close every session; no call may follow."""
        self._ended.set()
        for name in list(self._sessions):
            self._close_session(name)

    # Calls of the member.

    def _describe(self) -> Plain:
        inner = getattr(self._member, "runner", self._member)
        return {
            "version": __version__,
            "name": self._member.name,
            "weight": float(self._member.weight),
            "window": getattr(inner, "window", None),
        }

    def _count(self, name: str, subject: Any) -> int:
        counter: Callable[[Any], int] | None = getattr(self._member, name, None)
        if counter is None:
            raise ConfigError(f"member {self._member.name!r} cannot count tokens")
        return int(counter(subject))

    # Calls of a session.

    def _session_call(self, method: str, session: str, number: int, **arguments: Any) -> Plain:
        hosted = self._take(session, new=method == "open")
        try:
            with hosted.lock, calling_as(session):
                if hosted.number != number:
                    if hosted.close_pending:
                        raise _UnknownSessionError
                    if number < hosted.number:
                        raise ValueError(f"call {number} came after call {hosted.number}")
                    hosted.reply = self._reply(hosted, method, arguments)
                    hosted.number = number
                hosted.used = time.monotonic()
                return hosted.reply
        finally:
            if hosted.close_pending:
                self._close_session(session)

    def _reply(self, hosted: _HostedSession, method: str, arguments: Mapping[str, Any]) -> Plain:
        try:
            if method == "open":
                value = self._open(hosted, **arguments)
            else:
                value = METHODS[method](_require_session(hosted), **arguments)
            return {"value": value, "state": _state(hosted)}
        except Exception as error:
            hosted.close_pending = hosted.close_pending or method == "open"
            return {"error": wire.write_error(error)}

    def _open(self, hosted: _HostedSession, prompt: Plain, config: Plain) -> Plain:
        opened = self._member.open(wire.read_prompt(prompt), wire.read_config(config))
        hosted.session = opened
        return {
            "templated": opened.templated,
            "extra_stops": list(opened.extra_stops),
            "price": opened.price if isinstance(opened, Speculative) else 0.0,
            "rated": isinstance(opened, Rated),
        }

    def _take(self, name: str, *, new: bool) -> _HostedSession:
        with self._lock:
            if name not in self._sessions:
                if not new or name in self._closed:
                    raise _UnknownSessionError
                self._sessions[name] = _HostedSession()
            return self._sessions[name]

    def _close_session(self, session: str) -> None:
        """Close a session as soon as nobody works with it."""
        with self._lock:
            hosted = self._sessions.get(session)
            self._closed[session] = None
            while len(self._closed) > _MOST_CLOSED_IDS:
                self._closed.popitem(last=False)
        if hosted is None:
            return
        hosted.close_pending = True
        if hosted.lock.acquire(blocking=False):  # else whoever works with it does this afterwards
            try:
                with self._lock:
                    self._sessions.pop(session, None)
                opened, hosted.session = hosted.session, None
                if opened is not None:
                    with calling_as(session):
                        opened.close()
            finally:
                hosted.lock.release()

    _MEMBER_METHODS: Mapping[str, Callable[..., Any]] = {
        "describe": _describe,
        "count_tokens": lambda host, text: host._count("count_tokens", text),
        "count_prompt_tokens": lambda host, prompt: host._count(
            "count_prompt_tokens", wire.read_prompt(prompt)
        ),
        "close": _close_session,
    }


def _sweep(host: weakref.ref[Host], ended: threading.Event, seconds: float) -> None:
    """Sweep from time to time, until the host is closed or nobody has it any more."""
    while not ended.wait(seconds) and (swept := host()) is not None:
        swept._sweep()
        del swept


def _require_session(hosted: _HostedSession) -> Session:
    if hosted.session is None:
        raise _UnknownSessionError
    return hosted.session


def _state(hosted: _HostedSession) -> Plain:
    """What a caller should know after a call; ids and losses only once."""
    session = _require_session(hosted)
    usage = session.usage
    state = {
        "room": session.room,
        "usage": wire.write_usage(usage),
        "ids": list(usage.token_ids[hosted.sent_ids :]),
        "losses": [[loss.text, loss.reads] for loss in usage.losses[hosted.sent_losses :]],
        "likely": session.likely() if isinstance(session, Speculative) else [],
    }
    hosted.sent_ids, hosted.sent_losses = len(usage.token_ids), len(usage.losses)
    return state


def _prefill(session: Session, rate: bool) -> Plain | None:
    session.prefill()
    if not (rate and isinstance(session, Rated)):
        return None
    return wire.write_prompt_nll(session.prompt_nll())


def _draft(session: Session, strip_blank: bool, hints: list[str]) -> Plain:
    if hints and isinstance(session, Speculative):
        session.hint(hints)
    drafts = session.draft(strip_blank=strip_blank)
    sizes = [session.count(draft.text, draft.ends) for draft in drafts.drafts]
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
"""Calls of an open session, by name."""
