"""Calls of tools and their results, written into messages for templates that do not show them.

Knows neither templates nor how tools are taught.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from adafuse.tools import call_text

__all__ = [
    "arguments_in_words",
    "calls_as_text",
    "calls_of",
    "calls_with_results",
    "results_as_messages",
]

_NO_RESULT = {"role": "tool", "content": "none yet"}

Messages = list[dict[str, Any]]


def calls_of(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return message.get("tool_calls") or ()


def calls_as_text(messages: Messages) -> Messages:
    """Calls of assistants in the canonical syntax, at the end of their content."""
    written = []
    for message in messages:
        functions = [call["function"] for call in calls_of(message)]
        if functions:
            calls = [call_text(function["name"], function["arguments"]) for function in functions]
            content = "\n".join(filter(None, [message["content"], *calls]))
            message = {**message, "content": content}
            del message["tool_calls"]
        written.append(message)
    return written


def calls_with_results(messages: Messages) -> Messages:
    """Calls told with their results, for who is not to call: members imitate their own turns.

    Results of tools get the "arguments" of their call, a call that has none yet a result that says
    so, and assistants keep what else they said: a turn of calls alone is left out.
    """
    told: Messages = []
    open_: list[Mapping[str, Any]] = []  # calls of the last such turn without a result so far
    seen: dict[str, Mapping[str, Any]] = {}  # all calls, by id
    for message in messages:
        if message["role"] == "tool":
            call = _call_of_result(message, open_, seen)
            open_ = [other for other in open_ if other is not call]
            told.append(message if call is None else _with_call(message, call))
            continue
        told += [_with_call(_NO_RESULT, call) for call in open_]
        open_ = list(calls_of(message))
        seen |= {call["id"]: call for call in open_ if call.get("id")}
        if message["content"] or not open_:
            told.append({key: value for key, value in message.items() if key != "tool_calls"})
    return [*told, *(_with_call(_NO_RESULT, call) for call in open_)]


def _call_of_result(
    result: Mapping[str, Any],
    open_: Sequence[Mapping[str, Any]],
    seen: Mapping[str, Mapping[str, Any]],
) -> Mapping[str, Any] | None:
    """By its id; of a result without one, the first call that waits, of that name if it has one."""
    if id_ := result.get("tool_call_id"):
        return next((call for call in open_ if call.get("id") == id_), seen.get(id_))
    name = result.get("name")
    return next((call for call in open_ if name in (None, call["function"]["name"])), None)


def _with_call(result: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": call["function"]["name"], **result, "arguments": call["function"]["arguments"]}


def arguments_in_words(result: Mapping[str, Any]) -> str:
    """The arguments of a result's call, such as `fruit: "pears", crates: 5`."""
    arguments: Mapping[str, Any] = result.get("arguments") or {}
    return ", ".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items()
    )


def results_as_messages(messages: Messages) -> Messages:
    """Results of tools as user messages in plain words; those in a row, and a question, as one.

    Marks such as <tool_response>, of templates that a member was not trained on, are what it would
    go on to write itself.
    """
    converted: Messages = []
    for message, before in zip(messages, [None, *messages], strict=False):
        if message["role"] != "tool":
            converted.append(message)
            continue
        of = f"the tool {message['name']}" if message.get("name") else "a tool"
        arguments = arguments_in_words(message)
        of += f" ({arguments})" if arguments else ""
        result = f"Result of {of}: {message['content']}"
        if before is not None and (before["role"] == "tool" or _is_question(before)):
            result = f"{converted.pop()['content']}\n\n{result}"
        converted.append({"role": "user", "content": result})
    return converted


def _is_question(message: Mapping[str, Any]) -> bool:
    return message["role"] == "user" and "name" not in message
