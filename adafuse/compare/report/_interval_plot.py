"""Where the dots and whiskers of systems lie on two axes: means, and differences.

    name    │   ├────●────┤         │  ┊   ├──◆──┤
    name    │       ├───◆────┤      │ ├┊─◆──┤
            └ 30 ────── 40 ───      └ 0 ──── 5 ──

Positions are percent of an axis' width, so that a page may stretch it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adafuse.compare.report._estimates import Estimate
from adafuse.compare.report._systems import SystemView
from adafuse.pages._render import number

__all__ = ["Axis", "Dot", "Plot", "view_plot"]

_ROOM = 0.06  # left free at either end
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Dot:
    """A mean, and its whisker if there is an interval."""

    at: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Axis:
    """Ticks with their labels, the line to compare with, and a dot for each system or None.

    Attributes:
        signs: whether it shows differences.
    """

    signs: bool
    ticks: tuple[tuple[float, str], ...]
    line: float | None
    dots: tuple[Dot | None, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Means of the metric that counts, and differences from the best member."""

    means: Axis
    differences: Axis


def view_plot(systems: Sequence[SystemView]) -> Plot:
    """Lay out the metric that counts."""
    best = next(one for one in systems if one.best)
    return Plot(
        _axis([one.means[0] for one in systems], best.means[0].mean),
        _axis([one.differences[0] if one.differences else None for one in systems], 0.0),
    )


def _axis(estimates: Sequence[Estimate | None], line: float) -> Axis:
    shown = [one for one in estimates if one is not None]
    signs = any(one.difference for one in shown)
    ends = [value for one in shown for value in (one.mean, one.low, one.high)]
    ends = [value for value in (*ends, line) if math.isfinite(value)]
    if not ends:
        return Axis(signs, (), None, (None,) * len(estimates))
    low, high = min(ends), max(ends)
    room = (high - low) * _ROOM or 5.0
    low, width = low - room, high - low + 2 * room
    if not math.isfinite(width):
        return Axis(signs, (), None, (None,) * len(estimates))

    def place(value: float) -> float:
        return round(100 * (value - low) / width, 2)

    def dot(one: Estimate | None) -> Dot | None:
        if one is None or not math.isfinite(one.mean):
            return None
        if not one.has_interval:
            return Dot(place(one.mean), None, None)
        return Dot(place(one.mean), place(one.low), place(one.high))

    return Axis(
        signs,
        ticks=tuple((place(value), label) for value, label in _ticks(low, low + width, signs)),
        line=place(line) if math.isfinite(line) else None,
        dots=tuple(map(dot, estimates)),
    )


def _ticks(low: float, high: float, signs: bool) -> list[tuple[float, str]]:
    """Round numbers between the two."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    values = [at * step for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [
        (value, ("+" if signs and value > 0 else "") + number(value, digits)) for value in values
    ]
