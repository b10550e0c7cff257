"""One tool call in the text of an answer, read character by character and without exceptions.

A call ends behind its JSON, so the strings in it may hold the marks themselves; where the JSON is
broken, it ends at the next mark. This module does not know which tools there are but by name, and
nothing of models or grammars; `call_scanner` finds the calls in an answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from adafuse.tools.partial_json import MALFORMED, NO_OBJECT, PartialJson, load_json, unquoted
from adafuse.tools.syntax import CALL_END, CALL_START

__all__ = ["CallParser", "InvalidCall", "ToolCall"]

_MARK = re.compile(f"{CALL_START}|{CALL_END}")
_BEGUN = [re.escape(mark[:n]) for mark in (CALL_START, CALL_END) for n in range(1, len(mark))]
_MARK_BEGUN = re.compile(rf"(?:{'|'.join(_BEGUN)})\Z")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that can be carried out."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InvalidCall:
    """A call that cannot.

    Attributes:
        text: all of it, with its marks.
        name: of the tool, where that can be told.
        arguments: their text as far as it goes, or None.
        error: what is wrong, in one line.
    """

    text: str
    name: str | None
    arguments: str | None
    error: str


class CallParser:
    """Reads one call, from behind its CALL_START, of the named tools; None takes any name."""

    def __init__(self, names: Collection[str] | None) -> None:
        self.call: ToolCall | InvalidCall | None = None  # once it has ended
        self.name: str | None = None  # of a tool that there is, once it has been read
        self._names = names
        self._text = ""
        self._json = PartialJson()
        self._error: str | None = None
        self._arguments: str | None = None

    @property
    def arguments(self) -> str:
        """The JSON text of the arguments as far as it is sure. It only ever grows."""
        if self.call is not None:
            return self._arguments or ""
        begin, end = self._json.arguments
        if begin is None or self._text[begin] != "{":
            return ""  # a string's text is another
        if end is not None:
            return self._text[begin:end]
        settled = self._text[begin : self._json.at]  # a mark in it may turn out to be the end
        mark = _MARK.search(settled) or _MARK_BEGUN.search(settled)
        return settled[: mark.start()] if mark else settled

    def read(self, text: str, *, last: bool = False) -> str | None:
        """Read on; `last` says that nothing comes after the text.

        Returns None while the call goes on; then the text behind it, and `call` is there.
        """
        self._text += text
        if self._error is None:
            self._error = self._json.read(self._text)
        name = self._json.name
        if name is not None and (self._names is None or name in self._names):
            self.name = name
        if self._error is None and not self._json.complete:
            if not last:
                return None
            self._error = "the call's JSON does not end"
        if self._error is None:
            behind = self._text[self._json.at :].lstrip()
            if behind.startswith(CALL_END):
                return self._end(behind[len(CALL_END) :])
            if behind.startswith(CALL_START):
                return self._end(behind)
            if last and CALL_END.startswith(behind):
                return self._end("")
            if last and CALL_START.startswith(behind):
                return self._end(behind)
            if not last and (not behind or _MARK_BEGUN.match(behind)):
                return None
            self._error = "something follows the call's JSON"
        return self._end_malformed(last)

    def _end_malformed(self, last: bool) -> str | None:
        begin, end = self._json.arguments
        mark = _MARK.search(self._text, end or 0)
        if mark is None and not last:
            return None
        stop, end_of_call = mark.span() if mark is not None else (len(self._text),) * 2
        if begin is not None:
            arguments_end = min(self._json.at, stop) if end is None else end
            self._arguments = unquoted(self._text[begin:arguments_end])
        if mark is not None and mark.group() == CALL_START:
            end_of_call = stop
        self._set_invalid(self._text[:end_of_call], self._error or MALFORMED)
        return self._text[end_of_call:]

    def _end(self, behind: str) -> str:
        text = self._text[: len(self._text) - len(behind)]
        begin, end = self._json.arguments
        if begin is not None:
            self._arguments = unquoted(self._text[begin:end])
        try:
            self.call = self._validated_call(self._text[: self._json.at].lstrip())
        except (ValueError, RecursionError) as error:
            self._set_invalid(text, " ".join(str(error).split()))
        return behind

    def _validated_call(self, text: str) -> ToolCall:
        """The call of a JSON text; raises ValueError with what is wrong."""
        load_json(text)
        if self._json.name is None:
            raise ValueError('the call has no "name"')
        if self._arguments is None:
            raise ValueError('the call has no "arguments"')
        if self.name is None:
            names = ", ".join(sorted(self._names or ())) or "none"
            raise ValueError(f"there is no tool {self._json.name!r}; there are: {names}")
        arguments = load_json(self._arguments)
        if not isinstance(arguments, dict):
            raise ValueError(NO_OBJECT)
        return ToolCall(self.name, arguments)

    def _set_invalid(self, text: str, error: str) -> None:
        self.call = InvalidCall(CALL_START + text, self._json.name, self._arguments, error)
