"""LlamaIndex messages as the core takes them: a role, its text, and what belongs to tool calls.

What cannot be said in text is refused by name. What is read from where:

    text blocks        "content"; several are joined by line breaks, as `ChatMessage.content` has it
    thinking blocks    "reasoning_content", which templates that know of it treat as their model
                       expects, and others leave out
    tool call blocks   "tool_calls"; of messages without any, `additional_kwargs["tool_calls"]` or
                       `["function_call"]`. One whose arguments cannot be read is text, as the
                       answer wrote it
    additional_kwargs  "tool_call_id" of a tool's result, and "name"; nothing else
    cache points       not for members

Knows no template: every member renders these with its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection

from adafuse.errors import PromptError
from adafuse.prompting.messages import core_call, read_arguments, read_messages, written_call

__all__ = ["core_messages", "refuse_others"]

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
_Call = tuple[str | None, str, Any]  # id, name, arguments


def core_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Turn messages into those of `Ensemble.stream`; raises PromptError for what is no text."""
    return read_messages(messages, _read_message)


def refuse_others(messages: object) -> None:
    """Raise PromptError unless this is a list of `ChatMessage`."""
    if isinstance(messages, str) or not isinstance(messages, Sequence):
        kind = type(messages).__name__
        raise PromptError(f"messages must be a list of ChatMessage, not {kind}")
    for index, message in enumerate(messages):
        if not isinstance(message, ChatMessage):
            kind = type(message).__name__
            raise PromptError(f"message {index} must be a ChatMessage, not {kind}")


def _read_message(index: int, message: ChatMessage) -> dict[str, Any]:
    role = _ROLES[message.role]
    texts, thoughts, calls = _read_blocks(f"message {index}", role, message)
    extra = message.additional_kwargs
    core: dict[str, Any] = {"role": role}
    if role == "assistant":
        calls = calls or _legacy_calls(f"message {index}", extra)
        read = [(id_, name, _arguments(arguments)) for id_, name, arguments in calls]
        good = [call for call in read if isinstance(call[2], dict)]
        texts += [written_call(name, args) for _, name, args in read if not isinstance(args, dict)]
        if good:
            core["tool_calls"] = [core_call(at, *call) for at, call in enumerate(good)]
        if thoughts:
            core["reasoning_content"] = "".join(thoughts)
    elif role == "tool" and extra.get("tool_call_id"):
        core["tool_call_id"] = extra["tool_call_id"]
    if extra.get("name"):
        core["name"] = extra["name"]
    return {**core, "content": "\n".join(texts)}


def _read_blocks(
    where: str, role: str, message: ChatMessage
) -> tuple[list[str], list[str], list[_Call]]:
    """Texts, thoughts and calls of a message."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[_Call] = []
    for block in message.blocks:
        if isinstance(block, TextBlock):
            texts.append(block.text)
        elif isinstance(block, ToolCallBlock) and role == "assistant":
            calls.append((block.tool_call_id, block.tool_name, block.tool_kwargs))
        elif isinstance(block, ThinkingBlock) and role == "assistant":
            thoughts.append(block.content or "")
        elif not isinstance(block, CachePoint):
            raise PromptError(
                f"{where} ({message.role.value}) has a block of type {type(block).__name__}; "
                "members read text only"
            )
    return texts, thoughts, calls


def _legacy_calls(where: str, extra: Mapping[str, Any]) -> list[_Call]:
    """Calls as integrations kept them before there were blocks for them."""
    calls = extra.get("tool_calls") or ()
    if isinstance(calls, str | Mapping) or not isinstance(calls, Sequence):
        raise PromptError(f"{where} must have a list of tool_calls in its additional_kwargs")
    if function := extra.get("function_call"):
        calls = [*calls, {"function": function}]
    return [_legacy_call(where, call) for call in calls]


def _legacy_call(where: str, call: Any) -> _Call:
    if isinstance(call, ToolSelection):
        return call.tool_id, call.tool_name, call.tool_kwargs
    if hasattr(call, "model_dump"):  # of OpenAI's client
        call = call.model_dump()
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise PromptError(f"{where} has a tool call of an unknown form in its additional_kwargs")
    return call.get("id"), function["name"], function.get("arguments")


def _arguments(arguments: Any) -> Any:
    """Arguments as a mapping, or what was given if they are none."""
    with suppress(ValueError, RecursionError):
        arguments = read_arguments(arguments)
    return dict(arguments) if isinstance(arguments, Mapping) else arguments
