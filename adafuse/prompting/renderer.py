"""A prompt as one member reads it: its chat template, its special tokens, its ids (DESIGN 3.4).

No string that comes from a message may turn into a control token: special strings inside messages
are escaped while the template is rendered, and come back as plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from adafuse.errors import PromptError
from adafuse.events import Loss
from adafuse.prompting.chat_formats import FALLBACK_STOP, ChatForm, chat_forms, plain_conversation
from adafuse.prompting.chat_template import ChatTemplate, Template, chat_template
from adafuse.prompting.prompt import Prompt
from adafuse.prompting.special_tokens import SpecialTokenEscape
from adafuse.text.tokenizer import TokenCodec
from adafuse.validation import warn

__all__ = ["FALLBACK_STOP", "Rendered", "Renderer"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as ids, special ones included."""

    ids: tuple[int, ...]
    templated: bool  # by the member's own chat template
    stops: tuple[str, ...]  # that this rendering calls for besides
    losses: tuple[Loss, ...]  # what the tokenizer cannot hold exactly


class Renderer:
    """Renders prompts for one member; arguments and errors as of `chat_template`."""

    def __init__(
        self,
        codec: TokenCodec,
        name: str,
        template: Template | None = None,
        template_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self._codec = codec
        self._name = name
        self._template = chat_template(codec.vocabulary, name, template, template_arguments)
        self._warned = False
        self._special_tokens = {
            token.content: (id_, token) for id_, token in codec.vocabulary.special.items()
        }

    @cached_property
    def _special(self) -> re.Pattern[str] | None:
        """Finds special tokens. Some tokenizers have thousands: only templates wait for it."""
        special = sorted(set(self._codec.special.values()), key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, special))})") if special else None

    def render(self, prompt: Prompt) -> Rendered:
        """Render and tokenise a prompt, once.

        A template gets the conversation as it is; if it refuses it or leaves out what a system or
        user message says, in the forms of `adafuse.prompting.chat_formats`.

        Raises:
            PromptError: the template takes none of them, or nothing is left of the messages.
        """
        if prompt.format == "raw" or (prompt.format == "auto" and self._template is None):
            assert prompt.text is not None
            return self._render_text(prompt.text, ())
        if self._template is not None:
            return self._render_chat(prompt, self._template)
        if prompt.text is None and not self._warned:
            self._warn()
        return self._render_text(*plain_conversation(prompt.messages, prompt.tools))

    def _warn(self) -> None:
        self._warned = True
        warn(
            f"member {self._name!r} has no chat template: it reads messages as 'User: …' and "
            "'Assistant: …' turns with blank lines between them; if it was trained on another "
            "format, give that as its chat_template"
        )

    def _render_text(self, text: str, stops: tuple[str, ...]) -> Rendered:
        ids = self._codec.encode_start(text, special_tokens=True)
        read = self._codec.encode_start(text, special_tokens=False)
        return self._not_empty(Rendered(tuple(ids), False, stops, tuple(self._losses(text, read))))

    def _render_chat(self, prompt: Prompt, template: ChatTemplate) -> Rendered:
        refusal: PromptError | None = None
        for form in chat_forms(prompt.messages, prompt.tools, template):
            escaping = SpecialTokenEscape(self._special, [form.messages, form.tools])
            messages, tools = map(escaping.escape, form.messages), map(escaping.escape, form.tools)
            try:
                rendered = template.render([*messages], [*tools])
            except PromptError as error:
                refusal = error
                continue
            missing = _left_out(form, escaping.unescape(rendered))
            missing = missing or self._left_out_by_marks(template, form, escaping)
            if missing is None:
                return self._encode(rendered, escaping)
            role, text = missing
            refusal = PromptError(
                f"member {self._name!r}: its chat template leaves out the {role} message "
                f"{text.strip()[:60]!r}; give it another chat_template, or none with ''"
            )
        assert refusal is not None
        raise refusal

    def _left_out_by_marks(
        self, template: ChatTemplate, form: ChatForm, escaping: SpecialTokenEscape
    ) -> tuple[str, str] | None:
        """A (role, text) that the template leaves out, though its words are found elsewhere.

        Told by rendering once more, with a mark on both sides of what users and systems say.
        """
        marks: dict[int, tuple[str, str]] = {}
        messages = [escaping.escape(message) for message in form.messages]
        for at, message in enumerate(messages):  # templates may cut what assistants said
            if message["role"] in ("system", "user") and message["content"]:
                before, behind = marks[at] = escaping.mark(2 * at), escaping.mark(2 * at + 1)
                message["content"] = f"{before}{message['content']}{behind}"
        try:
            rendered = template.render(messages, [escaping.escape(tool) for tool in form.tools])
        except PromptError:  # it minds the marks
            return None
        for at, pair in marks.items():
            if not all(mark in rendered for mark in pair):
                return str(form.messages[at]["role"]), str(form.messages[at]["content"])
        return None

    def _encode(self, rendered: str, escaping: SpecialTokenEscape) -> Rendered:
        """Encode the template's special tokens as such, and everything between them as plain text.

        A tokenizer does the same: it splits at special tokens first and encodes what is between.
        """
        ids: list[int] = []
        losses: list[Loss] = []
        parts = self._special.split(rendered) if self._special is not None else [rendered]
        for at, text in enumerate(parts):  # special tokens are every second one
            if at % 2:
                ids.append(self._special_tokens[text][0])
                continue
            # Some special tokens swallow the whitespace beside them.
            if at > 0 and self._special_tokens[parts[at - 1]][1].rstrip:
                text = text.lstrip()
            if at + 1 < len(parts) and self._special_tokens[parts[at + 1]][1].lstrip:
                text = text.rstrip()
            if text := escaping.unescape(text):
                codec = self._codec
                piece = codec.encode_between(text) if at else codec.encode_start(text)
                losses += self._losses(text, piece)
                ids += piece
        return self._not_empty(Rendered(tuple(ids), True, (), tuple(losses)))

    def _losses(self, text: str, ids: list[int]) -> list[Loss]:
        loss = self._codec.loss_of(text, ids, blanks_before=True)
        return [] if loss is None else [loss]

    def _not_empty(self, rendered: Rendered) -> Rendered:
        if not rendered.ids:
            raise PromptError(
                f"member {self._name!r}: its tokenizer reads nothing in this prompt; add some words"
            )
        return rendered


def _left_out(form: ChatForm, rendered: str) -> tuple[str, str] | None:
    """A (role, text) of the form that is not in its rendering, if there is one.

    Whitespace does not count, since templates trim it; a text may be spelt as JSON has it.
    """
    shown = "".join(rendered.split())
    for role, text in form.texts:
        spellings = (text, json.dumps(text, ensure_ascii=False)[1:-1])
        if not any("".join(spelling.split()) in shown for spelling in spellings):
            return role, text
    return None
