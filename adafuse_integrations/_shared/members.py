"""Which members a model object has: where it is told, what they are, and how they are shared.

    ADAFUSE_MODELS   the members: hub ids, folders or files, separated by commas, or a JSON list of
                     those and of specifications
    ADAFUSE_DEVICE   the device of members whose specification names none
    ADAFUSE_DTYPE    their number format

Knows no framework and no torch: what is shared is a promise to load, kept once.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from adafuse.backends import Backend
from adafuse.decoding.member import Member
from adafuse.ensemble import Ensemble
from adafuse.errors import ConfigError
from adafuse.spec import SECRETS, MemberSpec, loadable, names_of

__all__ = [
    "SharedEnsemble",
    "configured_window",
    "from_environment",
    "loadable",
    "member_names",
    "members_identity",
    "share",
    "smallest_window",
]


def from_environment(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with those that are not given taken from the environment."""
    filled = dict(values)
    models = os.environ.get("ADAFUSE_MODELS", "").strip()
    if values.get("models") is not None or values.get("ensemble") is not None or not models:
        return filled
    filled["models"] = _members(models)
    for name in ("device", "dtype"):
        if name not in values and (value := os.environ.get(f"ADAFUSE_{name.upper()}", "").strip()):
            filled[name] = value
    return filled


def _members(text: str) -> list[Any]:
    if not text.startswith("["):
        return [name for part in text.split(",") if (name := part.strip())]
    try:
        listed: list[Any] = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"ADAFUSE_MODELS is no JSON list: {error}") from None
    return listed


class SharedEnsemble:
    """Members that are loaded when first asked for, once, whichever thread asks first.

    Attributes:
        key: what is loaded and how: the arguments of `share`.
        loaded: the ensemble, if somebody has asked for it already.

    A load that fails is not remembered: the next call tries again.
    """

    def __init__(
        self, key: tuple[Sequence[MemberSpec], str | None, str | None, Backend, str | None]
    ):
        self.key = key
        self.loaded: Ensemble | None = None
        self._lock = threading.Lock()

    def get(self) -> Ensemble:
        """Return the ensemble, loading it if need be; errors as of `Ensemble.load`."""
        with self._lock:
            if self.loaded is None:
                specs, device, dtype, backend, address = self.key
                self.loaded = Ensemble.load(
                    specs, device=device, dtype=dtype, backend=backend, address=address
                )
            return self.loaded

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedEnsemble:
        """Model weights are shared by copies too."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without weights: a promise to load the same members."""
        return share, self.key


# Weak: members are let go of with the last model object that uses them.
_shared: WeakSet[SharedEnsemble] = WeakSet()
_tokens: WeakKeyDictionary[Ensemble, str] = WeakKeyDictionary()
_lock = threading.Lock()


def share(
    specs: tuple[MemberSpec, ...],
    device: str | None,
    dtype: str | None,
    backend: Backend = "local",
    address: str | None = None,
) -> SharedEnsemble:
    """Return the shared ensemble of these members; nothing is loaded here."""
    new = SharedEnsemble((specs, device, dtype, backend, address))
    with _lock:
        for shared in _shared:  # compared, not hashed: a specification may hold dicts
            if shared.key == new.key:
                return shared
        _shared.add(new)
        return new


def member_names(members: Ensemble | Sequence[MemberSpec]) -> tuple[str, ...]:
    """Names for display: those given, else the last part of what is loaded, as loading has it."""
    if isinstance(members, Ensemble):
        return tuple(member.name for member in members.members)
    return tuple(names_of(members))


def members_identity(members: Ensemble | Sequence[MemberSpec]) -> list[dict[str, Any]]:
    """Plain values that are equal exactly for members that are loaded alike; no secrets.

    An ensemble that was built elsewhere cannot say what its members were loaded from, so it is
    equal to itself only, in any process: an answer must never come from another one's cache.
    """
    if not isinstance(members, Ensemble):
        return [{f.name: _plain(getattr(spec, f.name)) for f in fields(spec)} for spec in members]
    with _lock:
        token = _tokens.setdefault(members, uuid.uuid4().hex)
    return [{"name": m.name, "weight": m.weight, "ensemble": token} for m in members.members]


def _plain(value: object) -> Any:
    """Turn a loading option into plain values, in an order that does not depend on insertion."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        kept = {str(key): _plain(item) for key, item in value.items() if key not in SECRETS}
        return dict(sorted(kept.items()))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    to_dict = getattr(value, "to_dict", None)  # transformers' configurations have one
    return {type(value).__name__: _plain(to_dict()) if callable(to_dict) else repr(value)}


def smallest_window(members: Sequence[Member]) -> int | None:
    """The smallest window, in tokens, or None if no member has a limit that it tells."""
    holders = [getattr(member, "runner", member) for member in members]
    windows = [getattr(holder, "window", None) for holder in holders]
    return min((window for window in windows if window is not None), default=None)


def configured_window(specs: Iterable[MemberSpec]) -> int | None:
    """Likewise, as config.json files have it; None unless every member has one that says so."""
    windows = [_configured(Path(spec.model).expanduser() / "config.json") for spec in specs]
    return None if None in windows else min(filter(None, windows), default=None)


def _configured(path: Path) -> int | None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    text = config.get("text_config", config) if isinstance(config, Mapping) else {}
    if not isinstance(text, Mapping):
        return None
    scaling = text.get("rope_scaling") or text.get("rope_parameters") or {}
    kinds = (scaling.get("type"), scaling.get("rope_type")) if isinstance(scaling, Mapping) else ()
    if "longrope" in kinds or "su" in kinds:
        return None  # the window is not what its number says; the loaded model knows
    windows = (text.get(name) for name in ("max_position_embeddings", "n_positions"))
    return next((window for window in windows if isinstance(window, int)), None)
