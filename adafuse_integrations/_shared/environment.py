"""What environment variables say where a model object is given no members.

    ADAFUSE_MODELS   the members: hub ids, folders or files, separated by commas, or a JSON list of
                     those and of specifications
    ADAFUSE_DEVICE   the device of members whose specification names none
    ADAFUSE_DTYPE    their number format

Reads them when asked to; keeps nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from adafuse.errors import ConfigError

__all__ = ["from_environment"]


def from_environment(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with those that are not given taken from the environment.

    Raises:
        ConfigError: ADAFUSE_MODELS begins like a JSON list and is none.
    """
    filled = dict(values)
    models = os.environ.get("ADAFUSE_MODELS", "").strip()
    if values.get("models") is not None or values.get("ensemble") is not None or not models:
        return filled
    filled["models"] = _members(models)
    for name in ("device", "dtype"):
        if name not in values and (value := os.environ.get(f"ADAFUSE_{name.upper()}", "").strip()):
            filled[name] = value
    return filled


def _members(text: str) -> list[Any]:
    if not text.startswith("["):
        return [name for part in text.split(",") if (name := part.strip())]
    try:
        listed: list[Any] = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"ADAFUSE_MODELS is no JSON list: {error}") from None
    return listed
