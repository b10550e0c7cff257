"""The chat template of one member: rendering, and what the template is capable of.

A template says nowhere what it supports. Each capability is found out once, when a prompt needs it,
by rendering a short conversation of our own and looking for its words. This module changes no
messages, and knows nothing of ids.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from adafuse.errors import ConfigError, PromptError
from adafuse.prompting.messages import core_call
from adafuse.text.vocabulary import Vocabulary
from adafuse.tools import ToolCall, read_calls
from adafuse.validation import refuse_reserved

__all__ = ["ChatTemplate", "Template", "chat_template"]

Template = str | Mapping[str, str]
"""A Jinja template, or several by name: "default", and "tool_use" where there are tools."""

# How a template spells a call that it asks for: as JSON, with the name first or the arguments.
_TAUGHT = re.compile(r"<tool_call>\s*\{+\s*[\"'](?:name|arguments)[\"']")

_ASK = {"role": "user", "content": "Where is it?"}
_NAMED = {**_ASK, "name": "Asknamed"}
_CALLED = ToolCall("find_probe", {"thing": "keyprobe"})
_TOOL = {
    "type": "function",
    "function": {
        "name": _CALLED.name,
        "description": "Finds a thing.",
        "parameters": {
            "type": "object",
            "properties": {"thing": {"type": "string", "description": "What is to be found."}},
            "required": ["thing"],
        },
    },
}
_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [core_call(0, "probe0000", _CALLED.name, dict(_CALLED.arguments))],
}
_RESULT = {
    "role": "tool",
    "content": "drawerprobe",
    "name": _CALLED.name,
    "tool_call_id": "probe0000",
}


def chat_template(
    vocabulary: Vocabulary,
    member: str,
    template: Template | None,
    arguments: Mapping[str, Any] | None,
) -> ChatTemplate | None:
    """The chat template of a member, or None if it has none.

    `template` stands in place of the vocabulary's own; "" leaves that out. ConfigError where an
    argument is not the caller's to give, or no template is the default one.
    """
    refuse_reserved(member, arguments or ())
    chosen = vocabulary.chat_template if template is None else template
    if not chosen:
        return None
    templates = {"default": chosen} if isinstance(chosen, str) else dict(chosen)
    if len(templates) == 1:
        templates = {"default": next(iter(templates.values()))}
    if "default" not in templates or not all(isinstance(text, str) for text in templates.values()):
        names = ", ".join(map(str, templates))
        raise ConfigError(
            f"member {member!r} has chat templates named {names}, none of them 'default'; give it "
            "one with chat_template"
        )
    return ChatTemplate(vocabulary, member, templates, arguments or {})


class ChatTemplate:
    """Renders messages of one member; see `chat_template`."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        member: str,
        templates: Mapping[str, str],
        arguments: Mapping[str, Any],
    ) -> None:
        self._vocabulary = vocabulary
        self._member = member
        self._default = templates["default"]
        self._tool_use = templates.get("tool_use", self._default)
        self._arguments = dict(arguments)

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """Render a conversation, and open an assistant turn behind it: behind another one too.

        PromptError where the template refuses the messages.
        """
        of_tools = tools or any(m["role"] == "tool" or "tool_calls" in m for m in messages)
        try:
            # What `apply_chat_template` does, without asking for a tokenizer of transformers.
            rendered = render_jinja_template(
                conversations=[[_without_nothing(message) for message in messages]],
                tools=[*map(dict, tools)] or None,
                chat_template=self._tool_use if of_tools else self._default,
                add_generation_prompt=True,
                **{**self._vocabulary.names, **self._arguments},
            )[0][0]
        except Exception as error:  # templates raise what they like: jinja errors, KeyError, …
            reason = " ".join(str(error).split()) or type(error).__name__
            raise PromptError(
                f"member {self._member!r}: its chat template refuses the messages: {reason}"
            ) from error
        return str(rendered)

    @functools.cached_property
    def shows_tools(self) -> bool:
        """Whether it shows tools that it is given."""
        return bool(self._rendered_with_tool)

    @functools.cached_property
    def teaches_calls(self) -> bool:
        """Whether it tells the member to write calls in the canonical syntax."""
        return _TAUGHT.search(self._rendered_with_tool) is not None

    @functools.cached_property
    def writes_calls(self) -> bool:
        """Whether it writes the calls of an assistant message in the canonical syntax."""
        messages: list[Mapping[str, Any]] = [_ASK, _CALL, _RESULT]
        rendered = self._render_or_empty(messages) or self._render_or_empty(messages, [_TOOL])
        return _CALLED in read_calls(rendered)[1]

    @functools.cached_property
    def shows_results(self) -> bool:
        """Whether it shows messages of role "tool", behind calls as it has them."""
        call = _CALL if self.writes_calls else {"role": "assistant", "content": "I look it up."}
        return _RESULT["content"] in self._render_or_empty([_ASK, call, _RESULT])

    @functools.cached_property
    def shows_names(self) -> bool:
        """Whether it shows the name of a user message."""
        return _NAMED["name"] in self._render_or_empty([_NAMED])

    @functools.cached_property
    def _rendered_with_tool(self) -> str:
        """What it makes of a conversation with a tool; nothing if the tool is not in it."""
        tries = (
            self._render_or_empty([_ASK], [_TOOL]),
            self._render_or_empty([{**_ASK, "role": "system"}, _ASK], [_TOOL]),
        )
        return next((rendered for rendered in tries if _CALLED.name in rendered), "")

    def _render_or_empty(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        try:
            return self.render(messages, tools)
        except PromptError:
            return ""


def _without_nothing(message: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without keys whose value is None: templates handle a key that is not there."""
    return {key: value for key, value in message.items() if value is not None}
