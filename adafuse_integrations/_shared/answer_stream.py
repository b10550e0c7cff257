"""The parts of an answer with the described rounds that they come from, and the answer's end.

Knows no framework. What a framework's chunks hold is made from `DescribedPart`; what its message
says at the end, from a mapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from adafuse.errors import IncompleteAnswerError
from adafuse.events import Candidate, Round
from adafuse.telemetry.logprobs import LEAST, word_logprobs
from adafuse.tools.answer_parts import AnswerParts, Part
from adafuse.validation import warn
from adafuse_integrations._shared.trace import answer_info, round_info, totals

__all__ = ["DescribedPart", "read_parts", "warn_if_closed"]


@dataclass(frozen=True, slots=True)
class DescribedPart(Part):
    """A part of the answer.

    Attributes:
        source: the described round it comes from; see `adafuse_integrations._shared.trace`.
    """

    source: dict[str, Any]


def read_parts(
    rounds: Iterable[Round],
    parts: AnswerParts,
    *,
    keep_incomplete: bool,
    top_logprobs: int | None,
) -> Iterator[DescribedPart | dict[str, Any]]:
    """Yield the parts of an answer as rounds come, then its end.

    That is in plain values: "finish_reason"; "fusion", which `read_answer` reads; "token_usage",
    summed over members; "logprobs" if `top_logprobs` is a number, see `word_scores`; and
    "incomplete", why the answer is not what it must be, if it is not.

    Raises:
        IncompleteAnswerError: behind the end, unless `keep_incomplete`.
    """
    error: IncompleteAnswerError | None = None
    described: list[dict[str, Any]] = []
    try:
        for round_ in rounds:
            described.append(round_info(round_))
            for part in parts.feed(round_):
                yield DescribedPart(part.text, part.call, described[-1])
    except IncompleteAnswerError as cut:
        error = cut
    assert parts.last is not None  # a stream that ends without its last round has raised
    fusion = answer_info(described, parts.last)
    usage = totals([fusion["usage"]])
    end = {"finish_reason": parts.finish_reason, "fusion": fusion, "token_usage": usage}
    if top_logprobs is not None:
        scores = [score for round_ in parts.rounds for score in word_scores(round_, top_logprobs)]
        end["logprobs"] = {"content": scores}
    if error is not None:
        end["incomplete"] = str(error)
    yield end
    if error is not None and not keep_incomplete:
        raise error


def warn_if_closed(finish_reason: object) -> None:
    """Warn of an answer that is read as an object, which cannot say that a limit closed it."""
    if finish_reason == "length":
        warn(
            "a limit closed the answer, so the object may lack what was still to come; raise "
            "max_tokens, or give lists and strings in its schema bounds of their own"
        )


def word_scores(round_: Round, top: int) -> Iterator[dict[str, Any]]:
    """Describe the words of a round as `word_logprobs` does, in OpenAI's form, and besides by

    by_member     the log of the probability that each member gives it, by name; also of each of
                  the "top_logprobs"
    round         index of the round
    """
    winner = round_.candidates[round_.winner] if round_.winner >= 0 else None
    best = sorted((c for c in round_.candidates if c.score is not None), key=attrgetter("score"))
    for word in word_logprobs(round_, top):
        others = [
            {**entry, "by_member": _by_member(candidate)}
            for entry, candidate in zip(word["top_logprobs"], best, strict=False)
        ]
        by_member = _by_member(winner) if winner is not None else {}
        yield {**word, "by_member": by_member, "round": round_.index, "top_logprobs": others}


def _by_member(candidate: Candidate) -> dict[str, float]:
    return {name: max(LEAST, 0.0 - nll) for name, nll in candidate.scores.items()}
