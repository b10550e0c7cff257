"""A comparison as a table on a terminal."""

from __future__ import annotations

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from adafuse.compare.results import Comparison, Interval, SystemResult

__all__ = ["table"]


def table(found: Comparison) -> Group:
    """Scores with their intervals, how they differ from the best member's, and seconds."""
    drawn = Table(pad_edge=False, header_style="bold", title=_title(found), title_justify="left")
    drawn.add_column("system")
    for metric in found.metrics:
        drawn.add_column(escape(metric), justify="right")
    drawn.add_column(f"against {escape(found.best_member.name)}", justify="right")
    drawn.add_column("seconds", justify="right")
    if any(one.failed for one in found.systems):
        drawn.add_column("failed", justify="right")
    for system in found.systems:
        drawn.add_row(*_cells(found, system), style="" if system.alone else "cyan")
    return Group(drawn, *(Text(line) for line in _below(found)))


def _title(found: Comparison) -> str:
    return f"{len(found.questions)} questions; scores of 100 with 95 % intervals"


def _cells(found: Comparison, system: SystemResult) -> list[str]:
    cells = [escape(system.name)]
    for metric in found.metrics:
        one = found.interval(system, metric)
        cells.append(f"{100 * one.mean:.1f} [{100 * one.low:.0f}, {100 * one.high:.0f}]")
    cells.append("" if system is found.best_member else _signed(found.difference(system)))
    cells.append(f"{system.seconds:.2f}")
    if any(one.failed for one in found.systems):
        cells.append(str(system.failed or ""))
    return cells


def _signed(one: Interval) -> str:
    mark = " *" if one.certain else ""
    return f"{100 * one.mean:+.1f} [{100 * one.low:+.0f}, {100 * one.high:+.0f}]{mark}"


def _below(found: Comparison) -> list[str]:
    lines = [f"{found.metric} counts; * 0 is outside the interval of the difference."]
    chosen = [one for one in found.systems if not one.alone]
    if len(chosen) > 2 and not found.notes:
        lines.append("The best of many is favoured by chance: choose it on other questions.")
    return [*lines, *found.notes]
