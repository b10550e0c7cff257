"""Which members of an ensemble answer, and with which of its settings. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adafuse.config import DecodingConfig
from adafuse.errors import ConfigError
from adafuse.validation import refuse_unknown

__all__ = ["answering", "answering_config"]


def answering(names: Sequence[str], model: str | None) -> tuple[int, ...]:
    """Which members answer, by index: all, or those that `model` names, in its order.

    `model` is a member's name, or several joined by "+". ConfigError where there is no such
    member, or one is named twice.
    """
    if model is None:
        return tuple(range(len(names)))
    if not isinstance(model, str) or not model:
        raise ConfigError(f"model must name members, such as {'+'.join(names)!r}")
    named = [model] if model in names else model.split("+")
    refuse_unknown("member", dict.fromkeys(named), names)
    if len(set(named)) < len(named):
        raise ConfigError(f"model names a member twice: {model!r}")
    return tuple(names.index(name) for name in named)


def answering_config(
    names: Sequence[str], chosen: Sequence[int], config: DecodingConfig
) -> DecodingConfig:
    """Settings that are meant for all members, as the chosen ones take them.

    One member alone has all the say, whatever its weight is among others. ConfigError where there
    is not a weight for every member, or several are chosen that have none.
    """
    if config.weights is None:
        return config
    if len(config.weights) != len(names):
        raise ConfigError(f"weights has {len(config.weights)} numbers for {len(names)} members")
    weights = tuple(config.weights[at] for at in chosen)
    if len(chosen) == 1 and not any(weights):
        weights = (1.0,)
    if not any(weights):
        silent = " and ".join(names[at] for at in chosen)
        raise ConfigError(f"{silent} have weight 0, and would say nothing; give other weights")
    return replace(config, weights=weights)
