"""Warnings of what works, but perhaps not as it was meant."""

from __future__ import annotations

import sys
import warnings

from adafuse.errors import AdaFuseWarning

__all__ = ["warn"]


def warn(message: str) -> None:
    """Warn whoever called into this package, which is the harness or the user."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(__package__):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, AdaFuseWarning, stacklevel=level)
