"""What tells one ensemble from another: names to show, and plain values for cache keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from adafuse.ensemble import Ensemble
from adafuse.spec import MemberSpec, names_of
from adafuse_integrations._shared.ensemble_registry import ensemble_token

__all__ = ["loadable", "member_names", "members_identity"]

# Keys of loading options that open a repository and do not change what is loaded.
_SECRET = frozenset({"api_key", "auth_token", "hf_token", "token", "use_auth_token"})


def member_names(members: Ensemble | Sequence[MemberSpec]) -> tuple[str, ...]:
    """Names for display: those given, else the last part of what is loaded, as loading has it."""
    if isinstance(members, Ensemble):
        return tuple(member.name for member in members.members)
    return tuple(names_of(members))


def members_identity(members: Ensemble | Sequence[MemberSpec]) -> list[dict[str, Any]]:
    """Plain values that are equal exactly for members that are loaded alike; no secrets.

    An ensemble that was built elsewhere cannot say what its members were loaded from, so it is
    equal to itself only.
    """
    if isinstance(members, Ensemble):
        token = ensemble_token(members)
        return [
            {"name": member.name, "weight": member.weight, "ensemble": token}
            for member in members.members
        ]
    return [{f.name: _plain(getattr(spec, f.name)) for f in fields(spec)} for spec in members]


def _plain(value: object) -> Any:
    """Turn a loading option into plain values, in an order that does not depend on insertion."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        kept = {str(key): _plain(item) for key, item in value.items() if key not in _SECRET}
        return dict(sorted(kept.items()))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    to_dict = getattr(value, "to_dict", None)  # transformers' configurations have one
    return {type(value).__name__: _plain(to_dict()) if callable(to_dict) else repr(value)}


def loadable(specs: Sequence[MemberSpec]) -> list[Any]:
    """Members as values to write down and read back with `as_spec`: names or mappings, no secrets.

    A loading option that is no plain value, and cannot say what it is as one, is left as it is.
    """
    described = []
    for spec in specs:
        plain = MemberSpec(spec.model)
        values = {f.name: getattr(spec, f.name) for f in fields(spec)}
        changed = {name: value for name, value in values.items() if value != getattr(plain, name)}
        writable = {name: _writable(value) for name, value in changed.items()}
        options = {name: value for name, value in writable.items() if value != {}}
        described.append({"model": spec.model, **options} if options else spec.model)
    return described


def _writable(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _writable(item) for key, item in value.items() if key not in _SECRET}
    to_dict = getattr(value, "to_dict", None)
    return to_dict() if callable(to_dict) else value
