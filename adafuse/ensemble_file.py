"""`ensemble.yaml`: members, their weights and settings in a file, as `adafuse fit` writes it.

    version: 1
    members:
      - model: org/model-a      # and any other field of `adafuse.MemberSpec`
        weight: 0.7
      - model: ./model-b        # a folder beside the file
        weight: 0.3
    settings: {branches: 2}     # fields of `adafuse.DecodingConfig`

Whatever else `adafuse fit` says in it is for readers. Loads no model, and runs nothing: a file may
come from elsewhere, so it cannot ask for a checkpoint's own code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adafuse.config import DecodingConfig
from adafuse.errors import ConfigError
from adafuse.spec import MAX_MEMBERS, MemberSpec, as_spec, loadable
from adafuse.validation import refuse_unknown, show, warn

__all__ = [
    "DIFFERENCE",
    "VERSION",
    "EnsembleFile",
    "read_ensemble",
    "read_models",
    "write_ensemble",
]

VERSION = 1
DIFFERENCE = "less the best alone"
"""What `measured` calls nats per word of the mixture less those of the best member: mean, low and
high. The mixture is better where all are below 0."""
_SUFFIXES = (".yaml", ".yml")
_FOR_READERS = ("left_out", "fitted", "measured")
_PATHS = ("model", "tokenizer")
_HERE = ("./", "../")  # what a path relative to the file begins with
_HEADER = """\
# An ensemble of adafuse. Use it by the name of this file:
#   Ensemble.load("{name}")   AdaFuseLLM(models="{name}")
#   adafuse "a question" --model {name}   adafuse serve --model {name}
"""


@dataclass(frozen=True, slots=True)
class EnsembleFile:
    """What the file says.

    Attributes:
        members: to load, with their weights.
        settings: for decoding, by the names of `DecodingConfig`.
        notes: `left_out`, `fitted` and `measured`: plain values.
    """

    members: tuple[MemberSpec, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def read_models(models: Any, *, to_answer: bool = False) -> tuple[Any, dict[str, Any]]:
    """Models and settings of a file, if that is what is given; else the models as they are.

    A file is one name that ends in .yaml or .yml, alone or in a list of its own. Where its members
    are `to_answer` together and its fit says that one of them would do, a warning says so.

    Raises:
        ConfigError: the file cannot be read, or stands in a list beside others.
    """
    listed = list(models) if isinstance(models, list | tuple) else [models]
    files = [one for one in listed if _is_file(one)]
    if not files:
        return models, {}
    if len(listed) > 1:
        raise ConfigError(f"{files[0]} is an ensemble already: give it alone, or members in a list")
    found = read_ensemble(files[0])
    if to_answer and (doubt := _doubt(found)):
        warn(f"{files[0]}: {doubt}")
    return list(found.members), dict(found.settings)


def _doubt(file: EnsembleFile) -> str:
    """Why the members of a file need not answer together, by its fit; empty if they should."""
    measured = file.notes.get("measured")
    if len(file.members) == 1 or not isinstance(measured, Mapping):
        return ""
    voting = [spec for spec in file.members if spec.weight]
    if len(voting) == 1:
        return (
            f"its fit gives {voting[0].name or voting[0].model!r} all the weight; the others only "
            "draft ahead for it, which pays where they are several times smaller"
        )
    match measured.get(DIFFERENCE):
        case [_, _, int() | float() as high] if high >= 0:
            said = measured.get("sentence")
            return f"its fit found its members no better together ({said}); let one speak alone"
    return ""


def _is_file(model: object) -> bool:
    if not isinstance(model, str | os.PathLike):
        return False
    name = os.fspath(model)
    return isinstance(name, str) and name.lower().endswith(_SUFFIXES)


def read_ensemble(path: str | os.PathLike[str]) -> EnsembleFile:
    """Read a file; ConfigError in one sentence if it is none, or of a version to come."""
    place = Path(path).expanduser()
    content = _load(place)
    if not isinstance(content, Mapping) or "members" not in content:
        raise ConfigError(
            f"{place} is no ensemble file: it has no members; `adafuse fit` makes one"
        )
    version = content.get("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigError(f"{place}: version must be a whole number, not {show(version)}")
    if version > VERSION:
        raise ConfigError(
            f"{place} is of version {version}, and this adafuse reads up to {VERSION}; install a "
            "newer one"
        )
    try:
        refuse_unknown("field", content, ["version", "members", "settings", *_FOR_READERS])
        members = _members(content["members"], place.parent)
        settings = content.get("settings") or {}
        if not isinstance(settings, Mapping):
            raise ConfigError(f"settings must be a mapping, not {show(settings)}")
        DecodingConfig().override(**{str(name): value for name, value in settings.items()})
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None
    notes = {name: content[name] for name in _FOR_READERS if name in content}
    return EnsembleFile(members, dict(settings), notes)


def _load(place: Path) -> Any:
    import yaml  # only those who have a file wait for it

    try:
        return yaml.safe_load(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{place} is no YAML: {reason:.200}") from None


def _members(listed: object, folder: Path) -> tuple[MemberSpec, ...]:
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise ConfigError(f"members must be a list, not {show(listed)}")
    if not 1 <= len(listed) <= MAX_MEMBERS:
        raise ConfigError(f"an ensemble has 1 to {MAX_MEMBERS} members, not {len(listed)}")
    specs = tuple(map(as_spec, listed))
    if not sum(spec.weight for spec in specs):
        raise ConfigError("no member has a weight above 0")
    for spec in specs:
        if spec.trust_remote_code:
            raise ConfigError(
                f"member {spec.model!r} has trust_remote_code, which a file cannot ask for; load "
                "it by a MemberSpec"
            )
    return tuple(replace(spec, **_placed(spec, folder)) for spec in specs)


def _placed(spec: MemberSpec, folder: Path) -> dict[str, Any]:
    """Paths that are relative to the file, as they are from here."""
    paths = {name: getattr(spec, name) for name in _PATHS}
    return {
        name: str((folder / path).resolve())
        for name, path in paths.items()
        if path is not None and path.replace("\\", "/").startswith(_HERE)
    }


def write_ensemble(path: str | os.PathLike[str], ensemble: EnsembleFile) -> None:
    """Write a file, whole or not at all.

    A folder or file beside it is written relative to it, so that they can be moved together;
    others by their whole path. Secrets and `trust_remote_code` are left out.

    Raises:
        ConfigError: the file cannot be written, or a field of a member is no plain value.
    """
    import yaml

    place = Path(path).expanduser()
    members: list[dict[str, Any]] = [
        {"model": listed} if isinstance(listed, str) else dict(listed)
        for listed in loadable([_portable(spec, place.parent) for spec in ensemble.members])
    ]
    for member, spec in zip(members, ensemble.members, strict=True):
        member["weight"] = float(spec.weight)
    content = {
        "version": VERSION,
        "members": members,
        **({"settings": dict(ensemble.settings)} if ensemble.settings else {}),
        **ensemble.notes,
    }
    partial = place.with_name(f"{place.name}.partial")
    try:
        body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        partial.write_text(_HEADER.format(name=place.name) + body, encoding="utf-8")
        partial.replace(place)
    except yaml.YAMLError as error:
        raise ConfigError(f"{place}: a member's field cannot be written: {error}") from None
    except OSError as error:
        raise ConfigError(f"{place} cannot be written: {error.strerror}") from None


def _portable(spec: MemberSpec, folder: Path) -> MemberSpec:
    """A member whose paths are good in any folder that a process runs in."""
    changed: dict[str, Any] = {"trust_remote_code": False}
    for name in _PATHS:
        model = getattr(spec, name)
        if model is None or not (path := Path(model).expanduser()).exists():
            continue
        whole = path.resolve()
        inside = whole.is_relative_to(folder.resolve())
        inner = whole.relative_to(folder.resolve()).as_posix() if inside else ""
        changed[name] = f"./{inner}" if inside else str(whole)
    return replace(spec, **changed)
