"""Which files a safetensors checkpoint needs, told from the files that are there.

Knows neither folders nor the hub: both come as names and a function that reads one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Container
from typing import Any

from adafuse.errors import LoadError, UnsafeCheckpointError

__all__ = ["CONFIG", "missing_weights", "refuse_pickles", "refuse_without_weights"]

CONFIG = "config.json"
_WEIGHTS, _INDEX = "model.safetensors", ".safetensors.index.json"
_PICKLE = re.compile(r".*\.(bin|pt|pth|ckpt)")
# What a trainer saves beside a checkpoint, so that it can go on.
_TRAINER = re.compile(r"(optimizer|scheduler|scaler|training_args|rng_state|random_states).*")


def missing_weights(names: Container[str], read: Callable[[str], str]) -> list[str]:
    """Files of weights that a checkpoint still needs; empty if it is complete.

    Args:
        names: its files.
        read: gives the text of one of them.

    Raises:
        ValueError: its config or its index cannot be read.
    """
    first = _WEIGHTS
    if CONFIG in names:
        first = _entry(read, CONFIG, "transformers_weights") or first
    if first in names and not first.endswith(_INDEX):
        return []
    index = first if first.endswith(_INDEX) else f"model{_INDEX}"
    if index not in names:
        return [first]
    shards = _entry(read, index, "weight_map")
    if not isinstance(shards, dict):
        raise ValueError(f"{index} names no files")
    return [name for name in sorted(set(shards.values())) if name not in names]


def refuse_without_weights(where: str, names: Collection[str], read: Callable[[str], str]) -> None:
    """Refuse a checkpoint that lacks weights, or has pickles only; arguments as before.

    Raises:
        UnsafeCheckpointError, LoadError: the message begins with `where`.
    """
    try:
        missing = missing_weights(names, read)
    except ValueError as error:
        raise LoadError(f"{where} cannot be read: {error}") from None
    if not missing:
        return
    refuse_pickles(where, names)
    subject = f" and {len(missing) - 1} more files are" if len(missing) > 1 else " is"
    weight_files = sorted(name for name in names if name.endswith((".safetensors", _INDEX)))
    if weight_files:
        raise LoadError(
            f"{where} is incomplete: {missing[0]}{subject} missing beside {weight_files[0]}; "
            "download or copy it again"
        )
    raise LoadError(f"{where} holds no weights: {missing[0]} is missing")


def refuse_pickles(where: str, names: Collection[str]) -> None:
    """Raise UnsafeCheckpointError if a checkpoint's weights are pickles only."""
    if any(name.endswith((".safetensors", _INDEX)) for name in names):
        return
    pickles = sorted(n for n in names if _PICKLE.fullmatch(n) and not _TRAINER.fullmatch(n))
    if pickles:
        raise UnsafeCheckpointError(
            f"{where} holds only a pickle checkpoint ({pickles[0]}), and loading a pickle runs "
            "code from it; convert it to safetensors with a tool you trust"
        )


def _entry(read: Callable[[str], str], name: str, key: str) -> Any:
    """An entry of a JSON file, None if it has none."""
    try:
        content = json.loads(read(name))
        return content.get(key)
    except (OSError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{name} is not what it should be ({reason})") from None
