"""Conversations on their way through the harness, which passes contexts on as strings.

It asks the model to render a conversation, and hands the string back with a request. Members have
templates of their own, so that the string is the conversation itself, behind a mark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adafuse.errors import PromptError

__all__ = ["Conversation", "read_chat", "write_chat"]

_MARK = "[adafuse conversation]\n"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a conversation's context stands for."""

    messages: tuple[dict[str, Any], ...]
    prefix: str  # how the answer is to begin; it is part of the context


def write_chat(history: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> str:
    """A conversation as a context; without `add_generation_prompt` its end is to be continued."""
    messages, prefix = [dict(message) for message in history], ""
    if not add_generation_prompt:
        if not messages or messages[-1].get("role") != "assistant":
            raise PromptError("there is no assistant message at the end that could be continued")
        prefix = str(messages.pop()["content"])
    return _MARK + json.dumps({"messages": messages, "prefix": prefix}, ensure_ascii=False)


def read_chat(context: str) -> Conversation | None:
    """The conversation of a context; None for a text to be completed."""
    if not context.startswith(_MARK):
        return None
    try:
        content = json.loads(context.removeprefix(_MARK))
        return Conversation(tuple(content["messages"]), content["prefix"])
    except (ValueError, KeyError, TypeError):
        raise PromptError(
            "a context begins like a conversation of ours and is none: a task must not change "
            "what a chat template gave"
        ) from None
