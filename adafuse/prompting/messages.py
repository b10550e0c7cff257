"""Parts of messages that every framework says in its own way, as the core takes them.

Knows no framework's messages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from adafuse.errors import PromptError
from adafuse.tools import CALL_END, CALL_START

__all__ = ["core_call", "name_results", "read_messages", "written_call"]

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
            if isinstance(call["id"], str):
                names[call["id"]] = call["function"]["name"]
        id_ = message.get("tool_call_id")
        name = names.get(id_) if isinstance(id_, str) else None
        if message["role"] == "tool" and "name" not in message and name is not None:
            message = {**message, "name": name}
        messages_with_names.append(message)
    return messages_with_names
