"""A generator that decodes in a worker thread, read from an event loop.

Knows no framework. The loop is never blocked: the thread hands items over as they come.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

__all__ = ["Decoders", "ThreadedIterator"]

T = TypeVar("T")


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _Channel(Generic[T]):
    """What the thread and the loop share. It does not know the iterator, so that an iterator
    nobody reads any more can be collected, which stops the thread."""

    make: Callable[[], Generator[T]]
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[_Item[T] | BaseException | None] = field(default_factory=asyncio.Queue)
    stop: threading.Event = field(default_factory=threading.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def run(self) -> None:
        """Iterate to the end, or until told to stop, and close the generator; in the thread."""
        end: BaseException | None = None
        try:
            items = self.make()
            try:
                for item in items:
                    if self.stop.is_set():
                        break
                    self._post(_Item(item))
            finally:
                items.close()
        except BaseException as error:  # the reader raises it
            end = error
        self._post(end)

    def _post(self, message: _Item[T] | BaseException | None) -> None:
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, message)
            if not isinstance(message, _Item):
                self.loop.call_soon_threadsafe(self.finished.set)
        except RuntimeError:  # the loop is closed, so there is no reader
            self.stop.set()


class ThreadedIterator(AsyncIterator[T]):
    """Iterates `make()` in a thread of its own, which starts with the first item asked for.

    The generator is made, advanced and closed in that one thread. A thread of its own, because a
    long answer would occupy a place in the loop's executor, which name look-ups need too.
    """

    def __init__(self, make: Callable[[], Generator[T]]) -> None:
        self._make = make
        self._channel: _Channel[T] | None = None
        self._ended = False

    def __aiter__(self) -> ThreadedIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._ended:
            raise StopAsyncIteration
        if self._channel is None:
            self._channel = _Channel(self._make, asyncio.get_running_loop())
            run = contextvars.copy_context().run
            threading.Thread(target=run, args=(self._channel.run,), name="adafuse").start()
        message = await self._channel.queue.get()
        if isinstance(message, _Item):
            return message.value
        self._ended = True
        if message is not None:
            raise message
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop after the item being made, and wait until the generator is closed.

        Closing twice, also at the same time, is allowed.
        """
        self._ended = True
        if self._channel is not None:
            self._channel.stop.set()
            await self._channel.finished.wait()

    def __del__(self) -> None:
        if self._channel is not None:
            self._channel.stop.set()


class Decoders:
    """The decoders of one call.

    Frameworks put generators of their own around a decoder, and leave it to the garbage collector
    when those are closed. What goes through `relay` waits for it.
    """

    def __init__(self) -> None:
        self._open: list[ThreadedIterator[Any]] = []

    async def decode(self, make: Callable[[], Generator[T]]) -> AsyncGenerator[T]:
        """Iterate `make()` in a thread, which ends with this."""
        decoder = ThreadedIterator(make)
        self._open.append(decoder)
        try:
            async with aclosing(decoder):
                async for item in decoder:
                    yield item
        finally:
            self._open.remove(decoder)

    async def relay(self, items: AsyncIterator[T]) -> AsyncGenerator[T]:
        """Pass on what a framework made of a decoder's items; closing it closes the decoder."""
        try:
            async with aclosing(cast("AsyncGenerator[T]", items)):
                async for item in items:
                    yield item
        finally:
            for decoder in list(self._open):
                await decoder.aclose()
