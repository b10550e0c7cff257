"""From the harness's model arguments to an ensemble.

On a command line values are words: `models=a+b` and `weights=0.6+0.4` are lists. Names that are not
known are refused. This module knows neither requests nor results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from adafuse.cli.common import model_folder
from adafuse.config import DecodingConfig
from adafuse.ensemble import MAX_CONCURRENCY, Ensemble
from adafuse.errors import ConfigError
from adafuse.spec import as_spec
from adafuse.validation import refuse_unknown, show, whole

__all__ = ["build_ensemble", "read_batch_size", "usable_device"]

_HARNESS_DEVICE = "cuda:0"  # what the harness's command asks for if nobody names a device


def build_ensemble(
    ensemble: Ensemble | None,
    models: object,
    loading: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Ensemble:
    """The ensemble to evaluate.

    Args:
        ensemble: one that is loaded already, instead of `models`.
        models: "a+b", or a list of what `Ensemble.load` takes and of demo models' short names.
        loading: `device`, `dtype` and `trust_remote_code`, for `models`.
        settings: fields of `DecodingConfig`, or a `preset`.

    Raises:
        ConfigError: neither or both are given, a setting is unknown or wrong.
        LoadError: a member cannot be loaded.
    """
    names = [*(field.name for field in fields(DecodingConfig)), "preset"]
    refuse_unknown("model argument", settings, [*names, "models", *loading, "batch_size"])
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
    models_list = models.split("+") if isinstance(models, str) else models
    if not isinstance(models_list, list | tuple):
        raise ConfigError(f"models must be 'a+b' or a list of members, not {show(models)}")
    specs = [
        as_spec(model_folder(model) if isinstance(model, str) else model) for model in models_list
    ]
    if loading["trust_remote_code"]:
        specs = [replace(spec, trust_remote_code=True) for spec in specs]
    return Ensemble.load(specs, device=loading["device"], dtype=loading["dtype"], **settings)


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
