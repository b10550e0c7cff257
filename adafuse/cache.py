"""Where this package keeps what it made once: prepared demo models, and what forwards cost."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """`ADAFUSE_CACHE`, or else `adafuse` in the platform's cache folder."""
    if chosen := os.environ.get("ADAFUSE_CACHE"):
        return Path(chosen).expanduser()
    places = {"win32": ("LOCALAPPDATA", "AppData/Local"), "darwin": ("", "Library/Caches")}
    variable, folder = places.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    return Path(os.environ.get(variable) or Path.home() / folder) / "adafuse"
