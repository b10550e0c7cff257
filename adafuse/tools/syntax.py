"""The one syntax of calls and results, for every member.

Knows nothing of what is within the marks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = [
    "CALL_END",
    "CALL_START",
    "RESULT_END",
    "RESULT_START",
    "call_text",
]

CALL_START, CALL_END = "<tool_call>", "</tool_call>"
RESULT_START, RESULT_END = "<tool_response>", "</tool_response>"
"""What many templates put around the result of a tool; an answer that must not call holds none."""


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as an answer writes it; several are joined by a line break."""
    call = json.dumps({"name": name, "arguments": dict(arguments)}, ensure_ascii=False)
    return f"{CALL_START}\n{call}\n{CALL_END}"
