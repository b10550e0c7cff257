"""The harness's generation arguments as decoding settings.

What both have is passed on, what means nothing to this decoder is let through, and all else is
refused: a benchmark must not be run with other settings than it asks for. This module knows no
member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from adafuse.config import DecodingConfig
from adafuse.errors import ConfigError
from adafuse.validation import read_stops, refuse_unknown, show

__all__ = ["read_generation"]

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of one setting; the harness takes the first of these that is given."""

_SHAPES_SAMPLING: Mapping[str, tuple[Any, ...]] = {
    "top_p": (1, None),
    "top_k": (0, -1, None),
    "min_p": (0, None),
    "typical_p": (1, None),
    "epsilon_cutoff": (0, None),
    "eta_cutoff": (0, None),
}
"""Nothing of it matters at temperature 0; above that only values that do nothing are taken."""

_ONLY: Mapping[str, tuple[Any, ...]] = {
    "num_beams": (1, None),
    "num_return_sequences": (1, None),
    "use_cache": (True, False, None),
}
"""Arguments of which these values change no answer."""

_DECODING = [field.name for field in fields(DecodingConfig)]


def read_generation(gen_kwargs: Mapping[str, Any], config: DecodingConfig) -> dict[str, Any]:
    """Settings for one request, to override those of `config`.

    Args:
        gen_kwargs: of the request: `until`, `max_gen_toks`, `do_sample`,
            `temperature`, and any field of `DecodingConfig` or `preset`.
        config: of the ensemble; its stops stay, and `until` is added.

    Raises:
        ConfigError: an argument is unknown, or asks for another kind of decoding.
    """
    names = ["until", "do_sample", *_LENGTHS, *_SHAPES_SAMPLING, *_ONLY, *_DECODING, "preset"]
    refuse_unknown("generation argument", gen_kwargs, names)
    settings = {name: value for name, value in gen_kwargs.items() if name in (*_DECODING, "preset")}
    until = gen_kwargs.get("until") or ()
    until_strings = [until] if isinstance(until, str) else list(until)
    stops = [
        *config.stop,
        *read_stops("stop", gen_kwargs.get("stop")),
        *(stop for stop in until_strings if stop),
    ]
    settings["stop"] = tuple(dict.fromkeys(stops))
    lengths = [gen_kwargs[name] for name in _LENGTHS if gen_kwargs.get(name) is not None]
    settings.pop("max_new_tokens", None)
    if lengths:
        settings["max_new_tokens"] = _as_integer(lengths[0])
    settings["temperature"] = _temperature(gen_kwargs, config.temperature)
    _refuse_others(gen_kwargs, _ONLY, "one greedy or drawn answer, without beams")
    if settings["temperature"] > 0:
        _refuse_others(
            gen_kwargs, _SHAPES_SAMPLING, "a draw among candidates, which nothing shapes"
        )
    return settings


def _as_integer(length: Any) -> Any:
    """A length as a whole number, if it is one written as a float."""
    return int(length) if isinstance(length, float) and length.is_integer() else length


def _temperature(gen_kwargs: Mapping[str, Any], default: float) -> float:
    """0 for greedy decoding, else the temperature of the draw."""
    do_sample, temperature = gen_kwargs.get("do_sample"), gen_kwargs.get("temperature")
    if do_sample not in (None, True, False):
        raise ConfigError(f"do_sample must be True or False, not {show(do_sample)}")
    if do_sample is False:
        return 0.0
    effective = default if temperature is None else temperature
    if do_sample and temperature is None and not default:
        raise ConfigError("do_sample=True needs a temperature above 0")
    return float(effective) if isinstance(effective, int) else effective


def _refuse_others(
    gen_kwargs: Mapping[str, Any], taken: Mapping[str, tuple[Any, ...]], decoder: str
) -> None:
    for name, values in taken.items():
        if name in gen_kwargs and gen_kwargs[name] not in values:
            raise ConfigError(
                f"{name}={show(gen_kwargs[name])} has no meaning for an ensemble: it gives "
                f"{decoder}"
            )
