"""From counts and seconds to figures, and from two sets of figures to their ratios. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adafuse.events import MemberUsage
from benchmarks.speed.timing import Timed

__all__ = [
    "Ratios",
    "Turn",
    "cell",
    "compare",
    "flatten",
    "median",
    "passes_per_token",
    "ratio",
    "read_per_token",
]

Ratios = Mapping[tuple[str, ...], float]
"""Ratios by the path of their figure."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An ensemble's answer to a prompt beside its members' own.

    Attributes:
        ours: the ensemble's.
        alone: seconds of each member's greedy `generate` for as many tokens as it committed.
        prefills: seconds until the first of them, by member.
    """

    ours: Timed
    alone: Mapping[str, float]
    prefills: Mapping[str, float]


def ratio(part: float | None, whole: float | None, digits: int = 3) -> float | None:
    """One by the other, rounded; None where there is nothing to divide, or by."""
    return None if part is None or not whole else round(part / whole, digits)


def median(values: Iterable[float | None], digits: int = 3) -> float | None:
    """Of those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return round(statistics.median(known), digits) if known else None


def passes_per_token(usages: Sequence[MemberUsage]) -> float | None:
    """Forwards after prefill for each committed token; greedy `generate` has 1 (less the first)."""
    passes = sum(usage.forward_passes - 1 for usage in usages)
    return ratio(passes, sum(usage.committed_tokens for usage in usages))


def read_per_token(usages: Sequence[MemberUsage]) -> float | None:
    """Tokens that went through the models after the prompts, for each committed token."""
    read = sum(u.tokens_processed + u.reused_tokens - u.prompt_tokens for u in usages)
    return ratio(read, sum(usage.committed_tokens for usage in usages))


def cell(turns: Sequence[Turn]) -> dict[str, Any]:
    """The figures of one pair, setting and workload: counts summed, ratios as medians."""
    usages = [turn.ours.answer.usage for turn in turns]
    everyone = [usage for by_name in usages for usage in by_name.values()]
    by_member = {name: [by_name[name] for by_name in usages] for name in usages[0]}
    times = [ratio(turn.ours.seconds, sum(turn.alone.values())) for turn in turns]
    known = [value for value in times if value is not None]
    return {
        "passes per token": passes_per_token(everyone),
        "passes per token by member": {n: passes_per_token(u) for n, u in by_member.items()},
        "tokens read per token": read_per_token(everyone),
        "time ratio": median(times),
        "time ratio, least": min(known, default=None),
        "time ratio, most": max(known, default=None),
        "first word by own prefills": median(_first_word(turn) for turn in turns),
        "first word by plain prefills": median(
            ratio(turn.ours.first_word, sum(turn.prefills.values())) for turn in turns
        ),
        "share outside forwards": median(_outside(turn.ours) for turn in turns),
        "rounds": sum(len(turn.ours.answer.rounds) for turn in turns),
        "rounds scored": sum(one.scored for turn in turns for one in turn.ours.answer.rounds),
        "committed tokens": {n: sum(u.committed_tokens for u in us) for n, us in by_member.items()},
        "prompt tokens": {n: [u.prompt_tokens for u in us] for n, us in by_member.items()},
        "seconds": round(sum(turn.ours.seconds for turn in turns), 2),
        "seconds alone": round(sum(sum(turn.alone.values()) for turn in turns), 2),
    }


def _first_word(turn: Turn) -> float | None:
    usages = turn.ours.answer.usage.values()
    return ratio(turn.ours.first_word, sum(u.seconds.get("prefill", 0.0) for u in usages))


def _outside(one: Timed) -> float | None:
    """The share of an answer's wall time that its members' forwards do not explain."""
    inside = sum(usage.forward_seconds for usage in one.answer.usage.values())
    share = ratio(inside, one.seconds)
    return None if share is None else round(1 - share, 3)


def flatten(figures: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], float]:
    """All numbers in nested mappings and lists by their path; truth values are no numbers."""
    if isinstance(figures, Mapping):
        parts: Iterable[tuple[Any, Any]] = figures.items()
    elif isinstance(figures, list | tuple):
        parts = enumerate(figures)
    else:
        number = isinstance(figures, int | float) and not isinstance(figures, bool)
        return {path: float(figures)} if number else {}
    found: dict[tuple[str, ...], float] = {}
    for name, part in parts:
        found |= flatten(part, (*path, str(name)))
    return found


def compare(now: Any, before: Any) -> dict[tuple[str, ...], float]:
    """Every figure by what it was before, where both are known and the latter is not 0."""
    old = flatten(before)
    return {
        path: round(value / old[path], 3) for path, value in flatten(now).items() if old.get(path)
    }
