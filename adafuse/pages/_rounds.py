"""An answer's members and rounds as plain values, worded and ordered as a page shows them.

Knows nothing of HTML.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from adafuse.events import Candidate, FinishedAnswer, Round
from adafuse.pages._render import number

__all__ = [
    "KINDS",
    "STYLES",
    "CandidateView",
    "MemberView",
    "RoundView",
    "name_members",
    "view_members",
    "view_rounds",
]

STYLES = 8
"""Members that have a colour of their own; later ones share them, but not their letters."""

KINDS = {
    "unanimous": "one candidate, committed unscored",
    "confident": "scored; no margin below the threshold",
    "contested": "scored; a margin below the threshold",
    "led": "the leader was sure; others not asked",
    "forced": "the grammar left no choice",
    "nothing": "nothing could be drafted",
}
"""How a round was decided, each with what that means."""

_MARKS = {"\n": "↵", "\t": "⇥"}


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member: its name, letter, and which of the page's member colours it has, from 1."""

    name: str
    letter: str
    style: int


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A candidate; `scores` by member in order, each with whether it is that member's lowest."""

    text: str
    ends: bool
    wins: bool
    drafters: tuple[MemberView, ...]
    scores: tuple[tuple[str, bool], ...]
    score: str


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round.

    Attributes:
        at: its place in the answer, from 1.
        index: its number, as the event has it.
        kind: one of `KINDS`.
        member: who drafted what it committed first, if anyone.
        speaks: whether that is another one than in the last round.
        before, core, after: its text, whitespace around it apart. Text that is only whitespace is
            the core.
        mark: what stands for a core that is not seen, or "".
        meaning: the same in words.
        cut: whether the answer holds less than the candidate.
        candidates: the likeliest first.
        margins: of each member that tested any.
        left_out: members whose numbers were not finite.
        dropped: members that failed, and why.
    """

    at: int
    index: int
    kind: str
    member: MemberView | None
    speaks: bool
    before: str
    core: str
    after: str
    mark: str
    meaning: str
    text: str
    ends: bool
    cut: bool
    drafters: tuple[MemberView, ...]
    candidates: tuple[CandidateView, ...]
    margins: tuple[tuple[MemberView, tuple[str, ...]], ...]
    left_out: tuple[MemberView, ...]
    dropped: tuple[tuple[MemberView, str], ...]


def view_members(answer: FinishedAnswer) -> dict[str, MemberView]:
    """Every member that the answer names, by name; those whose usage is known come first."""
    names = dict.fromkeys(answer.usage)
    for one in answer.rounds:
        names |= dict.fromkeys((*one.drafters, *one.margins, *one.left_out))
        names |= dict.fromkeys(failed.member for failed in one.dropped)
        for candidate in one.candidates:
            names |= dict.fromkeys((*candidate.drafters, *candidate.scores))
    return name_members(names)


def name_members(names: Iterable[str]) -> dict[str, MemberView]:
    """Members by name, with letters and colours in this order: the same on every page."""
    letters = string.ascii_uppercase
    return {
        name: MemberView(name, letters[at] if at < 26 else str(at + 1), at % STYLES + 1)
        for at, name in enumerate(names)
    }


def view_rounds(rounds: Iterable[Round], members: Mapping[str, MemberView]) -> list[RoundView]:
    """All rounds, in order."""
    views: list[RoundView] = []
    speaker = ""
    for at, one in enumerate(rounds, 1):
        views.append(_view_round(at, one, members, speaker))
        speaker = one.member if one.text.strip() else speaker
    return views


def _view_round(at: int, one: Round, members: Mapping[str, MemberView], speaker: str) -> RoundView:
    before, core, after = _parts(one.text)
    mark, meaning = _mark(one)
    won = one.candidates[one.winner] if 0 <= one.winner < len(one.candidates) else None
    return RoundView(
        at=at,
        index=one.index,
        kind=_kind(one),
        member=members.get(one.member),
        speaks=one.member != speaker and bool(one.text.strip()),
        before=before,
        core=core,
        after=after,
        mark=mark,
        meaning=meaning,
        text=one.text,
        ends=one.ends,
        cut=won is not None and won.text != one.text,
        drafters=tuple(members[name] for name in one.drafters),
        candidates=_candidates(one, members),
        margins=tuple(
            (members[name], tuple(number(margin, 3) for margin in margins))
            for name, margins in one.margins.items()
        ),
        left_out=tuple(members[name] for name in one.left_out),
        dropped=tuple((members[failed.member], failed.error) for failed in one.dropped),
    )


def _kind(round_: Round) -> str:
    if round_.kind == "scored":
        return "confident" if round_.confident else "contested"
    return "nothing" if round_.kind == "empty" else round_.kind


def _parts(text: str) -> tuple[str, str, str]:
    core = text.strip()
    if not core:
        return "", text, ""
    begin = text.index(core)
    return text[:begin], core, text[begin + len(core) :]


def _mark(one: Round) -> tuple[str, str]:
    """What stands for a text that is not seen, and its meaning; nothing for one that is."""
    if one.text.strip():
        return "", ""
    if one.text:
        shown = "".join(_MARKS.get(character, "␣") for character in one.text[:3])
        return shown + "…" * (len(one.text) > 3), "whitespace"
    if one.ends:
        return "■", "end of the answer"
    if one.winner < 0:
        return "∅", "nothing drafted"
    return "✂", "text that was cut off"


def _candidates(one: Round, members: Mapping[str, MemberView]) -> tuple[CandidateView, ...]:
    """Lowest score first; what was not scored, or is equal, stays in the order of the pool."""
    lowest = {
        name: min((c.scores[name] for c in one.candidates if name in c.scores), default=math.inf)
        for name in members
    }

    def view(at: int, candidate: Candidate) -> CandidateView:
        scores = [candidate.scores.get(name) for name in members]
        own = [score is not None and math.isfinite(score) and score == lowest[name]
               for name, score in zip(members, scores, strict=True)]  # fmt: skip
        return CandidateView(
            text=candidate.text,
            ends=candidate.ends,
            wins=at == one.winner,
            drafters=tuple(members[name] for name in candidate.drafters),
            scores=tuple((number(score, 3), best) for score, best in zip(scores, own, strict=True)),
            score=number(candidate.score, 3),
        )

    def rank(at: int) -> float:
        score = one.candidates[at].score
        return math.inf if score is None or math.isnan(score) else score

    order: Sequence[int] = sorted(range(len(one.candidates)), key=rank)
    return tuple(view(at, one.candidates[at]) for at in order)
