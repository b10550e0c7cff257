"""An answer as chat interfaces show it while it is written: text, and parts of tool calls.

Knows no framework. What a framework's chunks hold is made from `Part`; what its message says at the
end, from `AnswerParts`.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adafuse.errors import IncompleteAnswerError
from adafuse.events import Round
from adafuse.tools import CallPiece, CallScanner, InvalidCall, Piece, TextPiece, ToolCall
from adafuse_integrations._shared.logprobs import word_scores
from adafuse_integrations._shared.trace import answer_info, round_info, totals

__all__ = ["AnswerParts", "CallPart", "End", "Part", "read_parts"]


@dataclass(frozen=True, slots=True)
class CallPart:
    """A part of a tool call.

    Attributes:
        index: which call of the answer, from 0.
        id: "call_" and 32 hexadecimal digits, the same for all parts of a call.
        name: of the tool, in the call's first part; None if it cannot be told.
        arguments: the next fragment of the arguments' JSON text.
        invalid: in the last part of a call that cannot be carried out.
        gap: then, whitespace that sets the call apart from the text before it.
    """

    index: int
    id: str
    name: str | None
    arguments: str
    invalid: InvalidCall | None
    gap: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one word of the answer adds: text or a part of a call.

    Attributes:
        text: of the answer, outside calls.
        call: a part of a call, and then no text.
        source: the described round it comes from; see `adafuse_integrations._shared.trace`.
    """

    text: str
    call: CallPart | None
    source: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    """What is known once the answer is whole.

    Attributes:
        info: see `AnswerParts.info`; and "incomplete", why the answer is not what it must be, if
            it is not.
    """

    info: dict[str, Any]


class AnswerParts:
    """Takes an answer apart, round by round.

    Args:
        tools: names of those that may be called; without any, everything is text.

    Attributes:
        rounds: those read so far.
        last: the round that ended the answer; until then None.
    """

    def __init__(self, tools: Collection[str] = ()) -> None:
        self.rounds: list[Round] = []
        self.last: Round | None = None
        self._described: list[dict[str, Any]] = []
        self._scanner = CallScanner(tools) if tools else None
        self._ids: list[str] = []

    def feed(self, one: Round) -> Iterator[Part]:
        """Yield what a round adds, word by word; what cannot be told yet comes with a later one."""
        described = round_info(one)
        self.rounds.append(one)
        self._described.append(described)
        for word in one.words:
            pieces: list[Piece] = [TextPiece(word)]
            if self._scanner is not None:
                pieces = self._scanner.feed(word)
            yield from (self._part(piece, described) for piece in pieces if _says(piece))
        if one.finish_reason is not None:
            self.last = one
            rest = self._scanner.finish() if self._scanner is not None else ()
            yield from (self._part(piece, described) for piece in rest if _says(piece))

    def _part(self, piece: Piece, described: Mapping[str, Any]) -> Part:
        if isinstance(piece, TextPiece):
            return Part(piece.text, None, described)
        return Part("", self._call(piece), described)

    def _call(self, piece: CallPiece) -> CallPart:
        while len(self._ids) <= piece.index:
            self._ids.append(f"call_{uuid.uuid4().hex}")
        id_ = self._ids[piece.index]
        return CallPart(piece.index, id_, piece.name, piece.arguments, piece.invalid, piece.gap)

    @property
    def invalid(self) -> dict[str, InvalidCall]:
        """Calls that cannot be carried out, by id; of those that have ended."""
        calls = self._scanner.calls if self._scanner is not None else []
        pairs = zip(self._ids, calls, strict=False)
        return {id_: call for id_, call in pairs if isinstance(call, InvalidCall)}

    @property
    def calls(self) -> dict[str, ToolCall]:
        """Calls that can be carried out, by id; of those that have ended."""
        calls = self._scanner.calls if self._scanner is not None else []
        pairs = zip(self._ids, calls, strict=False)
        return {id_: call for id_, call in pairs if isinstance(call, ToolCall)}

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended: "tool_calls" if it calls tools and was not cut within a call."""
        reason = self.last.finish_reason if self.last is not None else None
        cut = bool(self.invalid) and reason != "stop"
        return "tool_calls" if self.calls and not cut else reason

    def info(self, *, logprobs: bool, top_logprobs: int) -> dict[str, Any]:
        """Describe the whole answer in plain values.

        Returns:
            finish_reason; "fusion", which `read_answer` reads; "token_usage", summed over members;
            and "logprobs" if asked for, see `word_scores`.
        """
        assert self.last is not None  # asked for at the end only
        fusion = answer_info(self._described, self.last)
        info = {
            "finish_reason": self.finish_reason,
            "fusion": fusion,
            "token_usage": totals([fusion["usage"]]),
        }
        if logprobs:
            scores = [entry for one in self.rounds for entry in word_scores(one, top_logprobs)]
            info["logprobs"] = {"content": scores}
        return info


def read_parts(
    rounds: Iterable[Round],
    parts: AnswerParts,
    *,
    keep_incomplete: bool,
    logprobs: bool,
    top_logprobs: int,
) -> Iterator[Part | End]:
    """Yield the parts of an answer as rounds come, then its end.

    Raises:
        IncompleteAnswerError: behind the end, unless `keep_incomplete`.
    """
    error: IncompleteAnswerError | None = None
    try:
        for one in rounds:
            yield from parts.feed(one)
    except IncompleteAnswerError as cut:
        error = cut
    assert parts.last is not None  # a stream that ends without its last round has raised
    info = parts.info(logprobs=logprobs, top_logprobs=top_logprobs)
    if error is not None:
        info["incomplete"] = str(error)
    yield End(info)
    if error is not None and not keep_incomplete:
        raise error


def _says(piece: Piece) -> bool:
    """Whether a piece is more than the mark at the end of a call."""
    return isinstance(piece, TextPiece) or bool(piece.name or piece.arguments or piece.invalid)
