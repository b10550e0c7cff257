"""Finds the calls in an answer, leniently and without exceptions, while it is being written.

Knows nothing of members, templates or grammars.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from adafuse.tools.call_parser import CallParser, InvalidCall, ToolCall
from adafuse.tools.syntax import CALL_START, find_trigger, open_length

__all__ = ["CallPiece", "CallScanner", "Piece", "TextPiece", "read_calls"]


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text of an answer outside calls."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A part of a call.

    Attributes:
        index: which call of the answer, from 0.
        name: of the tool, in the call's first piece; None if it cannot be told.
        arguments: the next fragment of the arguments' JSON text.
        done: whether this is the call's last piece.
        invalid: in the last piece of a call that cannot be carried out.
        gap: then, whitespace in front of the call that is no part of the content before it.
    """

    index: int
    name: str | None
    arguments: str
    done: bool
    invalid: InvalidCall | None = None
    gap: str = ""


Piece = TextPiece | CallPiece


def read_calls(
    text: str, names: Collection[str] | None = None
) -> tuple[str, list[ToolCall | InvalidCall]]:
    """Find the calls in an answer; raises nothing.

    Args:
        text: the answer.
        names: of the tools there are: a call of another one is invalid. None takes any name.

    Returns:
        The text outside calls, less the whitespace that sets calls apart from it (whitespace
        around a call stays where text stands on both of its sides), and the calls in order.
    """
    scanner = CallScanner(names)
    pieces = [*scanner.feed(text), *scanner.finish()]
    return "".join(p.text for p in pieces if isinstance(p, TextPiece)), scanner.calls


class CallScanner:
    """Finds calls in an answer while it is being written.

    However a text is cut into feeds, the pieces add up to what `read_calls` says of it: texts to
    the content, and for each call the fragments to the arguments' JSON text. `names` are as for
    `read_calls`; `calls` are those that have ended.
    """

    def __init__(self, names: Collection[str] | None = None) -> None:
        self.calls: list[ToolCall | InvalidCall] = []
        self._names = names
        self._pending = ""  # text that could begin CALL_START
        self._parser: CallParser | None = None  # of the call that is being read
        self._emitted = -1  # characters of its arguments given out; -1 before its first piece
        self._gap = ""  # whitespace that may turn out to set a call apart
        self._after_call = False  # whether no text was given out since the last call
        self._has_text = False  # whether any text was given out

    def feed(self, text: str) -> list[Piece]:
        """What the next part of the answer makes sure of; may be nothing yet."""
        return self._scan(text, last=False)

    def finish(self) -> list[Piece]:
        """What the end of the answer makes sure of."""
        return self._scan("", last=True)

    def _scan(self, text: str, last: bool) -> list[Piece]:
        pieces: list[Piece] = []
        remaining: str | None = text
        while remaining is not None:
            read = self._read_text if self._parser is None else self._read_call
            remaining = read(remaining, last, pieces)
        return pieces

    def _read_text(self, text: str, last: bool, pieces: list[Piece]) -> str | None:
        """Read up to a call; returns what is behind its CALL_START, if there is one."""
        start = find_trigger(self._pending, text, CALL_START)
        text, self._pending = self._pending + text, ""
        if start is not None:
            self._emit(text[:start], pieces)
            self._after_call = True
            self._parser, self._emitted = CallParser(self._names), -1
            return text[start + len(CALL_START) :]
        end = len(text) - (0 if last else open_length(text, CALL_START))
        self._pending = text[end:]
        self._emit(text[:end], pieces)
        if last and self._gap and not self._after_call:
            pieces.append(TextPiece(self._gap))
            self._gap = ""
        return None

    def _emit(self, text: str, pieces: list[Piece]) -> None:
        """Give out text, but for whitespace that may set a call apart."""
        text = self._gap + text
        words = text.rstrip()
        self._gap = text[len(words) :]
        if not words:
            return
        if self._after_call and not self._has_text:
            words = words.lstrip()
        self._has_text, self._after_call = True, False
        pieces.append(TextPiece(words))

    def _read_call(self, text: str, last: bool, pieces: list[Piece]) -> str | None:
        """Read on in a call; returns what is behind it, if it ends."""
        parser = self._parser
        assert parser is not None
        remaining = parser.read(text, last=last)
        call = parser.call
        index, first = len(self.calls), self._emitted < 0
        fragment = parser.arguments[max(self._emitted, 0) :]
        if call is not None:
            invalid = call if isinstance(call, InvalidCall) else None
            name, gap = call.name if first else None, self._gap if invalid else ""
            pieces.append(CallPiece(index, name, fragment, done=True, invalid=invalid, gap=gap))
            self.calls.append(call)
            self._parser = None
        elif parser.name is not None and (first or fragment):
            name = parser.name if first else None
            pieces.append(CallPiece(index, name, fragment, done=False))
            self._emitted = max(self._emitted, 0) + len(fragment)
        return remaining
