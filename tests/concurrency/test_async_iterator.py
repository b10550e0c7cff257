"""A generator in a worker thread, read from an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator

import pytest

from adafuse.concurrency.async_iterator import ThreadedIterator
from waiting import PATIENCE, async_until, no_decoder_runs, turns, until
from watched_members import run


def endless() -> Generator[int]:
    """Numbers, until it is closed."""
    number = 0
    while True:
        yield number
        number += 1
        time.sleep(0.001)  # the loop has its turn


def test_a_threaded_iterator_runs_in_one_thread_and_closes_there() -> None:
    threads: list[threading.Thread] = []
    go_on = threading.Event()

    def items() -> Generator[int]:
        try:
            for i in range(100):
                threads.append(threading.current_thread())
                yield i
                assert i < 5 or go_on.wait(PATIENCE)
        finally:
            threads.append(threading.current_thread())

    async def main() -> None:
        iterator = ThreadedIterator(items)
        assert [await anext(iterator) for _ in range(3)] == [0, 1, 2]
        closing = asyncio.gather(iterator.aclose(), iterator.aclose())
        await turns()
        go_on.set()
        await closing
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)

    run(main())
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()
    assert 4 <= len(threads) <= 8


def test_the_generator_is_closed_though_somebody_keeps_it() -> None:
    closed = []

    def items() -> Generator[int]:
        try:
            yield from endless()
        finally:
            closed.append(True)

    kept = items()

    async def main() -> None:
        iterator = ThreadedIterator(lambda: kept)
        await anext(iterator)
        await iterator.aclose()
        assert closed

    run(main())


def test_an_iterator_that_is_dropped_stops_its_thread() -> None:
    async def main() -> None:
        await anext(ThreadedIterator(endless))
        await async_until(no_decoder_runs)

    run(main())


def test_a_threaded_iterator_raises_what_the_generator_raised_after_its_items() -> None:
    def items() -> Generator[int]:
        yield 1
        raise KeyError("later")

    async def main() -> None:
        iterator = ThreadedIterator(items)
        assert await anext(iterator) == 1
        with pytest.raises(KeyError, match="later"):
            await anext(iterator)

    run(main())


def test_a_decoder_whose_loop_is_gone_stops() -> None:
    loop = asyncio.new_event_loop()
    iterator = ThreadedIterator(endless)
    assert loop.run_until_complete(anext(iterator)) == 0
    loop.close()
    until(no_decoder_runs)
