"""What the harness sets: a model's arguments, and those of a generation; warnings about them.

Names that are not known are refused. Knows no member, and neither requests nor results.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from adafuse.cli.common import model_folder
from adafuse.config import DecodingConfig
from adafuse.ensemble import MAX_CONCURRENCY, Ensemble
from adafuse.ensemble_file import read_models
from adafuse.errors import AdaFuseWarning, ConfigError
from adafuse.presets import with_preset
from adafuse.spec import as_spec
from adafuse.validation import read_stops, refuse_unknown, show, whole

__all__ = ["build_ensemble", "read_batch_size", "read_generation", "usable_device", "warn"]

_HARNESS_DEVICE = "cuda:0"  # what the harness's command asks for if nobody names a device
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of one setting; the harness takes the first of these that is given."""

_SHAPES_SAMPLING: Mapping[str, tuple[Any, ...]] = {
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

_DECODING = [*(field.name for field in fields(DecodingConfig)), "preset"]


def read_generation(gen_kwargs: Mapping[str, Any], config: DecodingConfig) -> dict[str, Any]:
    """Settings for one request, to override those of the ensemble; its stops stay.

    What both have is passed on, what means nothing to this decoder is let through, and all else is
    refused: a benchmark must not be run with other settings than it asks for.
    """
    names = ["until", "do_sample", *_LENGTHS, *_SHAPES_SAMPLING, *_ONLY, *_DECODING]
    refuse_unknown("generation argument", gen_kwargs, names)
    given = {name: value for name, value in gen_kwargs.items() if value is not None}
    settings = {name: value for name, value in given.items() if name in _DECODING}
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
        length = lengths[0]  # may be written as a float
        whole_float = isinstance(length, float) and length.is_integer()
        settings["max_new_tokens"] = int(length) if whole_float else length
    settings["temperature"] = _temperature(gen_kwargs, config.temperature)
    _refuse_others(gen_kwargs, _ONLY, "one greedy or drawn answer, without beams")
    if settings["temperature"] > 0:
        _refuse_others(
            gen_kwargs, _SHAPES_SAMPLING, "a draw among candidates, which top_p alone shapes"
        )
    return settings


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


def build_ensemble(
    ensemble: Ensemble | None,
    models: object,
    loading: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Ensemble:
    """The ensemble to evaluate: one that is loaded, with these settings, or one of `models`.

    On a command line values are words: `models=a+b` and `weights=0.6+0.4` are lists.
    """
    refuse_unknown("model argument", settings, [*_DECODING, "models", *loading, "batch_size"])
    settings = dict(settings)
    if "weights" in settings:
        settings["weights"] = _weights(settings["weights"])
    if ensemble is not None:
        if models is not None or any(loading.values()):
            raise ConfigError("give an ensemble, or models to load and how; not both")
        if not isinstance(ensemble, Ensemble):
            raise ConfigError(f"ensemble must be an Ensemble, not {show(ensemble)}")
        return Ensemble(ensemble.members, ensemble.config.override(**settings))
    if models is None:
        raise ConfigError("name the members: models=org/model-a+org/model-b, or an ensemble")
    models_list, of_file = read_models(models.split("+") if isinstance(models, str) else models)
    if not isinstance(models_list, list | tuple):
        raise ConfigError(f"models must be 'a+b' or a list of members, not {show(models)}")
    specs = [
        as_spec(model_folder(model) if isinstance(model, str) else model) for model in models_list
    ]
    if loading["trust_remote_code"]:
        specs = [replace(spec, trust_remote_code=True) for spec in specs]
    return Ensemble.load(
        specs,
        device=loading["device"],
        dtype=loading["dtype"],
        **{**of_file, **with_preset(settings)},
    )


def _weights(weights: object) -> object:
    """Weights as numbers, if they are words."""
    if isinstance(weights, int | float) and not isinstance(weights, bool):
        return (weights,)
    if not isinstance(weights, str):
        return weights
    try:
        return tuple(float(weight) for weight in weights.split("+"))
    except ValueError:
        raise ConfigError(f"weights must be numbers such as 0.6+0.4, not {show(weights)}") from None


def read_batch_size(batch_size: object, max_batch_size: object) -> int:
    """How many answers to decode at the same time; "auto" is as many as `generate_batch` does."""
    limit = None if max_batch_size is None else whole("max_batch_size", max_batch_size, 1)
    if isinstance(batch_size, str):
        if batch_size.split(":")[0] == "auto":
            return limit or MAX_CONCURRENCY
        batch_size = int(batch_size) if batch_size.isdecimal() else batch_size
    return whole("batch_size", batch_size, 1)


def usable_device(device: str | None) -> str | None:
    """The device, but for the harness's default where there is none such: then ours is taken."""
    if device != _HARNESS_DEVICE:
        return device
    import torch  # a model is about to be loaded

    return device if torch.cuda.is_available() else None


def warn(message: str) -> None:
    """Warn whoever called into this package, which is the harness or the user."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(__package__):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, AdaFuseWarning, stacklevel=level)
