"""Tools that an answer may call: how they are given, and how calls are written and read.

    <tool_call>
    {"name": "add", "arguments": {"a": 1}}
    </tool_call>

is the one syntax of calls, for every member. It is read leniently and without exceptions. This
module knows neither templates nor grammars: `rendering` shows tools to members.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adafuse.errors import PromptError
from adafuse.tools.call_parser import CALL_END, CALL_START, CallReader, InvalidCall, ToolCall
from adafuse.tools.partial_json import TOOL_NAME
from adafuse.validation import show

__all__ = [
    "CALL_END",
    "CALL_START",
    "RESULT_END",
    "RESULT_START",
    "CallPiece",
    "CallScanner",
    "InvalidCall",
    "Piece",
    "TextPiece",
    "ToolCall",
    "call_text",
    "read_calls",
    "read_tools",
]


RESULT_START, RESULT_END = "<tool_response>", "</tool_response>"
"""Around the result of a tool, for members whose template has no place for it."""


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


def read_tools(tools: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Check tools in OpenAI's format.

    Args:
        tools: each {"type": "function", "function": {"name", "description", "parameters"}}.

    Returns:
        Copies, with "description" and "parameters" filled in where they are not given.

    Raises:
        PromptError: a tool has another form, no name that a call can hold, the name of another,
            or parameters that are no JSON schema of an object.
    """
    if not isinstance(tools, list | tuple):
        raise PromptError(f"tools must be a list of function tools, not {type(tools).__name__}")
    checked = tuple(_tool(index, tool) for index, tool in enumerate(tools))
    names = [tool["function"]["name"] for tool in checked]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise PromptError(f"tools need different names; given twice: {', '.join(sorted(twice))}")
    return checked


def _tool(index: int, tool: object) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or not isinstance(function, Mapping):
        raise PromptError(
            f"tool {index} must be {{'type': 'function', 'function': {{'name': …}}}}, as OpenAI "
            "writes function tools"
        )
    kind = tool.get("type", "function")
    if not isinstance(kind, str) or kind != "function":
        raise PromptError(f"tool {index} is of type {show(kind)}; only functions can be called")
    name = function.get("name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        raise PromptError(f"tool {index} needs a 'name' of 1 to 64 of A-Z a-z 0-9 _ . -")
    where = f"tool {name!r}"
    description = function.get("description")
    if not isinstance(description, str | None):
        raise PromptError(f"{where} must have text as 'description'")
    filled = {
        "name": name,
        "description": description or "",
        "parameters": _parameters(where, function.get("parameters")),
    }
    others = {key: value for key, value in function.items() if key not in filled}
    return _plain(where, {**tool, "type": "function", "function": {**filled, **others}})


def _parameters(where: str, given: object) -> dict[str, Any]:
    if given is None or (isinstance(given, Mapping) and not given):
        return {"type": "object", "properties": {}}
    if not isinstance(given, Mapping):
        raise PromptError(f"{where} must have a JSON schema as 'parameters'")
    properties = given.get("properties", {})
    kind = given.get("type", "object" if "properties" in given else None)
    if not isinstance(kind, str) or kind != "object" or not isinstance(properties, Mapping):
        raise PromptError(
            f"{where} must have parameters of 'type' 'object' with 'properties': a call names them"
        )
    return {**given, "type": "object", "properties": properties}


def _plain(where: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in plain JSON values."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=_mapping)
        text.encode()
        copied: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptError(f"{where} is not JSON: {error}") from None
    return copied


def _mapping(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as an answer writes it; several are joined by a line break."""
    call = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"{CALL_START}\n{call}\n{CALL_END}"


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
    content = "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))
    return content, list(scanner.calls)


class CallScanner:
    """Finds calls in an answer while it is being written.

    However a text is cut into feeds, the pieces add up to what `read_calls` says of it: texts to
    the content, and for each call the fragments to the arguments' JSON text.

    Args:
        names: as for `read_calls`.

    Attributes:
        calls: those that have ended.
    """

    def __init__(self, names: Collection[str] | None = None) -> None:
        self.calls: list[ToolCall | InvalidCall] = []
        self._names = names
        self._pending = ""  # text that could begin CALL_START
        self._reader: CallReader | None = None
        self._told = -1  # characters of the call's arguments given out; -1 before its first piece
        self._gap = ""  # whitespace that may turn out to set a call apart
        self._beside = False  # whether a call is beside it
        self._said = False  # whether any text was given out

    def feed(self, text: str) -> list[Piece]:
        """What the next part of the answer makes sure of; may be nothing yet."""
        return self._scan(text, last=False)

    def finish(self) -> list[Piece]:
        """What the end of the answer makes sure of."""
        return self._scan("", last=True)

    def _scan(self, text: str, last: bool) -> list[Piece]:
        pieces: list[Piece] = []
        rest: str | None = self._pending + text
        self._pending = ""
        while rest is not None:
            step = self._outside if self._reader is None else self._inside
            rest = step(rest, last, pieces)
        return pieces

    def _outside(self, text: str, last: bool, pieces: list[Piece]) -> str | None:
        """Read up to a call; returns what is behind its CALL_START, if there is one."""
        said, mark, rest = text.partition(CALL_START)
        if mark:
            self._say(said, pieces)
            self._beside = True
            self._reader, self._told = CallReader(self._names), -1
            return rest
        lengths = range(min(len(text), len(CALL_START) - 1), 0, -1)
        held = 0 if last else next((n for n in lengths if CALL_START.startswith(text[-n:])), 0)
        self._pending = text[len(text) - held :]
        self._say(text[: len(text) - held], pieces)
        if last and self._gap and not self._beside:
            pieces.append(TextPiece(self._gap))
            self._gap = ""
        return None

    def _say(self, text: str, pieces: list[Piece]) -> None:
        text = self._gap + text
        words = text.rstrip()
        self._gap = text[len(words) :]
        if not words:
            return
        if self._beside and not self._said:
            words = words.lstrip()
        self._said, self._beside = True, False
        pieces.append(TextPiece(words))

    def _inside(self, text: str, last: bool, pieces: list[Piece]) -> str | None:
        """Read on in a call; returns what is behind it, if it ends."""
        reader = self._reader
        assert reader is not None
        rest = reader.read(text, last=last)
        call = reader.call
        index = len(self.calls)
        first = self._told < 0
        fragment = reader.arguments[max(self._told, 0) :]
        if call is not None:
            invalid = call if isinstance(call, InvalidCall) else None
            name = call.name if first else None
            gap = self._gap if invalid is not None else ""
            pieces.append(CallPiece(index, name, fragment, done=True, invalid=invalid, gap=gap))
            self.calls.append(call)
            self._reader = None
        elif reader.name is not None and (first or fragment):
            name = reader.name if first else None
            pieces.append(CallPiece(index, name, fragment, done=False))
            self._told = max(self._told, 0) + len(fragment)
        return rest
