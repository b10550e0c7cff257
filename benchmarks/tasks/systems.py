"""Who answers: members alone, and ensembles of them with settings given on the command line."""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from adafuse import Ensemble
from adafuse.compare.systems import System, members_alone, together
from adafuse.config import DecodingConfig
from adafuse.demo.models import prepare_all
from adafuse.ensemble_file import read_models
from adafuse.errors import ConfigError
from adafuse.local.member import LocalMember
from adafuse.spec import MemberSpec, names_of
from benchmarks.members import specs_of

__all__ = ["Plan", "build", "find_members", "needed", "plan"]

PAPER = "preset:paper"
KEPT_MB = 512  # a block of prompts, which every system reads
_KEY = re.compile(r"(^|,)\s*(\w+):(?=\S)")  # YAML wants a blank behind a colon


@dataclass(frozen=True)
class Plan:
    """A system before anything is loaded: its members by name, and its own settings."""

    name: str
    members: tuple[str, ...]
    settings: Mapping[str, Any]


def find_members(given: Sequence[str]) -> dict[str, Path]:
    """Folders by member name: the demo models, and those given as NAME=FOLDER, in this order."""
    found: dict[str, Path] = dict(prepare_all())
    for text in given:
        name, equals, folder = text.partition("=")
        if not (name and equals and Path(folder).is_dir()):
            raise ConfigError(f"a member is NAME=FOLDER of a model, not {text!r}")
        found[name] = Path(folder)
    return found


def plan(members: Sequence[str], ensembles: Sequence[str], systems: Sequence[str]) -> list[Plan]:
    """Members alone, then every system with every ensemble that it is for.

    Args:
        members: names of all that there are.
        ensembles: such as "smollm2+qwen"; none: all pairs and, of three or more, all together.
        systems: "NAME=key:value,key:value" is for all ensembles, and "NAME@a+b=…" for these
            members (one will do); a value is YAML. "NAME=path.yaml" has members, weights and
            settings from a file that `adafuse fit` wrote.

    Raises:
        ConfigError: a name, a setting or a file is wrong, or two systems are named alike.
    """
    groups = [_members(text, members) for text in ensembles] or [
        *itertools.combinations(members, 2),
        *([tuple(members)] if len(members) > 2 else []),
    ]
    found = [one for text in systems for one in _read(text, members, groups)]
    used = [name for name in members if any(name in one.members for one in found)]
    found = [*(Plan(name, (name,), {"branches": 1}) for name in used or members), *found]
    names = [one.name for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two systems are named {min(twice)!r}")
    return found


def _members(text: str, members: Sequence[str]) -> tuple[str, ...]:
    names = tuple(text.split("+"))
    if unknown := set(names) - set(members):
        raise ConfigError(f"there is no member {min(unknown)!r}; there are: {', '.join(members)}")
    return names


def _read(text: str, members: Sequence[str], groups: Sequence[tuple[str, ...]]) -> list[Plan]:
    head, equals, rest = text.partition("=")
    name, _, only = head.partition("@")
    if not name or not equals:
        raise ConfigError(f"a system is NAME=key:value,key:value, not {text!r}")
    if rest.endswith((".yaml", ".yml")):
        return [_fitted(name, Path(rest), members)]
    try:
        settings = yaml.safe_load("{" + _KEY.sub(r"\1\2: ", rest) + "}")
        DecodingConfig().override(**settings)
    except (yaml.YAMLError, TypeError) as error:
        raise ConfigError(f"the system {text!r} cannot be read: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    chosen = [_members(only, members)] if only else groups
    return [Plan(f"{'+'.join(group)} {name}", group, settings) for group in chosen]


def _fitted(name: str, path: Path, members: Sequence[str]) -> Plan:
    """A system from `ensemble.yaml`: members by the names that they have here."""
    specs, settings = read_models(path)
    heard = {one: spec.weight for one, spec in zip(names_of(specs), specs, strict=True)
             if spec.weight > 0}  # fmt: skip
    group = _members("+".join(heard), members)
    if len(group) > 1:
        settings["weights"] = list(heard.values())
    return Plan(f"{'+'.join(group)} {name}", group, settings)


def needed(
    folders: Mapping[str, Path], plans: Sequence[Plan], dtype: str, plain: Collection[str]
) -> list[MemberSpec]:
    """The members that some system needs; see `specs_of`."""
    used = {name for one in plans for name in one.members}
    return [spec for spec in specs_of(folders, dtype, plain, KEPT_MB) if spec.name in used]


def build(
    plans: Sequence[Plan], members: Sequence[LocalMember], shared: Mapping[str, Any]
) -> list[System]:
    """Systems that answer, with the settings that all share (a task's).

    Raises:
        ConfigError: settings do not fit the members, such as the number of weights.
    """
    by_name = {member.name: member for member in members}
    alone = {one.name: one for one in members_alone(Ensemble(members), shared)}
    return [
        alone[one.name]
        if one.name in alone
        else together(
            one.name, Ensemble([by_name[name] for name in one.members]), shared, one.settings
        )
        for one in plans
    ]
