"""On whose behalf a thread works: for what gives turns to callers. Knows nothing of the work."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["calling_as", "current_caller"]

_caller: ContextVar[Hashable] = ContextVar("caller")


@contextmanager
def calling_as(caller: Hashable) -> Iterator[None]:
    """Work on behalf of a caller, whose requests may come from one thread or another.

    Without it each thread is a caller of its own.
    """
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def current_caller() -> Hashable:
    """The caller that this thread works for: itself, unless `calling_as` says otherwise."""
    return _caller.get(threading.get_ident())
