"""Tools that an answer may call: how they are given, and how calls are written and read.

    <tool_call>
    {"name": "add", "arguments": {"a": 1}}
    </tool_call>

is the one syntax of calls that members are taught and shown. What they write is read in the
dialects of other models too (`adafuse.tools.openings`), leniently and without exceptions. This
package knows neither templates nor grammars: `adafuse.prompting` shows tools to members.
"""

from adafuse.tools.call_parser import InvalidCall, ToolCall
from adafuse.tools.call_scanner import CallPiece, CallScanner, Piece, TextPiece, read_calls
from adafuse.tools.definitions import parameters_of, read_tools
from adafuse.tools.syntax import CALL_END, CALL_START, RESULT_END, RESULT_START, call_text

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
    "parameters_of",
    "read_calls",
    "read_tools",
]
