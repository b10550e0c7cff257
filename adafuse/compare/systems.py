"""What is compared: each member alone, the ensemble, and variants of its settings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from adafuse.config import DecodingConfig
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError

__all__ = [
    "ENSEMBLE",
    "System",
    "explored",
    "members_alone",
    "of_members",
    "read_variant",
    "together",
]


@dataclass(frozen=True, slots=True)
class System:
    """Members that answer, and what is set of `DecodingConfig` by name, for reports."""

    name: str
    members: tuple[str, ...]
    settings: Mapping[str, Any]
    ensemble: Ensemble = field(repr=False, compare=False)

    @property
    def alone(self) -> bool:
        """Whether it is one member by itself."""
        return len(self.members) == 1

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that tell it from others, if members of one name are the same."""
        config = asdict(self.ensemble.config)
        identity: dict[str, Any] = {"members": self.members, "settings": config}
        weights = [float(member.weight) for member in self.ensemble.members]
        if config["weights"] is None and len(set(weights)) > 1:  # the members' own
            identity["weights"] = weights
        return identity


ENSEMBLE = "ensemble"
"""Name of the ensemble with the settings of the whole comparison: the defaults, unless set."""

_OF_SEVERAL = ("rule", "combine", "weights", "prompt_exponent", "preset")


def members_alone(ensemble: Ensemble, shared: Mapping[str, Any]) -> list[System]:
    """Every member by itself, greedily: what it writes without adafuse."""
    settings = {name: value for name, value in shared.items() if name not in _OF_SEVERAL}
    settings |= {"branches": 1, "weights": (1.0,)}  # also of a member whose weight is 0
    return [
        System(
            member.name,
            (member.name,),
            {"branches": 1},
            Ensemble([member], DecodingConfig().override(**settings)),
        )
        for member in ensemble.members
    ]


def of_members(
    settings: Mapping[str, Any], everyone: Sequence[str], chosen: Sequence[str]
) -> dict[str, Any]:
    """Settings that were made for all members, for those of them that were chosen.

    What is wrong with them is left for `together` to say.
    """
    weights = DecodingConfig().override(**settings).weights
    if weights is None or len(weights) != len(everyone):
        return dict(settings)
    own = [weights[everyone.index(name)] for name in chosen]
    # Members that count for nothing among others are equals among themselves.
    return {**settings, "weights": own if any(own) else None}


def together(
    name: str, ensemble: Ensemble, shared: Mapping[str, Any], settings: Mapping[str, Any]
) -> System:
    """Members with the settings of the whole comparison, and this system's own before them."""
    try:
        config = DecodingConfig().override(**{**shared, **settings})
        configured = Ensemble(ensemble.members, config)
        configured.stream("?").close()  # what does not fit these members is refused now
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    members = tuple(member.name for member in ensemble.members)
    return System(name, members, dict(settings), configured)


def read_variant(text: str) -> tuple[str, dict[str, Any]]:
    """A variant written as "branches=1 weights=[1,2]" or "name: branches=1": name and settings.

    Values are JSON, or else text. `preset=paper` is a setting, too.
    """
    name, colon, rest = text.partition(":")
    if not colon or "=" in name:
        name, rest = text.strip(), text
    settings: dict[str, Any] = {}
    try:
        parts = shlex.split(rest)
    except ValueError as error:
        raise ConfigError(f"the variant {text!r} cannot be read: {error}") from None
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ConfigError(f"the variant {text!r} must be settings such as 'branches=1 seed=2'")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            if value[:1] in ("[", "{", '"'):
                raise ConfigError(
                    f"the variant {text!r}: {value} is no JSON; a shell and this option both take "
                    "quotes away, so put values with quotes in ' … '"
                ) from None
            settings[key] = {"True": True, "False": False, "None": None}.get(value, value)
    if not settings:
        raise ConfigError(f"the variant {text!r} has no settings")
    DecodingConfig().override(**settings)
    return name.strip(), settings


def explored() -> dict[str, dict[str, Any]]:
    """The usual variants, each of one change to the defaults, and the paper's settings."""
    return {
        "3 branches": {"branches": 3},
        "5 branches": {"branches": 5},
        "product": {"combine": "product"},
        "paper": {"preset": "paper"},
    }
