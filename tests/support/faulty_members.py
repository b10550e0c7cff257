"""Members that fail on demand: where, in which round, and how."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from adafuse import AdaFuseWarning, Answer, DecodingConfig, Ensemble, Prompt
from adafuse.decoding.member import Drafts, Member, Session
from adafuse.testing import ScriptedMember
from waiting import PATIENCE

Fault = Callable[[], None]


def raises(error: BaseException | type[BaseException]) -> Fault:
    """A fault that raises."""

    def fault() -> None:
        raise error

    return fault


def sleeps(seconds: float) -> Fault:
    """A fault that takes its time and then goes on."""
    return lambda: time.sleep(seconds)


def waits(until: threading.Event, seconds: float = 0) -> Fault:
    """A fault that takes its time, and then hangs until it is told to go on."""

    def fault() -> None:
        time.sleep(seconds)
        until.wait(PATIENCE)

    return fault


@dataclass(eq=False)
class Faulty:
    """Another member, but for its faults.

    Attributes:
        member: what it is otherwise.
        faults: by phase ("open", "prefill", "draft", "score", "count", "fit", "commit", "usage",
            "close", "likely", "hint", "look_ahead"), and from which call of that phase on, counted
            from 1 in each answer: what happens in place of the first such call.
        heals: whether only the first answer has them.
        not_finite: phases whose numbers are NaN: "draft", "score".
    """

    member: Member
    failures: dict[tuple[str, int], Fault] = field(default_factory=dict)
    heals: bool = False
    not_finite: tuple[str, ...] = ()
    sessions: list[FaultySession] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def weight(self) -> float:
        return self.member.weight

    @property
    def left_open(self) -> int:
        """Sessions that were not closed."""
        return sum(not one.closed for one in self.sessions)

    def open(self, prompt: Prompt, config: DecodingConfig) -> Session:
        healthy = self.heals and bool(self.sessions)
        fault = self.failures.get(("open", 1))
        if fault is not None and not healthy:
            if self.heals:
                self.failures = {}
            fault()
        session = FaultySession(self.member.open(prompt, config), self, healthy)
        self.sessions.append(session)
        return session  # type: ignore[return-value]


class FaultySession:
    """A session of such a member; what it does not name it leaves to the other's."""

    def __init__(self, session: Session, member: Faulty, healthy: bool) -> None:
        self._session = session
        self._member = member
        self._healthy = healthy
        self._calls: dict[str, int] = {}
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._session, name)
        if name == "place":
            self._fail(name)
        if name in ("likely", "hint", "look_ahead", "prefill", "count", "fit", "commit"):

            def call(*args: Any, **kwargs: Any) -> Any:
                self._fail(name)
                return found(*args, **kwargs)

            return call
        return found

    @property
    def usage(self) -> Any:
        self._fail("usage")
        return self._session.usage

    def draft(self, *, strip_blank: bool) -> Drafts:
        self._fail("draft")
        if "draft" in self._member.not_finite and not self._healthy:
            return Drafts((), (), confident=False, finite=False)
        return self._session.draft(strip_blank=strip_blank)

    def score(self, candidates: Sequence[tuple[str, bool]]) -> list[float | None]:
        self._fail("score")
        scores = self._session.score(candidates)
        nan = "score" in self._member.not_finite and not self._healthy
        return [math.nan] * len(scores) if nan else scores

    def close(self) -> None:
        self.closed = True
        self._session.close()
        self._fail("close")

    def _fail(self, phase: str) -> None:
        count = self._calls[phase] = self._calls.get(phase, 0) + 1
        fault = self._member.failures.get((phase, count))
        if fault is not None and not self._healthy:
            fault()


SCRIPT = "one two three four"
ALONE = "one two other words"
"""What the second member of a `pair` writes alone."""


def pair(**failures: Any) -> tuple[Ensemble, Faulty]:
    """A member that may fail, and one that does not; they disagree, so that they score."""
    first = Faulty(ScriptedMember(SCRIPT, "first", confident=False, nll=1.0), **failures)
    second = ScriptedMember(ALONE, "second", confident=False, nll=2.0)
    return Ensemble([first, second]), first


def ask(ensemble: Ensemble, **settings: Any) -> Answer:
    return ensemble.generate("prompt", **settings)


def dropping(ensemble: Ensemble, **settings: Any) -> Answer:
    """The answer without the member that fails, of which there is a warning."""
    with pytest.warns(AdaFuseWarning, match="was dropped"):
        return ask(ensemble, on_member_error="drop", **settings)
