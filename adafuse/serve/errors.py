"""Errors as OpenAI's interface tells them: a status, and a body that names type, code and param."""

from __future__ import annotations

import re

import adafuse.errors as errors
from adafuse.errors import AdaFuseError

__all__ = ["ApiError", "api_error"]

_BAD, _SERVER = "invalid_request_error", "server_error"
# The first that fits counts.
_CODES: tuple[tuple[type[AdaFuseError], int, str, str], ...] = (
    (errors.ContextWindowError, 400, _BAD, "context_length_exceeded"),
    (errors.PromptMemoryError, 503, _SERVER, "prompt_memory"),
    (errors.PromptError, 400, _BAD, "invalid_prompt"),
    (errors.ConfigError, 400, _BAD, "invalid_value"),
    (errors.QueueFullError, 429, "rate_limit_error", "queue_full"),
    (errors.MissingExtraError, 501, _SERVER, "missing_extra"),
    (errors.AnswerTimeoutError, 504, _SERVER, "answer_timeout"),
    (errors.MemberLostError, 503, _SERVER, "member_lost"),
    (errors.MemberMemoryError, 503, _SERVER, "member_out_of_memory"),
    (errors.MemberTimeoutError, 503, _SERVER, "member_timeout"),
    (errors.TooFewMembersError, 503, _SERVER, "too_few_members"),
    (errors.MemberError, 500, _SERVER, "member_failed"),
    (errors.NonFiniteError, 500, _SERVER, "not_finite"),
    (AdaFuseError, 500, _SERVER, "decoding_failed"),
)
_RETRY_LATER = (429, 503)
_PLACE = re.compile(r"message (\d+)|(tool)\b")


class ApiError(Exception):
    """A request that gets an error for an answer; `kind` is OpenAI's "type"."""

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
        kind = kind or (_BAD if status < 500 else _SERVER)
        described = {"message": message, "type": kind, "param": param, "code": code}
        self.body = {"error": described}  # of the response, or of the event of a stream
        self.headers = dict(headers or {})
        if status in _RETRY_LATER:
            self.headers.setdefault("retry-after", "1")
        if status == 504:  # OpenAI's clients would ask for the same again, which takes as long
            self.headers["x-should-retry"] = "false"


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
    word = re.match(r"(?:unknown (?:field of )?)?(\w+)", message)
    return word[1] if word and word[1] in arguments else None
