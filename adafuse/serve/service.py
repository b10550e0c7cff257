"""Answers that are being decoded, each in a thread of its own, as many at once as the gate admits.

The event loop reads what the threads write and is never blocked. Whatever ends an answer early (a
caller that went away, an error, the server's end) ends its thread at the next round, and gives its
place back then. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal

from adafuse.concurrency.admission import Admission, Place
from adafuse.concurrency.async_iterator import ThreadedIterator
from adafuse.decoding.subset import answering_config
from adafuse.ensemble import Ensemble
from adafuse.errors import AdaFuseError, ConfigError, IncompleteAnswerError, QueueFullError
from adafuse.events import Round
from adafuse.serve.errors import ApiError
from adafuse.serve.metrics import Metrics
from adafuse.serve.request import Ask, Served

__all__ = ["Answers", "Desk", "RequestService"]

_log = logging.getLogger(__name__)
_LEAST_SECONDS = 1e-3  # what is left of a limit is above 0


class RequestService:
    """Where requests are handed in.

    Args:
        name: of the whole ensemble, as a model.
        gate: bounds how many answers are decoded at once, and how many wait.

    Attributes:
        state: "loading" until there is an ensemble; "draining" once no more is taken.
        metrics: of all answers.
    """

    def __init__(self, name: str, gate: Admission) -> None:
        self.state: Literal["loading", "ready", "draining"] = "loading"
        self.metrics = Metrics(gate)
        self._name = name
        self._gate = gate
        self._ensemble: Ensemble | None = None
        self._served: Served | None = None
        self._open: set[Answers] = set()

    def open(self, ensemble: Ensemble) -> None:
        """Begin to answer.

        Raises:
            ConfigError: a member has the ensemble's name as a model, or settings of the ensemble
                do not fit its members.
        """
        members = tuple(member.name for member in ensemble.members)
        if self._name in members and len(members) > 1:
            raise ConfigError(f"the model's name {self._name!r} is a member's; choose another one")
        answering_config(members, range(len(members)), ensemble.config)
        self._ensemble = ensemble
        self._served = Served(self._name, members, ensemble.config)
        self.metrics.labels_of(members)
        if self.state == "loading":
            self.state = "ready"

    def check(self) -> Served:
        """What there is to ask.

        Raises:
            ApiError: nothing yet, or nothing any more.
        """
        if self.state == "ready" and self._served is not None:
            return self._served
        raise ApiError(503, f"the server is {self.state}; ask again later", code=self.state)

    def begin(self, ask: Ask) -> Answers:
        """Take places for all answers of a request; `Answers.close` gives them back.

        Raises:
            QueueFullError: there are not enough.
            ApiError: the server is loading or draining.
        """
        self.check()
        places: list[Place] = []
        try:
            for _ in ask.prompts:
                places.append(self._gate.join())  # noqa: PERF401 (those taken are given back)
        except QueueFullError:
            for place in places:
                place.leave()
            raise
        answers = Answers(self, ask, places)
        self._open.add(answers)
        return answers

    def rounds(self, ask: Ask, at: int, spent: float) -> Generator[Round]:
        """Decode the answer to one prompt, `spent` seconds after it was asked."""
        assert self._ensemble is not None
        config = ask.config
        if config.timeout is not None:
            config = replace(config, timeout=max(config.timeout - spent, _LEAST_SECONDS))
        rated = ask.logprobs is not None
        return self._ensemble._decode(ask.prompts[at], config, ask.chosen, rated=rated)

    @property
    def busy(self) -> bool:
        """Whether an answer is being decoded, or waits."""
        return bool(self._open)

    def drain(self) -> None:
        """Take no more requests."""
        self.state = "draining"

    async def drained(self, seconds: float) -> bool:
        """Wait until all answers have ended; whether they have."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.busy:
                    await asyncio.sleep(0.02)
        return not self.busy

    def cancel(self) -> None:
        """End all answers, at their next rounds, with an error that says so."""
        for answers in list(self._open):
            answers.stop(ApiError(503, "the server is shutting down", code="shutting_down"))


class Answers:
    """The answers of one request, while they are decoded.

    Attributes:
        incomplete: why an answer is not what it must be, by the index of its prompt.
    """

    def __init__(self, service: RequestService, ask: Ask, places: list[Place]) -> None:
        self.incomplete: dict[int, str] = {}
        self._service = service
        self._ask = ask
        self._begun = time.monotonic()
        self._queue: asyncio.Queue[tuple[int, Round | BaseException | None]] = asyncio.Queue()
        self._tasks = [
            asyncio.create_task(self._decode(at, place)) for at, place in enumerate(places)
        ]
        for task, place in zip(self._tasks, places, strict=True):
            # Not at the end of the task: one that is cancelled at once never begins.
            task.add_done_callback(partial(self._ended, place))

    async def rounds(self) -> AsyncGenerator[tuple[int, Round]]:
        """Rounds as they come, each with the index of its prompt.

        Raises:
            ApiError, AdaFuseError: the first error of any answer; the others are stopped.
        """
        going = len(self._tasks)
        while going:
            await asyncio.sleep(0)  # a reader of much that is there must not keep the loop
            at, event = await self._queue.get()
            if isinstance(event, BaseException):
                self.close()
                raise event
            if event is None:
                going -= 1
            else:
                yield at, event

    def stop(self, error: ApiError) -> None:
        """End the answers at their next rounds; whoever reads them gets the error."""
        self._queue.put_nowait((0, error))
        self.close()

    def close(self) -> None:
        """End those answers that have not ended, at their next rounds. Does not wait for it."""
        for task in self._tasks:
            task.cancel()

    def _ended(self, place: Place, _: asyncio.Task[None]) -> None:
        place.leave()
        if all(task.done() for task in self._tasks):
            self._service._open.discard(self)

    async def _decode(self, at: int, place: Place) -> None:
        decoder: ThreadedIterator[Round] | None = None
        end: BaseException | None = None
        try:
            await self._admitted(place)
            spent = time.monotonic() - self._begun
            decoder = ThreadedIterator(lambda: self._service.rounds(self._ask, at, spent))
            async for round_ in decoder:
                self._service.metrics.round(round_)
                self._queue.put_nowait((at, round_))
        except IncompleteAnswerError as error:  # its rounds are all there, and say why it ended
            self.incomplete[at] = str(error)
        except Exception as error:
            self._service.metrics.failed(error)
            if not isinstance(error, AdaFuseError | ApiError):
                _log.exception("an answer failed")
            end = error
        finally:
            if decoder is not None:
                await decoder.aclose()
            self._queue.put_nowait((at, end))

    async def _admitted(self, place: Place) -> None:
        limit = self._ask.config.timeout
        try:
            await asyncio.wait_for(asyncio.wrap_future(place.ready), limit)
        except TimeoutError:
            message = f"no place was free within {limit:g} seconds; ask again later"
            raise ApiError(503, message, code="queue_timeout") from None


Desk = RequestService  # the class's former name, which users import
