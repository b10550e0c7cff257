"""An answer as chat interfaces show it while it is written: text, and parts of tool calls.

The one reader of rounds for the server and the integrations. Knows no framework and no HTTP; what
their chunks and messages hold is made from `Part` and `AnswerParts`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adafuse.events import Round
from adafuse.tools import CallScanner, InvalidCall, Piece, TextPiece, ToolCall, call_text

__all__ = ["AnswerParts", "CallPart", "Part"]


@dataclass(frozen=True, slots=True)
class CallPart:
    """A part of a tool call."""

    index: int  # which call of the answer, from 0
    id: str  # "call_" and 32 hexadecimal digits, the same for all parts of a call
    name: str | None  # of the tool, in the call's first part; None if it cannot be told
    arguments: str  # the next fragment of the arguments' JSON text
    invalid: InvalidCall | None  # in the last part of a call that cannot be carried out
    gap: str  # then, whitespace that sets the call apart from the text before it


@dataclass(frozen=True, slots=True)
class Part:
    """What some of a round's text adds to the answer: text outside calls, or a part of a call."""

    text: str
    call: CallPart | None


class AnswerParts:
    """Takes an answer apart, round by round.

    Args:
        tools: names of those that may be called, or their parameters' schemas by name; see
            `adafuse.tools.read_calls`. Without any, everything is text.
        by_word: whether every word has parts of its own; otherwise every round has.
        check: tells, of a tool's name and the arguments of a whole call, why they do not fit: a
            grammar cannot hold calls to every schema.
        canonical_only: whether calls are read in the canonical syntax alone.
    """

    def __init__(
        self,
        tools: Collection[str] = (),
        *,
        by_word: bool = True,
        check: Callable[[str, Mapping[str, Any]], str] | None = None,
        canonical_only: bool = False,
    ) -> None:
        self.rounds: list[Round] = []  # read so far
        self.last: Round | None = None  # the round that ended the answer
        self._by_word = by_word
        self._scanner = CallScanner(tools, canonical_only=canonical_only) if tools else None
        self._ids: list[str] = []
        self._check = check
        self._unfit: dict[int, InvalidCall] = {}  # by which call of the answer it is

    def feed(self, round_: Round) -> Iterator[Part]:
        """Yield what a round adds; what cannot be told yet comes with a later one."""
        self.rounds.append(round_)
        for text in round_.words if self._by_word else (round_.text,):
            yield from self._parts(self._scanner.feed(text) if self._scanner else [TextPiece(text)])
        if round_.finish_reason is not None:
            self.last = round_
            if self._scanner is not None:
                yield from self._parts(self._scanner.finish())

    def _parts(self, pieces: Iterable[Piece]) -> Iterator[Part]:
        for piece in pieces:
            if isinstance(piece, TextPiece):
                yield Part(piece.text, None)
            elif piece.name or piece.arguments or piece.invalid:  # not only the end of a call
                while len(self._ids) <= piece.index:
                    self._ids.append(f"call_{uuid.uuid4().hex}")
                index, name, id_ = piece.index, piece.name, self._ids[piece.index]
                invalid = piece.invalid or (self._checked(index) if piece.done else None)
                call = CallPart(index, id_, name, piece.arguments, invalid, piece.gap)
                yield Part("", call)
            elif piece.done and (invalid := self._checked(piece.index)) is not None:
                yield Part("", CallPart(piece.index, self._ids[piece.index], None, "", invalid, ""))

    def _checked(self, index: int) -> InvalidCall | None:
        """A whole call that does not fit its tool."""
        call = self._scanner.calls[index] if self._scanner is not None else None
        if self._check is None or not isinstance(call, ToolCall):
            return None
        if not (why := self._check(call.name, call.arguments)):
            return None
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        error = f"the arguments do not fit the tool's schema: {why}"
        self._unfit[index] = InvalidCall(
            call_text(call.name, call.arguments), call.name, arguments, error
        )
        return self._unfit[index]

    @property
    def invalid(self) -> dict[str, InvalidCall]:
        """Calls that cannot be carried out, by id; of those that have ended."""
        return {id_: call for id_, call in self._ended() if isinstance(call, InvalidCall)}

    @property
    def calls(self) -> dict[str, ToolCall]:
        """Calls that can be carried out, by id; of those that have ended."""
        return {id_: call for id_, call in self._ended() if isinstance(call, ToolCall)}

    def _ended(self) -> Iterator[tuple[str, ToolCall | InvalidCall]]:
        calls = self._scanner.calls if self._scanner is not None else []
        fitting = [self._unfit.get(at, call) for at, call in enumerate(calls)]
        return zip(self._ids, fitting, strict=False)

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended: "tool_calls" if it calls tools, and no limit ended it."""
        reason = self.last.finish_reason if self.last is not None else None
        cut = reason == "length" or (bool(self.invalid) and reason != "stop")
        return "tool_calls" if self.calls and not cut else reason
