"""Fitting an ensemble to texts: read, judge, write the file."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from adafuse._version import __version__
from adafuse.compare.dataset import Layout
from adafuse.compare.results import Interval
from adafuse.compare.terminal import progress_bars
from adafuse.config import DecodingConfig
from adafuse.ensemble import Ensemble, Models
from adafuse.ensemble_file import DIFFERENCE, EnsembleFile, read_models, write_ensemble
from adafuse.errors import ConfigError, MissingExtraError
from adafuse.fitting.cross_fit import judge
from adafuse.fitting.readings import TextReader, read_all
from adafuse.fitting.result import FitResult, as_result
from adafuse.fitting.sources import Data, described, read_texts
from adafuse.loading.identity import Checkpoint
from adafuse.presets import with_preset
from adafuse.spec import MAX_MEMBERS, MemberSpec, as_spec
from adafuse.validation import whole

__all__ = ["LIMIT", "fit", "readings_path"]

LIMIT = 200
"""Texts that are read unless the caller says otherwise: enough for a few weights."""


_FITTED = ("rule", "combine", "prompt_exponent")
"""Settings that follow from a fit."""


def fit(
    models: Models | Ensemble,
    data: Data,
    *,
    out: str | Path | None = "ensemble.yaml",
    layout: Layout | None = None,
    answer: str | None = None,
    prose: bool = False,
    limit: int = LIMIT,
    keep_drafters: bool = False,
    seed: int = 0,
    progress: bool = False,
    device: str | None = None,
    dtype: str | None = None,
    **settings: Any,
) -> FitResult:
    """Find out on texts how much each member should say, and write an ensemble of those that help.

    Every member reads every text once; what it read is kept beside `out`, so that a fit that was
    interrupted goes on, and one that is repeated takes seconds. See docs/fit.md.

    Args:
        models: as for `Ensemble.load`, 2 to 8; or an ensemble that is loaded, with `out=None`.
        data: a file, a folder, several of them, or rows: questions with answers, chat transcripts
            or documents; see `adafuse.fitting.texts`.
        out: where the ensemble is written; None: nowhere.
        layout: how questions become prompts; default: chat messages of their usual fields.
        answer: the column with the right answers, where it has none of the usual names.
        prose: documents are like what is to be written; else they are what answers are drawn from.
        limit: of more texts than these, so many are drawn; 0: all.
        keep_drafters: also write members that have no say: they draft for the others, which may
            be faster where they are much smaller, and slower where not.
        seed: of the draw, the halves and the bootstrap.
        progress: show a bar on standard error.
        device, dtype: as for `Ensemble.load`; part of the file, for members that name none.
        settings: decoding settings for the file; with a `stop` an answer's end is read as decoding
            reads it: a base model that would begin a new line there ends too.

    Raises:
        ConfigError: a row, a file, a setting or the number of models is wrong; before any model is
            loaded.
        MissingExtraError: the extra `compare` is not installed.
        LoadError: a model cannot be loaded.
    """
    if "weights" in settings:
        raise ConfigError("weights are what a fit finds; leave them out")
    if wrong := [name for name in _FITTED if name in with_preset(settings)]:
        raise ConfigError(
            f"a fit finds the weights of a mixture of words, and its prompt_exponent; leave out "
            f"{', '.join(wrong)}"
        )
    members: list[MemberSpec] | Ensemble
    if isinstance(models, Ensemble):
        members, count = models, len(models.members)
        _refuse_loaded(out, device, dtype)
    else:
        listed, of_file = read_models(models)
        settings = {**of_file, **with_preset(settings)}
        for name in ("weights", *_FITTED):  # of the file: they were fitted before
            settings.pop(name, None)
        members = _specs(listed, device, dtype)
        count = len(members)
    if count < 2:
        raise ConfigError("a fit takes at least two models: one alone has all the say as it is")
    config = DecodingConfig().override(**settings)
    whole("seed", seed, 0)
    texts = read_texts(
        data, layout or Layout(), answer, prose, limit=whole("limit", limit, 0), seed=seed
    )
    if find_spec("scipy") is None:
        raise MissingExtraError("a fit", "compare")
    place = Path(out).expanduser() if out is not None else None
    if place is not None:
        _check_place(place)
    stops = config.stop if config.pool_stops else ()
    reader = TextReader(members, device, dtype, readings_path(place), stops)
    with progress_bars(progress) as bars:
        task = bars.add_task("texts", total=sum(map(len, texts)))
        readings = read_all(texts, reader, lambda: bars.advance(task))
    result = as_result(
        judge(readings, seed),
        tuple(reader.names),
        texts=len(readings.prompts),
        words=len(readings.logprobs),
        skipped=readings.skipped,
        seed=seed,
    )
    if place is None or isinstance(members, Ensemble):
        return result
    file = _file(result, members, reader.checkpoints, settings, keep_drafters, described(data))
    write_ensemble(place, file)
    return replace(result, path=place)


def readings_path(place: Path | None) -> Path | None:
    """Where what was read for an ensemble's file is kept."""
    return None if place is None else place.with_name(f"{place.stem}.readings.jsonl")


