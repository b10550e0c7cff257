"""The questions of a comparison, each with every system's answer, as a page shows them.

Knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adafuse.compare.dataset import Question
from adafuse.compare.report._systems import SystemView
from adafuse.compare.results import ComparisonResults
from adafuse.pages._render import number

__all__ = ["AnswerView", "QuestionView", "view_questions"]

_LONG = 160  # characters of a question that is shown in one line
_SHORT_NAMES = ("question", "source")  # fields without what a question is about


@dataclass(frozen=True, slots=True)
class AnswerView:
    """A system's answer: its text, scores by metric, and what else is known of it."""

    system: SystemView
    text: str
    scores: tuple[tuple[str, str], ...]
    right: bool
    seconds: str
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class QuestionView:
    """A question.

    Attributes:
        at: its number, from 1.
        short: in one line.
        text: the whole; "" if the line is all.
        verdicts: of each system against the best member, as in `SystemView.verdicts`.
        failed: whether any system failed.
    """

    at: int
    short: str
    text: str
    references: tuple[str, ...]
    answers: tuple[AnswerView, ...]
    verdicts: str
    failed: bool


def view_questions(
    comparison: ComparisonResults, systems: Sequence[SystemView]
) -> Iterator[QuestionView]:
    """One after the other, as there may be thousands."""
    for at, question in enumerate(comparison.questions):
        short = _short(question)
        answers = tuple(_answer(comparison, system, at) for system in systems)
        yield QuestionView(
            at=at + 1,
            short=short,
            text="" if short == question.text else question.text,
            references=question.references,
            answers=answers,
            verdicts="".join(system.verdicts[at] for system in systems),
            failed=any(one.error for one in answers),
        )


def _answer(comparison: ComparisonResults, system: SystemView, at: int) -> AnswerView:
    result = comparison.systems[system.at]
    answer = result.given[at]
    scores = [result.scores[metric][at] for metric in comparison.metrics]
    return AnswerView(
        system=system,
        text=answer.text,
        scores=tuple(
            (metric, number(100 * score, 1).removesuffix(".0"))
            for metric, score in zip(comparison.metrics, scores, strict=True)
        ),
        right=scores[0] >= 1,
        seconds=number(answer.seconds, 2),
        reason=answer.finish_reason,
        error=answer.error,
    )


def _short(question: Question) -> str:
    named = (question.row.get(name) for name in _SHORT_NAMES)
    text = next((one for one in named if isinstance(one, str) and one.strip()), question.text)
    line = " ".join(text.split())
    return line if len(line) <= _LONG else f"{line[: _LONG - 1].rstrip()}…"
