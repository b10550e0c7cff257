"""In which order the members of a round work, and what they tell each other to save forwards.

Members in one place take turns, the cheapest first: the next one is told what was drafted before,
so that it reads those texts together with its own, and finds its own words among them where it
agrees. While members agree, the first one looks further ahead each time. Members in different
places work at the same time. None of it changes what anyone drafts or scores.

A member that fails, or takes too long, leaves the group, or ends the answer; see `failures`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from adafuse.concurrency.workers import Workers
from adafuse.config import DecodingConfig
from adafuse.decoding.failures import FailurePolicy
from adafuse.decoding.member import Drafts, PromptNLL, Rated, Session, Speculative
from adafuse.decoding.opening import close_session
from adafuse.errors import AdaFuseError
from adafuse.events import Candidate, MemberUsage

__all__ = ["SessionGroup"]

T = TypeVar("T")

_NEAREST, _FARTHEST = 4, 16  # tokens that the first member looks ahead while members agree
_HERE = ""  # the place of a session that does not say where it is


class SessionGroup:
    """The sessions of one answer.

    Args:
        sessions: by member name, in member order; the group closes them.
        config: whether members tell each other anything and work at the same time, and how long one
            may take.
        faults: what follows when one fails.

    Attributes:
        sessions: of the members that have not failed.
    """

    def __init__(
        self, sessions: Mapping[str, Session], config: DecodingConfig, failures: FailurePolicy
    ) -> None:
        self.sessions = dict(sessions)
        self._speculation = config.speculation
        self._limit = config.round_timeout
        self._failures = failures
        self._spent = dict.fromkeys(sessions, 0.0)  # seconds by member, in this round
        self._left: dict[str, MemberUsage] = {}  # what those cost that have left
        self._ahead = 0  # tokens to look ahead
        self._leader = ""
        self._places: dict[str, list[str]] = {}
        for name, session in sessions.items():
            place = _HERE
            with suppress(Exception):  # one that is gone will be found so
                if self._speculation and isinstance(session, Speculative):
                    place = session.place
            self._places.setdefault(place, []).append(name)
        if self._speculation:
            for names in self._places.values():
                names.sort(key=self._price)  # stable: equals stay in member order
        self._workers = Workers()

    def close(self) -> None:
        """Close every session, and let go of its threads."""
        for name in list(self.sessions):
            self._close(name, self.sessions.pop(name))
        self._workers.close()

    @property
    def usage(self) -> dict[str, MemberUsage]:
        """What the answer has cost each member, as far as it is known."""
        found = dict(self._left)
        for name, session in self.sessions.items():
            with suppress(Exception):  # the answer is whole; nobody need be dropped for this
                found[name] = session.usage
        return found

    def begin(self, index: int) -> None:
        """Begin a round: members have all their time again."""
        self._failures.round_index = index
        self._spent = dict.fromkeys(self.sessions, 0.0)

    def ask(
        self, phase: str, work: Callable[[str], T], names: Iterable[str] | None = None
    ) -> dict[str, T]:
        """Do some work for each member: place by place in turns, all places at once.

        Args:
            phase: what it is, for whoever reads that it failed.
            work: what to do for a member's name.
            names: of some members only.

        Returns:
            What came of it, in member order. Members that failed are missing, and have left.

        Raises:
            MemberError, TooFewMembersError: see `FailurePolicy.failed`.
            AdaFuseError: what a member raises on purpose.
        """
        wanted = set(self.sessions if names is None else names)
        queues = {place: [n for n in all_ if n in wanted] for place, all_ in self._places.items()}
        queues = {place: queue for place, queue in queues.items() if queue}

        def timed(name: str) -> T:
            begun = time.monotonic()
            try:
                return work(name)
            finally:
                self._spent[name] += time.monotonic() - begun

        if self._limit is None and len(self._places) == 1:
            found, failed = self._in_turn(queues, timed)
        else:
            found, failed = self._workers.run(queues, timed, self._time_left)
        for name in [one for one in self.sessions if one in failed]:
            error = failed[name]
            if isinstance(error, AdaFuseError) or not isinstance(error, Exception):
                raise error
            self.lose(name, phase, error)
        return {name: found[name] for name in self.sessions if name in found}

    def lose(self, name: str, phase: str, error: Exception) -> None:
        """Go on without a member; raises as `ask` does."""
        self._failures.failed(name, phase, error)
        session = self.sessions.pop(name)
        for names in self._places.values():
            if name in names:
                names.remove(name)
        if name not in self._workers.stuck:
            with suppress(Exception):  # one that is gone cannot say what it cost
                self._left[name] = session.usage
        self._close(name, session)

    def prefill(self) -> None:
        """Let every member read its prompt."""
        self.ask("prefill", lambda name: self.sessions[name].prefill())

    def prompt_nlls(self, names: Iterable[str]) -> dict[str, PromptNLL]:
        """How well these members predict their prompts; all of them can say."""

        def one(name: str) -> PromptNLL:
            session = self.sessions[name]
            assert isinstance(session, Rated), "checked before the prompt was read"
            return session.prompt_nll()

        return self.ask("prefill", one, names)

    def draft(
        self,
        strip_blank: bool,
        names: Sequence[str] | None = None,
        before: Mapping[str, Drafts] | None = None,
    ) -> dict[str, Drafts]:
        """Drafts by name in member order: of all members, or of those of these `names`.

        What is in `before` is drafted already in this round, and returned too.
        """
        ready = dict(before or {})
        asked = [n for n in self.sessions if n not in ready and (names is None or n in names)]
        told: dict[str, list[str]] = {}  # what others should read
        if len(self.sessions) > 1 and names is None and self._speculation:
            told = self.ask("draft", self._likely)
            asked = [name for name in asked if name in self.sessions]
        for name, drafts in ready.items():
            told[name] = [draft.text for draft in drafts.drafts]

        def one(name: str) -> Drafts:
            session = self.sessions[name]
            if isinstance(session, Speculative) and self._speculation:
                session.hint([t for other, texts in told.items() if other != name for t in texts])
            drafts = session.draft(strip_blank=strip_blank)
            if self._speculation and names is None:
                told[name] = self._texts(name, drafts)
            return drafts

        found = ready | self.ask("draft", one, asked)
        return {name: found[name] for name in self.sessions if name in found}

    def score(
        self, names: Iterable[str], spans: Sequence[tuple[str, bool]]
    ) -> dict[str, list[float | None]]:
        """The scores of these members, in member order."""

        def one(name: str) -> list[float | None]:
            scores = self.sessions[name].score(spans)
            if len(scores) != len(spans):
                raise ValueError(f"it gave {len(scores)} scores for {len(spans)} candidates")
            return scores

        return self.ask("score", one, names)

    def fit(self, text: str, ends: bool, limits: Callable[[], dict[str, int]]) -> tuple[str, bool]:
        """Cut a candidate until it fits every member's limit, in tokens by name.

        Returns its text and whether it was cut.
        """
        cut, again = False, True
        while again:
            again = False
            for name in list(self.sessions):
                most = limits()
                if name not in most:
                    continue  # it has left meanwhile
                fit = partial(self._fit, text=text, ends=ends and not cut, limit=most[name])
                for found, shorter in self.ask("commit", fit, [name]).values():
                    text, cut, again = found, cut or shorter, again or shorter
        return text, cut

    def commit(self, text: str, ends: bool) -> None:
        """Append the winner's text to every member's answer."""
        self.ask("commit", lambda name: self.sessions[name].commit(text, ends))

    def limits(self, budget: int) -> dict[str, int]:
        """How many more tokens each member may commit: what its window holds.

        The first one commits no more than `budget` in all. Where another one was the first before,
        it may have done so already.
        """
        while True:
            rooms = self.ask("commit", lambda name: self.sessions[name].room)
            first = next(iter(rooms))
            used = self.ask("commit", self._committed, [first])
            if first in used:
                return rooms | {first: max(min(rooms[first], budget - used[first]), 0)}

    def counts(self, text: str, ends: bool) -> dict[str, int]:
        """How many tokens it takes each member to commit a candidate."""
        return self.ask("draft", lambda name: self.sessions[name].count(text, ends))

    def settle(self, candidates: Sequence[Candidate], winner: int) -> None:
        """Learn from a round how far to look ahead."""
        if len(candidates) == 1:
            self._ahead = min(max(self._ahead * 2, _NEAREST), _FARTHEST)
        elif not self._leader or self._leader not in candidates[winner].drafters:
            self._ahead //= 4

    def _texts(self, name: str, drafts: Drafts) -> list[str]:
        """What the others should read of a member's drafts, and of what comes after them."""
        session = self.sessions[name]
        texts = [draft.text for draft in drafts.drafts]
        followed = self._places[self._place_of(name)][0] == name and len(self.sessions) > 1
        if followed and isinstance(session, Speculative):
            self._leader = name
            if self._ahead and (further := session.look_ahead(self._ahead)):
                texts.insert(0, further)
        return texts

    def _place_of(self, name: str) -> str:
        return next(place for place, names in self._places.items() if name in names)

    def _price(self, name: str) -> float:
        with suppress(Exception):
            if isinstance(session := self.sessions[name], Speculative):
                return session.price
        return 0.0

    def _committed(self, name: str) -> int:
        return self.sessions[name].usage.committed_tokens

    def _fit(self, name: str, text: str, ends: bool, limit: int) -> tuple[str, bool]:
        return self.sessions[name].fit(text, ends, limit)

    def _likely(self, name: str) -> list[str]:
        session = self.sessions[name]
        return list(session.likely()) if isinstance(session, Speculative) else []

    def _time_left(self, name: str) -> float | None:
        return None if self._limit is None else max(self._limit - self._spent[name], 0.0)

    def _in_turn(
        self, queues: Mapping[str, Sequence[str]], work: Callable[[str], T]
    ) -> tuple[dict[str, T], dict[str, BaseException]]:
        """Do work for each name in this thread."""
        found: dict[str, T] = {}
        failed: dict[str, BaseException] = {}
        for queue in queues.values():
            for name in queue:
                try:
                    found[name] = work(name)
                except Exception as error:
                    failed[name] = error
                    if not self._failures.drops:
                        return found, failed
        return found, failed

    def _close(self, name: str, session: Session) -> None:
        """Close a session; where its thread is stuck, once that has come back."""
        if name in self._workers.stuck:
            self._workers.stuck[name].submit(session.close)
            return
        close_session(name, session)
