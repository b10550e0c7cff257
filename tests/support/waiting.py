"""Waiting for what comes true, however slow the machine is; a test fails only where it never does.

No test asserts how long something took: what has to come in an order is held back by events, and
what passes by itself goes by a `Clock` that stands still.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["PATIENCE", "Clock", "async_until", "no_decoder_runs", "turns", "until"]

PATIENCE = 300.0
"""Seconds after which a test has failed; none waits so long unless something hangs."""

_now, _sleep = time.monotonic, time.sleep  # those of the machine, where a test has its own


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What a condition returns, once that is true."""
    end = _now() + seconds
    while not (value := condition()):
        assert _now() < end, "it does not come true"
        _sleep(0.002)
    return value


async def async_until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Likewise, from an event loop, which goes on meanwhile."""
    end = _now() + seconds
    while not (value := condition()):
        assert _now() < end, "it does not come true"
        await asyncio.sleep(0.002)
    return value


async def turns(count: int = 100) -> None:
    """Let the event loop, and the threads that it hands work to, do what they have to do."""
    for _ in range(count):
        await asyncio.sleep(0.001)


def no_decoder_runs() -> bool:
    return not any(thread.name == "adafuse" for thread in threading.enumerate())


class Clock:
    """A monotonic clock that passes only where somebody sleeps; see the fixture `clock`."""

    def __init__(self) -> None:
        self.now = _now()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
