"""What the oracle answers: rounds, and the cutting of them at a stop string."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class OracleMember:
    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weight: float = 1.0


@dataclass(frozen=True)
class OracleRound:
    """What a round committed and why; rounds' texts, and all words, concatenate to the answer."""

    text: str
    ends: bool
    words: tuple[str, ...]
    drafter: str
    candidates: tuple[tuple[str, bool], ...]  # in pool order: the members', each's drafts' order
    drafters: tuple[tuple[str, ...], ...]  # for each candidate
    scores: tuple[float | None, ...]  # for each candidate; None where nothing was scored
    member_scores: tuple[tuple[float | None, ...], ...]  # for each candidate, each member's
    gap: float  # how near the nearest decision of the round was to going the other way
    forced: bool = False  # a grammar left no choice
    stop: int | None = None  # it ends at a stop string, of which so much is in the answer


@dataclass(frozen=True)
class OracleAnswer:
    text: str
    rounds: tuple[OracleRound, ...]
    finish_reason: str
    token_ids: dict[str, tuple[int, ...]]  # what was committed; a stop string stays in them


def split_words(text: str) -> list[str]:
    """Words that no member drafted: leading whitespace and a run of anything else."""
    return re.findall(r"\s*\S+|\s+$", text)


def part_of_words(words: Sequence[str], start: int, stop: int) -> list[str]:
    """The words of a part of their text."""
    pieces = []
    for word in words:
        pieces.append(word[max(start, 0) : max(stop, 0)])
        start, stop = start - len(word), stop - len(word)
    return [piece for piece in pieces if piece]


def before_stop(text: str, stops: Sequence[str]) -> str | None:
    """The text before the stop that is completed first, the longest of those completed there."""
    for end in range(1, len(text) + 1):
        completed = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if completed:
            return text[: end - max(map(len, completed))]
    return None


def cut_rounds(rounds: list[OracleRound], length: int) -> tuple[OracleRound, ...]:
    """The rounds of the answer's first characters: a stop may have begun in an earlier round."""
    cut = []
    for done in rounds:
        words = tuple(part_of_words(done.words, 0, length))
        cut.append(replace(done, text=done.text[: max(length, 0)], words=words))
        length -= len(done.text)
    return tuple(cut)
