"""Errors as OpenAI's interface tells them: a status, and a body that names type, code and param."""

from __future__ import annotations

import re
from typing import Any

from adafuse.errors import (
    AdaFuseError,
    AnswerTimeoutError,
    ConfigError,
    ContextWindowError,
    MemberError,
    MemberLostError,
    MemberMemoryError,
    MemberTimeoutError,
    MissingExtraError,
    NonFiniteError,
    PromptError,
    PromptMemoryError,
    QueueFullError,
    TooFewMembersError,
)

__all__ = ["ApiError", "api_error"]

_BAD, _SERVER = "invalid_request_error", "server_error"
# The first that fits counts.
_CODES: tuple[tuple[type[AdaFuseError], int, str, str], ...] = (
    (ContextWindowError, 400, _BAD, "context_length_exceeded"),
    (PromptMemoryError, 503, _SERVER, "prompt_memory"),
    (PromptError, 400, _BAD, "invalid_prompt"),
    (ConfigError, 400, _BAD, "invalid_value"),
    (QueueFullError, 429, "rate_limit_error", "queue_full"),
    (MissingExtraError, 501, _SERVER, "missing_extra"),
    (AnswerTimeoutError, 504, _SERVER, "answer_timeout"),
    (MemberLostError, 503, _SERVER, "member_lost"),
    (MemberMemoryError, 503, _SERVER, "member_out_of_memory"),
    (MemberTimeoutError, 503, _SERVER, "member_timeout"),
    (TooFewMembersError, 503, _SERVER, "too_few_members"),
    (MemberError, 500, _SERVER, "member_failed"),
    (NonFiniteError, 500, _SERVER, "not_finite"),
    (AdaFuseError, 500, _SERVER, "decoding_failed"),
)
_RETRY_LATER = (429, 503)
_PLACE = re.compile(r"message (\d+)|(tool)\b")


class ApiError(Exception):
    """A request that gets an error for an answer.

    Args:
        status: of HTTP.
        message: one line.
        kind: OpenAI's "type"; default: by the status.
        code: for programs.
        param: the argument that is wrong, if one is.
        headers: of the response, besides those that every error has.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        kind: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self._kind = kind or (_BAD if status < 500 else _SERVER)
        self._param = param
        self.headers = dict(headers or {})
        if status in _RETRY_LATER:
            self.headers.setdefault("retry-after", "1")
        if status == 504:  # OpenAI's clients would ask for the same again, which takes as long
            self.headers["x-should-retry"] = "false"

    @property
    def body(self) -> dict[str, Any]:
        """What the response, or the event of a stream, holds."""
        described = {
            "message": str(self),
            "type": self._kind,
            "param": self._param,
            "code": self.code,
        }
        return {"error": described}


def api_error(error: BaseException, arguments: frozenset[str] = frozenset()) -> ApiError:
    """The error that a caller is told.

    Args:
        error: what was raised. Of one that adafuse does not raise on purpose, nothing is told.
        arguments: of requests; the one that a message begins with is the `param`.
    """
    if isinstance(error, ApiError):
        return error
    for error_type, status, kind, code in _CODES:
        if isinstance(error, error_type):
            param = _param(str(error), arguments) if status == 400 else None
            return ApiError(status, str(error), code=code, kind=kind, param=param)
    return ApiError(500, "the server failed; its log says how", code="internal_error")


def _param(message: str, arguments: frozenset[str]) -> str | None:
    if place := _PLACE.match(message):
        return "tools" if place[2] else f"messages.[{place[1]}]"
    word = re.match(r"(?:unknown )?(\w+)", message)
    return word[1] if word and word[1] in arguments else None
