"""Tools of every form that LangChain knows, as the core takes them.

Functions, Pydantic classes, TypedDicts, JSON schemas with a title, LangChain's tools and runnables
made into tools, and the dictionaries of other providers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from adafuse.errors import PromptError
from adafuse.tools import read_tools
from adafuse.validation import refuse_unknown

__all__ = ["Tools", "core_tools"]

# Of the functions of OpenAI and Anthropic.
_OF_FUNCTION = ("name", "description", "parameters", "strict", "type", "input_schema")
Tools = Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool]


def core_tools(tools: Tools) -> tuple[dict[str, Any], ...]:
    """Tools in OpenAI's format; of one that is given twice, in two forms, the first."""
    read = [read_tools([_openai_tool(index, tool)])[0] for index, tool in enumerate(tools)]
    untitled = [_untitled(tool) for tool in read]
    return read_tools([tool for at, tool in enumerate(read) if untitled[at] not in untitled[:at]])


def _untitled(value: Any) -> Any:
    """A schema without its titles, which Pydantic adds and LangChain drops."""
    if isinstance(value, dict):
        return {
            key: _untitled(item)
            for key, item in value.items()
            if key != "title" or isinstance(item, dict)
        }
    return [_untitled(item) for item in value] if isinstance(value, list) else value


def _openai_tool(index: int, tool: Any) -> dict[str, Any]:
    if isinstance(tool, Mapping) and "name" in tool and "function" not in tool:
        # LangChain's converter drops the others without a word.
        refuse_unknown(f"field of tool {tool['name']!r}:", tool, _OF_FUNCTION)
    try:
        return convert_to_openai_tool(tool)
    except (ValueError, TypeError) as error:  # LangChain's messages are several lines
        reason = " ".join(str(error).split())
        raise PromptError(f"tool {index} cannot be read: {reason}") from error
