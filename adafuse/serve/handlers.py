"""One request for an answer, from its body to the response: whole, or a stream of events.

Whatever ends the response early, a caller that went away above all, ends the decoding too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from adafuse.events import Round
from adafuse.serve.auth import parse_object, read_body
from adafuse.serve.errors import api_error
from adafuse.serve.metrics import Visit
from adafuse.serve.request import ARGUMENTS, Ask, Served
from adafuse.serve.response import Reply
from adafuse.serve.service import Answers, RequestService

__all__ = ["error_response", "respond"]

T = TypeVar("T")
_Rounds = AsyncGenerator[tuple[int, Round]]


def error_response(error: BaseException) -> JSONResponse:
    """An error as a response."""
    described = api_error(error, ARGUMENTS)
    return JSONResponse(described.body, described.status, described.headers)


async def respond(
    service: RequestService,
    request: Request,
    read: Callable[[Mapping[str, Any], Served], Ask],
    limit: int,
) -> Response:
    """Answer a request.

    Args:
        service: where it is handed in.
        request: its body is not read yet.
        read: checks the body.
        limit: of the body, in bytes.
    """
    visit = service.metrics.visit(request.url.path)
    try:
        served = service.check()
        body = await read_body(request, limit)
        # A long body takes a moment, in which others are served.
        ask = await asyncio.to_thread(lambda: read(parse_object(body), served))
        answers = service.begin(ask)
    except Exception as error:
        return _failed(error, visit)
    reply = Reply(ask, served)
    rounds = answers.rounds()
    try:
        if ask.stream:
            # What is refused has a status of its own as long as nothing is sent.
            first = await _unless_gone(request, anext(rounds))
            return _Events(first, rounds, answers, reply, visit)
        whole = await _unless_gone(request, _whole(rounds, answers, reply, visit))
    except Exception as error:
        answers.close()
        return _failed(error, visit)
    except BaseException:
        answers.close()
        raise
    visit.end("ok")
    return JSONResponse(whole)


def _failed(error: Exception, visit: Visit) -> Response:
    gone = isinstance(error, ClientDisconnect)
    visit.end("gone" if gone else api_error(error).code)
    return Response(status_code=400) if gone else error_response(error)  # nobody reads the first


async def _whole(rounds: _Rounds, answers: Answers, reply: Reply, visit: Visit) -> dict[str, Any]:
    async for at, round_ in rounds:
        visit.words()
        reply.feed(at, round_)
    return reply.whole(answers.incomplete)


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of some work, as long as somebody waits for it.

    Raises:
        ClientDisconnect: nobody does; the work is cancelled.
    """

    async def watching() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    result, gone = asyncio.ensure_future(work), asyncio.create_task(watching())
    try:
        await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientDisconnect
        return result.result()
    finally:
        result.cancel()
        gone.cancel()


class _Events(StreamingResponse):
    """An answer as server-sent events.

    Args:
        first: the first round.
        rounds: the others.
        answers: what they come from; closed with the response.
        reply: lays them out.
        visit: gets the outcome.
    """

    def __init__(
        self, first: tuple[int, Round], rounds: _Rounds, answers: Answers, reply: Reply,
        visit: Visit,
    ) -> None:  # fmt: skip
        self._first = first
        self._rounds = rounds
        self._answers = answers
        self._reply = reply
        self._visit = visit
        # A proxy that gathers what it passes on would hold words back.
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(self._events(), headers=headers, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the base class, which may be cancelled anywhere."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answers.close()
            self._visit.end("gone")  # unless it has ended otherwise

    async def _events(self) -> AsyncGenerator[str]:
        self._visit.words()
        for piece in (*self._reply.begin(), *self._reply.pieces(*self._first)):
            yield _event(piece)
        try:
            async with aclosing(self._rounds):
                async for at, round_ in self._rounds:
                    for piece in self._reply.pieces(at, round_):
                        yield _event(piece)
        except Exception as error:
            described = api_error(error, ARGUMENTS)
            self._visit.end(described.code)
            yield _event(described.body)
            return
        for piece in self._reply.end(self._answers.incomplete):
            yield _event(piece)
        self._visit.end("ok")
        yield "data: [DONE]\n\n"


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
