"""LangChain messages as members are given them."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from adafuse import PromptError
from adafuse.prompting.prompt import read_prompt
from adafuse.tools import read_calls
from adafuse_integrations.langchain import ChatAdaFuse
from adafuse_integrations.langchain._messages import core_messages
from watched_members import watched

CALL: Any = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
CORE_CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}


def one(message: BaseMessage) -> dict[str, Any]:
    (turned,) = core_messages([message])
    return turned


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (SystemMessage("x"), "system"),
        (HumanMessage("x"), "user"),
        (AIMessage("x"), "assistant"),
        (AIMessageChunk("x"), "assistant"),
        (ToolMessage("x", tool_call_id="c"), "tool"),
        (FunctionMessage("x", name="f"), "tool"),
        (ChatMessage("x", role="developer"), "system"),
        (ChatMessage("x", role="human"), "user"),
        (ChatMessage("x", role="critic"), "critic"),
    ],
)
def test_roles(message: BaseMessage, role: str) -> None:
    assert one(message)["role"] == role
    assert one(message)["content"] == "x"
    read_prompt([one(message)])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", ""),
        ("  a\n", "  a\n"),
        (["a", "b"], "ab"),
        ([{"type": "text", "text": "a "}, {"type": "text", "text": "b"}], "a b"),
        ([{"type": "text", "text": "a", "index": 0, "annotations": []}], "a"),
        ([{"type": "text-plain", "text": "notes", "mime_type": "text/plain"}], "notes"),
        ([{"type": "json", "json": {"a": ["é"]}}], '{"a": ["é"]}'),
        ([], ""),
    ],
)
def test_text_is_taken_from_strings_and_blocks(content: Any, text: str) -> None:
    for kind in (HumanMessage, SystemMessage, AIMessage):
        assert one(kind(content))["content"] == text
    assert one(ToolMessage(content, tool_call_id="c"))["content"] == text


@pytest.mark.parametrize(
    "kind",
    ["image", "image_url", "audio", "input_audio", "video", "file", "non_standard", "tool_result"],
)
def test_what_is_not_text_is_refused_by_name(kind: str) -> None:
    block = {"type": kind, "base64": "AAAA", "mime_type": "x/y"}
    for message in (HumanMessage([block]), ToolMessage([block], tool_call_id="c")):
        with pytest.raises(PromptError, match=f"message 1 .*{kind!r}; members read text only"):
            core_messages([HumanMessage("hi"), message])
    ensemble, watch = watched()
    with pytest.raises(PromptError, match=kind):
        ChatAdaFuse(ensemble=ensemble).invoke([HumanMessage([block])])
    assert not watch.sessions


def test_a_message_that_is_no_turn_is_refused() -> None:
    with pytest.raises(PromptError, match="message 0 is a RemoveMessage"):
        core_messages([RemoveMessage(id="x")])


def test_calls_and_results() -> None:
    turned = core_messages(
        [
            AIMessage("I add.", tool_calls=[CALL]),
            ToolMessage("3", tool_call_id="c1", artifact={"kept": "out"}),
            ToolMessage("4", tool_call_id="c2", name="other"),
        ]
    )
    assert turned == [
        {"role": "assistant", "content": "I add.", "tool_calls": [CORE_CALL]},
        {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "add"},
        {"role": "tool", "content": "4", "tool_call_id": "c2", "name": "other"},
    ]
    assert read_prompt(turned).messages[0]["tool_calls"] == [CORE_CALL]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
        {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
    ],
)
def test_a_call_is_told_once_wherever_it_stands(block: dict[str, Any]) -> None:
    content: Any = [{"type": "text", "text": "I add."}, block]
    expected = {"role": "assistant", "content": "I add.", "tool_calls": [CORE_CALL]}
    assert one(AIMessage(content, tool_calls=[CALL])) == expected
    assert one(AIMessage(content)) == expected


def test_what_we_answer_can_be_given_back() -> None:
    for version in (None, "v1"):
        llm = ChatAdaFuse(ensemble=watched("Some text.")[0], output_version=version)
        for message in (llm.invoke("p"), *list(llm.stream("p"))[:1]):
            text = one(message)["content"]
            assert "Some text.".startswith(text)
            assert text


def test_invalid_calls_are_told_as_they_were_written() -> None:
    invalid: Any = {"name": "add", "args": '{"a": ', "id": "c9", "error": "cut", "type": "x"}
    turned = one(AIMessage("Hm.", invalid_tool_calls=[{**invalid, "type": "invalid_tool_call"}]))
    assert turned["content"].startswith("Hm.\n<tool_call>")
    assert '{"a": ' in turned["content"]
    assert "tool_calls" not in turned
    content, calls = read_calls(turned["content"])
    assert (content, len(calls)) == ("Hm.", 1)
    block = {"type": "invalid_tool_call", "id": "c9", "name": "add", "args": '{"a": '}
    assert one(AIMessage([{"type": "text", "text": "Hm."}, block])) == turned


@pytest.mark.parametrize("written", ["", " ", None, "null", '"{}"', "[]"])
def test_calls_without_arguments_are_read_as_other_servers_write_them(written: Any) -> None:
    wanted = [{"id": "c", "type": "function", "function": {"name": "now", "arguments": {}}}]
    block = {"type": "function_call", "call_id": "c", "name": "now", "arguments": written}
    assert one(AIMessage([block]))["tool_calls"] == wanted  # type: ignore[list-item]
    invalid: Any = {"name": "now", "args": written, "id": "c", "error": None}
    message = AIMessage("", invalid_tool_calls=[{**invalid, "type": "invalid_tool_call"}])
    assert one(message)["tool_calls"] == wanted
    if written in ("", " "):  # LangChain's own reader refuses or drops the others
        raw = {"id": "c", "type": "function", "function": {"name": "now", "arguments": written}}
        assert one(AIMessage("", additional_kwargs={"tool_calls": [raw]}))["tool_calls"] == wanted


def test_reasoning_goes_where_templates_look_for_it() -> None:
    blocks: Any = [
        {"type": "reasoning", "reasoning": "I think. "},
        {"type": "thinking", "thinking": "Still."},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Yes."},
    ]
    expected = {"role": "assistant", "content": "Yes.", "reasoning_content": "I think. Still."}
    assert one(AIMessage(blocks)) == expected
    summary: Any = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Short."}]}]
    assert one(AIMessage(summary))["reasoning_content"] == "Short."
    told = AIMessage("Yes.", additional_kwargs={"reasoning_content": "Deep."})
    assert one(told)["reasoning_content"] == "Deep."


def test_errors_of_tools_can_be_told_from_results() -> None:
    failed = ToolMessage("no such file", tool_call_id="c", status="error")
    assert one(failed)["content"] == "Error: no such file"
    already = ToolMessage("Error: no such file", tool_call_id="c", status="error")
    assert one(already)["content"] == "Error: no such file"


def test_names_are_kept() -> None:
    assert one(HumanMessage("hi", name="Ann"))["name"] == "Ann"
    assert one(AIMessage("hi", name="bot"))["name"] == "bot"
    assert "name" not in one(HumanMessage("hi"))
