"""The JSON object of a tool call, read character by character: where its name and arguments are.

This module knows nothing of marks, of tools or of what comes behind the object.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["MALFORMED", "NO_OBJECT", "TOOL_NAME", "PartialJson", "load_json", "unquoted"]

TOOL_NAME = re.compile("[A-Za-z0-9_.-]{1,64}")
_PARAMETERS = ("arguments", "parameters")
_BESIDE = ("id", "type")  # texts that some models write with a call; nobody needs them
_OUTSIDE_STRINGS = frozenset(
    " \t\r\n{}[],:+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
_DEEPEST = 100  # brackets within each other: json reads that many, deep in any caller's stack too
NO_OBJECT = "the call's arguments are no JSON object"
_NO_NAME = 'the call\'s "name" is no name of a tool'
MALFORMED = "the call's JSON is malformed"


class PartialJson:
    """Where the parts of a call's JSON object are; whether it is JSON is left to `json`."""

    def __init__(self) -> None:
        self.at = 0  # characters read; the one there is what is wrong, if something is
        self.complete = False  # the object has ended
        self.name: str | None = None  # the value of its "name"
        # Where the value of its "arguments" begins and ends, each None if not read yet.
        self.arguments: tuple[int | None, int | None] = (None, None)
        self._text = ""
        self._depth = 0
        self._string: int | None = None  # where the string that is being read begins
        self._escaped = False
        self._seen: list[str] = []
        self._key: str | None = None  # of the outermost object, whose value comes next or goes on
        self._value: int | None = None  # where that value begins; -1 between colon and value

    def read(self, text: str) -> str | None:
        """Read on in `text`, which begins with what it was; returns what is wrong."""
        self._text = text
        while self.at < len(text) and not self.complete:
            char = text[self.at]
            read = self._read_outside_string if self._string is None else self._read_in_string
            if (error := read(char)) is not None:
                return error
            self.at += 1
        return None

    def _read_outside_string(self, char: str) -> str | None:
        if not self._depth and not char.isspace():
            self._depth = 1
            return None if char == "{" else "the call holds no JSON object"
        if char != '"' and char not in _OUTSIDE_STRINGS:
            return None if char.isspace() and not self._depth else MALFORMED
        if self._depth == 1 and (error := self._read_outermost(char)) is not None:
            return error
        if char == '"':
            self._string = self.at
        elif char in "{[":
            self._depth += 1
            return "the call's JSON is nested too deeply" if self._depth > _DEEPEST else None
        elif char in "}]":
            self._depth -= 1
            self.complete = not self._depth
            begin, end = self.arguments
            of_arguments = self._depth == 1 and self._key == "arguments"
            if of_arguments and begin is not None and end is None:
                self.arguments = (begin, self.at + 1)
        return None

    def _read_outermost(self, char: str) -> str | None:
        if self._value == -1 and not char.isspace():
            self._value = self.at
            if self._key == "name":
                return None if char == '"' else _NO_NAME
            if self._key in _BESIDE:
                return None if char == '"' else self._beside(json.dumps(self._key))
            self.arguments = (self.at, None)
            return None if char in '{"' else NO_OBJECT
        if char == ":":
            if self._key is None or self._value is not None:
                return MALFORMED
            self._value = -1
        return self._end_value() if char in ",}]" else None

    def _read_in_string(self, char: str) -> str | None:
        if char < " ":
            return "a string in the call's JSON does not end, or holds an unescaped line break"
        if char == '"' and not self._escaped:
            begin, self._string = self._string, None
            if self._depth == 1 and self._value is None:
                return self._begin_key(self._text[begin : self.at + 1])
        self._escaped = char == "\\" and not self._escaped
        return None

    def _begin_key(self, quoted: str) -> str | None:
        key = unquoted(quoted)
        if self._key is not None:
            return MALFORMED
        if key not in ("name", *_PARAMETERS, *_BESIDE):
            return self._beside(quoted)
        kind = "arguments" if key in _PARAMETERS else key
        if kind in self._seen:
            return f'the call has "{kind}" twice'
        self._seen.append(kind)
        self._key = kind
        return None

    def _beside(self, quoted: str) -> str:
        return f'the call has {quoted} beside "name" and "arguments"'

    def _end_value(self) -> str | None:
        key, self._key = self._key, None
        begin, self._value = self._value, None
        if key is None or begin is None:
            return None if key is None else MALFORMED
        value = self._text[begin : self.at].rstrip()
        if key == "name":
            name = unquoted(value)
            if name == value or not TOOL_NAME.fullmatch(name):
                return _NO_NAME
            self.name = name
        elif key == "arguments" and self.arguments[1] is None:
            self.arguments = (begin, begin + len(value))
        return None


def unquoted(text: str) -> str:
    """What a JSON string says; any other text as it is."""
    try:
        value = json.loads(text) if text.startswith('"') else text
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def load_json(text: str) -> Any:
    """Read JSON as its standard has it; ValueError or RecursionError says what is wrong.

    Of a name that an object has twice, the last value counts: grammars let free names be so.
    """
    try:
        value = json.loads(text, parse_constant=_constant, parse_float=_float)
    except json.JSONDecodeError as error:
        raise ValueError(f"{MALFORMED}: {error}") from None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("the call's JSON holds half of a surrogate pair") from None
    return value


def _constant(name: str) -> float:
    raise ValueError(f"the call's JSON holds {name}, which is no number")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the call's JSON holds {digits}, which is too large a number")
    return value
