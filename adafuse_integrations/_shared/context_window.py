"""How long a prompt may be: the smallest context window of the members that answer.

Loaded members are asked. Before that, local folders say it in their config.json; no framework and
no torch is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adafuse.decoding.member import Member
from adafuse.spec import MemberSpec

__all__ = ["configured_window", "smallest_window"]

_NAMES = ("max_position_embeddings", "n_positions")


def smallest_window(members: Sequence[Member]) -> int | None:
    """The smallest window, in tokens, or None if no member has a limit that it tells."""
    holders = [getattr(member, "runner", member) for member in members]
    windows = [getattr(holder, "window", None) for holder in holders]
    return min((window for window in windows if window is not None), default=None)


def configured_window(specs: Iterable[MemberSpec]) -> int | None:
    """Likewise, as config.json files have it; None unless every member has one that says so."""
    windows = [_configured(Path(spec.model).expanduser() / "config.json") for spec in specs]
    return None if None in windows else min(filter(None, windows), default=None)


def _configured(path: Path) -> int | None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    text = config.get("text_config", config) if isinstance(config, Mapping) else {}
    if not isinstance(text, Mapping) or _scaled(text):
        return None
    windows = (text.get(name) for name in _NAMES)
    return next((window for window in windows if isinstance(window, int)), None)


def _scaled(text: Mapping[str, Any]) -> bool:
    """Whether the window is not what its number says; the loaded model knows."""
    scaling = text.get("rope_scaling") or text.get("rope_parameters") or {}
    kinds = (scaling.get("type"), scaling.get("rope_type")) if isinstance(scaling, Mapping) else ()
    return "longrope" in kinds or "su" in kinds
