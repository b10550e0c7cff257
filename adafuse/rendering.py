"""A prompt as one member reads it: its chat template, its special tokens, its ids (DESIGN 3.4).

No string that comes from a message may turn into a control token: special strings inside messages
are put aside while the template is rendered, and come back as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from adafuse.errors import PromptError
from adafuse.events import Loss
from adafuse.prompts import Prompt
from adafuse.tokens import TokenCodec

__all__ = ["FALLBACK_STOP", "Rendered", "Renderer"]

FALLBACK_STOP = "\n\nUser:"
"""A member without a template would go on to write the user's next turn."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as ids.

    Attributes:
        ids: all tokens of the prompt, special ones included.
        templated: whether the member's own chat template rendered it.
        stops: extra stop strings that this rendering calls for.
        losses: what the tokenizer cannot hold exactly.
    """

    ids: tuple[int, ...]
    templated: bool
    stops: tuple[str, ...]
    losses: tuple[Loss, ...]


class Renderer:
    """Renders prompts for one member.

    Args:
        tokenizer: its chat template is used, if it has one.
        codec: of the same tokenizer.
        name: the member's name, for messages.
        chat_template: in place of the tokenizer's own; "" leaves it out.
        template_arguments: passed to the template.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        codec: TokenCodec,
        name: str,
        chat_template: str | None = None,
        template_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._codec = codec
        self._name = name
        own = tokenizer.chat_template
        self._template = own if chat_template is None else chat_template
        self._arguments = dict(template_arguments or {})
        special = sorted(set(codec.special.values()), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special))) if special else None
        self._special_tokens = {
            token.content: _Control(id_, token.lstrip, token.rstrip)
            for id_, token in tokenizer.added_tokens_decoder.items()
            if token.special
        }

    def render(self, prompt: Prompt) -> Rendered:
        """Render and tokenise a prompt, once.

        Raises:
            PromptError: the template refuses the messages, or nothing is left of them.
        """
        if prompt.format == "raw" or (prompt.format == "auto" and not self._template):
            assert prompt.text is not None
            return self._plain(prompt.text, ())
        if self._template:
            return self._templated(prompt.messages)
        turns = [f"{_speaker(message)}: {message['content']}" for message in prompt.messages]
        return self._plain("\n\n".join([*turns, "Assistant:"]), (FALLBACK_STOP,))

    def _plain(self, text: str, stops: tuple[str, ...]) -> Rendered:
        ids = self._codec.encode_start(text, special_tokens=True)
        reads = self._codec.text(self._codec.encode_start(text, special_tokens=False))
        same = reads in (text, f" {text}")  # but for the blank that some put before a text
        return self._checked(
            Rendered(tuple(ids), False, stops, () if same else (Loss(text, reads),))
        )

    def _templated(self, messages: Sequence[Mapping[str, Any]]) -> Rendered:
        aside = _Aside(self._special, messages)
        rendered = self._apply([aside.put(message) for message in messages])
        ids = self._encode_around(rendered, aside)
        text, reads = aside.back(rendered), self._codec.text(ids)
        # Some tokenizers put a blank after every special token.
        same = reads.replace(" ", "") == text.replace(" ", "") and len(reads) >= len(text)
        return self._checked(Rendered(tuple(ids), True, (), () if same else (Loss(text, reads),)))

    def _checked(self, rendered: Rendered) -> Rendered:
        if not rendered.ids:
            raise PromptError(
                f"member {self._name!r}: its tokenizer reads nothing in this prompt; add some words"
            )
        return rendered

    def _apply(self, messages: Sequence[Mapping[str, Any]]) -> str:
        try:
            rendered = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=True,
                **self._arguments,
            )
        except Exception as error:  # templates raise what they like: jinja errors, KeyError, …
            reason = " ".join(str(error).split())
            raise PromptError(
                f"member {self._name!r}: its chat template refuses the messages: {reason}"
            ) from error
        return str(rendered)

    def _encode_around(self, rendered: str, aside: _Aside) -> list[int]:
        """Encode the template's special tokens as such, and everything between them as plain text.

        A tokenizer does the same: it splits at special tokens first and encodes what is between.
        """
        ids: list[int] = []
        at, before = 0, None
        controls = self._special.finditer(rendered) if self._special is not None else ()
        for match in controls:
            control = self._special_tokens[match.group()]
            ids += self._encode_piece(rendered[at : match.start()], aside, before, control)
            ids.append(control.id)
            at, before = match.end(), control
        return ids + self._encode_piece(rendered[at:], aside, before, None)

    def _encode_piece(
        self, text: str, aside: _Aside, before: _Control | None, after: _Control | None
    ) -> list[int]:
        if before is not None and before.strips_right:
            text = text.lstrip()
        if after is not None and after.strips_left:
            text = text.rstrip()
        text = aside.back(text)
        if not text:
            return []
        if before is not None:
            return self._codec.encode_between(text)
        return self._codec.encode_start(text, special_tokens=False)


@dataclass(frozen=True, slots=True)
class _Control:
    """A special token as the tokenizer matches it: some swallow the whitespace beside them."""

    id: int
    strips_left: bool
    strips_right: bool


def _speaker(message: Mapping[str, Any]) -> str:
    return str(message["role"]).capitalize()


class _Aside:
    """Special strings of messages, replaced by private-use characters while a template renders."""

    def __init__(
        self, special: re.Pattern[str] | None, messages: Sequence[Mapping[str, Any]]
    ) -> None:
        self._special = special
        self._kept: list[str] = []
        used = repr([list(message.values()) for message in messages])
        # Compared as `repr` spells them, which shows every private-use character as its code.
        self._mark = next(
            mark for code in range(0xE000, 0xF8FF) if repr(mark := chr(code))[1:-1] not in used
        )

    def put(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the message without special strings in any of its texts but the role."""
        return {
            key: value if key == "role" else self._replace(value) for key, value in message.items()
        }

    def back(self, text: str) -> str:
        """Put the strings back."""
        # In one pass from the left: a digit of the template between two of them must not mislead.
        pattern = f"{self._mark}([0-9]+){self._mark}"
        return re.sub(pattern, lambda found: self._kept[int(found[1])], text)

    def _replace(self, value: Any) -> Any:
        if isinstance(value, str) and self._special is not None:
            return self._special.sub(self._keep, value)
        if isinstance(value, Mapping):
            return {self._replace(key): self._replace(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._replace(one) for one in value]
        return value

    def _keep(self, match: re.Match[str]) -> str:
        self._kept.append(match.group())
        return f"{self._mark}{len(self._kept) - 1}{self._mark}"
