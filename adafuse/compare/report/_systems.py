"""The systems of a comparison as rows: scores, costs, and where they differ from the best member.

Plain values; knows nothing of HTML.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adafuse.compare.report._estimates import Estimate
from adafuse.compare.results import ComparisonResults, SystemResult
from adafuse.pages._render import number
from adafuse.pages._rounds import MemberView, name_members

__all__ = ["SystemView", "view_systems"]


@dataclass(frozen=True, slots=True)
class SystemView:
    """A system.

    Attributes:
        at: its place among all, from 0.
        members: that answer; an ensemble has several.
        best: whether it is the best member.
        means: by metric.
        differences: from the best member, by metric; the best member has none.
        seconds, tokens, forwards: per answer, per answer, and per committed token.
        words: of each member, with its share in percent; empty if there are none.
        failed: answers that were errors.
        settings: its own ones, each as text.
        verdicts: for each question, whether it did better than the best member ("+"), worse ("-")
            or the same ("=").
        won, lost, tied: counts of these.
        right: how many of the tied ones both have right, if the metric tells right from wrong.
    """

    at: int
    name: str
    members: tuple[MemberView, ...]
    best: bool
    means: tuple[Estimate, ...]
    differences: tuple[Estimate, ...]
    seconds: str
    tokens: str
    forwards: str
    words: tuple[tuple[MemberView, float], ...]
    failed: int
    settings: tuple[str, ...]
    verdicts: str
    won: int
    lost: int
    tied: int
    right: int | None

    @property
    def alone(self) -> bool:
        """Whether it is one member by itself."""
        return len(self.members) == 1

    @property
    def spread(self) -> tuple[tuple[str, float], ...]:
        """Won, tied and lost ones in percent."""
        counts = {"won": self.won, "tied": self.tied, "lost": self.lost}
        return tuple((kind, _percent(one, sum(counts.values()))) for kind, one in counts.items())


def view_systems(comparison: ComparisonResults) -> list[SystemView]:
    """Every system, in order."""
    names = dict.fromkeys(name for system in comparison.systems for name in system.members)
    members = name_members(names)
    counting = [system.scores[comparison.metric] for system in comparison.systems]
    binary = all(score in (0, 1) for scores in counting for score in scores)
    return [_view(comparison, at, members, binary) for at in range(len(comparison.systems))]


def _view(
    comparison: ComparisonResults, at: int, members: Mapping[str, MemberView], binary: bool
) -> SystemView:
    system, best = comparison.systems[at], comparison.best_member
    own, other = system.scores[comparison.metric], best.scores[comparison.metric]
    verdicts = "".join(
        "+" if one > two else "-" if one < two else "=" for one, two in zip(own, other, strict=True)
    )
    counts = Counter(verdicts)
    answered = [one for one in system.given if not one.error]
    tokens = sum(one.tokens for one in answered)
    return SystemView(
        at=at,
        name=system.name,
        members=tuple(members[name] for name in system.members),
        best=system is best,
        means=tuple(_mean(comparison, system, metric) for metric in comparison.metrics),
        differences=tuple(
            _difference(comparison, system, metric)
            for metric in comparison.metrics
            if system is not best
        ),
        seconds=number(system.seconds, 2),
        tokens=number(tokens / len(answered) if answered else None, 1),
        forwards=number(
            sum(one.forward_passes for one in answered) / tokens if tokens else None, 2
        ),
        words=_words(system, members),
        failed=system.failed,
        settings=tuple(f"{name} = {_plain(value)}" for name, value in system.settings.items()),
        verdicts=verdicts,
        won=counts["+"],
        lost=counts["-"],
        tied=counts["="],
        right=sum(one == two == 1 for one, two in zip(own, other, strict=True)) if binary else None,
    )


def _mean(comparison: ComparisonResults, system: SystemResult, metric: str) -> Estimate:
    if not _finite(system.scores[metric]):
        return Estimate(math.nan, math.nan, math.nan)
    one = comparison.interval(system, metric)
    return _estimate(one.mean, one.low, one.high, len(comparison.questions), difference=False)


def _difference(comparison: ComparisonResults, system: SystemResult, metric: str) -> Estimate:
    if not _finite(system.scores[metric]) or not _finite(comparison.best_member.scores[metric]):
        return Estimate(math.nan, math.nan, math.nan, difference=True)
    one = comparison.difference(system, metric=metric)
    return _estimate(one.mean, one.low, one.high, len(comparison.questions), difference=True)


def _estimate(mean: float, low: float, high: float, count: int, *, difference: bool) -> Estimate:
    if count < 2:  # one question has no spread, and so no interval
        low = high = math.nan
    return Estimate(100 * mean, 100 * low, 100 * high, difference)


def _finite(scores: Sequence[float]) -> bool:
    return all(map(math.isfinite, scores))


def _words(
    system: SystemResult, members: Mapping[str, MemberView]
) -> tuple[tuple[MemberView, float], ...]:
    counts: Counter[str] = Counter()
    for one in system.given:
        counts.update(one.words or {})
    total = sum(counts[name] for name in system.members)
    return tuple((members[name], _percent(counts[name], total)) for name in system.members if total)


def _percent(count: int, total: int) -> float:
    return round(100 * count / total, 2) if total else 0.0


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
