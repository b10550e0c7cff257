"""How the loop speaks to a member: strings and plain values, never tensors.

A member therefore can live in this process, in another one or on another machine. One call to
`open` gives a session: one prompt, one answer, one cache. Sessions of one member do not disturb
each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from adafuse.config import DecodingConfig
from adafuse.events import MemberUsage
from adafuse.prompting.prompt import Prompt

__all__ = ["Draft", "Drafts", "Member", "PromptNLL", "Rated", "Session", "Speculative"]


@dataclass(frozen=True, slots=True)
class Draft:
    """One proposal: a span split into its words, and whether the answer ends after it.

    Attributes:
        words: they concatenate to the span.
        ends: whether the answer ends after it.
        stop: None, but where the answer ends since what the member drafted completes a stop string:
            how many characters before the span belong to that. The span is the text before it.
    """

    words: tuple[str, ...]
    ends: bool
    stop: int | None = None

    @property
    def text(self) -> str:
        """The span."""
        return "".join(self.words)


@dataclass(frozen=True, slots=True)
class Drafts:
    """What one member proposes in one round."""

    drafts: tuple[Draft, ...]  # the most probable first; texts may repeat
    margins: tuple[float, ...]  # every one that was tested, in order
    confident: bool  # none of them was below the threshold
    finite: bool = True  # False if a distribution was NaN; then there are no drafts


class Session(Protocol):
    """One prompt being answered by one member."""

    @property
    def templated(self) -> bool:
        """Whether the prompt was rendered with the member's own chat template."""

    @property
    def extra_stops(self) -> tuple[str, ...]:
        """Stop strings that the prompt's rendering calls for."""

    @property
    def room(self) -> int:
        """How many more tokens the context window can hold."""

    @property
    def usage(self) -> MemberUsage:
        """What this session has cost so far."""

    def prefill(self) -> None:
        """Read the prompt: one forward."""

    def draft(self, *, strip_blank: bool) -> Drafts:
        """Propose candidates from the end of the answer text.

        With `strip_blank` leading U+0020 are left out of the proposed texts (DESIGN 3.4, chat).
        """

    def score(self, candidates: Sequence[tuple[str, bool]]) -> list[float | None]:
        """Return a score of each (text, ends): NLLs in nats, lower is better.

        Under rule "paper" the mean per token, an end counting as one. Under "words" that of the
        whole word and the border behind it; none of the candidates holds what another one does.
        An end is the sum of the member's end tokens and of the stop strings that it drafted in
        this round. NaN where it is not a number; None where the member reads the text as no
        tokens.
        """

    def count(self, text: str, ends: bool) -> int:
        """How many tokens it takes to commit (text, ends): those drafted for it, or its encoding.

        Asked for under a grammar only, to close the answer in time.
        """

    def fit(self, text: str, ends: bool, limit: int) -> tuple[str, bool]:
        """Cut a candidate to this member's ids that fit in `limit` tokens.

        Returns its text, back to a whole character, and whether it was cut; a candidate that was
        does not end. A text can stay the same where ids of a stripped blank go.
        """

    def commit(self, text: str, ends: bool) -> int | None:
        """Append the ids of `text`: those it drafted for it, else its encoding.

        Returns how many more tokens the context window can hold then; None: `room` is asked.
        """

    def close(self) -> None:
        """Let go of the cache. Closing twice is allowed."""


@runtime_checkable
class Speculative(Protocol):
    """What a session may offer besides, so that fewer forwards are needed.

    Nothing of it changes what the session drafts or scores.
    """

    @property
    def price(self) -> float:
        """What a forward costs it, in any unit that members share; the cheapest drafts first."""

    @property
    def place(self) -> str:
        """Where it runs; sessions in different places work at the same time."""

    def likely(self) -> list[str]:
        """Texts of the tokens that it is likely to draft first, if that is known already."""

    def hint(self, texts: Sequence[str]) -> None:
        """Texts after the answer text that it will have to score, or may agree with."""

    def look_ahead(self, tokens: int) -> str:
        """Go on from its most probable draft, some tokens beyond; return the whole text.

        "" if it had drafted without a forward: then it has looked far enough ahead.
        """


@dataclass(frozen=True, slots=True)
class PromptNLL:
    """How well a member predicts a prompt.

    Attributes:
        texts: for what each message says, in order, its negative log-likelihood in nats, summed
            over its tokens, and how many characters these have; None where the member does not
            read the text as it is.
        whole: the same of the whole prompt.
    """

    texts: tuple[tuple[float, int] | None, ...]
    whole: tuple[float, int]


@runtime_checkable
class Rated(Protocol):
    """What a session has to offer for a `prompt_exponent`."""

    def prompt_nll(self) -> PromptNLL:
        """How well the member predicts its prompt; asked for after `prefill`."""


class Member(Protocol):
    """One causal language model with its tokenizer.

    It may also have `count_tokens(text: str) -> int`, without special tokens, and
    `count_prompt_tokens(prompt: Prompt) -> int`, of a prompt as it reads it, tools included.
    Decoding does without; what counts tokens for a caller asks for them.
    """

    @property
    def name(self) -> str:
        """Shown in events, usage and errors; unique within an ensemble."""

    @property
    def weight(self) -> float:
        """How much it counts."""

    def open(self, prompt: Prompt, config: DecodingConfig) -> Session:
        """Render and tokenise the prompt; no forward yet.

        Raises:
            PromptError: the template refuses the messages.
            ContextWindowError: the prompt leaves no room in the window.
        """
