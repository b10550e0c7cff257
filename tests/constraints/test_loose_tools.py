"""Tools whose schemas nobody here can change: calls are held to what can be held, and checked."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from pydantic import BaseModel

from adafuse import AdaFuseWarning, ConfigError, Ensemble
from adafuse.testing import ScriptedMember
from adafuse.tools import ToolCall, call_text, read_calls
from adafuse_integrations.langchain import ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM
from serve_setup import serving
from watched_members import watched

CHAT = [{"role": "user", "content": "x"}]
CHAT_OF_INDEX = [ChatMessage(role="user", content="x")]
NAME = {"type": "string"}


class Tags(BaseModel):
    """Some tags."""

    tags: set[str]


# By name: properties, further keywords, and arguments that fit and that do not.
LOOSE: dict[str, tuple[dict[str, Any], dict[str, Any], Any, Any]] = {
    "set": (
        Tags.model_json_schema()["properties"], {"required": ["tags"]},
        {"tags": ["a", "b"]}, {"tags": ["a", "a"]},
    ),
    "lookahead": (
        {"word": {"type": "string", "pattern": "^(?=.*[0-9])[a-z0-9]+$"}}, {},
        {"word": "abc1"}, {"word": "abc"},
    ),
    "lookahead within": (
        {"all": {"type": "array", "items": {"type": "string", "pattern": "^(?!x)"}}}, {},
        {"all": ["a"]}, {"all": ["a", "xa"]},
    ),
    "not": ({"n": {"type": "integer", "not": {"const": 3}}}, {}, {"n": 2}, {"n": 3}),
    "not, at the top": (
        {"a": NAME, "b": NAME}, {"not": {"required": ["a", "b"]}}, {"a": "x"}, {"a": "x", "b": "y"},
    ),
    "if": (
        {"a": NAME, "b": NAME},
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {}},
        {"b": "x"}, {"a": "x"},
    ),
    "contains": (
        {"l": {"type": "array", "items": {"type": "integer"}, "contains": {"const": 1}}}, {},
        {"l": [1]}, {"l": [2]},
    ),
    "dependentRequired": (
        {"a": NAME, "b": NAME}, {"dependentRequired": {"a": ["b"]}}, {"b": "x"}, {"a": "x"},
    ),
    "oneOf": (
        {"v": {"oneOf": [{"type": "number"}, {"type": "integer"}]}}, {}, {"v": 1.5}, {"v": 2},
    ),
    "several": (
        {"n": {"type": "integer", "not": {"const": 3}}, "s": {**NAME, "pattern": "(?=a)"}},
        {}, {"n": 2, "s": "a"}, {"n": 2, "s": "b"},
    ),
}  # fmt: skip


def tool(name: str, kind: str) -> dict[str, Any]:
    properties, more, _, _ = LOOSE[kind]
    parameters = {"type": "object", "properties": properties, **more}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


@pytest.mark.parametrize("choice", ["auto", "any"])
@pytest.mark.parametrize("kind", LOOSE)
def test_one_such_tool_does_not_refuse_the_request(kind: str, choice: str) -> None:
    _, _, good, _ = LOOSE[kind]
    other = {"type": "function", "function": {"name": "other", "parameters": {}}}
    name = f"once_{kind}_{choice}".replace(" ", "_").replace(",", "")
    members = Ensemble([ScriptedMember(call_text(name, good))])
    with pytest.warns(AdaFuseWarning, match=f"'{name}', not all can be enforced") as told:
        answer = members.generate(CHAT, tools=[other, tool(name, kind)], tool_choice=choice)
    assert len(told) == 1
    assert "checked against all of it once they are whole" in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AdaFuseWarning)
        again = members.generate(CHAT, tools=[other, tool(name, kind)], tool_choice=choice)
    assert answer.text == again.text == call_text(name, good)


def test_the_rest_of_its_schema_is_held() -> None:
    members = Ensemble([ScriptedMember(call_text("held", {"tags": [1, True], "more": "x"}))])
    answer = members.generate(CHAT, tools=[tool("held", "set")], tool_choice="any")
    _, (call,) = read_calls(answer.text)
    assert isinstance(call, ToolCall)
    assert list(call.arguments) == ["tags"]
    assert all(isinstance(tag, str) for tag in call.arguments["tags"])


@pytest.mark.parametrize("kind", LOOSE)
def test_the_finished_call_is_checked(kind: str) -> None:
    *_, good, bad = LOOSE[kind]
    for arguments, fits in ((good, True), (bad, False)):
        script = call_text("take", arguments)
        chat = ChatAdaFuse(ensemble=watched(script)[0]).bind_tools([tool("take", kind)])
        message = chat.invoke("x")
        first, *rest = chat.stream("x")
        whole: Any = first
        for chunk in rest:
            whole = whole + chunk
        for told in (message, whole):
            assert [call["args"] for call in told.tool_calls] == [arguments] * fits
            assert len(told.invalid_tool_calls) == (not fits)
        if not fits:
            (invalid,) = message.invalid_tool_calls
            assert "do not fit the tool's schema" in invalid["error"]
            assert json.loads(invalid["args"]) == arguments
        llm = AdaFuseLLM(ensemble=watched(script)[0])
        response = llm.chat(CHAT_OF_INDEX, tools=[tool("take", kind)])
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        assert [call.tool_kwargs for call in calls] == [arguments] * fits


def test_a_server_takes_such_tools() -> None:
    with serving(Ensemble([ScriptedMember(call_text("take", {"tags": ["a"]}))])) as server:
        for choice in ("auto", "required"):
            body = {"messages": CHAT, "tools": [tool("take", "set")], "tool_choice": choice}
            (told,) = server.post(body).json()["choices"]
            assert told["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"properties": {"a": {"type": "strin"}}}, "'type' at /properties/a is wrong"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "no schema in this one"),
        ({"properties": {"a": {"enum": [1], "type": "string"}}, "required": ["a"]}, "no value"),
        (
            {"properties": {"a": NAME}, "required": ["b"], "additionalProperties": False},
            "'required' at the top level names 'b', which 'properties' does not have",
        ),
    ],
)
def test_what_is_no_schema_or_fits_nothing_is_refused(
    parameters: dict[str, Any], reason: str
) -> None:
    given = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    with pytest.raises(ConfigError, match=reason):
        Ensemble([ScriptedMember("x")]).generate(CHAT, tools=[given])


@pytest.mark.parametrize("keywords", [{}, {"type": "object"}])
def test_a_required_name_that_is_not_listed_is_there(keywords: dict[str, Any]) -> None:
    """As in an answer of the same schema; and no message names what the schema does not hold."""
    schema = {**keywords, "properties": {"a": NAME}, "required": ["a", "b"]}
    given = {"type": "function", "function": {"name": "f", "parameters": schema}}
    for value in ({"a": "x", "b": 1}, {"a": "x", "b": ["y"]}):
        script = call_text("f", value)
        members = Ensemble([ScriptedMember(script)])
        assert members.generate(CHAT, tools=[given], tool_choice="any").text == script
        plain = Ensemble([ScriptedMember(json.dumps(value))])
        assert json.loads(plain.generate("x", json_schema=schema).text) == value
