"""Definitions of tools in OpenAI's format, checked and completed before any work.

Knows neither calls nor how members are shown tools.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adafuse.errors import PromptError
from adafuse.tools.parameters import object_schema
from adafuse.tools.partial_json import TOOL_NAME
from adafuse.validation import show

__all__ = ["parameters_of", "read_tools"]

_OF_TOOL = ("type", "function")
# "return" is of `transformers.utils.get_json_schema`, and some templates show it.
_OF_FUNCTION = ("name", "description", "parameters", "strict", "return")
# What other interfaces call a tool's parameters.
_OTHERS_NAMES = dict.fromkeys(
    ("input_schema", "inputSchema", "parametersJsonSchema", "schema", "parameters"), "parameters"
)


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
    return {each["name"]: each["parameters"].get("properties", {}) for each in functions}


def _read_tool(index: int, tool: object) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or not isinstance(function, Mapping):
        raise PromptError(
            f"tool {index} must be {{'type': 'function', 'function': {{'name': …}}}}, as OpenAI "
            "writes function tools"
        )
    _refuse_ignored(f"tool {show(function.get('name', index))}", tool, _OF_TOOL)
    kind = tool.get("type", "function")
    if not isinstance(kind, str) or kind != "function":
        raise PromptError(f"tool {index} is of type {show(kind)}; only functions can be called")
    name = function.get("name")
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        given = "" if name is None else f", not {show(name)}"
        raise PromptError(f"tool {index} needs a 'name' of 1 to 64 of A-Z a-z 0-9 _ . -{given}")
    where = f"tool {name!r}"
    _refuse_ignored(where, function, _OF_FUNCTION)
    description = function.get("description")
    if not isinstance(description, str | None):
        raise PromptError(f"{where} must have text as 'description'")
    filled = {
        "name": name,
        "description": description or "",
        "parameters": object_schema(where, function.get("parameters")),
    }
    others = {key: value for key, value in function.items() if key not in filled}
    return _json_copy(where, {**tool, "type": "function", "function": {**filled, **others}})


def _refuse_ignored(where: str, given: Mapping[str, Any], fields: Sequence[str]) -> None:
    """Refuse fields in which something is meant that nobody would follow."""
    for field in given:
        if field not in fields:
            meant = _OTHERS_NAMES.get(field) if isinstance(field, str) else None
            near = [meant] if meant else difflib.get_close_matches(str(field), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(fields)}"
            if near == ["parameters"] and "function" in fields:
                hint = "'parameters' belong into its 'function'"
            raise PromptError(f"{where} has an unknown field {show(field)}; {hint}")


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
