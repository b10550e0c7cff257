"""A fit in a terminal: a table, the sentence, and how to use the file."""

from __future__ import annotations

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from adafuse.compare.results import Interval
from adafuse.fitting.result import FitResult

__all__ = ["table"]

_FEW = 20  # texts; intervals of fewer are too narrow


def table(result: FitResult) -> Group:
    """Nats per word of each member and of the mixture, weights, and what they mean."""
    drawn = Table(
        title=f"{result.texts} texts, {result.words:,} words; lower is better", title_justify="left"
    )
    drawn.add_column("")
    for column in ("nats a word", "95 %", f"against {escape(result.best)}", "weight"):
        drawn.add_column(column, justify="right", no_wrap=True)
    for name, nats, weight in zip(result.names, result.members, result.weights, strict=True):
        drawn.add_row(escape(name), *_cells(nats), "", f"{weight:.2f}")
    drawn.add_row("together, held out", *_cells(result.mixture), _signed(result.difference), "",
                  style="cyan")  # fmt: skip
    lines = ["* 0 is outside the interval of the difference."]
    if result.prompt_exponent:
        lines.append(f"Weights follow the prompt: prompt_exponent {result.prompt_exponent:.2f}.")
    if result.texts < _FEW:
        lines.append(f"{result.texts} texts are few: take 50 before you trust it.")
    if result.skipped:
        lines.append(f"{len(result.skipped)} texts were left out; first: {result.skipped[0]}")
    return Group(drawn, *map(Text, lines), Text(result.sentence, style="bold"))


def _cells(nats: Interval) -> tuple[str, str]:
    return f"{nats.mean:.2f}", f"{nats.low:.2f} to {nats.high:.2f}"


def _signed(diff: Interval) -> str:
    mark = " *" if diff.certain else ""
    return f"{diff.mean:+.2f} [{diff.low:+.2f}, {diff.high:+.2f}]{mark}"
