"""Messages and tools in the forms that members can read.

Templates differ in what they take: some refuse a system message, or two user messages in a row, or
know nothing of tools. This module makes the forms, the most faithful first; `renderer` takes the
first that a template shows in full. It knows what a template can show, and no tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adafuse.prompting.messages import name_results
from adafuse.prompting.tool_turns import (
    arguments_in_words,
    calls_as_text,
    calls_of,
    calls_with_results,
    results_as_messages,
)
from adafuse.tools import CALL_END, CALL_START

if TYPE_CHECKING:
    from adafuse.prompting.chat_template import ChatTemplate

__all__ = ["FALLBACK_STOP", "ChatForm", "chat_forms", "plain_conversation", "with_system"]

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

_ROLES = ("system", "user", "assistant", "tool")
_SILENT = {"role": "user", "content": ""}  # a turn in which nobody says anything

Messages = list[dict[str, Any]]
Tools = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ChatForm:
    """One form of a conversation, for the template."""

    messages: Messages
    tools: Tools  # none where they are written into the messages
    texts: tuple[tuple[str, str], ...]  # (role, text) of what must be found in the rendering


def chat_forms(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    template: ChatTemplate,
) -> Iterator[ChatForm]:
    """The forms of a conversation that a template may take, the most faithful first."""
    conversation = [dict(message) for message in messages]
    named = any("name" in message for message in messages if message["role"] == "user")
    if named and not template.shows_names:
        conversation = [_name_in_content(message) for message in conversation]
    tried: list[tuple[Messages, Tools]] = []
    variants = [*_tool_variants(conversation, tuple(map(dict, tools)), template)]
    for arrange in (_role_variants, _padded_variants):
        for variant, native_tools in variants:
            said = (m for m in variant if m["role"] in ("system", "user"))
            texts = tuple((m["role"], m["content"]) for m in said)
            for arranged in arrange(variant):
                if (arranged, native_tools) not in tried:
                    tried.append((arranged, native_tools))
                    yield ChatForm(arranged, native_tools, texts)


def _tool_variants(
    conversation: Messages, tools: Tools, template: ChatTemplate
) -> Iterator[tuple[Messages, Tools]]:
    """Messages and tools: all as the template shows them; then calls, then tools too, as text."""
    if not tools and not any(m["role"] == "tool" or calls_of(m) for m in conversation):
        yield conversation, ()
        return
    named = name_results(conversation)
    if tools:
        written = results_as_messages(calls_as_text(named))
    else:
        written = results_as_messages(calls_with_results(named))
    if template.shows_tools and (tools or template.writes_calls):
        native = conversation if template.shows_results else named
        native = native if template.writes_calls else calls_as_text(native)
        native = native if template.shows_results else results_as_messages(native)
        note = _CALL_SYNTAX if tools and not template.teaches_calls else ""
        yield with_system(native, note), tools
        yield with_system(written, note), tools
    yield _tools_as_text(written, tools), ()


def plain_conversation(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> tuple[str, tuple[str, ...]]:
    """A conversation for members without a chat template, and the stops that it calls for.

    Turns are `System: …`, `User: …`, `Assistant: …` and `Tool: …`, with names in brackets but for
    assistants, apart by blank lines. It ends in `Assistant:`, behind an assistant's turn too.
    """
    named = name_results(map(dict, messages))
    written = _tools_as_text((calls_as_text if tools else calls_with_results)(named), tools)
    turns, stops = [], [FALLBACK_STOP]
    for message in written:
        speaker = str(message["role"]).capitalize()
        if message.get("name") and message["role"] != "assistant":
            stops.append(f"\n\n{speaker} (")
            told = ", ".join(filter(None, (message["name"], arguments_in_words(message))))
            speaker = f"{speaker} ({told})"
        elif message["role"] == "tool":
            stops.append("\n\nTool:")
        turns.append(f"{speaker}: {message['content']}")
    return "\n\n".join([*turns, "Assistant:"]), tuple(dict.fromkeys(stops))


# Arrangements of roles that strict templates ask for.


def _role_variants(messages: Messages) -> Iterator[Messages]:
    """As they are; turns of one role merged; system messages but the first, then all, as user's."""
    yield messages
    yield _roles_merged(messages)
    yield _roles_merged([*messages[:1], *map(_as_user, messages[1:])])
    yield _roles_merged([*map(_as_user, messages)])


def _padded_variants(messages: Messages) -> Iterator[Messages]:
    """With a user's turn in front of an assistant's, such as a greeting; with roles that the
    template may not know as user's; and with a user's turn at the end, too.
    """
    if not messages:
        return
    folded = [*map(_as_user, messages)]
    yield _user_first(_roles_merged(folded))
    known = _user_first(_roles_merged([*map(_as_known, folded)]))
    yield known
    yield [*known, *([dict(_SILENT)] if known[-1]["role"] != "user" else [])]


def _user_first(messages: Messages) -> Messages:
    first = messages[0]["role"] == "user"
    return messages if first else [dict(_SILENT), *messages]


def _as_known(message: dict[str, Any]) -> dict[str, Any]:
    """A message of a role of one's own as a user's that says who speaks."""
    if message["role"] in _ROLES:
        return message
    return {**message, "role": "user", "content": f"{message['role']}: {message['content']}"}


def _as_user(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "role": "user"} if message["role"] == "system" else message


def _roles_merged(messages: Messages) -> Messages:
    """Messages in a row of one role as one, but for results of tools: each has its own call."""
    merged: Messages = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is None or message["role"] != last["role"] or message["role"] == "tool":
            merged.append(message)
            continue
        pair = [last, message]
        if message["content"]:  # behind calls: they come first in their text too
            pair = [*calls_as_text([last]), message]
        if last.get("name") != message.get("name"):
            pair = [_name_in_content(part) for part in pair]
        joined = {**pair[0], **pair[1], "content": _joined(*(part["content"] for part in pair))}
        if calls := [call for part in pair for call in calls_of(part)]:
            joined["tool_calls"] = calls
        merged[-1] = joined
    return merged


def _joined(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)


def _name_in_content(message: dict[str, Any]) -> dict[str, Any]:
    """A user's message with its name before its content; another as it is."""
    if message["role"] != "user" or "name" not in message:
        return message
    unnamed = {key: value for key, value in message.items() if key != "name"}
    return {**unnamed, "content": f"{message['name']}: {message['content']}"}


# Tools, written into messages.


def _tools_as_text(messages: Messages, tools: Sequence[Mapping[str, Any]]) -> Messages:
    if not tools:
        return messages
    lines = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    return with_system(messages, "\n".join([_TOOLS_BEFORE, *lines, _TOOLS_BEHIND]))


def with_system(messages: Sequence[Mapping[str, Any]], text: str) -> list[Any]:
    """The text, if any, at the end of the system message; one is made if there is none."""
    if not text:
        return list(messages)
    if messages and (first := messages[0])["role"] == "system":
        return [{**first, "content": _joined(first["content"], text)}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]
