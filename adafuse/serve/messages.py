"""Messages of OpenAI's interface as the core takes them; what is not text is refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adafuse.errors import ConfigError, PromptError
from adafuse.prompting.messages import name_results
from adafuse.validation import refuse_unknown, show

__all__ = ["core_messages"]

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")
# Clients send an answer back as they got it; these say nothing while they are empty.
_EMPTY = ("refusal", "audio", "annotations", "function_call")


def core_messages(messages: object) -> list[dict[str, Any]]:
    """Turn messages into those of `Ensemble.stream`.

    Raises:
        PromptError: they have another form, or hold what members cannot read. What is in their
            contents is checked when they are asked.
    """
    if not isinstance(messages, list) or not messages:
        raise PromptError(f"messages must be a list of at least one message, not {show(messages)}")
    return name_results([_message(index, message) for index, message in enumerate(messages)])


def _message(index: int, message: object) -> dict[str, Any]:
    where = f"message {index}"
    if not isinstance(message, Mapping):
        raise PromptError(f"{where} must be an object with 'role' and 'content'")
    given = {
        key: value
        for key, value in message.items()
        if value is not None and not (key in _EMPTY and not value)
    }
    try:
        refuse_unknown("field", given, _FIELDS)
    except ConfigError as error:
        raise PromptError(f"{where}: {error}") from None
    role = given.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        known = ", ".join(_ROLES)
        raise PromptError(f"{where} must have one of {known} as 'role', not {show(role)}")
    if role == "tool" and not isinstance(given.get("tool_call_id"), str):
        raise PromptError(f"{where} must have the id of a call as 'tool_call_id'")
    calls = given.get("tool_calls", [])
    if not isinstance(calls, list) or not all(_has_id(call) for call in calls):
        raise PromptError(f"{where} must have a list of calls, each with an 'id', as 'tool_calls'")
    content = given.get("content", "")
    if "content" not in given and not calls:
        raise PromptError(f"{where} has no 'content'")
    return {**given, "role": _ROLES[role], "content": _said(content)}


def _has_id(call: object) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    named = isinstance(function, Mapping) and isinstance(function.get("name"), str)
    return named and isinstance(call, Mapping) and isinstance(call.get("id"), str)


def _said(content: Any) -> Any:
    """Content in which an answer's own refusals are text."""
    if not isinstance(content, Sequence) or isinstance(content, str):
        return content
    return [
        {"type": "text", "text": part.get("refusal")}
        if isinstance(part, Mapping) and part.get("type") == "refusal"
        else part
        for part in content
    ]
