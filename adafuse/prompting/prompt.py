"""What a caller asks: raw text or chat messages, checked before any work starts.

This module knows neither tokenizers nor templates; `renderer` does.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from adafuse.config import CONSTRAINTS, DecodingConfig
from adafuse.errors import ConfigError, PromptError
from adafuse.prompting.messages import read_arguments
from adafuse.tools import read_tools
from adafuse.tools.choice import goes_round, settled_choice, without_repeats
from adafuse.tools.partial_json import load_json
from adafuse.validation import show

if TYPE_CHECKING:
    from adafuse.constraints.constraint import Constraint

__all__ = ["Message", "Prompt", "PromptFormat", "read_part", "read_prompt", "with_constraint"]

Message = Mapping[str, Any]
"""A chat message: "role" and "content" (a string, or a list of {"type": "text", "text": …}).

An assistant's may have "tool_calls", and no content then: a list of {"id", "type": "function",
"function": {"name", "arguments"}}, arguments as a mapping or as JSON text. A message of role "tool"
holds the result of the call whose "id" is its "tool_call_id". Any message may have a "name".
"""

PromptFormat = Literal["raw", "auto", "chat"]
_FORMATS = get_args(PromptFormat)

# A role goes into templates as it is, so no special token may be spelt with it.
_ROLE = re.compile("[A-Za-z][A-Za-z0-9_-]{0,31}")
_DEEPEST = 100  # json reads and writes that many, deep in any caller's stack too


@dataclass(frozen=True, slots=True)
class Prompt:
    """A checked prompt.

    Attributes:
        messages: the conversation; a bare string is one user message. Contents are strings, and
            arguments of tool calls mappings. The answer is a new assistant turn, also behind an
            assistant message: that one is over, and is not continued.
        text: the bare string, or None for a conversation.
        format: how members read a bare string. "raw": as text to be completed; strings of special
            tokens stay text, so a prompt rendered elsewhere is better given as messages. "auto":
            members with a chat template read one user message, the others the text. "chat": one
            user message everywhere. Conversations are always "chat".
        tools: what an answer may call, each {"type": "function", "function": {"name",
            "description", "parameters"}}; checked by `adafuse.tools.read_tools`.
        constraint: what the answer must be, if anything.
    """

    messages: tuple[dict[str, Any], ...]
    text: str | None
    format: PromptFormat
    tools: tuple[dict[str, Any], ...] = ()
    constraint: Constraint | None = None


def read_prompt(
    prompt: str | Sequence[Message],
    prompt_format: PromptFormat | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> Prompt:
    """Check a prompt.

    Args:
        prompt: text, or a conversation.
        prompt_format: for text only; default "raw". See `Prompt.format`.
        tools: what the answer may call, in OpenAI's format; for a conversation, or "chat".

    Raises:
        PromptError: it is empty, of a wrong type, or holds lone surrogates; or a tool is wrong.
        ConfigError: the format is unknown, or is given for a conversation and is not "chat"; or
            there are tools for text that is not "chat".
    """
    if prompt_format is not None and not any(_equals(prompt_format, f) for f in _FORMATS):
        raise ConfigError(
            f"prompt_format must be 'raw', 'auto' or 'chat', not {show(prompt_format)}"
        )
    checked_tools = read_tools(() if tools is None else tools)
    if isinstance(prompt, str):
        if not prompt:
            raise PromptError("the prompt is empty; give at least one character")
        _refuse_surrogates(prompt, "the prompt")
        if checked_tools and prompt_format != "chat":
            raise ConfigError('tools are for messages, or for text with prompt_format "chat"')
        message = {"role": "user", "content": prompt}
        return Prompt((message,), prompt, prompt_format or "raw", checked_tools)
    if not isinstance(prompt, list | tuple):
        raise PromptError(
            f"the prompt must be a string or a list of messages, not {type(prompt).__name__}"
        )
    if prompt_format not in (None, "chat"):
        raise ConfigError(f"prompt_format {prompt_format!r} is for text; messages are always chat")
    read = replace(read_part(prompt), tools=checked_tools)
    if not any(message["content"] or message.get("tool_calls") for message in read.messages):
        raise PromptError("the conversation is empty; give at least one message with content")
    return read


def read_part(messages: Sequence[Message]) -> Prompt:
    """Any part of a conversation, of which nothing is asked but how many tokens it has.

    Raises:
        PromptError: as of `read_prompt`, but for one that says nothing.
    """
    read = (_read_message(index, message) for index, message in enumerate(messages))
    return Prompt(tuple(read), None, "chat")


def with_constraint(
    prompt: Prompt,
    config: DecodingConfig,
    tool_choice: str | None = None,
    parallel_tool_calls: bool = False,
) -> Prompt:
    """A prompt with what its answer must be, and without tools that it must not call.

    Args:
        tool_choice: "auto" (or None), "none", "any" (or "required"), or a tool's name. With "auto"
            and the `repetition_guard`, calls that go round (`goes_round`) are over, and read once.
        parallel_tool_calls: whether an answer may hold several calls.

    Raises:
        ConfigError: an unknown tool, or something that cannot be enforced.
        MissingExtraError: llguidance is not installed, and is needed.
    """
    constrained = any(getattr(config, name) is not None for name in CONSTRAINTS)
    if not (constrained or prompt.tools) and (not tool_choice or tool_choice == "auto"):
        return _answer_alone(prompt) if _shows_calls(prompt) else prompt
    from adafuse.constraints.constraint import read_constraint  # needs an extra

    guard = config.repetition_guard
    tool_choice = settled_choice(tool_choice or "auto", prompt.messages, guard)
    if tool_choice == "none" and guard and goes_round(prompt.messages):
        prompt = replace(prompt, messages=tuple(without_repeats(prompt.messages)))
    constraint = read_constraint(
        config, prompt.tools, tool_choice, parallel_tool_calls=parallel_tool_calls
    )
    shown = () if tool_choice == "none" else prompt.tools
    return replace(prompt, tools=shown, constraint=constraint)


def _shows_calls(prompt: Prompt) -> bool:
    return any(m["role"] == "tool" or m.get("tool_calls") for m in prompt.messages)


def _answer_alone(prompt: Prompt) -> Prompt:
    """A prompt that shows calls, whose answer must not be one: members imitate what they see."""
    if importlib.util.find_spec("llguidance") is None:
        return prompt
    from adafuse.constraints.constraint import answer_without_calls  # needs an extra

    return replace(prompt, constraint=answer_without_calls())


def _read_message(index: int, message: object) -> dict[str, Any]:
    where = f"message {index}"
    if not isinstance(message, Mapping):
        raise PromptError(
            f"{where} must be a mapping with 'role' and 'content', not {show(message)}"
        )
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise PromptError(f"{where} has no 'role' such as 'system', 'user' or 'assistant'")
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""  # an assistant turn may hold tool calls alone
    checked = {**message, "role": role, "content": _read_content(where, content)}
    _refuse_depth(checked, where)
    _refuse_surrogates(checked, where)
    if not _ROLE.fullmatch(role):
        raise PromptError(
            f"{where} has the role {show(role)}; a role is 1 to 32 of A-Z a-z 0-9 _ - and begins "
            "with a letter"
        )
    name = checked.pop("name", None)
    if name is not None and not _equals(name, ""):
        if not isinstance(name, str) or not name.strip() or len(name.splitlines()) > 1:
            raise PromptError(f"{where} must have one line of text as 'name', not {show(name)}")
        checked["name"] = name
    calls = checked.pop("tool_calls", None)
    if calls is not None and not (isinstance(calls, list | tuple) and not calls):
        checked["tool_calls"] = _read_calls(where, role, calls)
    if not isinstance(checked.get("tool_call_id", ""), str):
        raise PromptError(f"{where} must have text as 'tool_call_id'")
    return checked


def _read_content(where: str, content: object) -> str:
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        content = "".join(_read_content_part(where, part) for part in content)
    if not isinstance(content, str):
        raise PromptError(f"{where} must have text as 'content', not {show(content)}")
    return content


def _read_calls(where: str, role: str, calls: object) -> list[dict[str, Any]]:
    if role != "assistant":
        raise PromptError(f"{where} has 'tool_calls', which only an assistant's may")
    if not isinstance(calls, list | tuple):
        raise PromptError(f"{where} must have a list as 'tool_calls', not {show(calls)}")
    return [_read_call(f"{where}, tool call {number}", call) for number, call in enumerate(calls)]


def _read_call(where: str, call: object) -> dict[str, Any]:
    """A tool call with its arguments as a mapping of plain JSON values."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if (
        not isinstance(call, Mapping)
        or not isinstance(function, Mapping)
        or not _equals(call.get("type", "function"), "function")
    ):
        raise PromptError(
            f"{where} must be {{'id': …, 'type': 'function', 'function': {{'name': …, "
            "'arguments': …}}"
        )
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise PromptError(f"{where} has no 'name'")
    if not isinstance(call.get("id", ""), str | None):
        raise PromptError(f"{where} must have text as 'id'")
    try:
        value = read_arguments(arguments)
        written = json.dumps(dict(value) if isinstance(value, Mapping) else value)
        arguments = load_json(written)
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptError(f"{where} has 'arguments' that cannot be read: {error}") from None
    if not isinstance(arguments, dict):
        raise PromptError(f"{where} must have a mapping as 'arguments', not {written[:40]}")
    function = {**function, "name": name, "arguments": arguments}
    return {**call, "type": "function", "function": function}


def _read_content_part(where: str, part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and _equals(part.get("type"), "text"):
        text = part.get("text")
        if not isinstance(text, str):
            raise PromptError(f"{where} has a content block of type 'text' without its 'text'")
        return text
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    raise PromptError(f"{where} has a content block of type {show(kind)}; members read text only")


def _equals(kind: object, expected: str) -> bool:
    """Whether they are equal; arrays of some libraries cannot be compared so."""
    return isinstance(kind, str) and kind == expected


def _refuse_depth(message: Mapping[str, Any], where: str) -> None:
    """Refuse what holds itself, or so much within each other that JSON cannot be made of it."""
    level: list[Any] = [message]
    for _ in range(_DEEPEST):
        inside = (v.values() if isinstance(v, Mapping) else v for v in level)
        containers = (v for vs in inside for v in vs if isinstance(v, list | tuple | Mapping))
        level = list({id(value): value for value in containers}.values())
        if not level:
            return
    raise PromptError(f"{where} has more than {_DEEPEST} lists or mappings within each other")


def _refuse_surrogates(value: object, where: str) -> None:
    """Refuse half characters anywhere in a message: no tokenizer can encode them."""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for inner in value:
            _refuse_surrogates(inner, where)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise PromptError(
                f"{where} has a lone surrogate ({value[error.start]!r} at character "
                f"{error.start}), which is not text; decode the input as UTF-8 first"
            ) from None
