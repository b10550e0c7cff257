"""A comparison on a terminal (rich): a bar while it goes on, and its table.

Knows nothing of how it is made.
"""

from __future__ import annotations

from rich.console import Console, Group
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from adafuse.compare.report._systems import view_systems
from adafuse.compare.report._verdict import view_verdict
from adafuse.compare.results import ComparisonResults, Interval, SystemResult
from adafuse.text.escaping import visible

__all__ = ["progress_bars", "table"]


def table(comparison: ComparisonResults) -> Group:
    """Scores with intervals, how they differ from the best member's, seconds, and the verdict."""
    title = f"{len(comparison.questions)} questions; scores of 100 with 95 % intervals"
    drawn = Table(pad_edge=False, header_style="bold", title=title, title_justify="left")
    drawn.add_column("system")
    titles = [*comparison.metrics, f"against {comparison.best_member.name}", "seconds"]
    failed = any(system.failed for system in comparison.systems)
    for column in [*titles, "failed"] if failed else titles:
        drawn.add_column(escape(column), justify="right")
    for system in comparison.systems:
        cells = _cells(comparison, system) + ([str(system.failed or "")] if failed else [])
        drawn.add_row(*cells, style="" if system.alone else "cyan")
    lines = [f"{comparison.metric} counts; * 0 is outside the interval of the difference."]
    if sum(not system.alone for system in comparison.systems) > 2 and not comparison.notes:
        lines.append("The best of many is favoured by chance: choose it on other questions.")
    verdict = view_verdict(comparison, view_systems(comparison))
    said = " ".join(filter(None, (verdict["claim"], verdict["figures"], verdict["advice"])))
    return Group(
        drawn,
        *(Text(line) for line in (*lines, *comparison.notes)),
        Text(visible(said), style="bold"),
    )


def _cells(comparison: ComparisonResults, system: SystemResult) -> list[str]:
    means = [comparison.interval(system, metric) for metric in comparison.metrics]
    against = "" if system is comparison.best_member else _signed(comparison.difference(system))
    return [
        escape(system.name),
        *(f"{100 * m.mean:.1f} [{100 * m.low:.0f}, {100 * m.high:.0f}]" for m in means),
        against,
        f"{system.seconds:.2f}",
    ]


def _signed(diff: Interval) -> str:
    mark = " *" if diff.certain else ""
    return f"{100 * diff.mean:+.1f} [{100 * diff.low:+.0f}, {100 * diff.high:+.0f}]{mark}"


def progress_bars(shown: bool) -> Progress:
    """Bars on standard error, one for each task; nothing is shown where they are not wanted."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )
