"""The one syntax of calls and results, for every member, and where a call begins in a text.

Knows nothing of what is within the marks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, AnyStr

__all__ = [
    "CALL_END",
    "CALL_START",
    "RESULT_END",
    "RESULT_START",
    "call_text",
    "find_trigger",
    "open_length",
]

CALL_START, CALL_END = "<tool_call>", "</tool_call>"
RESULT_START, RESULT_END = "<tool_response>", "</tool_response>"
"""Around the result of a tool, for members whose template has no place for it."""


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as an answer writes it; several are joined by a line break."""
    call = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"{CALL_START}\n{call}\n{CALL_END}"


def find_trigger(before: AnyStr, piece: AnyStr, trigger: AnyStr) -> int | None:
    """Where a trigger begins in `before + piece`; None if it is not in there.

    It is not in `before`, the text so far, of which only the end is read.
    """
    start = max(len(before) - len(trigger) + 1, 0)
    at = (before[start:] + piece).find(trigger)
    return start + at if at >= 0 else None


def open_length(text: str, trigger: str) -> int:
    """Length of the longest end of a text with which the trigger could begin."""
    lengths = range(min(len(text), len(trigger) - 1), 0, -1)
    return next((length for length in lengths if trigger.startswith(text[-length:])), 0)
