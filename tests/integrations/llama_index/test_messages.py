"""LlamaIndex's messages and tools as the core takes them, and its answers as LlamaIndex does."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool, ToolMetadata

from adafuse import Ensemble, PromptError
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text
from adafuse_integrations.llama_index import AdaFuseLLM, read_answer
from adafuse_integrations.llama_index._messages import core_messages
from adafuse_integrations.llama_index._tools import core_tools
from llama_index_script import FORMS, ask, look_up, multiply, text_of, tools

CALL = ToolCallBlock(tool_call_id="c1", tool_name="multiply", tool_kwargs={"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("role", "core"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "system"),
        (MessageRole.USER, "user"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.TOOL, "tool"),
        (MessageRole.FUNCTION, "tool"),
    ],
)
def test_every_role_has_its_place(role: MessageRole, core: str) -> None:
    (one,) = core_messages([ChatMessage(role=role, content="x\n y ")])
    assert one == {"role": core, "content": "x\n y "}


def test_blocks() -> None:
    blocks = [
        ThinkingBlock(content="hm"),
        TextBlock(text="a"),
        CachePoint(cache_control=CacheControl(type="ephemeral")),
        TextBlock(text="b"),
        CALL,
    ]
    (one,) = core_messages([ChatMessage(role="assistant", blocks=blocks)])
    assert one["content"] == "a\nb"
    assert one["reasoning_content"] == "hm"
    (call,) = one["tool_calls"]
    assert call["function"] == {"name": "multiply", "arguments": {"a": 1, "b": 2}}
    assert call["id"] == "c1"


@pytest.mark.parametrize(
    "block", [ImageBlock(image=b"x"), DocumentBlock(data=b"x"), CALL, ThinkingBlock(content="x")]
)
def test_what_users_cannot_say_is_refused_by_name(block: Any) -> None:
    said = ChatMessage(role="user", blocks=[TextBlock(text="x"), block])
    with pytest.raises(
        PromptError, match=rf"message 1 \(user\) has a block of type {type(block).__name__}"
    ):
        core_messages([ChatMessage(role="user", content="x"), said])


@pytest.mark.parametrize(
    "told",
    [
        {"tool_calls": [ToolSelection(tool_id="c1", tool_name="multiply", tool_kwargs={"a": 1})]},
        {
            "tool_calls": [
                {"id": "c1", "function": {"name": "multiply", "arguments": '{"a": 1}'}},
            ]
        },
        {"function_call": {"name": "multiply", "arguments": '{"a": 1}'}},
    ],
)
def test_calls_as_older_integrations_kept_them(told: dict[str, Any]) -> None:
    (one,) = core_messages([ChatMessage(role="assistant", additional_kwargs=told)])
    assert one["tool_calls"][0]["function"] == {"name": "multiply", "arguments": {"a": 1}}


@pytest.mark.parametrize("written", ["", " ", None, "null", '"{}"', "[]"])
def test_calls_without_arguments_are_read_as_other_servers_write_them(written: Any) -> None:
    raw = {"id": "c", "function": {"name": "now", "arguments": written}}
    messages = [ChatMessage(role="assistant", additional_kwargs={"tool_calls": [raw]})]
    if isinstance(written, str):
        block = ToolCallBlock(tool_name="now", tool_kwargs=written)
        messages.append(ChatMessage(role="assistant", blocks=[block]))
    for read in core_messages(messages):
        assert read["tool_calls"][0]["function"] == {"name": "now", "arguments": {}}


@pytest.mark.parametrize("calls", [5, "x", {"a": 1}, [5], [{"function": {}}]])
def test_calls_of_an_unknown_form(calls: Any) -> None:
    with pytest.raises(PromptError, match="message 0"):
        core_messages([ChatMessage(role="assistant", additional_kwargs={"tool_calls": calls})])


def test_a_call_that_cannot_be_read_is_text() -> None:
    broken = ToolCallBlock(tool_name="multiply", tool_kwargs='{"a": ')
    (one,) = core_messages([ChatMessage(role="assistant", blocks=[broken])])
    assert "tool_calls" not in one
    assert one["content"] == call_text("multiply", {}).replace("{}", '{"a": ')


def test_results_are_named_by_their_calls() -> None:
    result = ChatMessage(role="tool", content="2", additional_kwargs={"tool_call_id": "c1"})
    _, one = core_messages([ChatMessage(role="assistant", blocks=[CALL]), result])
    assert one == {"role": "tool", "tool_call_id": "c1", "name": "multiply", "content": "2"}


def test_tools_keep_their_names_and_schemas() -> None:
    named = FunctionTool.from_defaults(multiply, name="a.b-c", description="Multiplies.")
    bare = FunctionTool(lambda: 1, metadata=ToolMetadata("No schema.", "bare", fn_schema=None))
    first, second, third = core_tools([named, bare, {"type": "function"}])
    assert first["function"]["name"] == "a.b-c"
    assert set(first["function"]["parameters"]["properties"]) == {"a", "b"}
    assert second["function"]["parameters"]["properties"] == {"input": {"title": "input query "
        "string", "type": "string"}}  # fmt: skip
    assert third == {"type": "function"}


@pytest.mark.parametrize("wrong", [None, 5, "multiply", {"type": "function"}, tools(multiply)[0]])
def test_tools_that_are_no_list(wrong: Any) -> None:
    llm = AdaFuseLLM(ensemble=Ensemble([ScriptedMember("x")]))
    with pytest.raises(PromptError, match="tools must be a list"):
        llm.chat_with_tools(wrong, "x")


def scripted(answer: str, **fields: Any) -> AdaFuseLLM:
    return AdaFuseLLM(ensemble=Ensemble([ScriptedMember(answer, confident=False)]), **fields)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [10, 30, 60])
def test_a_call_that_is_cut_is_the_text_that_was_written(form: str, limit: int) -> None:
    llm = scripted("Sure.  \n " + call_text("look_up", {"word": "w" * 40}), max_tokens=limit)
    responses = ask(llm, "chat_with_tools", form, tools(look_up), "x")
    last = responses[-1]
    assert not llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)
    assert text_of(last) == read_answer(last.additional_kwargs).text
    if form.endswith("stream"):
        assert "".join(one.delta for one in responses) == text_of(last)


@pytest.mark.parametrize("form", FORMS)
def test_text_beside_calls_and_arguments_as_they_are_written(form: str) -> None:
    word = 'ä "q" \\ 😀 </x>'
    llm = scripted("Sure. " + call_text("look_up", {"word": word}))
    responses = ask(llm, "chat_with_tools", form, tools(look_up), "x")
    last = responses[-1]
    (call,) = llm.get_tool_calls_from_response(last)
    assert (call.tool_name, call.tool_kwargs) == ("look_up", {"word": word})
    assert last.message.content == "Sure."
    beside = last.message.additional_kwargs["tool_calls"][0]
    assert json.loads(beside["function"]["arguments"]) == {"word": word}
    assert beside["id"] == call.tool_id
    for one in responses[:-1]:
        for begun in llm.get_tool_calls_from_response(one, error_on_no_tool_call=False):
            assert word.startswith(begun.tool_kwargs.get("word", ""))


def test_an_answer_goes_back_in_as_a_message() -> None:
    llm = scripted("Sure. " + call_text("look_up", {"word": "x"}))
    message = llm.chat_with_tools(tools(look_up), "x").message
    (one,) = core_messages([ChatMessage.model_validate(message.model_dump())])
    assert one["content"] == "Sure."
    assert one["tool_calls"][0]["function"] == {"name": "look_up", "arguments": {"word": "x"}}


def test_a_trace_is_json_where_a_score_is_infinite() -> None:
    members = [
        ScriptedMember("one two", "a", confident=False),
        ScriptedMember("one three", "b", confident=False, nll=math.inf),
    ]
    response = AdaFuseLLM(ensemble=Ensemble(members)).complete("x")
    told = json.loads(json.dumps(response.additional_kwargs, allow_nan=False))
    scores = [one.scores["b"] for one in read_answer(told).rounds[1].candidates]
    assert scores == [math.inf] * 2
    back = type(response).model_validate_json(response.model_dump_json())
    assert read_answer(back.additional_kwargs) == read_answer(response.additional_kwargs)
