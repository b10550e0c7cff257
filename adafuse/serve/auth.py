"""Who may ask, and how much may be sent. Nothing of a request is read before its key is right."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from fastapi import Request
from starlette.requests import ClientDisconnect

from adafuse.serve.errors import ApiError

__all__ = ["Keys", "parse_object", "read_body"]


class Keys:
    """The keys that let a caller in; without any, everybody may ask."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        # Digests are of one length, so that comparing takes the same time for every key.
        self._digests = [_digest(key.encode("utf-8", "surrogateescape")) for key in keys]

    async def check(self, request: Request) -> None:
        """Raise ApiError, of status 401, unless the request has one of them."""
        if not self._digests:
            return
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        digest = _digest(key.strip().encode("latin-1"))  # the bytes that were sent
        right = [hmac.compare_digest(digest, right_key) for right_key in self._digests]
        if scheme.lower() != "bearer" or not any(right):
            raise ApiError(
                401,
                "a right API key is needed, as 'Authorization: Bearer …'",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        ApiError: it is no JSON by its type (415), or has more than `limit` bytes (413).
        ClientDisconnect: the caller went away while sending it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # which no page of another site can send unasked
        raise ApiError(415, "the body must be of type application/json", code="invalid_type")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    if length.isdecimal() and len(body) < int(length):
        raise ClientDisconnect
    return bytes(body)


def _too_large(limit: int) -> ApiError:
    message = f"the body has more than the {limit} bytes that this server takes"
    # What is left of it is not read, so the connection cannot be used again.
    headers = {"connection": "close"}
    return ApiError(413, message, code="request_too_large", headers=headers)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; ApiError if it holds something else."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ApiError(400, f"the body is not JSON: {reason}", code="invalid_json") from None
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise ApiError(400, f"the body must be a JSON object, not {kind}", code="invalid_json")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
