"""What a caller asks: raw text or chat messages, checked before any work starts.

This module knows neither tokenizers nor templates; `rendering` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from adafuse.errors import ConfigError, PromptError

__all__ = ["Message", "Prompt", "PromptFormat", "read_prompt"]

Message = Mapping[str, Any]
"""A chat message: "role" and "content" (a string, or a list of {"type": "text", "text": …})."""

PromptFormat = Literal["raw", "auto", "chat"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A checked prompt.

    Attributes:
        messages: the conversation; a bare string is one user message.
        text: the bare string, or None for a conversation.
        format: how members read a bare string. "raw": as text to be completed; strings of special
            tokens stay text, so a prompt rendered elsewhere is better given as messages. "auto":
            members with a chat template read one user message, the others the text. "chat": one
            user message everywhere. Conversations are always "chat".
        tools: what an answer may call, each {"type": "function", "function": {"name",
            "description", "parameters"}}; checked by `adafuse.tools.read_tools`.
    """

    messages: tuple[dict[str, Any], ...]
    text: str | None
    format: PromptFormat
    tools: tuple[dict[str, Any], ...] = ()


def read_prompt(
    prompt: str | Sequence[Message], prompt_format: PromptFormat | None = None
) -> Prompt:
    """Check a prompt.

    Args:
        prompt: text, or a conversation.
        prompt_format: for text only; default "raw". See `Prompt.format`.

    Raises:
        PromptError: it is empty, of a wrong type, or holds lone surrogates.
        ConfigError: the format is unknown, or is given for a conversation and is not "chat".
    """
    if prompt_format is not None and prompt_format not in get_args(PromptFormat):
        raise ConfigError(f"prompt_format must be 'raw', 'auto' or 'chat', not {prompt_format!r}")
    if isinstance(prompt, str):
        if not prompt:
            raise PromptError("the prompt is empty; give at least one character")
        _refuse_surrogates(prompt, "the prompt")
        message = {"role": "user", "content": prompt}
        return Prompt((message,), prompt, prompt_format or "raw")
    if not isinstance(prompt, list | tuple):
        kind = type(prompt).__name__
        raise PromptError(f"the prompt must be a string or a list of messages, not {kind}")
    if prompt_format not in (None, "chat"):
        raise ConfigError(f"prompt_format {prompt_format!r} is for text; messages are always chat")
    messages = tuple(_message(index, message) for index, message in enumerate(prompt))
    if not any(message["content"] for message in messages):
        raise PromptError("the conversation is empty; give at least one message with content")
    return Prompt(messages, None, "chat")


def _message(index: int, message: object) -> dict[str, Any]:
    where = f"message {index}"
    if not isinstance(message, Mapping):
        raise PromptError(f"{where} must be a mapping with 'role' and 'content', not {message!r}")
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise PromptError(f"{where} has no 'role' such as 'system', 'user' or 'assistant'")
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""  # an assistant turn may hold tool calls alone
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        content = "".join(_part(where, part) for part in content)
    if not isinstance(content, str):
        raise PromptError(f"{where} must have text as 'content', not {content!r}")
    checked = {**message, "role": role, "content": content}
    _refuse_surrogates(checked, where)
    return checked


def _part(where: str, part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type") == "text":
        text = part.get("text")
        if not isinstance(text, str):
            raise PromptError(f"{where} has a content block of type 'text' without its 'text'")
        return text
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    raise PromptError(f"{where} has a content block of type {kind!r}; members read text only")


def _refuse_surrogates(value: object, where: str) -> None:
    """Refuse half characters anywhere in a message: no tokenizer can encode them."""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for one in value:
            _refuse_surrogates(one, where)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise PromptError(
                f"{where} has a lone surrogate ({value[error.start]!r} at character "
                f"{error.start}), which is not text; decode the input as UTF-8 first"
            ) from None
