"""An answer's members and rounds, worded and ordered as a page shows them. Knows no HTML."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from adafuse.events import Candidate, FinishedAnswer, Round
from adafuse.pages._render import number

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
    rounds: Iterable[Round],
    members: Mapping[str, MemberView],
    weights: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[dict[str, Any]]:
    """Each round as `round`, with what a page says besides.

    `weights` are the members' shares, 0 to 1, as far as they are known.

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
            "candidates": _ranked(round_, members, weights),
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


class _Cell(NamedTuple):
    """What a member, or all of them, make of a candidate; `best`: of none they make more."""

    text: str
    best: bool


def _ranked(
    round_: Round, names: Iterable[str], weights: Mapping[str, float]
) -> list[tuple[Candidate, bool, list[_Cell]]]:
    """Candidates, whether each was committed, and its cells: of all members, then of each.

    Lowest score first; what was not scored, or is equal, stays in the order of the pool.
    """
    pool = round_.candidates
    mixed = round_.rule == "words" and all(_is_mixture(one, weights) for one in pool)
    columns = [_column(round_, [candidate.score for candidate in pool])]
    for name in names:
        scores = [candidate.scores.get(name) for candidate in pool]
        columns.append(_column(round_, scores, weights.get(name) if mixed else None))

    def rank(at: int) -> float:
        score = pool[at].score
        return math.inf if score is None or math.isnan(score) else score

    return [
        (pool[at], at == round_.winner, [column[at] for column in columns])
        for at in sorted(range(len(pool)), key=rank)
    ]


def _is_mixture(candidate: Candidate, weights: Mapping[str, float]) -> bool:
    """Whether its score is that of the members' mixture, to which each gives a share."""
    if candidate.score is None or not weights.keys() >= candidate.scores.keys():
        return False
    mixed = sum(weights[name] * math.exp(-nll) for name, nll in candidate.scores.items())
    return math.isclose(mixed, math.exp(-candidate.score), rel_tol=0.01)


def _column(
    round_: Round, scores: Sequence[float | None], weight: float | None = None
) -> list[_Cell]:
    """Scores as a page shows them: NLLs, or probabilities of words.

    With a member's `weight` its share of what all of them together say for the word, too.
    """
    lowest = min((score for score in scores if score is not None), default=math.inf)
    cells = []
    for candidate, score in zip(round_.candidates, scores, strict=True):
        text = number(score, 3)
        if round_.rule == "words" and score is not None:
            text = f"{100 * math.exp(-score):.1f} %"
            if weight and candidate.score is not None:
                text += f" ({100 * weight * math.exp(candidate.score - score):.0f})"
        cells.append(_Cell(text, score == lowest and math.isfinite(lowest)))
    return cells
