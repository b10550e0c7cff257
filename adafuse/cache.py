"""Where this package keeps what it made once: prepared demo models, and what forwards cost."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_folder", "replace_text"]


def cache_folder() -> Path:
    """`ADAFUSE_CACHE`, or else `adafuse` in the platform's cache folder."""
    if chosen := os.environ.get("ADAFUSE_CACHE"):
        return Path(chosen).expanduser()
    places = {"win32": ("LOCALAPPDATA", "AppData/Local"), "darwin": ("", "Library/Caches")}
    variable, folder = places.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    return Path(os.environ.get(variable) or Path.home() / folder) / "adafuse"


def replace_text(path: Path, text: str) -> None:
    """Write a file at once: readers see the old one or the new one. OSError passes through."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
