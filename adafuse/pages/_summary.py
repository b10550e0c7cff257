"""What an answer's rounds add up to and what it cost, as a page's figures and tables.

Counts come from `adafuse.telemetry.summary`; knows nothing of HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adafuse.events import FinishedAnswer, Loss
from adafuse.pages._render import number
from adafuse.pages._rounds import KINDS, MemberView, RoundView
from adafuse.telemetry.summary import summarise

__all__ = ["Part", "Totals", "UsageRow", "view_totals"]

_REASONS = {
    "stop": "ended by itself",
    "length": "cut at the length limit",
    "stop_string": "ended at a stop string",
}
_PHASES = ("prefill", "draft", "score", "commit")


@dataclass(frozen=True, slots=True)
class Part:
    """One of several that make a whole: its count, and its share in percent."""

    name: str
    says: str
    count: int
    share: float
    member: MemberView | None = None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A member's row of the table of costs; the last row, of all, has none."""

    member: MemberView | None
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures of a whole answer.

    Attributes:
        reason: why it ended, in words.
        figures: names and values of the most telling ones.
        words: by member that drafted them; nobody's come last.
        kinds: rounds by how they were decided.
        columns, rows: the table of costs.
        remarks: of members that could not hold a text, wrote broken UTF-8, or were left out.
        losses: texts that a member reads differently.
    """

    reason: str
    figures: tuple[tuple[str, str], ...]
    words: tuple[Part, ...]
    kinds: tuple[Part, ...]
    columns: tuple[str, ...]
    rows: tuple[UsageRow, ...]
    remarks: tuple[tuple[MemberView, str], ...]
    losses: tuple[tuple[MemberView, tuple[Loss, ...]], ...]


def view_totals(
    answer: FinishedAnswer, rounds: Sequence[RoundView], members: Mapping[str, MemberView]
) -> Totals:
    """Add up an answer."""
    summary = summarise(answer.rounds, answer.usage)
    total = sum(len(one.words) for one in answer.rounds)
    counts = {name: summary.words_by_member.get(name, 0) for name in members}
    words = [
        Part(member.letter, name, counts[name], _percent(counts[name], total), member)
        for name, member in members.items()
    ]
    nobodys = total - sum(counts.values())
    if nobodys:
        words.append(Part("", "nobody: forced", nobodys, _percent(nobodys, total)))
    found = Counter(one.kind for one in rounds)
    kinds = [
        Part(kind, says, found[kind], _percent(found[kind], len(rounds)))
        for kind, says in KINDS.items()
        if found[kind] or kind in ("unanimous", "confident", "contested")
    ]
    usage = answer.usage.values()
    columns, rows = _costs(answer, members, counts)
    return Totals(
        reason=_REASONS.get(answer.finish_reason, answer.finish_reason),
        figures=(
            ("words", number(total)),
            ("rounds", number(summary.rounds)),
            ("forwards", number(sum(one.forward_passes for one in usage))),
            (
                "tokens read per committed token",
                number(summary.tokens_read_per_committed_token, 2),
            ),
            ("seconds, all members", number(summary.seconds, 2)),
        ),
        words=tuple(words),
        kinds=tuple(kinds),
        columns=columns,
        rows=rows,
        remarks=_remarks(answer, members),
        losses=tuple(
            (members[name], one.losses) for name, one in answer.usage.items() if one.losses
        ),
    )


def _percent(count: int, total: int) -> float:
    return round(100 * count / total, 2) if total else 0.0


def _costs(
    answer: FinishedAnswer, members: Mapping[str, MemberView], words: Mapping[str, int]
) -> tuple[tuple[str, ...], tuple[UsageRow, ...]]:
    """The table of costs: titles, a row per member, and their sum if there are several."""
    every = answer.usage
    phases = list(dict.fromkeys((*_PHASES, *(p for one in every.values() for p in one.seconds))))
    weighted = any(one.weight is not None for one in every.values())
    reused = any(one.reused_tokens for one in every.values())
    titles = ["words", "prompt", "reused", "committed", "forwards", "read", *phases, "seconds"]
    numbers = {}
    for name, one in every.items():
        took = [one.seconds.get(phase, 0.0) for phase in phases]
        counts = (words[name], one.prompt_tokens, one.reused_tokens, one.committed_tokens)
        numbers[name] = [*counts, one.forward_passes, one.tokens_processed, *took, sum(took)]
    digits = [0] * 6 + [2] * (len(phases) + 1)
    dropped = set() if reused else {titles.index("reused")}

    def cells(figures: Sequence[float], weight: float | None) -> tuple[str, ...]:
        told = [number(figure, digit) for figure, digit in zip(figures, digits, strict=True)]
        kept = [cell for at, cell in enumerate(told) if at not in dropped]
        return (number(weight, 3), *kept) if weighted else tuple(kept)

    rows = [
        UsageRow(members[name], cells(numbers[name], one.weight)) for name, one in every.items()
    ]
    if len(rows) > 1:
        sums = [sum(column) for column in zip(*numbers.values(), strict=True)]
        rows.append(UsageRow(None, cells(sums, None)))
    kept = [title for at, title in enumerate(titles) if at not in dropped]
    return (("weight", *kept) if weighted else tuple(kept)), tuple(rows)


def _remarks(
    answer: FinishedAnswer, members: Mapping[str, MemberView]
) -> tuple[tuple[MemberView, str], ...]:
    remarks = []
    for name, one in answer.usage.items():
        if one.replaced_characters:
            count = number(one.replaced_characters)
            remarks.append((members[name], f"drafted bytes that are no UTF-8, {count} times"))
        if one.rounds_left_out:
            count = number(one.rounds_left_out)
            remarks.append((members[name], f"left out of {count} rounds: numbers not finite"))
    return tuple(remarks)
