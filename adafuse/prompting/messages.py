"""Parts of messages that every framework says in its own way, as the core takes them.

Knows no framework's messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from adafuse.errors import PromptError
from adafuse.tools import CALL_END, CALL_START
from adafuse.tools.partial_json import load_json

__all__ = [
    "core_call",
    "name_results",
    "read_arguments",
    "read_messages",
    "with_cut_calls_as_text",
    "written_call",
]

M = TypeVar("M")


def read_messages(
    messages: Iterable[M], read: Callable[[int, M], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Messages of a framework, read one by one, with results of tools named.

    Frameworks let a message hold anything, in places where their own classes put texts and lists.

    Raises:
        PromptError: one cannot be read.
    """
    core = []
    for index, message in enumerate(messages):
        try:
            core.append(read(index, message))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            kind, reason = type(message).__name__, " ".join(str(error).split())
            raise PromptError(f"message {index} ({kind}) cannot be read: {reason}") from error
    return name_results(core)


def core_call(index: int, id_: str | None, name: str, arguments: Any) -> dict[str, Any]:
    """A tool call of an assistant's message; `index` stands in for an id that there is not."""
    function = {"name": name, "arguments": arguments}
    return {"id": id_ or f"call_{index}", "type": "function", "function": function}


def read_arguments(arguments: Any) -> Any:
    """The arguments of a call, as servers and clients write them.

    For a call without any, some write no text, null or an empty list; some encode JSON twice.

    Raises:
        ValueError, RecursionError: a text is no JSON.
    """
    for _ in range(2):
        if isinstance(arguments, str):
            arguments = load_json(arguments) if arguments.strip() else None
    return {} if arguments is None or arguments == [] else arguments


def with_cut_calls_as_text(message: dict[str, Any]) -> dict[str, Any]:
    """A message with calls whose arguments are no JSON as text, as the answer wrote them.

    A token limit cuts calls, and who asked goes on with the conversation all the same.
    """
    whole, texts = [], [message["content"]]
    for call in message.get("tool_calls", ()):
        name, arguments = call["function"]["name"], call["function"].get("arguments")
        try:
            read_arguments(arguments)
            whole.append(call)
        except (ValueError, RecursionError):
            texts.append(written_call(name, arguments))
    if len(texts) == 1:
        return message
    if isinstance(texts[0], list):
        content: Any = [*texts[0], *({"type": "text", "text": f"\n{text}"} for text in texts[1:])]
    else:
        content = "\n".join(filter(None, texts))
    return {**message, "content": content, "tool_calls": whole}


def written_call(name: str | None, arguments: Any) -> str:
    """A call that cannot be read, as the answer may have written it."""
    call = f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {arguments or ""}}}'
    return f"{CALL_START}\n{call}\n{CALL_END}"


def name_results(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results of tools with the name of the tool, where only the id of the call says it."""
    names: dict[str, str] = {}
    messages_with_names = []
    for message in messages:
        for call in message.get("tool_calls", ()):
            if isinstance(call.get("id"), str):
                names[call["id"]] = call["function"]["name"]
        id_ = message.get("tool_call_id")
        name = names.get(id_) if isinstance(id_, str) else None
        if message["role"] == "tool" and "name" not in message and name is not None:
            message = {**message, "name": name}
        messages_with_names.append(message)
    return messages_with_names
