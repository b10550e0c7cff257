"""What decoding tells the outside: rounds as they are committed.

Plain frozen values that pickle and turn into JSON (`dataclasses.asdict`); no tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Literal, Protocol

__all__ = [
    "Candidate",
    "Dropped",
    "FinishReason",
    "FinishedAnswer",
    "Loss",
    "MemberUsage",
    "Round",
    "RoundKind",
    "Rule",
    "cut_rounds",
    "cut_words",
]

Rule = Literal["words", "paper"]
"""What a round decides: a word by its probability, or a span by its mean NLL per token."""

FinishReason = Literal["stop", "length", "stop_string"]
"""`stop`: an ending candidate won. `stop_string`. `length`: max_new_tokens, or a full window.

`length` also of a constrained answer that a limit closed, so that it is whole and yet not all that
members would have written: because the tokens ran out, or at a bound that its schema does not have.
"""

RoundKind = Literal["forced", "scored", "unanimous", "empty"]
"""How a round was decided; `empty`: nothing could be drafted."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A text that a member could not hold exactly, and how it reads it (DESIGN 3.4)."""

    text: str
    reads: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A member that failed and was left out of the rest of an answer.

    Attributes:
        member: its name.
        round_index: in which round; 0 before the first.
        phase: what it was doing: "open", "prefill", "draft", "score" or "commit".
        error: the kind of error, and what it said.
    """

    member: str
    round_index: int
    phase: str
    error: str


@dataclass(frozen=True, slots=True)
class MemberUsage:
    """What one answer cost one member.

    Attributes:
        prompt_tokens: tokens of its prompt.
        committed_tokens: tokens of its answer; an end token is not counted.
        forward_passes: forwards of the model, prefill included.
        tokens_processed: tokens through the model: prompt and tree nodes, each once, and what was
            read ahead.
        seconds: wall time by phase: "prefill", "draft", "score", "commit".
        token_ids: the committed ids, in order.
        losses: texts of the answer or prompt that its tokenizer cannot hold exactly.
        replaced_characters: U+FFFD that it drafted as bytes that are no UTF-8.
        rounds_left_out: rounds in which its logits or scores were not finite.
        forward_seconds: wall time inside forwards of its model; of a forward that several answers
            shared, this one's part.
        weight: its share of the scores' mean, 0 to 1, as far as it is the same in all rounds; None
            if it is not known.
        reused_tokens: tokens of its prompt that an earlier prompt began with too, and that were
            therefore not read again; not among `tokens_processed`.
    """

    prompt_tokens: int
    committed_tokens: int
    forward_passes: int
    tokens_processed: int
    seconds: Mapping[str, float]
    token_ids: tuple[int, ...] = ()
    losses: tuple[Loss, ...] = ()
    replaced_characters: int = 0
    rounds_left_out: int = 0
    forward_seconds: float = 0.0
    reused_tokens: int = 0
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span that was pooled in a round.

    Attributes:
        text: the span; may be empty when the answer ends.
        ends: whether the answer ends after it.
        words: the span as its earliest drafter split it; they concatenate to `text`.
        drafters: members that proposed it, the earliest first.
        scores: NLL in nats by member, under rule "words" of the whole word and its border, under
            "paper" the mean per token; empty where nothing was scored. A member left out of the
            round is missing; so is one that reads the text as no tokens at all.
        score: what all of them make of it, lowest wins: -log of the members' mixture or product of
            probabilities under "words", the weighted mean of `scores` under "paper"; None where
            nothing was scored.
        stop: None, but where a drafter completed a stop string, so that the answer ends: how many
            characters before the span belong to that.
    """

    text: str
    ends: bool
    words: tuple[str, ...]
    drafters: tuple[str, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One round of decoding: draft, pool, score, commit. Streaming yields these.

    Attributes:
        index: 1 for the first round.
        text: what the round adds to the answer. The texts of all rounds concatenate to the answer
            exactly: a round whose text could begin a stop string is yielded once that is decided.
        words: `text` split as the earliest drafter delimited it.
        ends: whether the committed candidate ends the answer.
        member: the earliest drafter of the committed candidate; "" if nothing was drafted.
        drafters: all who drafted it.
        candidates: the pool, in pool order, as it was scored.
        winner: index into `candidates`; -1 if nothing could be drafted.
        margins: the margins each member tested in this round, in order.
        confident: no member fell below the margin threshold.
        unanimous: the pool held a single candidate, committed whatever its score: it has one only
            if probabilities of words are asked for.
        scored: the pool held several, and every member scored them.
        rule: what scores are; see `Candidate`.
        forced: committed without a draft: the grammar left no choice, or the tokens left were
            those that it takes to make the answer whole.
        left_out: members whose logits or scores were not finite in this round.
        dropped: members that failed in this round (in the first: or before it), and are left out
            of the rest of the answer.
        finish_reason: set on the last round only.
        usage: by member, on the last round only.
    """

    index: int
    text: str
    words: tuple[str, ...]
    ends: bool
    member: str
    drafters: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    winner: int
    margins: Mapping[str, tuple[float, ...]]
    confident: bool
    unanimous: bool
    scored: bool
    forced: bool = False
    rule: Rule = "paper"
    left_out: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Mapping[str, MemberUsage] | None = None

    @property
    def kind(self) -> RoundKind:
        """How it was decided: the first of the flags that is set."""
        if self.forced:
            return "forced"
        if self.scored:
            return "scored"
        return "unanimous" if self.unanimous else "empty"


class FinishedAnswer(Protocol):
    """What errors and pages need of a whole answer; `adafuse.Answer` is one."""

    @property
    def text(self) -> str:
        """All of it."""

    @property
    def rounds(self) -> Sequence[Round]:
        """Those it came from, in order."""

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended."""

    @property
    def usage(self) -> Mapping[str, MemberUsage]:
        """What it cost, by member."""


def cut_words(words: Sequence[str], length: int) -> tuple[str, ...]:
    """Cut words to `length` characters in all; no empty words remain."""
    ends = accumulate(map(len, words), initial=0)
    return tuple(
        word[: length - begin] for word, begin in zip(words, ends, strict=False) if begin < length
    )


def cut_rounds(rounds: Sequence[Round], length: int) -> list[Round]:
    """Cut the texts and words of rounds to `length` characters in all; every round remains."""
    kept = []
    for round_ in rounds:
        text = round_.text[: max(length, 0)]
        length -= len(round_.text)
        words = cut_words(round_.words, len(text))
        kept.append(replace(round_, text=text, words=words, ends=False))
    return kept
