"""Figures as people read them."""

from __future__ import annotations

import math

__all__ = ["number"]


def number(value: float | None, digits: int = 0) -> str:
    """A figure with that many decimals; "–" where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value + 0.0:,.{digits}f}".replace("-", "−")
