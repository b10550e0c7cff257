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
    """Answer a request whose body, of `limit` bytes at most, is not read yet."""
    visit = Visit(service.metrics, request.url.path)
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
            return _Events(_events(first, rounds, answers, reply, visit), answers, visit)
        whole = await _unless_gone(request, _whole(rounds, answers, reply, visit))
    except BaseException as error:
        answers.close()
        if isinstance(error, Exception):
            return _failed(error, visit)
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
        for _ in reply.pieces(at, round_):
            pass
    return reply.whole(answers.incomplete)


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of some work, or ClientDisconnect once nobody waits for it any more."""

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
    """An answer as server-sent events; ends its answers, and the visit, with the response."""

    def __init__(self, events: AsyncGenerator[str], answers: Answers, visit: Visit) -> None:
        self._answers = answers
        self._visit = visit
        # A proxy that gathers what it passes on would hold words back.
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(events, headers=headers, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the base class, which may be cancelled anywhere."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answers.close()
            self._visit.end("gone")  # unless it has ended otherwise


async def _events(
    first: tuple[int, Round], rounds: _Rounds, answers: Answers, reply: Reply, visit: Visit
) -> AsyncGenerator[str]:
    visit.words()
    for piece in (*reply.begin(), *reply.pieces(*first)):
        yield _event(piece)
    try:
        async with aclosing(rounds):
            async for at, round_ in rounds:
                for piece in reply.pieces(at, round_):
                    yield _event(piece)
    except Exception as error:
        described = api_error(error, ARGUMENTS)
        visit.end(described.code)
        yield _event(described.body)
        return
    for piece in reply.end(answers.incomplete):
        yield _event(piece)
    visit.end("ok")
    yield "data: [DONE]\n\n"


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
