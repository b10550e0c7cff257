"""Definitions of tools in OpenAI's format, checked and completed before any work.

Knows neither calls nor how members are shown tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adafuse.errors import PromptError
from adafuse.tools.partial_json import TOOL_NAME
from adafuse.validation import show

__all__ = ["parameters_of", "read_tools"]


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
    checked = tuple(_read_tool(index, tool) for index, tool in enumerate(tools))
    names = [tool["function"]["name"] for tool in checked]
    if twice := {name for name in names if names.count(name) > 1}:
        raise PromptError(f"tools need different names; given twice: {', '.join(sorted(twice))}")
    return checked


def parameters_of(tools: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The schemas of each tool's parameters, by names; of tools that `read_tools` has read."""
    functions = [tool["function"] for tool in tools]
    return {function["name"]: function["parameters"]["properties"] for function in functions}


def _read_tool(index: int, tool: object) -> dict[str, Any]:
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
        "parameters": _read_parameters(where, function.get("parameters")),
    }
    others = {key: value for key, value in function.items() if key not in filled}
    return _json_copy(where, {**tool, "type": "function", "function": {**filled, **others}})


def _read_parameters(where: str, schema: object) -> dict[str, Any]:
    if schema is None or (isinstance(schema, Mapping) and not schema):
        return {"type": "object", "properties": {}}
    if not isinstance(schema, Mapping):
        raise PromptError(f"{where} must have a JSON schema as 'parameters'")
    properties = schema.get("properties", {})
    kind = schema.get("type", "object" if "properties" in schema else None)
    if not isinstance(kind, str) or kind != "object" or not isinstance(properties, Mapping):
        raise PromptError(
            f"{where} must have parameters of 'type' 'object' with 'properties': a call names them"
        )
    return {**schema, "type": "object", "properties": properties}


def _json_copy(where: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in plain JSON values."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=_as_dict)
        return json.loads(text.encode())  # type: ignore[no-any-return]
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptError(f"{where} is not JSON: {error}") from None


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
