"""Settings by name: the paper's, and those that evidence favours (docs/evidence.md)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adafuse.validation import check_choice

__all__ = ["PRESETS", "with_preset"]

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": MappingProxyType(
            {
                "margin_threshold": 0.7,
                "max_words": 3,
                "branches": 3,
                "weighting": "fixed",
                "scoring": "token",
                "leader": None,
                "contested_only": False,
            }
        ),
        "recommended": MappingProxyType({"branches": 1}),
    }
)
"""Settings of `DecodingConfig` by the preset's name."""


def with_preset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of their `preset`, if they name one, filled in; they go before it.

    Raises:
        ConfigError: there is no such preset.
    """
    changes = dict(settings)
    name = changes.pop("preset", None)
    if name is None:
        return changes
    check_choice("preset", name, list(PRESETS))
    return {**PRESETS[name], **changes}
