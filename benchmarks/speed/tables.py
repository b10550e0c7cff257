"""The figures as tables on the terminal, each beside how it compares with the committed run."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from benchmarks.speed.figures import Ratios

__all__ = ["show", "written"]

_CELL = {
    "passes": "passes per token",
    "read": "tokens read per token",
    "time": "time ratio",
    "first word": "first word by own prefills",
    "outside": "share outside forwards",
    "tokens": "committed tokens",
}
_ONE_MODEL = (
    "pair, seconds",
    "alone, seconds",
    "assisted, seconds",
    "one decides, seconds",
    "pair by alone",
    "assisted by alone",
    "one decides by alone",
    "pair by pair in float32",
    "pair, first word",
    "alone, first token",
    "pair, passes per token",
)
_LENGTH = {
    "tokens read per token": "tokens read per token",
    "s per word": "seconds per word",
    "by the shortest": "seconds by those of the shortest",
    "s of prefill": "seconds of prefill",
}


def show(figures: Mapping[str, Any], ratios: Ratios, console: Console) -> None:
    """Print a table for each section that was measured."""
    shown: dict[str, Callable[[Mapping[str, Any], Ratios], Table]] = {
        "workloads": _workloads,
        "one model": _one_model,
        "long prompts": _lengths,
        "batch": partial(_flat, "Prompts decoded together", "batch"),
        "reuse": _reuse,
        "memory": partial(_flat, "Peak memory, MB", "memory"),
        "footprint": partial(_flat, "Memory in MB and loading, from outside", "footprint"),
    }
    tables = [make(figures[name], ratios) for name, make in shown.items() if name in figures]
    console.print(Group(*tables))


def written(figures: Any, ratios: Ratios, path: Sequence[str]) -> str:
    """A figure, and behind it how many times the committed one it is, unless it is the same."""
    if isinstance(figures, Mapping):  # counts by member
        return " + ".join(str(value) for value in figures.values())
    if isinstance(figures, list):
        return " ".join(str(value) for value in figures)
    if figures is None:
        return "–"
    text = f"{figures:.2f}" if isinstance(figures, float) else str(figures)
    ratio = ratios.get(tuple(path))
    return text if ratio in (None, 1.0) else f"{text} (×{ratio:.2f})"


def _workloads(figures: Mapping[str, Any], ratios: Ratios) -> Table:
    table = Table(title="An ensemble beside its members' greedy generate")
    for name in ("pair", "settings", "workload", *_CELL):
        table.add_column(name)
    for pair, settings in figures.items():
        for setting, workloads in settings.items():
            for workload, cell in workloads.items():
                path = ("workloads", pair, setting, workload)
                row = [written(cell[key], ratios, (*path, key)) for key in _CELL.values()]
                table.add_row(pair, setting, workload, *row)
            table.add_section()
    return table


def _one_model(figures: Mapping[str, Any], ratios: Ratios) -> Table:
    table = Table("workload", "", *_ONE_MODEL, title="The pair beside its better member alone")
    for workload, by_engine in figures.items():
        for engine, cell in by_engine.items():
            path = ("one model", workload, engine)
            row = [written(cell[key], ratios, (*path, key)) for key in _ONE_MODEL]
            table.add_row(workload, engine, *row)
        table.add_section()
    return table


def _lengths(figures: Mapping[str, Any], ratios: Ratios) -> Table:
    table = Table("prompt tokens", *_LENGTH, title="Long prompts, after their prefill")
    for length, found in figures.items():
        path = ("long prompts", length)
        row = [written(found[key], ratios, (*path, key)) for key in _LENGTH.values()]
        table.add_row(length, *row)
    return table


def _reuse(figures: Mapping[str, Any], ratios: Ratios) -> Table:
    keys = ("prompt tokens", "read", "read by last prompt", "all prompts by last prompt")
    table = Table("history", "member", *keys, title="Prompts that grow")
    for kind, members in figures.items():
        for member, found in members.items():
            path = ("reuse", kind, member)
            row = [written(found[key], ratios, (*path, key)) for key in keys]
            table.add_row(kind, member, *row)
    return table


def _flat(title: str, section: str, figures: Mapping[str, Any], ratios: Ratios) -> Table:
    """A table of two columns, for figures that are few."""
    table = Table("", "", title=title, show_header=False)
    for name, value in figures.items():
        parts = value if isinstance(value, Mapping) else {"": value}
        for part, number in parts.items():
            path = (section, name, part) if part else (section, name)
            table.add_row(f"{name}, {part}" if part else name, written(number, ratios, path))
    return table
