"""The calls of one place in an answer: what stands before, between and behind them.

A block is `[`, its calls and `]`, or a fence around them, or a mark before them. This module knows
neither what a call holds nor where blocks begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import regex

from adafuse.tools.call_parser import CallParser, InvalidCall, ToolCall
from adafuse.tools.call_readers import NamedReader, ObjectReader, PythonReader, TaggedReader
from adafuse.tools.openings import BLANKS, object_head, one_of
from adafuse.tools.syntax import CALL_END, CALL_START

__all__ = ["CallBlock", "CallReader"]

_LEAD = regex.compile(
    rf"(?:{CALL_START}|\[TOOL_CALLS\]|<\|python_tag\|>|```[a-zA-Z_]*)?{BLANKS}"
    rf"(?:(?P<list>\[){BLANKS})?(?:(?P<print>print\(){BLANKS})?"
)
_FENCED = ("fence", "tool_code")


class CallReader(Protocol):
    """Reads one call. `arguments` is JSON text as far as it is sure, and only ever grows."""

    call: ToolCall | InvalidCall | None
    name: str | None

    @property
    def arguments(self) -> str: ...

    def read(self, text: str, *, last: bool = False) -> str | None:
        """Read on; None while the call goes on, then the text behind it."""


class CallBlock:
    """Reads a block of a dialect, call by call; `tools` are the parameters of each by its name."""

    def __init__(self, dialect: str, tools: Mapping[str, Mapping[str, Any]] | None) -> None:
        self._dialect, self._tools = dialect, tools
        self._listed = self._printed = False

    def begin(self, text: str) -> tuple[CallReader, str]:
        """A reader of the first call, and its text, of a text that begins with the block."""
        lead = _LEAD.match(text)
        assert lead is not None
        rest = text[lead.end() :]
        self._listed, self._printed = lead["list"] is not None, lead["print"] is not None
        if self._tools is None or (
            text.startswith(CALL_START) and not self._listed and not rest.startswith("<function")
        ):
            self._dialect = "canonical"
            return CallParser(self._tools), text.removeprefix(CALL_START)
        return self._reader(rest, lead.group()), rest

    def _reader(self, text: str, lead: str) -> CallReader:
        assert self._tools is not None
        if text.startswith("{"):
            return ObjectReader(self._tools, lead)
        if text.startswith("<"):
            return TaggedReader(self._tools, lead)
        if self._dialect == "mistral":
            return NamedReader(self._tools, lead)
        return PythonReader(self._tools, lead)

    def go_on(self, text: str, *, last: bool) -> tuple[CallReader | None, str] | None:
        """What stands behind a call: a reader of the next one, if there is one, and the text left.

        None if that cannot be told yet.
        """
        if self._dialect == "canonical":
            return None, text
        assert self._tools is not None
        following = self._next.match(text, partial=not last)
        if following is not None and not following.partial:
            lead, rest = following.group(), text[following.end() :]
            return self._reader(rest, lead), rest
        closing = self._closing.match(text, partial=not last)
        if any(match is not None and match.partial for match in (following, closing)):
            return None
        return None, text[closing.end() :] if closing is not None else text

    @property
    def _next(self) -> regex.Pattern[str]:
        assert self._tools is not None
        name = one_of(self._tools)
        callee = rf"(?:default_api\.)?(?:{name})(?:\.call)?\("
        printed = rf"\){BLANKS}print\({BLANKS}" if self._printed else ""
        following = rf"{BLANKS}[,;]?{BLANKS}(?={object_head(name)})"
        if self._dialect in ("tool_code", "python_tag"):
            following += rf"|{printed or BLANKS + '[,;]?' + BLANKS}(?={callee})"
        return regex.compile(following)

    @property
    def _closing(self) -> regex.Pattern[str]:
        ends = rf"{BLANKS}\)" if self._printed else ""
        ends += rf"{BLANKS}\]" if self._listed else ""
        if self._dialect in _FENCED:
            ends += rf"{BLANKS}```"
        elif self._dialect == "tool_call":
            ends += rf"{BLANKS}{CALL_END}"
        return regex.compile(ends)
