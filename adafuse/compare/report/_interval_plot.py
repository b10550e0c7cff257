"""Where the dots and whiskers of systems lie on an axis of means, or of differences.

    name    │   ├────●────┤         │  ┊   ├──◆──┤
    name    │       ├───◆────┤      │ ├┊─◆──┤
            └ 30 ────── 40 ───      └ 0 ──── 5 ──

Positions are percent of the axis' width, so that a page may stretch it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from adafuse.compare.report._systems import Estimate
from adafuse.pages._render import number

__all__ = ["Axis", "lay_out"]

_ROOM = 0.06  # left free at either end
_TICKS = 5


class Dot(NamedTuple):
    """A mean, and its whisker if there is an interval."""

    at: float
    low: float | None
    high: float | None


class Axis(NamedTuple):
    """Ticks with their labels, the line to compare with, and a dot for each system or None."""

    ticks: list[tuple[float, str]]
    line: float | None
    dots: list[Dot | None]


def lay_out(estimates: Sequence[Estimate | None], line: float) -> Axis:
    """An axis for these, which shows all of them and the line."""
    shown = [estimate for estimate in estimates if estimate is not None]
    ends = [value for e in shown for value in (e.mean, e.low, e.high)]
    ends = [value for value in (*ends, line) if math.isfinite(value)]
    low, high = min(ends, default=math.nan), max(ends, default=math.nan)
    room = (high - low) * _ROOM or 5.0
    low, width = low - room, high - low + 2 * room
    if not math.isfinite(width):
        return Axis([], None, [None] * len(estimates))

    def place(value: float) -> float:
        return round(100 * (value - low) / width, 2)

    def dot(estimate: Estimate | None) -> Dot | None:
        if estimate is None or not math.isfinite(estimate.mean):
            return None
        if not estimate.has_interval:
            return Dot(place(estimate.mean), None, None)
        return Dot(place(estimate.mean), place(estimate.low), place(estimate.high))

    signs = any(estimate.difference for estimate in shown)
    return Axis(
        [(place(value), label) for value, label in _ticks(low, low + width, signs)],
        place(line) if math.isfinite(line) else None,
        [dot(estimate) for estimate in estimates],
    )


def _ticks(low: float, high: float, signs: bool) -> list[tuple[float, str]]:
    """Round numbers between the two."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    values = [at * step for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [(v, ("+" if signs and v > 0 else "") + number(v, digits)) for v in values]
