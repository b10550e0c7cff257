"""The report of a comparison: one page that says whether the ensemble beat its best member.

Builds plain values and hands them to a template. Knows results, not where they come from.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from adafuse.compare.report._estimates import plural
from adafuse.compare.report._interval_plot import view_plot
from adafuse.compare.report._questions import view_questions
from adafuse.compare.report._systems import view_systems
from adafuse.compare.report._verdict import FEW, view_verdict
from adafuse.compare.results import RESAMPLES, ComparisonResults
from adafuse.pages._render import frame, render, write

__all__ = ["report_frame", "report_page", "save_report"]

_TITLE = "Comparison"
_PACKAGES = ("adafuse", "torch", "transformers", "scipy", "torchmetrics", "sacrebleu")


def report_page(comparison: ComparisonResults, *, title: str | None = None) -> str:
    """Show a comparison as one HTML page that needs nothing else.

    Args:
        comparison: by `adafuse.compare.compare`.
        title: of the page; default: "Comparison".
    """
    systems = view_systems(comparison)
    alone = sum(one.alone for one in systems)
    return render(
        "report.html.j2",
        "report.js",
        title=title or _TITLE,
        asked=plural(len(comparison.questions), "question"),
        alone=plural(alone, "member") + " alone",
        together=plural(len(systems) - alone, "ensemble"),
        metrics=comparison.metrics,
        systems=systems,
        best=next(one for one in systems if one.best),
        verdict=view_verdict(comparison, systems),
        plot=view_plot(systems),
        questions=view_questions(comparison, systems),
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


def _versions() -> list[tuple[str, str]]:
    """What is installed, without importing it."""
    versions = [("Python", platform.python_version())]
    for name in _PACKAGES:
        try:
            versions.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return versions
