"""LangChain messages as the core takes them: a role, its text, and what belongs to tool calls.

What cannot be said in text is refused by name. What is read from where:

    content             text: strings and text blocks are joined, JSON blocks written out
    reasoning blocks    "reasoning_content", which templates that know of it treat as their model
                        expects, and others leave out; encrypted reasoning is left out
    tool calls          "tool_calls", from the message, else from its blocks
    invalid tool calls  text, as the answer wrote them
    tool messages       role "tool"; one of status "error" begins with "Error: "
    artifacts, ids      not for models

Knows no template: every member renders these with its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from adafuse.errors import PromptError
from adafuse.prompting.messages import core_call, read_arguments, read_messages, written_call
from adafuse.validation import show

__all__ = ["core_messages"]

_CALLS = frozenset(
    {"tool_call", "tool_call_chunk", "tool_use", "function_call", "invalid_tool_call"}
)
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking"})
_TEXTS = {"text": "text", "text-plain": "text", "refusal": "refusal", "output_text": "text"}
_ROLES = {"human": "user", "ai": "assistant", "developer": "system"}


def core_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Turn messages into those of `Ensemble.stream`; raises PromptError for what is no text."""
    return read_messages(messages, _read_message)


def _read_message(index: int, message: BaseMessage) -> dict[str, Any]:
    text, reasoning, blocks = _read_content(f"message {index}", message)
    named = {"name": message.name} if message.name else {}
    match message:
        case AIMessage():
            return {**_ai_message(message, text, reasoning, blocks), **named}
        case ToolMessage():
            if message.status == "error" and not text.startswith("Error"):
                text = f"Error: {text}"
            answered = {"tool_call_id": message.tool_call_id, **named}
            return {"role": "tool", "content": text, **answered}
        case FunctionMessage():
            return {"role": "tool", "content": text, **named}
        case HumanMessage():
            return {"role": "user", "content": text, **named}
        case SystemMessage():
            return {"role": "system", "content": text, **named}
        case ChatMessage():
            return {"role": _ROLES.get(message.role, message.role), "content": text, **named}
    kind = type(message).__name__
    raise PromptError(f"message {index} is a {kind}, which is no turn of a conversation")


def _ai_message(
    message: AIMessage, text: str, reasoning: str, blocks: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    calls = [(call["id"], call["name"], call["args"]) for call in message.tool_calls]
    invalid = []
    for each in message.invalid_tool_calls:
        arguments = _refused_arguments(each["args"])
        if each["name"] and isinstance(arguments, dict):
            calls.append((each["id"], each["name"], arguments))
        else:
            invalid.append((each["name"], arguments))
    listed = {call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)}
    for block in blocks:
        id_ = block.get("call_id") or block.get("id")
        if id_ in listed or block["type"] == "tool_call_chunk":
            continue  # the message's own lists say it
        name, arguments = block.get("name"), _arguments(block)
        if name and isinstance(arguments, dict):
            calls.append((id_, name, arguments))
        else:
            invalid.append((name, arguments))
    written = (written_call(name, arguments) for name, arguments in invalid)
    said: dict[str, Any] = {
        "role": "assistant",
        "content": "\n".join(filter(None, [text, *written])),
    }
    if thought := reasoning or message.additional_kwargs.get("reasoning_content"):
        said["reasoning_content"] = thought
    if calls:
        said["tool_calls"] = [core_call(index, *call) for index, call in enumerate(calls)]
    return said


def _refused_arguments(arguments: str | None) -> Any:
    """Those of a call that LangChain could not read, though others write none like this."""
    if not (arguments or "").lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            return read_arguments(arguments)
    return arguments


def _arguments(block: dict[str, Any]) -> Any:
    """The arguments of a call that is a content block: Anthropic's, OpenAI's or LangChain's."""
    arguments: Any = next(
        (block[key] for key in ("args", "input", "arguments") if key in block), {}
    )
    if isinstance(arguments, str) and block["type"] != "invalid_tool_call":
        with suppress(ValueError, RecursionError):
            return read_arguments(arguments)
    return arguments


def _read_content(where: str, message: BaseMessage) -> tuple[str, str, list[dict[str, Any]]]:
    """The text, the reasoning and the blocks of calls in a message's content."""
    content = message.content
    if isinstance(content, str):
        return content, "", []
    texts, reasoning, calls = [], [], []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
            continue
        kind = block.get("type")
        if kind in _TEXTS and isinstance(block.get(_TEXTS[kind]), str):
            texts.append(block[_TEXTS[kind]])
        elif kind == "json" and "json" in block:
            texts.append(json.dumps(block["json"], ensure_ascii=False))
        elif isinstance(message, AIMessage) and kind in _CALLS:
            calls.append(block)
        elif isinstance(message, AIMessage) and kind in _REASONING:
            reasoning.append(_reasoning(block))
        else:
            raise PromptError(
                f"{where} ({type(message).__name__}) has a content block of type {show(kind)}; "
                "members read text only"
            )
    return "".join(texts), "".join(reasoning), calls


def _reasoning(block: dict[str, Any]) -> str:
    """What a block of reasoning says; "" if that is encrypted."""
    said = block.get("reasoning") or block.get("thinking")
    summary = block.get("summary") or ()
    return str(said or "".join(str(part.get("text", "")) for part in summary))
