"""Messages and tools in the forms that members can read.

Templates differ in what they take: some refuse a system message, or two user messages in a row, or
know nothing of tools. This module makes the forms, the most faithful first; `rendering` takes the
first that a template shows whole. It knows neither templates nor tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adafuse.tools import CALL_END, CALL_START, RESULT_END, RESULT_START, call_text

__all__ = ["FALLBACK_STOP", "Abilities", "ChatForm", "plain_turns", "readings"]

FALLBACK_STOP = "\n\nUser:"
"""A member without a template would go on to write the user's next turn."""

_CALL_SYNTAX = (
    "To call a tool, write its name and its arguments as a JSON object within "
    f"{CALL_START}{CALL_END}, like this:\n"
    f'{CALL_START}\n{{"name": <tool name>, "arguments": <JSON object of arguments>}}\n{CALL_END}'
)
_TOOLS_BEFORE = (
    "You may call these tools, each given as JSON within <tools></tools>, to help with the "
    "request:\n<tools>"
)
_TOOLS_BEHIND = (
    f"</tools>\n\n{_CALL_SYNTAX}\nThe result of a call is given to you in the next turn. If no "
    "tool is of help, answer without one."
)

Messages = list[dict[str, Any]]
Tools = tuple[dict[str, Any], ...]


class Abilities(Protocol):
    """What a chat template shows; see `adafuse.prompting.chat_template.ChatTemplate`."""

    @property
    def shows_tools(self) -> bool: ...
    @property
    def teaches_calls(self) -> bool: ...
    @property
    def writes_calls(self) -> bool: ...
    @property
    def shows_results(self) -> bool: ...
    @property
    def shows_names(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ChatForm:
    """One form of a conversation.

    Attributes:
        messages: for the template.
        tools: likewise; empty where they are written into the messages.
        texts: (role, text) of what must be found in the rendering.
    """

    messages: Messages
    tools: Tools
    texts: tuple[tuple[str, str], ...]


def readings(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    template: Abilities,
) -> Iterator[ChatForm]:
    """The forms of a conversation that a template may take, the most faithful first."""
    given = [dict(message) for message in messages]
    if any("name" in message for message in _users(given)) and not template.shows_names:
        given = [_named(message) for message in given]
    tried: list[tuple[Messages, Tools]] = []
    for form, shown in _forms(given, tuple(map(dict, tools)), template):
        texts = tuple((m["role"], m["content"]) for m in form if m["role"] in ("system", "user"))
        for shape in _shapes(form):
            if (shape, shown) not in tried:
                tried.append((shape, shown))
                yield ChatForm(shape, shown, texts)


def _forms(given: Messages, tools: Tools, template: Abilities) -> Iterator[tuple[Messages, Tools]]:
    """Messages and tools: all as the template shows them; then calls, then tools too, as text."""
    if not tools and not any(message["role"] == "tool" or _calls_of(message) for message in given):
        yield given, ()
        return
    written = _results_told(_calls_written(given))
    if template.shows_tools:
        native = given if template.writes_calls else _calls_written(given)
        native = native if template.shows_results else _results_told(native)
        note = _CALL_SYNTAX if tools and not template.teaches_calls else ""
        yield _with_system(native, note), tools
        yield _with_system(written, note), tools
    yield _tools_told(written, tools), ()


def plain_turns(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> tuple[str, tuple[str, ...]]:
    """A conversation for members without a chat template, and the stops that it calls for.

    Turns are `System: …`, `User: …`, `Assistant: …` and `Tool: …`, with names in brackets but for
    assistants, apart by blank lines. It ends in `Assistant:`, behind an assistant's turn too.
    """
    written = _tools_told(_calls_written([dict(message) for message in messages]), tools)
    calls = [call for message in messages for call in _calls_of(message)]
    called = {call["id"]: call["function"]["name"] for call in calls if call.get("id")}
    turns, stops = [], [FALLBACK_STOP]
    for message in written:
        speaker = str(message["role"]).capitalize()
        name = message.get("name") or called.get(message.get("tool_call_id", ""))
        if name and message["role"] != "assistant":
            stops.append(f"\n\n{speaker} (")
            speaker = f"{speaker} ({name})"
        elif message["role"] == "tool":
            stops.append("\n\nTool:")
        turns.append(f"{speaker}: {message['content']}")
    return "\n\n".join([*turns, "Assistant:"]), tuple(dict.fromkeys(stops))


# Shapes: what strict templates ask for.


def _shapes(messages: Messages) -> Iterator[Messages]:
    """As they are; turns of one role merged; system messages but the first, then all, as user's."""
    yield messages
    yield _merged(messages)
    yield _merged([*messages[:1], *map(_as_user, messages[1:])])
    yield _merged([*map(_as_user, messages)])


def _as_user(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "role": "user"} if message["role"] == "system" else message


def _merged(messages: Messages) -> Messages:
    """Messages in a row of one role as one, but for results of tools: each has its own call."""
    merged: Messages = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is None or message["role"] != last["role"] or message["role"] == "tool":
            merged.append(message)
            continue
        pair = [last, message]
        if message["content"]:  # behind calls: they come first in their text too
            pair = [*_calls_written([last]), message]
        if last.get("name") != message.get("name"):
            pair = [_named(one) for one in pair]
        both = {**pair[0], **pair[1], "content": _joined(*(one["content"] for one in pair))}
        if calls := [call for one in pair for call in _calls_of(one)]:
            both["tool_calls"] = calls
        merged[-1] = both
    return merged


def _joined(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)


def _users(messages: Messages) -> Messages:
    return [message for message in messages if message["role"] == "user"]


def _named(message: dict[str, Any]) -> dict[str, Any]:
    """A user's message with its name before its content; another as it is."""
    if message["role"] != "user" or "name" not in message:
        return message
    rest = {key: value for key, value in message.items() if key != "name"}
    return {**rest, "content": f"{message['name']}: {message['content']}"}


# Tools, written into messages.


def _calls_of(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return message.get("tool_calls") or ()


def _calls_written(messages: Messages) -> Messages:
    """Calls of assistants in the canonical syntax, at the end of their content."""
    written = []
    for message in messages:
        functions = [call["function"] for call in _calls_of(message)]
        if functions:
            calls = [call_text(one["name"], one["arguments"]) for one in functions]
            lines = [message["content"], *calls] if message["content"] else calls
            message = {key: value for key, value in message.items() if key != "tool_calls"}
            message["content"] = "\n".join(lines)
        written.append(message)
    return written


def _results_told(messages: Messages) -> Messages:
    """Results of tools as user messages; those in a row, of one answer, as one."""
    told: Messages = []
    for message, before in zip(messages, [None, *messages], strict=False):
        if message["role"] != "tool":
            told.append(message)
            continue
        result = f"{RESULT_START}\n{message['content']}\n{RESULT_END}"
        if before is not None and before["role"] == "tool":
            told[-1] = {"role": "user", "content": f"{told[-1]['content']}\n{result}"}
        else:
            told.append({"role": "user", "content": result})
    return told


def _tools_told(messages: Messages, tools: Sequence[Mapping[str, Any]]) -> Messages:
    if not tools:
        return messages
    lines = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    return _with_system(messages, "\n".join([_TOOLS_BEFORE, *lines, _TOOLS_BEHIND]))


def _with_system(messages: Messages, text: str) -> Messages:
    """The text, if any, at the end of the system message; one is made if there is none."""
    if not text:
        return messages
    if messages and messages[0]["role"] == "system":
        first = messages[0]
        return [{**first, "content": _joined(first["content"], text)}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]
