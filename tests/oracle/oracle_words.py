"""How likely a member is to write just a word next: DESIGN 3.7, for the oracle."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from oracle_member import Member
from oracle_text import SPACELESS


@dataclass(frozen=True)
class Event:
    """A way in which a candidate comes true: its ids, and an "end", a "border" or "anything"."""

    owner: int
    ids: tuple[int, ...]
    tail: str
    log_chance: float


def word_scores(
    member: Member, candidates: Sequence[tuple[list[int], bool, Sequence[tuple[int, ...]]]]
) -> list[float | None]:
    """-log of the probability of each (ids, ends, drafts up to a stop) as the next word."""
    found: list[Event] = []
    for owner, (ids, ends, stops) in enumerate(candidates):
        if ids or ends:
            found += events(member, owner, ids, ends, stops)
    left: dict[Event, float] = {}

    def log_left(event: Event) -> float:
        """log of an event's probability without what other candidates hold of it."""
        if event not in left:
            inside = [log_left(other) for other in found if holds(member, event, other)]
            rest = 1.0 - math.fsum(math.exp(log - event.log_chance) for log in inside)
            left[event] = event.log_chance + math.log(rest) if rest > 0 else -math.inf
        return left[event]

    scores: list[float | None] = []
    for owner, (ids, ends, _) in enumerate(candidates):
        own = [log_left(event) for event in found if event.owner == owner]
        total = torch.logsumexp(torch.tensor(own, dtype=torch.double), -1).item() if own else 0
        scores.append(-total if ids or ends else None)
    return scores


def events(
    member: Member, owner: int, ids: list[int], ends: bool, stops: Sequence[tuple[int, ...]]
) -> list[Event]:
    def event(ids: Sequence[int], tail: str, log_tail: float) -> Event:
        return Event(owner, tuple(ids), tail, member.log_chance(ids) + log_tail)

    if len(ids) > member.room:
        return [event(ids[: member.room], "anything", 0.0)]
    if ends:
        own = event(ids, "end", member.log_end(ids))
        return [own, *(event(path, "anything", 0.0) for path in dict.fromkeys(stops))]
    if whole(member, ids):
        return [event(ids, "anything", 0.0)]
    logits = member.logits(ids)
    following = [token for token in range(len(logits)) if spaced(member, token)]
    return [event(ids, "border", member.log_sum(ids, sorted({*following, *member.ends})))]


def whole(member: Member, ids: list[int]) -> bool:
    """Whether a word is complete whatever comes next (3.1), or a grammar says what comes."""
    text, _ = member.text.read(ids)
    if member.mask(ids) is not None or len(ids) >= member.settings.max_word_tokens:
        return True
    spoken = text.lstrip()
    return any(map(str.isspace, spoken)) or bool(spoken and SPACELESS.match(spoken[-1]))


def spaced(member: Member, token: int) -> bool:
    return member.text.read([token])[0][:1].isspace()


def holds(member: Member, event: Event, other: Event) -> bool:
    """Whether another candidate's event is part of this one."""
    length = len(event.ids)
    if other.owner == event.owner or other.ids[:length] != event.ids or event.tail == "end":
        return False
    if len(other.ids) == length:
        return ("end", "border", "anything").index(other.tail) < (
            ("end", "border", "anything").index(event.tail)
        )
    return event.tail == "anything" or spaced(member, other.ids[length])
