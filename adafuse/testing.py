"""A scripted member, for testing what is built on adafuse without loading a model.

It shows what a member is: it drafts the next words of a fixed answer and prefers texts that
continue it. No torch, no tokenizer: one character is one token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adafuse.config import DecodingConfig
from adafuse.decoding.member import Draft, Drafts, PromptNLL
from adafuse.errors import ContextWindowError
from adafuse.events import MemberUsage, cut_words
from adafuse.prompting.prompt import Prompt
from adafuse.text.stop_strings import first_stop
from adafuse.text.words import split_words

__all__ = ["ScriptedMember"]


@dataclass(frozen=True)
class ScriptedMember:
    """A member that wants to write a fixed answer.

    Attributes:
        answer: its answer, or a function from the prompt's last message to one.
        name: shown in events.
        weight: of its scores.
        confident: whether its margins are 1 (else 0: it then drafts one word a round).
        nll: its score, in nats, of a word that continues its answer; any other costs 10 nats more
            for each character from the first that differs. Under rule "paper": of a span that does,
            per character.
        window: context window in characters.
        templated: whether it claims to have a chat template.
        respond: a function from the whole prompt (messages and tools) to an answer, in place of
            `answer`; `adafuse.tools.call_text` writes calls.
    """

    answer: str | Callable[[str], str] = ""
    name: str = "scripted"
    weight: float = 1.0
    confident: bool = True
    nll: float = 1.0
    window: int = 100_000
    templated: bool = False
    respond: Callable[[Prompt], str] | None = None

    def open(self, prompt: Prompt, config: DecodingConfig) -> ScriptedSession:
        """Start an answer."""
        text = str(prompt.messages[-1]["content"])
        if len(text) >= self.window:
            raise ContextWindowError(self.name, self.window, len(text))
        if self.respond is not None:
            answer = self.respond(prompt)
        else:
            answer = self.answer if isinstance(self.answer, str) else self.answer(text)
        return ScriptedSession(self, answer, len(text), config, prompt)

    def count_tokens(self, text: str) -> int:
        """One token per character."""
        return len(text)

    def count_prompt_tokens(self, prompt: Prompt) -> int:
        """Likewise of the last message, which is all that it reads."""
        return len(str(prompt.messages[-1]["content"]))


class ScriptedSession:
    """One answer of a scripted member."""

    def __init__(
        self, member: ScriptedMember, answer: str, prompt_tokens: int, config: DecodingConfig,
        prompt: Prompt,
    ) -> None:  # fmt: skip
        self._member, self._config = member, config
        self._answer, self._text = answer, ""
        self._stopped: str | None = None  # what was drafted before a stop string
        self._prompt_tokens, self._forwards = prompt_tokens, 0
        self.templated = member.templated and prompt.format != "raw"
        # A grammar says itself where an answer ends.
        self._stops = config.stop if config.pool_stops and prompt.constraint is None else ()
        self.extra_stops: tuple[str, ...] = ()
        self.closed = False

    @property
    def room(self) -> int:
        """Characters that still fit in the window."""
        return self._member.window - self._prompt_tokens - len(self._text)

    @property
    def usage(self) -> MemberUsage:
        """One token per character; every draft and every scoring is one forward."""
        read = self._prompt_tokens + len(self._text)
        seconds = {"prefill": 0.0, "draft": 0.0, "score": 0.0, "commit": 0.0}
        return MemberUsage(self._prompt_tokens, len(self._text), self._forwards, read, seconds)

    def prefill(self) -> None:
        """Count one forward."""
        self._forwards += 1

    def prompt_nll(self) -> PromptNLL:
        """It finds every character of a prompt as likely as those of its answer."""
        fit = (self._member.nll * self._prompt_tokens, self._prompt_tokens)
        return PromptNLL((fit,), fit)

    def draft(self, *, strip_blank: bool) -> Drafts:
        """Propose the next words of the script, or the end where it was left or is complete."""
        self._forwards += 1
        margin = 1.0 if self._member.confident else 0.0
        sure = margin >= self._config.margin_threshold
        if strip_blank:
            self._answer = self._answer.lstrip(" ")
        on_script = self._answer.startswith(self._text)
        remaining = self._answer[len(self._text) :] if on_script else ""
        most = self._config.max_words if sure and self._config.rule == "paper" else 1
        span = split_words(remaining)[:most]
        margins = (margin,) * max(len(span), 1)
        draft = Draft(span, ends=not remaining)
        if (begin := first_stop(self._text, draft.text, self._stops)) is not None:
            draft = Draft(cut_words(span, max(begin, 0)), ends=True, stop=max(-begin, 0))
        self._stopped = draft.text if draft.stop is not None else None
        return Drafts((draft,), margins, sure)

    def score(self, candidates: Sequence[tuple[str, bool]]) -> list[float | None]:
        """Score each text by how far it continues the script."""
        self._forwards += 1
        return [self._score(text, ends) for text, ends in candidates]

    def _score(self, text: str, ends: bool) -> float | None:
        count = len(text) + ends
        if not count:
            return None
        written = self._text + text
        stopped = ends and text == self._stopped
        if stopped or (self._answer == written if ends else self._answer.startswith(written)):
            return self._member.nll
        pairs = zip(self._answer[len(self._text) :], text, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), math.inf)
        wrong = count - min(same, count - 1)
        per = count if self._config.rule == "paper" else 1
        return self._member.nll + 10 * wrong / per

    def count(self, text: str, ends: bool) -> int:
        """One token per character."""
        return len(text)

    def fit(self, text: str, ends: bool, limit: int) -> tuple[str, bool]:
        """Cut to `limit` characters."""
        return text[: max(limit, 0)], len(text) > limit

    def commit(self, text: str, ends: bool) -> int:
        """Append the text; return the characters that still fit."""
        self._text += text
        return self.room

    def close(self) -> None:
        """Nothing to let go of."""
        self.closed = True
