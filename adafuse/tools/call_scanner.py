"""Finds the calls in an answer, leniently and without exceptions, while it is being written.

Text that may still become a call is held back, and given out to the letter once it is none. Knows
nothing of members, templates or grammars.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from adafuse.tools.call_blocks import CallBlock, CallReader
from adafuse.tools.call_parser import InvalidCall, ToolCall
from adafuse.tools.openings import CallOpenings

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


Tools = Mapping[str, Mapping[str, Any]]


def read_calls(
    text: str, names: Collection[str] | None = None
) -> tuple[str, list[ToolCall | InvalidCall]]:
    """Find the calls in an answer; raises nothing.

    Args:
        text: the answer.
        names: of the tools there are, whose calls are read in every dialect of
            `adafuse.tools.openings`; what calls another one is text. A mapping gives the schemas
            of each tool's parameters by name, for calls that do not name or quote them. None: calls
            of any name, in the canonical syntax.

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
    `read_calls`; `calls` are those that have ended. `canonical_only` leaves the other dialects to
    be text: what a schema asks for is an answer.
    """

    def __init__(
        self, names: Collection[str] | None = None, *, canonical_only: bool = False
    ) -> None:
        self.calls: list[ToolCall | InvalidCall] = []
        self._tools: Tools | None = None
        if names is not None:
            self._tools = names if isinstance(names, Mapping) else {name: {} for name in names}
        self._openings = CallOpenings(None if canonical_only else self._tools)
        self._text = ""  # of the answer so far
        self._told = 0  # characters of it that are read as text or calls
        self._block: CallBlock | None = None  # that is being read
        self._reader: CallReader | None = None  # of its call
        self._behind = ""  # text behind a call that may belong to its block
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
        self._text += text
        remaining: str | None = text
        while remaining is not None:
            if self._block is None:
                remaining = self._read_text(last, pieces)
            elif self._reader is None:
                remaining = self._read_between(self._block, remaining, last)
            else:
                remaining = self._read_call(self._reader, remaining, last, pieces)
        return pieces

    def _read_text(self, last: bool, pieces: list[Piece]) -> str | None:
        """Read up to a call; returns its text, if there is one."""
        opening = self._openings.call(self._text, self._told, last=last)
        end = opening.begin if opening is not None else len(self._text)
        self._emit(self._text[self._told : end], pieces)
        self._told = end
        if opening is not None and opening.dialect:
            self._block = CallBlock(opening.dialect, self._tools)
            self._reader, text = self._block.begin(self._text[end:])
            self._emitted = -1
            return text
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

    def _read_call(
        self, reader: CallReader, text: str, last: bool, pieces: list[Piece]
    ) -> str | None:
        """Read on in a call; returns what is behind it, if it ends."""
        remaining = reader.read(text, last=last)
        call = reader.call
        index, first = len(self.calls), self._emitted < 0
        fragment = reader.arguments[max(self._emitted, 0) :]
        if call is not None:
            self._reader = None
            self._told = len(self._text) - len(remaining or "")
            if self._of_unknown(call):
                self._emit(call.text, pieces)
                return remaining
            invalid = call if isinstance(call, InvalidCall) else None
            name, gap = call.name if first else None, self._gap if invalid else ""
            pieces.append(CallPiece(index, name, fragment, done=True, invalid=invalid, gap=gap))
            self.calls.append(call)
            self._after_call = True
        elif reader.name is not None and (first or fragment):
            name = reader.name if first else None
            pieces.append(CallPiece(index, name, fragment, done=False))
            self._emitted = max(self._emitted, 0) + len(fragment)
        return remaining

    def _of_unknown(self, call: ToolCall | InvalidCall) -> TypeGuard[InvalidCall]:
        """Whether it names another tool than there are: that is text."""
        known = self._tools is None or call.name is None or call.name in self._tools
        return not known

    def _read_between(self, block: CallBlock, text: str, last: bool) -> str | None:
        """Read on behind a call of a block; returns the text of the next, or behind the block."""
        self._behind += text
        behind = block.go_on(self._behind, last=last)
        if behind is None:
            return None
        self._reader, remaining = behind
        self._behind, self._emitted = "", -1
        if self._reader is None:
            self._block = None
            self._told = len(self._text) - len(remaining)
        return remaining
