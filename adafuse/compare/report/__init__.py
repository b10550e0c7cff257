"""The report of a comparison: one page that says whether the ensemble beat its best member.

Builds plain values and hands them to a template. Knows results, not where they come from.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from adafuse.compare.dataset import Question
from adafuse.compare.report._interval_plot import lay_out
from adafuse.compare.report._systems import SystemView, view_systems
from adafuse.compare.report._verdict import FEW, view_verdict
from adafuse.compare.results import RESAMPLES, ComparisonResults
from adafuse.pages._render import frame, render, write

__all__ = ["report_frame", "report_page", "save_report"]

_TITLE = "Comparison"
_PACKAGES = ("adafuse", "torch", "transformers", "scipy", "torchmetrics", "sacrebleu")
_LONG = 160  # characters of a question that is shown in one line
_SHORT_NAMES = ("question", "source")  # fields without what a question is about


def report_page(comparison: ComparisonResults, *, title: str | None = None) -> str:
    """Show a comparison as one HTML page that needs nothing else.

    Args:
        comparison: by `adafuse.compare.compare`.
        title: of the page; default: "Comparison".
    """
    systems = view_systems(comparison)
    best = next(system for system in systems if system.best)
    differences = [system.differences[0] if system.differences else None for system in systems]
    return render(
        "report.html.j2",
        "report.js",
        title=title or _TITLE,
        metrics=comparison.metrics,
        systems=systems,
        best=best,
        verdict=view_verdict(comparison, systems),
        means=lay_out([system.means[0] for system in systems], best.means[0].mean),
        differences=lay_out(differences, 0.0),
        count=len(comparison.questions),
        questions=_view_questions(comparison, systems),
        notes=comparison.notes,
        few=FEW,
        resamples=RESAMPLES,
        seed=comparison.seed,
        versions=_versions(),
    )


def save_report(
    comparison: ComparisonResults, path: str | Path, *, title: str | None = None
) -> Path:
    """Write `report_page` to a file, over what was there; returns its path.

    Raises:
        ConfigError: it cannot be written there, such as for want of the folder.
    """
    return write(report_page(comparison, title=title), path)


def report_frame(comparison: ComparisonResults) -> str:
    """The page as an HTML element, for notebooks."""
    return frame(report_page(comparison), _TITLE)


def _view_questions(
    comparison: ComparisonResults, systems: Sequence[SystemView]
) -> Iterator[dict[str, Any]]:
    """One after the other, as there may be thousands."""
    for at, question in enumerate(comparison.questions):
        short = _short(question)
        yield {
            "at": at + 1,
            "short": short,
            "text": "" if short == question.text else question.text,
            "references": question.references,
            "verdicts": "".join(system.verdicts[at] for system in systems),
            "failed": any(system.result.given[at].error for system in systems),
            "answers": [
                (
                    system,
                    system.result.given[at],
                    [(metric, system.result.scores[metric][at]) for metric in comparison.metrics],
                )
                for system in systems
            ],
        }


def _short(question: Question) -> str:
    fields = (question.row.get(name) for name in _SHORT_NAMES)
    texts = (field for field in fields if isinstance(field, str) and field.strip())
    line = " ".join(next(texts, question.text).split())
    return line if len(line) <= _LONG else f"{line[: _LONG - 1].rstrip()}…"


def _versions() -> list[tuple[str, str]]:
    """What is installed, without importing it."""
    versions = [("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            versions.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return versions
