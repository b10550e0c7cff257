"""An answer's members and rounds, worded and ordered as a page shows them. Knows no HTML."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from adafuse.events import Candidate, FinishedAnswer, Round

__all__ = ["KINDS", "MemberView", "name_members", "view_members", "view_rounds"]

KINDS = {
    "unanimous": "one candidate, committed unscored",
    "confident": "scored; no margin below the threshold",
    "contested": "scored; a margin below the threshold",
    "forced": "the grammar left no choice",
    "nothing": "nothing could be drafted",
}
"""How a round was decided, each with what that means."""

_COLOURS = 8  # later members share them, but not their letters
_MARKS = {"\n": "↵", "\t": "⇥"}


class MemberView(NamedTuple):
    """A member: its name, letter, and which of the page's member colours it has, from 1."""

    name: str
    letter: str
    style: int


def view_members(answer: FinishedAnswer) -> dict[str, MemberView]:
    """Every member that the answer names, by name; those whose usage is known come first."""
    names = dict.fromkeys(answer.usage)
    for round_ in answer.rounds:
        names |= dict.fromkeys((*round_.drafters, *round_.margins, *round_.left_out))
        names |= dict.fromkeys(failed.member for failed in round_.dropped)
        for candidate in round_.candidates:
            names |= dict.fromkeys((*candidate.drafters, *candidate.scores))
    return name_members(names)


def name_members(names: Iterable[str]) -> dict[str, MemberView]:
    """Members by name, with letters and colours in this order: the same on every page."""
    letters = string.ascii_uppercase
    return {
        name: MemberView(name, letters[at] if at < 26 else str(at + 1), at % _COLOURS + 1)
        for at, name in enumerate(names)
    }


def view_rounds(
    rounds: Iterable[Round], members: Mapping[str, MemberView]
) -> Iterator[dict[str, Any]]:
    """Each round as `round`, with what a page says besides.

    `text` is apart from the whitespace `before` and `after` it; text that is only whitespace has a
    `mark` with a `meaning` in its place. The round `speaks` if another member than before drafted
    it, and is `cut` if the answer holds less than the candidate.
    """
    speaker = ""
    for at, round_ in enumerate(rounds, 1):
        seen = bool(round_.text.strip())
        core = round_.text.strip() or round_.text
        before, text, after = round_.text.partition(core) if core else ("", "", "")
        mark, meaning = ("", "") if seen else _mark(round_)
        won = (
            round_.candidates[round_.winner]
            if 0 <= round_.winner < len(round_.candidates)
            else None
        )
        yield {
            "at": at,
            "round": round_,
            "kind": _kind(round_),
            "member": members.get(round_.member),
            "speaks": seen and round_.member != speaker,
            "before": before,
            "text": text,
            "after": after,
            "mark": mark,
            "meaning": meaning,
            "cut": won is not None and won.text != round_.text,
            "candidates": _ranked(round_, members),
        }
        speaker = round_.member if seen else speaker


def _kind(round_: Round) -> str:
    if round_.kind == "scored":
        return "confident" if round_.confident else "contested"
    return "nothing" if round_.kind == "empty" else round_.kind


def _mark(round_: Round) -> tuple[str, str]:
    """What stands for a text that is not seen, and its meaning."""
    if round_.text:
        shown = "".join(_MARKS.get(character, "␣") for character in round_.text[:3])
        return shown + "…" * (len(round_.text) > 3), "whitespace"
    if round_.ends:
        return "■", "end of the answer"
    return ("∅", "nothing drafted") if round_.winner < 0 else ("✂", "text that was cut off")


def _ranked(
    round_: Round, names: Iterable[str]
) -> list[tuple[Candidate, bool, list[tuple[float | None, bool]]]]:
    """Candidates, whether each was committed, and members' scores, each with whether it is lowest.

    Lowest score first; what was not scored, or is equal, stays in the order of the pool.
    """

    def rank(candidate: Candidate) -> float:
        score = candidate.score
        return math.inf if score is None or math.isnan(score) else score

    columns = []
    for name in names:
        scores = [candidate.scores.get(name) for candidate in round_.candidates]
        lowest = min((score for score in scores if score is not None), default=math.inf)
        columns.append([(score, score == lowest and math.isfinite(lowest)) for score in scores])
    cells = ([column[at] for column in columns] for at in range(len(round_.candidates)))
    wins = (at == round_.winner for at in range(len(round_.candidates)))
    return sorted(zip(round_.candidates, wins, cells, strict=True), key=lambda row: rank(row[0]))
