"""Scores, and paired differences from the best of a system's members and from `paper`.

Per task, and over all rows of all tasks together, each by the first number of its metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from adafuse.compare.dataset import Question
from adafuse.compare.metrics import read_metric
from adafuse.compare.results import ComparisonResults, Interval, SystemResult, scored
from adafuse.compare.systems import System
from adafuse.errors import DecodingError
from benchmarks.tasks.answering import Answers

__all__ = ["PAPER", "POOLED", "compared", "summary", "table"]

POOLED, SCORE, PAPER = "all tasks", "score", "paper"


def compared(
    questions: Mapping[str, Sequence[Question]],
    systems: Mapping[str, Sequence[System]],
    answers: Answers,
    metrics: Mapping[str, str],
    seed: int,
) -> dict[str, ComparisonResults]:
    """Results by task, of the rows that were answered, and pooled if there are several tasks."""
    found: dict[str, ComparisonResults] = {}
    for task, by_system in answers.items():
        count = len(next(iter(by_system.values())))
        if count == 0:
            continue
        asked, judge = tuple(questions[task][:count]), read_metric(metrics[task])
        scores = {name: scored(given, asked, judge) for name, given in by_system.items()}
        names = tuple(dict.fromkeys(name for own in scores.values() for name in own))
        if not names:
            first = next(iter(by_system.values()))[0]
            raise DecodingError(f"{task}: no question could be answered; first: {first.error}")
        failed = dict.fromkeys(names, (0.0,) * count)  # of a system whose answers all failed
        results = [
            SystemResult(
                one.name,
                one.members,
                one.settings,
                tuple(by_system[one.name]),
                {**failed, **scores[one.name]},
            )
            for one in systems[task]
        ]
        found[task] = ComparisonResults(asked, tuple(results), names, seed=seed)
    if len(found) > 1:
        found[POOLED] = _pooled(list(found.values()))
    return found


def _pooled(tasks: Sequence[ComparisonResults]) -> ComparisonResults:
    systems = [
        SystemResult(
            one.name,
            one.members,
            one.settings,
            tuple(answer for task in tasks for answer in task[one.name].given),
            {SCORE: tuple(n for task in tasks for n in task[one.name].scores[task.metric])},
        )
        for one in tasks[0].systems
    ]
    asked = tuple(question for task in tasks for question in task.questions)
    return ComparisonResults(asked, tuple(systems), (SCORE,), seed=tasks[0].seed)


def summary(found: ComparisonResults) -> dict[str, Any]:
    """The figures of one table as plain values: scores of 1, seconds and tokens of an answer.

    A system is compared with the best of its own members alone, with the best of all members alone,
    and with the system named `paper` of the same members.
    """
    names = {one.name for one in found.systems}
    alone = [one for one in found.systems if one.members == (one.name,)]

    def best(members: Sequence[str]) -> SystemResult:
        return max(
            (one for one in alone if one.name in members), key=lambda s: s.mean(found.metric)
        )

    def figures(one: SystemResult) -> dict[str, Any]:
        paper = f"{'+'.join(one.members)} {PAPER}"
        others = {"its best member": best(one.members), "the best member": best([*names])}
        if paper in names:
            others[PAPER] = found[paper]
        return {
            "name": one.name,
            "members": list(one.members),
            "settings": dict(one.settings),
            "scores": {metric: asdict(found.interval(one, metric)) for metric in found.metrics},
            "against": {
                what: {"name": other.name, **asdict(found.difference(one, other))}
                for what, other in others.items()
                if other is not one
            },
            "seconds": round(one.seconds, 3),
            "tokens": round(float(np.mean([answer.tokens for answer in one.given])), 1),
            "cut": sum(answer.finish_reason == "length" for answer in one.given),
            "failed": one.failed,
        }

    return {
        "questions": len(found.questions),
        "metrics": list(found.metrics),
        "systems": [figures(one) for one in found.systems],
    }


def table(name: str, figures: Mapping[str, Any]) -> Table:
    """A summary as a table."""
    title = (
        f"{name}: {figures['questions']} questions; scores of 100, differences with 95 % intervals"
    )
    drawn = Table(pad_edge=False, header_style="bold", title=title, title_justify="left")
    drawn.add_column("system", overflow="fold")
    against = ("its best member", "the best member", PAPER)
    for column in (*figures["metrics"], *against, "seconds", "tokens", "cut"):
        drawn.add_column(escape(column), justify="right", no_wrap=True)
    for one in figures["systems"]:
        first, *others = (Interval(**value) for value in one["scores"].values())
        drawn.add_row(
            escape(one["name"]),
            f"{100 * first.mean:.1f} [{100 * first.low:.0f}, {100 * first.high:.0f}]",
            *(f"{100 * other.mean:.1f}" for other in others),
            *(_signed(one["against"].get(what)) for what in against),
            f"{one['seconds']:.2f}",
            f"{one['tokens']:.0f}",
            f"{one['cut']}" + (f", {one['failed']} failed" if one["failed"] else ""),
            style="" if one["members"] == [one["name"]] else "cyan",
        )
    return drawn


def _signed(difference: Mapping[str, Any] | None) -> str:
    if difference is None:
        return ""
    low, high = difference["low"], difference["high"]
    mark = " *" if low > 0 or high < 0 else ""
    return f"{100 * difference['mean']:+.1f} [{100 * low:+.0f}, {100 * high:+.0f}]{mark}"
