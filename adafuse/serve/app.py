"""Which path does what: OpenAI's chat completions, completions and models; health and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from adafuse._version import __version__
from adafuse.serve.auth import Keys
from adafuse.serve.errors import ApiError
from adafuse.serve.handlers import error_response, respond
from adafuse.serve.metrics import CONTENT_TYPE_LATEST
from adafuse.serve.request import read_chat, read_completion
from adafuse.serve.service import RequestService

__all__ = ["MAX_BODY_BYTES", "create_app"]

MAX_BODY_BYTES = 4 * 2**20


def create_app(
    service: RequestService, *, keys: Sequence[str] = (), max_body_bytes: int = MAX_BODY_BYTES
) -> FastAPI:
    """An application that answers with what a service decodes.

    One of the keys must come with each request, but for health; without any, anybody may ask.
    """
    app = FastAPI(title="adafuse", version=__version__, openapi_url=None)
    app.add_exception_handler(ApiError, _respond_error)
    app.add_exception_handler(HTTPException, _respond_error)
    app.include_router(_health(service))
    guarded = APIRouter(dependencies=[Depends(Keys(keys).check)])

    async def chat(request: Request) -> Response:
        return await respond(service, request, read_chat, max_body_bytes)

    async def completion(request: Request) -> Response:
        return await respond(service, request, read_completion, max_body_bytes)

    async def models() -> JSONResponse:
        served = service.check()
        names = dict.fromkeys((served.name, *served.members))
        return JSONResponse({"object": "list", "data": [_model(name) for name in names]})

    async def model(name: str) -> JSONResponse:
        service.check().find(name)
        return JSONResponse(_model(name))

    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    guarded.add_api_route("/v1/chat/completions", chat, methods=["POST"])
    guarded.add_api_route("/v1/completions", completion, methods=["POST"])
    guarded.add_api_route("/v1/models", models)
    guarded.add_api_route("/v1/models/{name:path}", model)
    guarded.add_api_route("/metrics", metrics)
    app.include_router(guarded)
    return app


def _health(service: RequestService) -> APIRouter:
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok", "state": service.state})

    async def ready() -> JSONResponse:
        return JSONResponse({"status": service.state}, 200 if service.state == "ready" else 503)

    router = APIRouter()
    router.add_api_route("/health", health)
    router.add_api_route("/ready", ready)
    return router


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "adafuse"}


async def _respond_error(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, HTTPException):  # of the framework: no such path, or no such method
        message = f"{request.method} {request.url.path}: {error.detail}"
        headers = dict(error.headers or {})
        error = ApiError(error.status_code, message, code="no_such_path", headers=headers)
    return error_response(error)
