"""Ensembles that are loaded on first use and shared by every model object with the same members.

Knows no framework and no torch: what is shared is a promise to load, kept once.
"""

from __future__ import annotations

import threading
import uuid
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from adafuse.backends import Backend
from adafuse.ensemble import Ensemble
from adafuse.spec import MemberSpec

__all__ = ["SharedEnsemble", "ensemble_token", "share"]


class SharedEnsemble:
    """Members that are loaded when first asked for, once, whichever thread asks first.

    Attributes:
        key: what is loaded and how: the arguments.

    A load that fails is not remembered: the next call tries again.
    """

    def __init__(
        self,
        specs: tuple[MemberSpec, ...],
        device: str | None,
        dtype: str | None,
        backend: Backend = "local",
        address: str | None = None,
    ) -> None:
        self.key = (specs, device, dtype, backend, address)
        self._lock = threading.Lock()
        self._ensemble: Ensemble | None = None

    @property
    def loaded(self) -> Ensemble | None:
        """The ensemble, if somebody has asked for it already."""
        return self._ensemble

    def get(self) -> Ensemble:
        """Return the ensemble, loading it if need be.

        Raises:
            ConfigError, LoadError: as `Ensemble.load`.
        """
        with self._lock:
            if self._ensemble is None:
                specs, device, dtype, backend, address = self.key
                self._ensemble = Ensemble.load(
                    specs, device=device, dtype=dtype, backend=backend, address=address
                )
            return self._ensemble

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
    new = SharedEnsemble(specs, device, dtype, backend, address)
    with _lock:
        for shared in _shared:  # compared, not hashed: a specification may hold dicts
            if shared.key == new.key:
                return shared
        _shared.add(new)
        return new


def ensemble_token(ensemble: Ensemble) -> str:
    """A name for an ensemble built elsewhere that no other ensemble has, in any process.

    Its members need not say what they were loaded from, and an answer must never be taken from a
    cache that another ensemble filled.
    """
    with _lock:
        return _tokens.setdefault(ensemble, uuid.uuid4().hex)
