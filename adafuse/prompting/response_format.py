"""Structured answers: what a `response_format` asks for, and telling members of its schema.

A grammar holds every answer to its schema. Members are told of a JSON schema all the same, since
they write better what they expect to write. Knows no framework.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from adafuse.errors import ConfigError
from adafuse.prompting.chat_formats import with_system
from adafuse.prompting.prompt import Message
from adafuse.validation import refuse_unknown

__all__ = ["ANY_OBJECT", "instruction", "response_schema", "with_instruction"]

ANY_OBJECT: dict[str, Any] = {"type": "object"}
"""The schema of what other interfaces call JSON mode."""


_FIELDS = {
    "text": ("type",),
    "json_object": ("type", "schema"),
    "json_schema": ("type", "json_schema"),
}
_OF_SCHEMA = ("name", "description", "schema", "strict")


def response_schema(response_format: object) -> dict[str, Any] | None:
    """The JSON schema that OpenAI's `response_format` asks for, or None for plain text.

    A "schema" beside "json_object" is llama.cpp's way to give one, and is followed.

    Raises:
        ConfigError: it has another form, or a field that would be ignored.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if isinstance(response_format, Mapping) and isinstance(kind, str) and kind in _FIELDS:
        refuse_unknown(f"field of response_format (type {kind!r}):", response_format, _FIELDS[kind])
        if kind == "text":
            return None
        if kind == "json_object" and "schema" not in response_format:
            return dict(ANY_OBJECT)
        described = response_format if kind == "json_object" else response_format.get("json_schema")
        if isinstance(described, Mapping):
            if kind == "json_schema":
                refuse_unknown("field of response_format.json_schema:", described, _OF_SCHEMA)
            if isinstance(described.get("schema"), Mapping):
                return dict(described["schema"])
    raise ConfigError(
        "response_format must be {'type': 'json_schema', 'json_schema': {'schema': …}}, "
        f"{{'type': 'json_object'}} or {{'type': 'text'}}, not of type {kind!r}"
    )


def with_instruction(
    messages: Sequence[Message], schema: Mapping[str, Any], *, tools: bool
) -> list[Message]:
    """Messages that tell members of a schema: behind the first system message, or in one.

    With `tools` the answer may call these instead.
    """
    return with_system(messages, instruction(schema, tools=tools))


def instruction(schema: Mapping[str, Any], *, tools: bool) -> str:
    """What members are told of a schema."""
    begin = "When you do not call a tool, answer" if tools else "Answer"
    if dict(schema) == ANY_OBJECT:
        return f"{begin} with a JSON object and nothing else."
    written = json.dumps(schema, ensure_ascii=False)
    return f"{begin} with JSON that matches this schema, and nothing else:\n{written}"
