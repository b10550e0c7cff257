"""The results of a comparison: scores of every answer, means, and how sure they are.

Intervals are paired bootstrap intervals (scipy): questions are drawn again with replacement, the
same ones for both systems. Knows nothing of pages and terminals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from adafuse.compare.answers import SystemAnswer
from adafuse.compare.dataset import Question
from adafuse.compare.metrics import Metric

__all__ = ["ComparisonResults", "Interval", "SystemResult", "scored"]

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where it lies in 95 of 100 resamples."""

    mean: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether 0 lies outside: for a difference, that it is one."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class SystemResult:
    """One system's answers.

    Attributes:
        name: of the system.
        members: that answered.
        settings: what was set.
        given: the answers, in order of the questions.
        scores: by metric, one number per question; an answer that failed has 0.
    """

    name: str
    members: tuple[str, ...]
    settings: Mapping[str, Any]
    given: tuple[SystemAnswer, ...]
    scores: Mapping[str, tuple[float, ...]]

    @property
    def alone(self) -> bool:
        """Whether it is one member by itself."""
        return len(self.members) == 1

    @property
    def seconds(self) -> float:
        """Mean wall time of an answer."""
        return float(np.mean([answer.seconds for answer in self.given]))

    @property
    def failed(self) -> int:
        """Questions that could not be answered."""
        return sum(bool(answer.error) for answer in self.given)

    def mean(self, metric: str) -> float:
        """Mean score."""
        return float(np.mean(self.scores[metric]))


@dataclass(frozen=True)
class ComparisonResults:
    """What a comparison comes to; `adafuse.compare.Comparison` also makes its page.

    Attributes:
        questions: those that were answered, but for those that settings were chosen on.
        systems: in the order of the table: members alone first.
        metrics: names; the first is the one that counts.
        notes: what was chosen on other questions, and how.
        seed: of the resamples.
    """

    questions: tuple[Question, ...]
    systems: tuple[SystemResult, ...]
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()
    seed: int = 0

    @property
    def metric(self) -> str:
        """The metric that counts."""
        return self.metrics[0]

    @cached_property
    def best_member(self) -> SystemResult:
        """The member that does best alone; ties go to the earlier."""
        alone = [system for system in self.systems if system.alone]
        return max(alone, key=lambda system: system.mean(self.metric))

    def __getitem__(self, name: str) -> SystemResult:
        """The system of that name; KeyError if there is none."""
        for system in self.systems:
            if system.name == name:
                return system
        raise KeyError(name)

    def interval(self, system: SystemResult, metric: str | None = None) -> Interval:
        """A system's mean score and its interval."""
        return self._interval(np.array(system.scores[metric or self.metric], dtype=float))

    def difference(
        self, system: SystemResult, other: SystemResult | None = None, metric: str | None = None
    ) -> Interval:
        """Mean of a system's score less another's (the best member's), question by question."""
        metric, other = metric or self.metric, other or self.best_member
        own, others = (np.array(s.scores[metric], dtype=float) for s in (system, other))
        return self._interval(own - others)

    def records(self) -> list[dict[str, Any]]:
        """Every answer as plain values, question by question."""
        return [
            {
                "question": at,
                "asked": question.text,
                "references": list(question.references),
                "system": system.name,
                **asdict(system.given[at]),
                "scores": {metric: scores[at] for metric, scores in system.scores.items()},
            }
            for at, question in enumerate(self.questions)
            for system in self.systems
        ]

    def save_answers(self, path: str | Path) -> None:
        """Write every answer as JSON lines."""
        lines = [json.dumps(record, ensure_ascii=False) for record in self.records()]
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def summary(self) -> dict[str, Any]:
        """The table as plain values."""
        return {
            "questions": len(self.questions),
            "metrics": list(self.metrics),
            "best member": self.best_member.name,
            "notes": list(self.notes),
            "systems": [
                {
                    "name": system.name,
                    "members": list(system.members),
                    "settings": dict(system.settings),
                    "scores": {m: asdict(self.interval(system, m)) for m in self.metrics},
                    "against the best member": asdict(self.difference(system)),
                    "seconds": system.seconds,
                    "failed": system.failed,
                }
                for system in self.systems
            ],
        }

    def _interval(self, values: np.ndarray[Any, Any]) -> Interval:
        return _resampled(values.tobytes(), self.seed)


@lru_cache(maxsize=256)  # pages and tables ask for the same ones
def _resampled(data: bytes, seed: int) -> Interval:
    values = np.frombuffer(data)
    mean = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:  # nothing to resample
        return Interval(mean, mean, mean)
    from scipy.stats import bootstrap

    drawn = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile",
        rng=np.random.default_rng(seed), batch=1000,
    ).confidence_interval  # fmt: skip
    return Interval(mean, float(drawn.low), float(drawn.high))


def scored(
    answers: Sequence[SystemAnswer], questions: Sequence[Question], metric: Metric
) -> dict[str, tuple[float, ...]]:
    """Scores by metric's name; what failed has 0 of each."""
    scores = [
        {} if answer.error else metric(answer.text, question)
        for answer, question in zip(answers, questions, strict=True)
    ]
    names = dict.fromkeys(name for own in scores for name in own)
    return {name: tuple(own.get(name, 0.0) for own in scores) for name in names}
