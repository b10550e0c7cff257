"""Members that truncate contexts from the left and continue begun answers, as the harness asks.

A context that leaves no room for the answer loses as many of its first tokens as are needed, which
is what the harness's own models do; each member truncates by its own tokens. Imports torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lm_eval.models.utils import resolve_max_length

from adafuse.config import DecodingConfig
from adafuse.decoding.member import Member
from adafuse.errors import ConfigError, PromptError
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import Prompt
from adafuse.prompting.renderer import Rendered
from adafuse_integrations.lm_eval.chat_template import Conversation

__all__ = ["ContextMember", "context_members", "prompt_of", "rendered_ids", "window_of"]

_NO_LIMIT = 2**31  # tokens
_PREFIX = "adafuse_prefix"  # key of a message that is no turn but the beginning of the answer


def window_of(member: LocalMember) -> int:
    """The context window that the harness's own model has for this checkpoint."""
    model = getattr(member.runner, "model", None)
    if model is None:  # llama.cpp's: the harness has no model of its own for it
        return member.runner.window or _NO_LIMIT
    window: int = resolve_max_length(model.config, member.tokenizer)
    return window


def prompt_of(context: str, conversation: Conversation | None) -> str | list[dict[str, Any]]:
    """What an ensemble of `context_members` is asked."""
    if conversation is None:
        return context
    messages = list(conversation.messages)
    if conversation.prefix:
        messages.append({"role": "assistant", "content": conversation.prefix, _PREFIX: True})
    return messages


def rendered_ids(member: LocalMember, prompt: Prompt) -> Rendered:
    """A prompt as a member reads it, with the beginning of the answer that it may hold.

    Text that follows is then exact from its first character, which `templated` says.
    """
    last = prompt.messages[-1]
    if not last.get(_PREFIX):
        return LocalMember.render(member, prompt)
    rendered = LocalMember.render(member, replace(prompt, messages=prompt.messages[:-1]))
    prefix = member.codec.encode(answer_text(rendered, str(last["content"])))
    return replace(rendered, ids=(*rendered.ids, *prefix), templated=False)


def answer_text(rendered: Rendered, text: str) -> str:
    """How an answer is written behind a conversation: `Assistant:` is followed by a blank."""
    return text if rendered.templated or text[:1].isspace() else f" {text}"


class ContextMember(LocalMember):
    """A member that cuts contexts so that an answer has room; it shares all that it has.

    If `exact`, answers are exact from their first character in conversations too.

    Attributes:
        cut: lengths of the contexts that were cut.
        spelt: how many contexts spell special tokens, which a prompt reads as text.
    """

    def __init__(self, member: LocalMember, limit: int, *, exact: bool) -> None:
        self.__dict__.update(vars(member))
        self._limit = limit
        self._exact = exact
        self.cut: list[int] = []
        self.spelt = 0

    def render(self, prompt: Prompt) -> Rendered:
        """The end of the context, as much of it as fits."""
        rendered = rendered_ids(self, prompt)
        text = prompt.text or ""
        self.spelt += any(content in text for content in self.codec.special.values())
        if len(rendered.ids) > self._limit:
            self.cut.append(len(rendered.ids))
            rendered = replace(rendered, ids=rendered.ids[-self._limit :])
        return replace(rendered, templated=False) if self._exact else rendered


def context_members(
    members: tuple[Member, ...], config: DecodingConfig, *, prefixed: bool
) -> list[Member]:
    """Members for one set of requests, whose answers may be begun (`prefixed`)."""
    truncating: list[Member] = []
    for member in members:
        if not isinstance(member, LocalMember):
            if prefixed:
                raise PromptError(
                    f"member {member.name!r} is a {type(member).__name__}, which cannot go on from "
                    "a begun answer; leave the task's gen_prefix out, or the chat template"
                )
            truncating.append(member)
            continue
        limit = window_of(member) - config.max_new_tokens
        if limit < 1:
            raise ConfigError(
                f"max_gen_toks is {config.max_new_tokens}, but the window of member "
                f"{member.name!r} is {window_of(member)}: no context would be left"
            )
        truncating.append(ContextMember(member, limit, exact=len(members) == 1))
    return truncating
