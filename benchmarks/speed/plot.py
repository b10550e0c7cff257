"""The plot: passes per token and time ratio by workload, against 1, the price of the members."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["draw"]

_ROWS = {
    "passes per token": "forward passes per token",
    "time ratio": "seconds / the members' own, one after another",
}


def draw(workloads: Mapping[str, Any], file: Path) -> bool:
    """Write the plot as SVG; False if matplotlib is not installed (extra `bench`)."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return False
    matplotlib.rcParams["svg.hashsalt"] = "adafuse"  # the same figures give the same file
    figure = Figure(figsize=(9, 6), layout="constrained")
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
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    return True