def _refuse_loaded(out: object, device: str | None, dtype: str | None) -> None:
    if out is not None:
        raise ConfigError(
            "an ensemble that is loaded cannot say what it was loaded from, so it is not written: "
            "give models, or out=None"
        )
    if device or dtype:
        raise ConfigError("device and dtype are for models; this ensemble is already loaded")


def _specs(listed: object, device: str | None, dtype: str | None) -> list[MemberSpec]:
    if not isinstance(listed, list | tuple) or not 1 <= len(listed) <= MAX_MEMBERS:
        raise ConfigError(f"models must be a list of 2 to {MAX_MEMBERS} members")
    specs = []
    for spec in map(as_spec, listed):
        if spec.device is None and spec.device_map is None:
            spec = replace(spec, device=device)
        specs.append(replace(spec, dtype=spec.dtype or dtype))
    return specs


def _check_place(place: Path) -> None:
    if place.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"{place} must end in .yaml, by which it is known as an ensemble")
    if not place.parent.is_dir():
        raise ConfigError(f"{place} cannot be written: there is no folder {str(place.parent)!r}")


def _file(
    result: FitResult,
    specs: Sequence[MemberSpec],
    checkpoints: Sequence[Checkpoint],
    settings: Mapping[str, Any],
    keep_drafters: bool,
    data: list[str],
) -> EnsembleFile:
    """What is written: who has a say (or drafts), settings that are not the defaults, and why."""
    members, left_out = [], []
    rows = zip(specs, result.names, result.weights, checkpoints, strict=True)
    for spec, name, weight, checkpoint in rows:
        if weight or keep_drafters:
            members.append(replace(
                spec, name=name, weight=float(f"{weight:.6g}"),
                revision=checkpoint.commit or spec.revision,
            ))  # fmt: skip
        else:
            left_out.append({"model": spec.model, "reason": "weight 0: it does not help here"})
    return EnsembleFile(
        tuple(members),
        _settings(settings, result.prompt_exponent),
        {
            **({"left_out": left_out} if left_out else {}),
            "fitted": {
                "data": data,
                "texts": result.texts,
                "skipped": len(result.skipped),
                "words": result.words,
                "seed": result.seed,
                "date": date.today().isoformat(),
                "versions": _versions(),
            },
            "measured": {
                "sentence": result.sentence,
                "nats per word": {
                    name: _numbers(nats)
                    for name, nats in zip(result.names, result.members, strict=True)
                },
                "of the mixture, held out": _numbers(result.mixture),
                DIFFERENCE: _numbers(result.difference),
            },
        },
    )


def _settings(settings: Mapping[str, Any], exponent: float) -> dict[str, Any]:
    """What was fitted, whatever the decoder does by itself, and what is not its default."""
    default = DecodingConfig()
    exponent = round(exponent, 3)
    fitted = {"rule": "words", "combine": "mixture"}
    config = default.override(**{**fitted, **settings, "prompt_exponent": exponent})
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name in (each.name for each in fields(default))
        if (value := getattr(config, name)) != getattr(default, name) or name in fitted
    }


def _numbers(interval: Interval) -> list[float]:
    """Mean, low and high."""
    return [round(number, 4) for number in (interval.mean, interval.low, interval.high)]


def _versions() -> dict[str, str]:
    found = {"adafuse": __version__, "python": platform.python_version()}
    for package in ("torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # nothing was loaded by it
            continue
    return found
