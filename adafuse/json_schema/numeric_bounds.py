"""Bounds of numbers that survive being written in digits and read as floats.

Readers compare floats, writers have decimals: 0.99999999999999999999 is below 1 as it stands, and
reads as 1. Bounds are moved inwards to 15 digits, which every reader takes for the same number.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from typing import Any

__all__ = ["EXACT", "is_exact", "is_readable", "lower_bound", "plain", "upper_bound"]

EXACT = 2**53
"""Up to here every integer is a float."""

_BEYOND = 2 * EXACT
_DIGITS = 15
_SMALLEST = Decimal(10) ** -_DIGITS
_LARGEST_STEP = 1000  # a following automaton has as many states


def lower_bound(value: int | float, *, exclusive: bool, whole: bool) -> Decimal:
    """The least number of at most 15 digits (or of none behind the point) that is not too low."""
    with localcontext() as context:
        context.prec = 400  # no float between these bounds has more digits
        exact = Decimal(repr(max(min(value, _BEYOND), -_BEYOND)))
        step = Decimal(1) if whole else _unit(exact)
        bound = (exact / step).to_integral_value(ROUND_CEILING) * step
        return bound + step if exclusive and bound <= exact else bound


def upper_bound(value: int | float, *, exclusive: bool, whole: bool) -> Decimal:
    """Likewise the greatest that is not too high."""
    return lower_bound(-value, exclusive=exclusive, whole=whole).copy_negate()


def is_exact(value: int | float) -> bool:
    """Whether a number is read as what is written, by every reader."""
    return abs(value) <= EXACT and lower_bound(value, exclusive=False, whole=False) == Decimal(
        repr(value)
    )


def is_readable(step: Fraction) -> bool:
    """Whether the engine, which multiplies by 10 until nothing is behind the point, reads it."""
    if step > _LARGEST_STEP:
        return False
    value, places = float(step), 0
    while value % 1 and places < 2 * _DIGITS:
        value, places = value * 10, places + 1
    return value <= _LARGEST_STEP and Fraction(int(value), 10**places) == step


def _unit(value: Decimal) -> Decimal:
    """The last of 15 digits; 1 for what has more before the point."""
    if not value:
        return _SMALLEST
    return min(max(Decimal(10) ** (value.adjusted() - _DIGITS + 1), _SMALLEST), Decimal(1))


def plain(value: Decimal) -> Any:
    """A number for JSON: an integer where it is whole."""
    return int(value) if value == value.to_integral_value(ROUND_FLOOR) else float(value)
