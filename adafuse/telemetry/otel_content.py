"""Prompts and answers as OpenTelemetry's conventions for generative models write them.

Recorded only where the environment asks for it.
"""

from __future__ import annotations

import json
import os
from typing import Any

from adafuse.prompting.prompt import Prompt

__all__ = ["CONTENT_VARIABLE", "asked_for", "input_messages", "output_messages"]

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""Prompts and answers are recorded where it is "true", "span_only" or "span_and_event"."""


def asked_for(variable: str) -> bool:
    """Whether the environment asks for it."""
    return os.environ.get(variable, "").strip().lower() in ("true", "span_only", "span_and_event")


def input_messages(prompt: Prompt) -> str:
    """A prompt, as JSON."""
    return _json([_message(message) for message in prompt.messages])


def output_messages(text: str, finish_reason: str | None) -> str:
    """An answer, as far as it came, as JSON."""
    answer: dict[str, Any] = {"role": "assistant", "parts": [{"type": "text", "content": text}]}
    if finish_reason is not None:
        answer["finish_reason"] = "length" if finish_reason == "length" else "stop"
    return _json([answer])


def _message(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if message["role"] == "tool":
        said = {
            "type": "tool_call_response",
            "id": message.get("tool_call_id"),
            "response": content,
        }
        return {"role": "tool", "parts": [said]}
    parts: list[dict[str, Any]] = [{"type": "text", "content": content}] if content else []
    for call in message.get("tool_calls", ()):
        function = call["function"]
        parts.append(
            {
                "type": "tool_call",
                "id": call.get("id"),
                "name": function["name"],
                "arguments": function["arguments"],
            }
        )
    return {"role": message["role"], "parts": parts}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
