"""The parts of an answer with the described rounds that they come from, and the answer's end.

Knows no framework. What a framework's chunks hold is made from `DescribedPart`; what its message
says at the end, from `End`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adafuse.errors import IncompleteAnswerError
from adafuse.events import Round
from adafuse.tools.answer_parts import AnswerParts, Part
from adafuse_integrations._shared.logprobs import word_scores
from adafuse_integrations._shared.trace import answer_info, round_info, totals

__all__ = ["DescribedPart", "End", "read_parts"]


@dataclass(frozen=True, slots=True)
class DescribedPart(Part):
    """A part of the answer.

    Attributes:
        source: the described round it comes from; see `adafuse_integrations._shared.trace`.
    """

    source: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """What is known once the answer is whole.

    Attributes:
        info: in plain values: "finish_reason"; "fusion", which `read_answer` reads; "token_usage",
            summed over members; "logprobs" if asked for, see `word_scores`; and "incomplete", why
            the answer is not what it must be, if it is not.
    """

    info: dict[str, Any]


def read_parts(
    rounds: Iterable[Round],
    parts: AnswerParts,
    *,
    keep_incomplete: bool,
    logprobs: bool,
    top_logprobs: int,
) -> Iterator[DescribedPart | End]:
    """Yield the parts of an answer as rounds come, then its end.

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
    info = _whole(parts, described)
    if logprobs:
        scores = [score for round_ in parts.rounds for score in word_scores(round_, top_logprobs)]
        info["logprobs"] = {"content": scores}
    if error is not None:
        info["incomplete"] = str(error)
    yield End(info)
    if error is not None and not keep_incomplete:
        raise error


def _whole(parts: AnswerParts, described: list[dict[str, Any]]) -> dict[str, Any]:
    assert parts.last is not None  # a stream that ends without its last round has raised
    fusion = answer_info(described, parts.last)
    return {
        "finish_reason": parts.finish_reason,
        "fusion": fusion,
        "token_usage": totals([fusion["usage"]]),
    }
