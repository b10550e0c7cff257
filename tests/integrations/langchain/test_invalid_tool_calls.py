"""Calls that ChatAdaFuse was kept from finishing: nobody may complete and carry them out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.tools import tool

from adafuse.tools import call_text
from adafuse_integrations.langchain import ChatAdaFuse
from adafuse_integrations.langchain._chat_chunks import _refused
from watched_members import watched


@tool
def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


SHOUT = call_text("shout", {"text": 'a "b" \\ c'})


@pytest.mark.parametrize("limit", [12, 20, 25, 30, 38, 45, 50, 55])
def test_a_call_that_is_cut_is_invalid_and_nobody_completes_it(limit: int) -> None:
    bound = ChatAdaFuse(ensemble=watched(SHOUT)[0], max_tokens=limit).bind_tools([shout])
    message = bound.invoke("x")
    first, *rest = bound.stream("x")
    whole = first + rest  # type: ignore[operator]
    for one in (message, whole):
        assert one.tool_calls == []
        assert len(one.invalid_tool_calls) == 1
        assert one.response_metadata["finish_reason"] == "length"
    (invalid,) = message.invalid_tool_calls
    assert invalid["error"]
    assert str(invalid["args"]) in SHOUT


@pytest.mark.parametrize("choice", ["auto", "any", "shout"])
def test_a_call_that_a_limit_closed_is_told_as_ended_by_it(choice: str) -> None:
    """It can be carried out, and is not what it would have been: an agent must be able to see."""
    text = " ".join(f"{n * 7919 % 1000:03}" for n in range(50))
    script = call_text("shout", {"text": text})
    for limit, reason in ((100, "length"), (400, "tool_calls")):
        chat = ChatAdaFuse(ensemble=watched(script)[0], max_tokens=limit)
        bound = chat.bind_tools([shout], tool_choice=choice)
        message = bound.invoke("x")
        assert message.tool_calls
        assert message.response_metadata["finish_reason"] == reason
        *_, last = bound.stream("x")
        assert last.response_metadata["finish_reason"] == reason


@pytest.mark.parametrize("stop", ["shout", "\n", '"b', "}}", "</tool_call>"])
@pytest.mark.parametrize("choice", ["auto", "any"])
def test_stop_strings_do_not_reach_into_calls(stop: str, choice: str) -> None:
    llm = ChatAdaFuse(ensemble=watched(f"Well. {SHOUT}")[0], stop=[stop], max_tokens=400)
    (call,) = llm.bind_tools([shout], tool_choice=choice).invoke("x").tool_calls
    assert call["name"] == "shout"
    message = llm.bind_tools([shout], stop=["ell"]).invoke("x")
    assert (message.content, message.tool_calls) == ("W", [])


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner)), st.data())
def test_no_cut_of_arguments_is_taken_for_whole_ones(value: Any, data: st.DataObject) -> None:
    written = json.dumps({"a": value, "b\\": 1}, ensure_ascii=data.draw(st.booleans()))
    at = data.draw(st.integers(0, len(written)))
    before = data.draw(st.integers(0, at))
    fragment = _refused(written[:before], written[before:at])
    assert fragment.startswith(written[before:at])
    chunk = AIMessageChunk(
        "", tool_call_chunks=[tool_call_chunk(name="t", args=written[:before] + fragment or "x")]
    )
    assert chunk.tool_calls == []
    assert len(chunk.invalid_tool_calls) == 1


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_a_cut_call_is_invalid_in_streams_of_events_too() -> None:
    bound = ChatAdaFuse(ensemble=watched(SHOUT)[0], max_tokens=50).bind_tools([shout])
    stream = bound.stream_events("x", version="v3")
    list(stream)
    message = stream.output  # type: ignore[attr-defined]
    assert message.tool_calls == []
    assert len(message.invalid_tool_calls) == 1
