"""Several generators at the same time, each in a thread; knows nothing of what they yield."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import takewhile
from typing import TypeVar

__all__ = ["drain"]

T = TypeVar("T")


def drain(streams: Sequence[Generator[T]], width: int) -> list[list[T]]:
    """What each generator yields, in order; `width` of them run at the same time.

    The first that fails ends the others behind their next item, and its error is raised.
    """
    stop = threading.Event()

    def items_of(stream: Generator[T]) -> list[T]:
        with closing(stream):
            return list(takewhile(lambda _: not stop.is_set(), stream))

    with ThreadPoolExecutor(width) as pool:
        rows = [pool.submit(items_of, stream) for stream in streams]
        try:
            done, _ = wait(rows, return_when=FIRST_EXCEPTION)
            failed = [row for row in rows if row in done and row.exception() is not None]
            return [row.result() for row in failed or rows]
        finally:
            stop.set()
            for row in rows:
                row.cancel()
