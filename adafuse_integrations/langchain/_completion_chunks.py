"""Rounds as LangChain chunks, one per word, which add up to the trace of the answer.

`generation_info` of

    a word's chunk     member, drafters, round (the whole round as a dict)
    the last chunk     finish_reason, usage by member, rounds (those that added no word); no text
    a sum of chunks    words, rounds and, with the last chunk, finish_reason and usage

The sum of all chunks says what `AdaFuseLLM.generate` gives with its generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from operator import add
from typing import Any

from langchain_core.outputs import Generation, GenerationChunk

from adafuse.events import Round
from adafuse_integrations._shared.trace import round_info, usage_info, word_info
from adafuse_integrations.langchain._compat import merge_dicts

__all__ = ["AnswerChunk", "answer_chunks", "whole_answer"]

_OURS = frozenset({"member", "drafters", "round", "words", "rounds", "finish_reason", "usage"})


class AnswerChunk(GenerationChunk):
    """A chunk that adds up by listing words and rounds.

    LangChain's own addition would run names together and refuse to merge scores.
    """

    @property
    def says(self) -> bool:
        """Whether it adds to the answer; the last chunk does not."""
        return bool(self.text)

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialised as a plain GenerationChunk, so that LangChain can read it back."""
        return GenerationChunk.lc_id()

    def __add__(self, other: GenerationChunk) -> AnswerChunk:
        """Join the texts and the traces."""
        return _join(self, other) if isinstance(other, GenerationChunk) else NotImplemented

    def __radd__(self, other: GenerationChunk) -> AnswerChunk:
        """Likewise where a plain chunk stands first."""
        return _join(other, self) if isinstance(other, GenerationChunk) else NotImplemented


def _join(left: GenerationChunk, right: GenerationChunk) -> AnswerChunk:
    a, b = _listed(left), _listed(right)
    foreign = merge_dicts(
        {key: value for key, value in a.items() if key not in _OURS},
        {key: value for key, value in b.items() if key not in _OURS},
    )
    rounds = list(a.get("rounds", ()))
    # The words of one round come in chunks that each carry the round.
    rounds += [round_ for round_ in b.get("rounds", ()) if round_ not in rounds[-1:]]
    joined = {**foreign, **a, **b, "rounds": rounds}
    joined["words"] = [*a.get("words", ()), *b.get("words", ())]
    return AnswerChunk(text=left.text + right.text, generation_info=joined)


def _listed(chunk: GenerationChunk) -> dict[str, Any]:
    """The info of a chunk, that of a single word turned into lists."""
    info = chunk.generation_info or {}
    if "round" not in info:
        return info
    listed = {k: v for k, v in info.items() if k not in ("member", "drafters", "round")}
    described = info["round"]
    return {**listed, "words": [word_info(chunk.text, described)], "rounds": [described]}


def answer_chunks(rounds: Iterable[Round]) -> Iterator[AnswerChunk]:
    """Yield a chunk per word as rounds come, and a last one without text."""
    wordless, dropped = [], []
    for round_ in rounds:
        described = round_info(round_)
        dropped += described["dropped"]
        if not round_.words:
            wordless.append(described)
        of_word = {name: described[name] for name in ("member", "drafters")} | {"round": described}
        for word in round_.words:
            yield AnswerChunk(text=word, generation_info=dict(of_word))
        if round_.finish_reason is not None:
            usage = usage_info(round_.usage or {})
            last = {"finish_reason": round_.finish_reason, "usage": usage, "rounds": wordless}
            if dropped:
                last["dropped"] = dropped
            yield AnswerChunk(text="", generation_info=last)


def whole_answer(chunks: Iterable[AnswerChunk]) -> Generation:
    """Add up all chunks of an answer."""
    whole = reduce(add, chunks, AnswerChunk(text=""))
    return Generation(text=whole.text, generation_info=whole.generation_info)
