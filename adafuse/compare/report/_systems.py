"""The systems of a comparison as rows: scores, costs, and where they differ from the best member.

Plain values, in points of 100; knows nothing of HTML.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from adafuse.compare.results import ComparisonResults, SystemResult
from adafuse.pages._render import number, percent
from adafuse.pages._rounds import MemberView, name_members

__all__ = ["Estimate", "SystemView", "estimated_differences", "signed", "view_systems"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval, in points; NaN where there is none."""

    mean: float
    low: float
    high: float
    difference: bool

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval at all."""
        return all(map(math.isfinite, (self.mean, self.low, self.high)))

    @property
    def verdict(self) -> str:
        """ "better" or "worse" for a difference whose interval excludes 0, else ""."""
        if not (self.difference and self.has_interval):
            return ""
        return "better" if self.low > 0 else "worse" if self.high < 0 else ""

    @property
    def value(self) -> str:
        """The number alone."""
        return signed(self.mean) if self.difference else number(self.mean, 1)

    @property
    def interval(self) -> str:
        """Such as "+1.0 to +8.0"."""
        if not self.has_interval:
            return "–"
        low, high = (signed(v) if self.difference else number(v, 1) for v in (self.low, self.high))
        return f"{low} to {high}"


class SystemView:
    """A system beside the best member.

    Attributes:
        at: its place among all, from 0.
        means: by metric.
        differences: from the best member, by metric; the best member has none.
        verdicts: for each question, whether it did better than the best member ("+"), worse ("-")
            or the same ("=").
        won, lost, tied: counts of these.
        right: how many of the tied ones both have right, if the metric tells right from wrong.
    """

    def __init__(
        self, comparison: ComparisonResults, at: int, members: Mapping[str, MemberView]
    ) -> None:
        result, best = comparison.systems[at], comparison.best_member
        self.at, self.result, self.name, self.alone = at, result, result.name, result.alone
        self.members = [members[name] for name in result.members]
        self.best = result is best
        self.means = [_estimate(comparison, result, metric) for metric in comparison.metrics]
        self.differences = [] if self.best else estimated_differences(comparison, result, best)
        pairs = list(zip(*(s.scores[comparison.metric] for s in (result, best)), strict=True))
        self.verdicts = "".join("+" if own > other else "-" if own < other else "="
                                for own, other in pairs)  # fmt: skip
        self.won, self.lost, self.tied = map(self.verdicts.count, "+-=")
        self.spread = [(kind, percent(getattr(self, kind), len(pairs)))
                       for kind in ("won", "tied", "lost")]  # fmt: skip
        binary = all(score in (0, 1) for system in comparison.systems
                     for score in system.scores[comparison.metric])  # fmt: skip
        self.right = sum(own == other == 1 for own, other in pairs) if binary else None

    @property
    def costs(self) -> tuple[str, str, str]:
        """Seconds and tokens of an answer, and forward passes for each token."""
        answers = [answer for answer in self.result.given if not answer.error]
        tokens = sum(answer.tokens for answer in answers)
        forwards = sum(answer.forward_passes for answer in answers)
        return (
            number(self.result.seconds, 2),
            number(tokens / len(answers) if answers else None, 1),
            number(forwards / tokens if tokens else None, 2),
        )

    @property
    def words(self) -> list[tuple[MemberView, float]]:
        """Each member's share of the words in percent; empty if there are none."""
        counts: Counter[str] = Counter()
        for answer in self.result.given:
            counts.update(answer.words or {})
        total = sum(counts[member.name] for member in self.members)
        return [(member, percent(counts[member.name], total)) for member in self.members if total]

    @property
    def settings(self) -> list[str]:
        """Its own ones, each as text."""
        return [
            f"{name} = "
            + (
                value
                if isinstance(value, str)
                else json.dumps(value, ensure_ascii=False, default=str)
            )
            for name, value in self.result.settings.items()
        ]


def view_systems(comparison: ComparisonResults) -> list[SystemView]:
    """Every system, in order."""
    members = name_members(
        dict.fromkeys(name for system in comparison.systems for name in system.members)
    )
    return [SystemView(comparison, at, members) for at in range(len(comparison.systems))]


def estimated_differences(
    comparison: ComparisonResults, system: SystemResult, other: SystemResult
) -> list[Estimate]:
    """How a system differs from another, by metric."""
    return [_estimate(comparison, system, metric, other) for metric in comparison.metrics]


def _estimate(
    comparison: ComparisonResults,
    system: SystemResult,
    metric: str,
    other: SystemResult | None = None,
) -> Estimate:
    """A mean, or its difference from another system's; one question has no interval."""
    results, differs = ([system] if other is None else [system, other]), other is not None
    if not all(math.isfinite(score) for result in results for score in result.scores[metric]):
        return Estimate(math.nan, math.nan, math.nan, differs)
    interval = (
        comparison.interval(system, metric)
        if other is None
        else comparison.difference(system, other, metric)
    )
    low, high = (100 * v if len(comparison.questions) > 1 else math.nan
                 for v in (interval.low, interval.high))  # fmt: skip
    return Estimate(100 * interval.mean, low, high, differs)


def signed(value: float) -> str:
    """With its sign and as many decimals as it takes to tell it from 0."""
    digits = next((d for d in (1, 2, 3) if not math.isfinite(value) or round(value, d)), 1)
    rounded = round(value, digits) if math.isfinite(value) else value
    return ("+" if rounded > 0 else "") + number(rounded, digits)
