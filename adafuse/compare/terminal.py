"""A comparison on a terminal (rich): a bar while it goes on, and its table.

Knows nothing of how it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

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

from adafuse.compare.results import ComparisonResults, Interval, SystemResult

__all__ = ["Bar", "table"]


def table(comparison: ComparisonResults) -> Group:
    """Scores with their intervals, how they differ from the best member's, and seconds."""
    drawn = Table(
        pad_edge=False, header_style="bold", title=_title(comparison), title_justify="left"
    )
    drawn.add_column("system")
    for metric in comparison.metrics:
        drawn.add_column(escape(metric), justify="right")
    drawn.add_column(f"against {escape(comparison.best_member.name)}", justify="right")
    drawn.add_column("seconds", justify="right")
    if any(one.failed for one in comparison.systems):
        drawn.add_column("failed", justify="right")
    for system in comparison.systems:
        drawn.add_row(*_cells(comparison, system), style="" if system.alone else "cyan")
    return Group(drawn, *(Text(line) for line in _below(comparison)))


def _title(comparison: ComparisonResults) -> str:
    return f"{len(comparison.questions)} questions; scores of 100 with 95 % intervals"


def _cells(comparison: ComparisonResults, system: SystemResult) -> list[str]:
    cells = [escape(system.name)]
    for metric in comparison.metrics:
        mean = comparison.interval(system, metric)
        cells.append(f"{100 * mean.mean:.1f} [{100 * mean.low:.0f}, {100 * mean.high:.0f}]")
    cells.append("" if system is comparison.best_member else _signed(comparison.difference(system)))
    cells.append(f"{system.seconds:.2f}")
    if any(one.failed for one in comparison.systems):
        cells.append(str(system.failed or ""))
    return cells


def _signed(one: Interval) -> str:
    mark = " *" if one.certain else ""
    return f"{100 * one.mean:+.1f} [{100 * one.low:+.0f}, {100 * one.high:+.0f}]{mark}"


def _below(comparison: ComparisonResults) -> list[str]:
    lines = [f"{comparison.metric} counts; * 0 is outside the interval of the difference."]
    chosen = [one for one in comparison.systems if not one.alone]
    if len(chosen) > 2 and not comparison.notes:
        lines.append("The best of many is favoured by chance: choose it on other questions.")
    return [*lines, *comparison.notes]


class Bar:
    """Bars, one for each task; nothing is shown where they are not wanted."""

    def __init__(self, shown: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not shown)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def task(self, what: str, total: int) -> Callable[[], None]:
        """Begin a task of `total` steps; call what is returned after each."""
        task = self._progress.add_task(what, total=total)
        return lambda: self._progress.advance(task)
