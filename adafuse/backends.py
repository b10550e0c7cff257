"""Where members are loaded: in this process, or on a cluster."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

from adafuse.decoding.member import Member
from adafuse.errors import ConfigError
from adafuse.spec import MemberSpec
from adafuse.validation import check_choice, show

__all__ = ["Backend", "check_backend", "load_on", "no_collections"]

Backend = Literal["local", "ray"]


def check_backend(specs: Sequence[MemberSpec], backend: object, address: object) -> None:
    """Raise ConfigError if there is no such backend, or something is asked that it has not."""
    check_choice("backend", backend, get_args(Backend))
    if backend == "ray":
        if address is not None and (not isinstance(address, str) or not address):
            raise ConfigError(f"address must be a non-empty string or None, not {show(address)}")
        return
    if address is not None:
        raise ConfigError("address is for backend 'ray'; members of this process have none")
    for spec in specs:
        if spec.ray is not None:
            raise ConfigError(f"member {spec.model!r} has ray options; they are for backend 'ray'")


def load_on(
    backend: Backend,
    specs: Sequence[MemberSpec],
    *,
    device: str | None,
    dtype: str | None,
    address: str | None,
) -> Sequence[Member]:
    """Load members; arguments and errors as for `adafuse.Ensemble.load`."""
    check_backend(specs, backend, address)
    if backend == "ray":
        from adafuse.remote.ray import load_actors  # needs an extra

        return load_actors(specs, device=device, dtype=dtype, address=address)
    with no_collections():
        from adafuse.loading.loader import load_members  # torch is imported when a model is loaded

        return load_members(specs, device=device, dtype=dtype)


@contextmanager
def no_collections() -> Iterator[None]:
    """Keep Python from looking for garbage.

    Libraries and vocabularies are millions of new objects, all of them to stay: looking through
    them again and again takes a quarter of the time of loading.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
