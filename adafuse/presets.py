"""Settings by name, and those of earlier versions that may still stand in files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adafuse.errors import ConfigError
from adafuse.validation import check_choice

__all__ = ["ABOUT_PRESETS", "PRESETS", "with_preset"]

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": MappingProxyType(
            {
                "rule": "paper",
                "margin_threshold": 0.7,
                "max_words": 3,
                "branches": 3,
                "prompt_exponent": 0.0,
                "pool_stops": False,
            }
        )
    }
)
"""Settings by name: those of the paper (AdaFuse, arXiv 2601.06022)."""
ABOUT_PRESETS = "Settings by name, for those that are not given: 'paper' has the paper's."


_RETIRED: Mapping[str, tuple[object, str]] = MappingProxyType(
    {
        "scoring": ("token", "rule='words' compares words by their probability"),
        "weighting": ("fixed", "prompt_exponent weighs members by how they predict the prompt"),
        "leader": (None, "weights give one member all the say"),
        "contested_only": (False, "rule='words' commits what members agree on unscored"),
    }
)
"""Settings of earlier versions: the value that did nothing, and what there is instead."""


def with_preset(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of their `preset`, if they name one, filled in; they go before it.

    Settings that are gone may stand there, as an earlier version wrote them, if they did nothing.
    """
    changes = dict(settings)
    for name, (neutral, instead) in _RETIRED.items():
        if changes.pop(name, neutral) != neutral:
            raise ConfigError(f"the setting {name!r} is gone: {instead}")
    if (name := changes.pop("preset", None)) is None:
        return changes
    check_choice("preset", name, list(PRESETS))
    return {**PRESETS[name], **changes}
