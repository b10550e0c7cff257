"""Tools of every form that LangChain knows, as the core takes them.

Functions, Pydantic classes, TypedDicts, JSON schemas with a title, LangChain's tools and runnables
made into tools, and the dictionaries of other providers. Names and descriptions are LangChain's;
parameters are read from the class itself, since LangChain's converter loses what leads back to
itself, and what Pydantic's own schemas leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool, Tool
from langchain_core.tools.base import create_schema_from_function
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel
from typing_extensions import is_typeddict

from adafuse.config import read_schema
from adafuse.errors import PromptError
from adafuse.tools import read_tools
from adafuse.tools.parameters import inlined
from adafuse.validation import refuse_unknown
from adafuse_integrations.langchain._typed_dicts import with_defaults

__all__ = ["Tools", "core_tools", "described"]

# Of the functions of OpenAI and Anthropic.
_OF_FUNCTION = ("name", "description", "parameters", "strict", "type", "input_schema")
_NOTES = ("title", "description")  # of a whole schema: the function has them
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
        return described(tool)
    except (ValueError, TypeError) as error:  # LangChain's messages are several lines
        reason = " ".join(str(error).split())
        raise PromptError(f"tool {index} cannot be read: {reason}") from error


def described(tool: Any) -> dict[str, Any]:
    """A tool in OpenAI's format; raises what LangChain's converter raises."""
    tool = with_defaults(tool)
    converted = convert_to_openai_tool(tool)
    schema = _schema_of(tool)
    if schema is None or "function" not in converted:
        return converted
    own = {name: part for name, part in inlined(schema).items() if name not in _NOTES}
    return {**converted, "function": {**converted["function"], "parameters": _untitled(own)}}


def _schema_of(tool: Any) -> dict[str, Any] | None:
    """The schema that a tool's parameters are made from, where the converter changes it."""
    if isinstance(tool, Mapping):
        plain = "title" in tool and not {"name", "function", "toolSpec"} & tool.keys()
        return dict(tool) if plain else None
    if isinstance(tool, BaseTool):
        if isinstance(tool, Tool) and not tool.args_schema:
            return None  # takes one string
        schema = tool.tool_call_schema
        return schema if isinstance(schema, dict) else _of_class(schema)
    if isinstance(tool, type) and is_basemodel_subclass(tool):
        return _of_class(tool)
    if isinstance(tool, type) or is_typeddict(tool) or not callable(tool):
        return None
    name = getattr(tool, "__name__", "")
    made = create_schema_from_function(
        name,
        tool,
        filter_args=(),
        parse_docstring=True,
        error_on_invalid_docstring=False,
        include_injected=False,
    )
    return _of_class(made)


def _of_class(model: type) -> dict[str, Any] | None:
    """What a class of Pydantic 2 reads; the converter does for one of Pydantic 1."""
    if not issubclass(model, BaseModel):
        return None
    return read_schema("a tool's class", model)
