"""The plots: passes and time by workload against the members' own, and against one model alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["draw", "draw_one_model"]

_ROWS = {
    "passes per token": "forward passes per token",
    "time ratio": "seconds / the members' own, one after another",
}


_BARS = ("alone", "assisted", "one decides", "pair")


def draw(workloads: Mapping[str, Any], file: Path) -> bool:
    """Write the plot as SVG; False if matplotlib is not installed (extra `bench`)."""
    if (figure := _figure(9, 6)) is None:
        return False
    axes = figure.subplots(len(_ROWS), len(workloads), sharey="row", squeeze=False)
    for column, (pair, settings) in enumerate(workloads.items()):
        for row, (key, label) in enumerate(_ROWS.items()):
            axis = axes[row][column]
            width = 0.8 / len(settings)
            names: list[str] = []
            for at, (setting, cells) in enumerate(settings.items()):
                names = list(cells)
                heights = [cell[key] or 0.0 for cell in cells.values()]
                middle = (at - (len(settings) - 1) / 2) * width
                places = [place + middle for place in range(len(names))]
                bars = axis.bar(places, heights, width * 0.92, label=setting)
                axis.bar_label(bars, fmt="%.2f", fontsize=7)
            axis.axhline(1.0, color="black", linewidth=1, linestyle="--")
            axis.set_xticks(range(len(names)), names, fontsize=8)
            axis.margins(y=0.15)
            if not row:
                axis.set_title(f"{pair} pair")
            if not column:
                axis.set_ylabel(label, fontsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    _save(figure, file)
    return True


def draw_one_model(figures: Mapping[str, Any], file: Path) -> bool:
    """Seconds of an answer by workload and way to run models; returns as `draw`."""
    if (figure := _figure(9, 3.6)) is None:
        return False
    axes = figure.subplots(1, len(figures), squeeze=False)[0]
    for axis, (workload, by_engine) in zip(axes, figures.items(), strict=True):
        for at, bar in enumerate(_BARS):
            places = [place + (at - (len(_BARS) - 1) / 2) * 0.2 for place in range(len(by_engine))]
            heights = [cell[f"{bar}, seconds"] or 0.0 for cell in by_engine.values()]
            axis.bar(places, heights, 0.18, label=bar)
        axis.set_xticks(range(len(by_engine)), list(by_engine), fontsize=7)
        axis.set_title(workload, fontsize=9)
    axes[0].set_ylabel("seconds of an answer", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    _save(figure, file)
    return True


def _figure(width: float, height: float) -> Any | None:
    """An empty figure in inches; None without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return None
    matplotlib.rcParams["svg.hashsalt"] = "adafuse"  # the same figures give the same file
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
