"""What the grammar of calls allows, the reader of calls reads; and what is told agrees with it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from adafuse import DecodingConfig, Ensemble
from adafuse.constraints.constraint import read_constraint
from adafuse.constraints.grammar import byte_table
from adafuse.testing import ScriptedMember
from adafuse.tools import ToolCall, read_calls, read_tools
from adafuse_integrations.langchain import ChatAdaFuse
from adafuse_integrations.llama_index import AdaFuseLLM
from grammar_walks import is_taken, walk
from schema_checks import wrong
from serve_setup import serving

FREE = {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}}
PARAMETERS: dict[str, dict[str, Any]] = {
    "free": {"type": "object", "properties": {"fields": FREE}, "required": ["fields"]},
    "nested": {"type": "object", "properties": {"rows": {"type": "array", "items": FREE}}},
    "anything": {"type": "object", "properties": {"value": {}, "name": {"type": "string"}}},
    "patterns": {
        "type": "object",
        "properties": {
            "by_year": {
                "type": "object",
                "patternProperties": {"^[0-9]{4}$": {"type": "number"}},
                "additionalProperties": False,
            }
        },
        "required": ["by_year"],
    },
    "itself free": FREE,
}
TEXT = '{"fields": {"name": "Ada", "name": "Bob"}}'
WANTED = {"fields": {"name": "Bob"}}


def grammar(parameters: dict[str, Any]) -> str:
    tools = read_tools([{"function": {"name": "f", "parameters": parameters}}])
    constraint = read_constraint(DecodingConfig(), tools, "any")
    assert constraint is not None
    return constraint.grammar


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", PARAMETERS)
def test_whatever_the_grammar_allows_is_a_call(name: str, seed: int) -> None:
    matcher = byte_table().matcher(grammar(PARAMETERS[name]))
    text = walk(matcher, random.Random(f"{name} {seed}"), first=not seed)
    if text is None:
        return
    content, (call,) = read_calls(text, ["f"])
    assert content == ""
    assert isinstance(call, ToolCall), call
    assert not wrong(PARAMETERS[name], json.dumps(call.arguments))


@pytest.mark.parametrize(
    "arguments",
    [TEXT, '{"fields": {"a": 1, "b": 2, "a": 3, "b": 4}}', '{"fields": {"": 1, "": 2}}'],
)
def test_of_a_name_that_comes_twice_the_last_counts(arguments: str) -> None:
    text = f'<tool_call>\n{{"name": "f", "arguments": {arguments}}}\n</tool_call>'
    _, (call,) = read_calls(text, ["f"])
    assert isinstance(call, ToolCall)
    assert call.arguments == json.loads(arguments)
    if '"": ' not in arguments:
        assert is_taken(byte_table().matcher(grammar(PARAMETERS["free"])), text)


class Record(BaseModel):
    """A record."""

    fields: dict[str, str]


def test_wrappers_and_server_tell_such_a_call() -> None:
    script = f'<tool_call>\n{{"name": "Record", "arguments": {TEXT}}}\n</tool_call>'
    ensemble = Ensemble([ScriptedMember(script)])
    chat = ChatAdaFuse(ensemble=ensemble)
    message = chat.bind_tools([Record], tool_choice="any").invoke("x")
    assert ([call["args"] for call in message.tool_calls], message.invalid_tool_calls) == (
        [WANTED],
        [],
    )
    read = chat.with_structured_output(Record, method="function_calling").invoke("x")
    assert read == Record(**WANTED)

    def record(fields: dict[str, str]) -> str:
        """Keep a record."""
        return str(fields)

    llm = AdaFuseLLM(ensemble=ensemble)
    tool = FunctionTool.from_defaults(record, name="Record")
    response = llm.chat_with_tools([tool], "x", tool_required=True)
    (selected,) = llm.get_tool_calls_from_response(response)
    assert selected.tool_kwargs == WANTED
    described = {"name": "Record", "parameters": Record.model_json_schema()}
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": described}],
        "tool_choice": "required",
    }
    with serving(ensemble) as server:
        (choice,) = server.post(body).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == WANTED
