"""The sessions of one answer: asking them in turn or at the same time, and losing those that fail.

Members in one place take turns, the cheapest first; members in different places work at the same
time. A member that fails, or takes too long, leaves the group, or ends the answer; see `failures`.
What members tell each other of their drafts is `draft_sharing`'s. This module knows neither
candidates' scores nor grammars.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from typing import TypeVar, cast

from adafuse.concurrency.workers import Workers
from adafuse.config import DecodingConfig
from adafuse.decoding.draft_sharing import DraftSharing
from adafuse.decoding.failures import FailurePolicy
from adafuse.decoding.member import Drafts, Member, PromptNLL, Rated, Session, Speculative
from adafuse.errors import AdaFuseError
from adafuse.events import MemberUsage
from adafuse.prompting.prompt import Prompt

__all__ = ["SessionGroup", "open_sessions"]

T = TypeVar("T")
_SPARE = 64  # tokens of its window that a silent member leaves free: its drafts look ahead

_log = logging.getLogger("adafuse.team")  # the name that docs/telemetry.md gives


def open_sessions(
    members: Sequence[Member], prompt: Prompt, config: DecodingConfig, failures: FailurePolicy
) -> dict[str, Session]:
    """A session of each member that can be opened, by name; all are closed where one refuses.

    Raises:
        AdaFuseError: what a member has against the prompt; the prompt is wrong, and not the member.
        MemberError, TooFewMembersError: see `FailurePolicy.failed`.
    """
    sessions: dict[str, Session] = {}
    with ExitStack() as opened:
        for member in members:
            try:
                session = member.open(prompt, config)
            except AdaFuseError:
                raise
            except Exception as error:
                failures.failed(member.name, "open", error)
            else:
                sessions[member.name] = session
                opened.callback(_close_session, member.name, session)
        opened.pop_all()
    return sessions


def _close_session(name: str, session: Session) -> None:
    """Close a session; no answer is worse where that fails."""
    try:
        session.close()
    except Exception as error:
        _log.warning("member %r: its session could not be closed: %s", name, error)


class SessionGroup:
    """The sessions of one answer, by member name in member order, which it closes.

    `sessions` are those of the members that have not failed. Those that are `silent` propose
    nothing: they draft where that saves others forwards, else they only take what is committed.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        config: DecodingConfig,
        failures: FailurePolicy,
        silent: Collection[str] = (),
    ) -> None:
        self.sessions = dict(sessions)
        self._silent = frozenset(silent)
        self.sharing = DraftSharing(config.speculation)
        self._time_limit = config.round_timeout
        self._budget = config.max_new_tokens
        self._failures = failures
        self._seconds = dict.fromkeys(sessions, 0.0)  # by member, in this round
        self._left: dict[str, MemberUsage] = {}  # what those cost that have left
        self._rooms: dict[str, int] = {}  # tokens that windows can hold, since the last commit
        self._committed: dict[str, int] = {}  # tokens of the first member, since then
        self._places: dict[str, list[str]] = {}
        for name, session in sessions.items():
            place = ""  # of a session that does not say where it is
            with suppress(Exception):  # a session that is gone will be noticed when it is asked
                if config.speculation and isinstance(session, Speculative):
                    place = session.place
            self._places.setdefault(place, []).append(name)
        if config.speculation:
            for names in self._places.values():
                names.sort(key=self._price)  # stable: equals stay in member order
        self._idle = {name for name in self._silent if not self._helps(name)}
        self._workers = Workers()

    def close(self) -> None:
        """Close every session, and let go of its threads."""
        for name in list(self.sessions):
            self._close(name, self.sessions.pop(name))
        self._workers.close()

    @property
    def usage(self) -> dict[str, MemberUsage]:
        """What the answer has cost each member, as far as it is known."""
        usage = dict(self._left)
        for name, session in self.sessions.items():
            with suppress(Exception):  # the answer is whole; nobody need be dropped for this
                usage[name] = session.usage
        return usage

    @property
    def voters(self) -> list[str]:
        """The members that propose and score, in member order."""
        return [name for name in self.sessions if name not in self._silent]

    def begin(self, index: int) -> None:
        """Begin a round: members have all their time again."""
        self._failures.round_index = index
        self._seconds = dict.fromkeys(self.sessions, 0.0)

    def ask(
        self, phase: str, work: Callable[[str], T], names: Iterable[str] | None = None
    ) -> dict[str, T]:
        """Do some work for each member, or those of these names: all places at once, each in turns.

        Returns what came of it, in member order. Members that failed are missing, and have left.

        Raises:
            MemberError, TooFewMembersError: see `FailurePolicy.failed`.
            AdaFuseError: what a member raises on purpose.
        """
        wanted = set(self.sessions if names is None else names)
        queues = {
            place: queue
            for place, members in self._places.items()
            if (queue := [name for name in members if name in wanted])
        }

        def timed(name: str) -> T:
            begun = time.monotonic()
            try:
                return work(name)
            finally:
                self._seconds[name] += time.monotonic() - begun

        if self._time_limit is None and len(self._places) == 1:
            results, errors = self._in_turn(queues, timed)
        else:
            results, errors = self._workers.run(queues, timed, self._time_left)
        for name in [name for name in self.sessions if name in errors]:
            error = errors[name]
            if isinstance(error, AdaFuseError) or not isinstance(error, Exception):
                raise error
            self.lose(name, phase, error)
        return {name: results[name] for name in self.sessions if name in results}

    def lose(self, name: str, phase: str, error: Exception) -> None:
        """Go on without a member; raises as `ask` does."""
        self._failures.failed(name, phase, error)
        session = self.sessions.pop(name)
        for names in self._places.values():
            if name in names:
                names.remove(name)
        if name not in self._workers.stuck:
            with suppress(Exception):  # a session that is gone cannot say what it cost
                self._left[name] = session.usage
        self._close(name, session)

    def prefill(self) -> None:
        """Let every member read its prompt that will draft."""
        self.ask("prefill", lambda name: self.sessions[name].prefill(), self._drafters())

    def prompt_nlls(self, names: Iterable[str]) -> dict[str, PromptNLL]:
        """How well these members predict their prompts; `check_rated` says that they can."""
        return self.ask(
            "prefill", lambda name: cast(Rated, self.sessions[name]).prompt_nll(), names
        )

    def draft(self, strip_blank: bool) -> dict[str, Drafts]:
        """What members propose, by name in member order; silent ones draft hints for the others."""
        self.sharing.begin()
        if len(self.sessions) > 1 and self.sharing.enabled:
            self.sharing.expect(self.ask("draft", self._likely, self._drafters()))
        drafters = self._drafters()
        queues = [[n for n in queue if n in drafters] for queue in self._places.values()]
        followed = {queue[0] for queue in queues if queue and len(drafters) > 1}

        def draft(name: str) -> Drafts:
            return self.sharing.draft(
                name, self.sessions[name], strip_blank=strip_blank, followed=name in followed
            )

        drafted = self.ask("draft", draft, drafters)
        return {name: drafts for name, drafts in drafted.items() if name not in self._silent}

    def score(
        self, names: Iterable[str], spans: Sequence[tuple[str, bool]]
    ) -> dict[str, list[float | None]]:
        """The scores of these members, in member order."""

        def score(name: str) -> list[float | None]:
            scores = self.sessions[name].score(spans)
            if len(scores) != len(spans):
                raise ValueError(f"it gave {len(scores)} scores for {len(spans)} candidates")
            return scores

        return self.ask("score", score, names)

    def limits(self) -> dict[str, int]:
        """How many more tokens each member may commit: what its window holds.

        The first one commits no more than `max_new_tokens` in all. Where another one was the first
        before, it may have done so already. Members say with each commit what room is left; before
        the first one they are asked. What it has committed the first one is asked once a round.
        Silent members limit nothing.
        """
        if not self._rooms:
            self._rooms = self.ask("commit", lambda name: self.sessions[name].room)
        while (first := self.voters[0]) not in self._committed:
            self._committed |= self.ask(
                "commit", lambda name: self.sessions[name].usage.committed_tokens, [first]
            )
        left = self._budget - self._committed[first]
        rooms = {name: self._rooms[name] for name in self.voters}
        return rooms | {first: max(min(rooms[first], left), 0)}

    def fit(self, text: str, ends: bool) -> tuple[str, bool]:
        """Cut a candidate until it fits every member's limit; its text, and whether it was cut."""

        def fit(name: str) -> tuple[str, bool]:
            return self.sessions[name].fit(text, ends, limits[name])

        limits = self.limits()
        fitted = self.ask("commit", fit, limits)
        cut = any(shorter for _, shorter in fitted.values())
        again = cut or len(fitted) < len(limits)  # one has left: another is the first
        while again:  # one after another, since a text that is cut is another text to the others
            again = False
            for name in self.voters:
                limits = self.limits()
                if name not in limits:
                    continue  # it has left meanwhile
                for fitting, shorter in self.ask("commit", fit, [name]).values():
                    text, ends = fitting, ends and not shorter
                    cut, again = cut or shorter, again or shorter
        return text, cut

    def commit(self, text: str, ends: bool) -> None:
        """Append the winner's text to every member's answer."""

        def commit(name: str) -> int:
            room = self.sessions[name].commit(text, ends)
            return self.sessions[name].room if room is None else room

        self._committed = {}
        self._rooms = self.ask("commit", commit)

    def counts(self, text: str, ends: bool) -> dict[str, int]:
        """How many tokens it takes each member to commit a candidate."""
        return self.ask("draft", lambda name: self.sessions[name].count(text, ends), self.voters)

    def _drafters(self) -> list[str]:
        """Who drafts: not who is idle, nor a silent member whose window is nearly full."""
        full = {n for n in self._silent & self._rooms.keys() if self._rooms[n] < _SPARE}
        return [name for name in self.sessions if name not in self._idle | full]

    def _helps(self, name: str) -> bool:
        """Whether hints of a silent member are worth its forwards: it is the cheaper one."""
        queue = next(names for names in self._places.values() if name in names)
        behind = queue[queue.index(name) + 1 :]
        voters = [other for other in behind if other not in self._silent]
        return self.sharing.enabled and any(self._price(name) < self._price(v) for v in voters)

    def _price(self, name: str) -> float:
        with suppress(Exception):
            if isinstance(session := self.sessions[name], Speculative):
                return session.price
        return 0.0

    def _likely(self, name: str) -> list[str]:
        session = self.sessions[name]
        return list(session.likely()) if isinstance(session, Speculative) else []

    def _time_left(self, name: str) -> float | None:
        return self._time_limit and max(self._time_limit - self._seconds[name], 0.0)

    def _in_turn(
        self, queues: Mapping[str, Sequence[str]], work: Callable[[str], T]
    ) -> tuple[dict[str, T], dict[str, BaseException]]:
        """Do work for each name in this thread."""
        results: dict[str, T] = {}
        errors: dict[str, BaseException] = {}
        for name in chain(*queues.values()):
            try:
                results[name] = work(name)
            except Exception as error:
                errors[name] = error
                if not self._failures.drops:
                    break
        return results, errors

    def _close(self, name: str, session: Session) -> None:
        """Close a session; where its thread is stuck, once that has come back."""
        if name in self._workers.stuck:
            self._workers.stuck[name].submit(session.close)
        else:
            _close_session(name, session)
