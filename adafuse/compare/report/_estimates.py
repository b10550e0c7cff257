"""Means, differences and their intervals in points of 100, as a report words them.

Knows nothing of HTML, and not where the numbers come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from adafuse.pages._render import number

__all__ = ["Estimate", "plural", "signed"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval, in points; NaN where there is none.

    Attributes:
        difference: whether it is one, so that its sign counts.
    """

    mean: float
    low: float
    high: float
    difference: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval at all."""
        return all(map(math.isfinite, (self.mean, self.low, self.high)))

    @property
    def verdict(self) -> str:
        """ "better" or "worse" for a difference whose interval excludes 0, else ""."""
        if not (self.difference and self.has_interval):
            return ""
        return "better" if self.low > 0 else "worse" if self.high < 0 else ""

    @property
    def value(self) -> str:
        """The number alone."""
        return signed(self.mean) if self.difference else number(self.mean, 1)

    @property
    def interval(self) -> str:
        """Such as "+1.0 to +8.0"."""
        if not self.has_interval:
            return "–"
        low, high = (signed(v) if self.difference else number(v, 1) for v in (self.low, self.high))
        return f"{low} to {high}"


def signed(value: float) -> str:
    """With its sign and as many decimals as it takes to tell it from 0."""
    digits = next((d for d in (1, 2, 3) if not math.isfinite(value) or round(value, d)), 1)
    rounded = round(value, digits) if math.isfinite(value) else value
    return ("+" if rounded > 0 else "") + number(rounded, digits)


def plural(count: int, what: str) -> str:
    """Such as "1 question" and "2,000 questions"."""
    return f"{number(count)} {what}{'' if count == 1 else 's'}"
