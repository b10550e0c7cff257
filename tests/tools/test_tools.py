"""Tools are checked before any work starts, and their calls written in one way."""

import json
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest

from adafuse import PromptError
from adafuse.tools import call_text, read_tools

NOTHING = {"type": "object", "properties": {}}


def tool(name: Any = "add", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


BAD_TOOLS: dict[str, tuple[Any, str]] = {
    "mapping": ({}, "tools must be a list"),
    "text": ("add", "tools must be a list"),
    "name alone": (["add"], "tool 0 must be"),
    "no function": ([{"type": "function"}], "tool 0 must be"),
    "another type": ([tool(), {**tool("b"), "type": "web_search"}], "tool 1 is of type 'web_s"),
    "no name": ([{"type": "function", "function": {}}], "tool 0 needs a 'name'"),
    "name number": ([tool(5)], "tool 0 needs a 'name'"),
    "name blank": ([tool("a"), tool("read file")], "tool 1 needs a 'name'.*, not 'read file'"),
    "name end": ([tool("add\n")], "tool 0 needs a 'name'"),
    "name long": ([tool("a" * 65)], "tool 0 needs a 'name'"),
    "name empty": ([tool("")], "tool 0 needs a 'name'"),
    "special name": ([tool("<|im_end|>")], "tool 0 needs a 'name'"),
    "twice": ([tool(), tool("b"), tool()], "given twice: add"),
    "description": ([tool(description=5)], "'add' must have text as 'description'"),
    "parameters": ([tool(parameters=[])], "'add' must have a JSON schema"),
    "array": ([tool(parameters={"type": "array"})], "'type' 'object'"),
    "of text": ([tool(parameters={"type": "string"})], "of 'type' 'string'; .*'type' 'object'"),
    "reference to text": (
        [tool(parameters={"$ref": "#/$defs/a", "$defs": {"a": {"type": ["string", "null"]}}})],
        r"of 'type' \['string', 'null'\]; a call names its arguments",
    ),
    "properties": ([tool(parameters={"type": "object", "properties": []})], "mapping as 'prop"),
    "set": ([tool(parameters={**NOTHING, "required": {"a"}})], "'add' is not JSON: set"),
    "not a number": ([tool(parameters={**NOTHING, "default": float("nan")})], "is not JSON"),
    "misspelt": (
        [tool(paramters=NOTHING)],
        "'add' has an unknown field 'paramters'; did you mean 'p",
    ),
    "of Anthropic": ([tool(input_schema=NOTHING)], "'input_schema'; did you mean 'parameters'"),
    "of MCP": ([tool(inputSchema=NOTHING)], "'inputSchema'; did you mean 'parameters'"),
    "no such field": ([tool(colour="red")], "unknown field 'colour'; it has: name, description"),
    "beside": ([{**tool(), "parameters": NOTHING}], "'parameters' belong into its 'function'"),
    "strict beside": ([{**tool(), "strict": True}], "'add' has an unknown field 'strict'"),
    "surrogate": ([tool(description="\ud800")], "'add' is not JSON"),
}


@pytest.mark.parametrize(("tools", "reason"), BAD_TOOLS.values(), ids=BAD_TOOLS)
def test_bad_tools_are_refused_in_one_line(tools: Any, reason: str) -> None:
    with pytest.raises(PromptError, match=reason) as caught:
        read_tools(tools)
    assert len(str(caught.value).splitlines()) == 1
    str(caught.value).encode()


def test_a_schema_within_itself_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"]["again"] = schema
    with pytest.raises(PromptError, match="'add' is not JSON"):
        read_tools([tool(parameters=schema)])


@pytest.mark.parametrize("empty", [None, {}])
def test_what_is_not_given_is_filled_in(empty: Any) -> None:
    given = [tool("get.time-1_B"), tool(parameters=empty, description=None)]
    first, second = read_tools(given)
    assert first == tool("get.time-1_B", description="", parameters=NOTHING)
    assert second == tool(description="", parameters=NOTHING)
    assert list(first["function"]) == ["name", "description", "parameters"]
    assert given[0] == tool("get.time-1_B")
    assert read_tools([]) == read_tools(()) == ()


TREE = {
    "type": "object",
    "properties": {"inner": {"$ref": "#/$defs/tree"}},
    "required": ["inner"],
}
NUMBER: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
}

DEFS = {"$defs": {"n": NUMBER}}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"$ref": "#/$defs/tree", "$defs": {"tree": TREE}}, {**TREE, "$defs": {"tree": TREE}}),
        (
            {"$ref": "#/$defs/t~1x/y", "$defs": {"t/x": {"y": NUMBER}}, "description": "d"},
            {**NUMBER, "$defs": {"t/x": {"y": NUMBER}}, "description": "d"},
        ),
        ({"allOf": [NUMBER]}, NUMBER),
        ({"allOf": [{"$ref": "#/$defs/n"}], **DEFS}, {**NUMBER, **DEFS}),
        ({"anyOf": [NUMBER, NOTHING]}, {"anyOf": [NUMBER, NOTHING], **NOTHING}),
        ({"type": ["object", "null"], "properties": {}}, NOTHING),
        ({"additionalProperties": False}, {**NOTHING, "additionalProperties": False}),
        ({"description": "nothing"}, {**NOTHING, "description": "nothing"}),
        (
            {"allOf": [NUMBER], "required": ["b"]},  # two things are said of one keyword
            {"allOf": [NUMBER], "required": ["b"], **NOTHING},
        ),
    ],
)
def test_parameters_are_an_object_wherever_their_schema_says_so(given: Any, wanted: Any) -> None:
    """Tools and response formats take the same schemas."""
    (read,) = read_tools([tool(parameters=given)])
    assert read["function"]["parameters"] == wanted


def test_checked_tools_are_copies_in_plain_json() -> None:
    schema = {"type": "object", "properties": {"größe": {"enum": ("a", 1)}}, "required": ["größe"]}
    frozen = MappingProxyType(OrderedDict(name="f", strict=True, parameters=schema))
    (checked,) = read_tools([MappingProxyType({"type": "function", "function": frozen})])
    assert checked["function"]["parameters"] == json.loads(json.dumps(schema))
    assert checked["function"]["strict"] is True
    schema["required"].append("b")
    assert checked["function"]["parameters"]["required"] == ["größe"]
    assert read_tools([checked]) == (checked,)


def test_a_call_is_written_as_the_canonical_syntax_has_it() -> None:
    wanted = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "ü": ["日", null]}}\n</tool_call>'
    assert call_text("add", MappingProxyType({"a": 1, "ü": ["日", None]})) == wanted
