"""In which order the members of a round work, and what they tell each other to save forwards.

Members in one place take turns, the cheapest first: the next one is told what was drafted before,
so that it reads those texts together with its own, and finds its own words among them where it
agrees. While members agree, the first one looks further ahead each time. Members in different
places work at the same time. None of it changes what anyone drafts or scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from adafuse.events import Candidate
from adafuse.member import Drafts, Session, Speculative

__all__ = ["Team"]

T = TypeVar("T")

_NEAREST, _FARTHEST = 4, 16  # tokens that the first member looks ahead while members agree
_HERE = ""  # the place of a session that does not say where it is


class Team:
    """The sessions of one answer.

    Args:
        sessions: by member name, in member order.
        speculation: whether members tell each other anything, and work at the same time.
    """

    def __init__(self, sessions: Mapping[str, Session], speculation: bool) -> None:
        self._sessions = sessions
        self._speculation = speculation
        self._ahead = 0  # tokens to look ahead
        self._leader = ""
        self._places: dict[str, list[str]] = {}
        for name, session in sessions.items():
            place = session.place if isinstance(session, Speculative) and speculation else _HERE
            self._places.setdefault(place, []).append(name)
        if speculation:
            for names in self._places.values():
                names.sort(key=self._price)  # stable: equals stay in member order

        # The same thread for a place each time: forwards wait for threads that come back.
        self._threads = (
            {place: ThreadPoolExecutor(1, "adafuse") for place in self._places}
            if len(self._places) > 1
            else {}
        )

    def close(self) -> None:
        """Let go of its threads."""
        for thread in self._threads.values():
            thread.shutdown()

    def prefill(self) -> None:
        """Let every member read its prompt."""
        self._each(self._sessions, lambda name: self._sessions[name].prefill())

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
        asked = [n for n in self._sessions if n not in ready and (names is None or n in names)]
        told: dict[str, list[str]] = {}  # what others should read
        if len(self._sessions) > 1 and names is None:
            told = {name: list(one.likely()) for name, one in self._speculative()}
        for name, drafts in ready.items():
            told[name] = [draft.text for draft in drafts.drafts]

        def one(name: str) -> Drafts:
            session = self._sessions[name]
            if isinstance(session, Speculative) and self._speculation:
                session.hint([t for other, texts in told.items() if other != name for t in texts])
            drafts = session.draft(strip_blank=strip_blank)
            if self._speculation and names is None:
                told[name] = self._texts(name, drafts)
            return drafts

        found = ready | self._each(asked, one)
        return {name: found[name] for name in self._sessions if name in found}

    def score(
        self, names: Iterable[str], spans: Sequence[tuple[str, bool]]
    ) -> dict[str, list[float | None]]:
        """The scores of these members, in the order of `names`."""
        names = list(names)
        found = self._each(names, lambda name: self._sessions[name].score(spans))
        return {name: found[name] for name in names}

    def settle(self, candidates: Sequence[Candidate], winner: int) -> None:
        """Learn from a round how far to look ahead."""
        if len(candidates) == 1:
            self._ahead = min(max(self._ahead * 2, _NEAREST), _FARTHEST)
        elif not self._leader or self._leader not in candidates[winner].drafters:
            self._ahead //= 4

    def _texts(self, name: str, drafts: Drafts) -> list[str]:
        """What the others should read of a member's drafts, and of what comes after them."""
        session = self._sessions[name]
        texts = [draft.text for draft in drafts.drafts]
        followed = self._places[self._place_of(name)][0] == name and len(self._sessions) > 1
        if followed and isinstance(session, Speculative):
            self._leader = name
            if self._ahead and (further := session.look_ahead(self._ahead)):
                texts.insert(0, further)
        return texts

    def _place_of(self, name: str) -> str:
        return next(place for place, names in self._places.items() if name in names)

    def _price(self, name: str) -> float:
        session = self._sessions[name]
        return session.price if isinstance(session, Speculative) else 0.0

    def _speculative(self) -> list[tuple[str, Speculative]]:
        if not self._speculation:
            return []
        pairs = self._sessions.items()
        return [(name, one) for name, one in pairs if isinstance(one, Speculative)]

    def _each(self, names: Iterable[str], work: Callable[[str], T]) -> dict[str, T]:
        """Do some work for each member: place by place in turns, all places at once."""
        wanted = set(names)
        groups = {place: [n for n in all_ if n in wanted] for place, all_ in self._places.items()}

        def in_turn(group: list[str]) -> dict[str, T]:
            return {name: work(name) for name in group}

        if not self._threads:
            return in_turn(next(iter(groups.values())))
        running = [self._threads[place].submit(in_turn, group) for place, group in groups.items()]
        wait(running)  # also where one has failed: a session is used by one thread at a time
        found: dict[str, T] = {}
        for one in running:
            found |= one.result()
        return found
