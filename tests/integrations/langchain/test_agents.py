"""ChatAdaFuse where applications use it: chains, fallbacks, agents, LangGraph, event streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.tools import tool
from pydantic import BaseModel

from adafuse import Ensemble, Prompt, PromptError
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text
from adafuse_integrations.langchain import ChatAdaFuse
from watched_members import run, watched


class Total(BaseModel):
    """A sum."""

    total: int


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail(reason: str) -> str:
    """Always fails."""
    raise ValueError(reason)


def agent_script(prompt: Prompt) -> str:
    """Calls a tool, then tells of its result; in JSON where that is asked for."""
    last = prompt.messages[-1]
    what = prompt.constraint.what if prompt.constraint else ""
    if last["role"] == "tool" and "JSON" in what:
        return json.dumps({"total": int(last["content"])})
    if last["role"] == "tool" and any(t["function"]["name"] == "Total" for t in prompt.tools):
        return call_text("Total", {"total": int(last["content"])})
    if last["role"] == "tool":
        return f"It is {last['content']}."
    return call_text("add", {"a": 1, "b": 2})


def agent_model(**settings: Any) -> ChatAdaFuse:
    return ChatAdaFuse(ensemble=watched(respond=agent_script)[0], **settings)


ASK: Any = {"messages": [("user", "1 + 2?")]}


@pytest.mark.parametrize("version", [None, "v1"])
def test_an_agent_calls_its_tool_and_tells_the_result(version: str | None) -> None:
    messages = create_agent(agent_model(output_version=version), [add]).invoke(ASK)["messages"]
    assert [type(one) for one in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert messages[2].content == "3"
    assert messages[-1].text == "It is 3."

    async def main() -> Any:
        return await create_agent(agent_model(), [add]).ainvoke(ASK)

    assert run(main())["messages"][-1].content == "It is 3."


@pytest.mark.parametrize("form", [Total, ProviderStrategy(Total), ToolStrategy(Total)])
def test_an_agent_answers_in_a_form(form: Any) -> None:
    result = create_agent(agent_model(), [add], response_format=form).invoke(ASK)
    assert result["structured_response"] == Total(total=3)
    assert any(isinstance(one, ToolMessage) and one.content == "3" for one in result["messages"])


def test_an_agent_of_a_schema_alone() -> None:
    ensemble, watch = watched('{"total": 3}')
    agent = create_agent(ChatAdaFuse(ensemble=ensemble), [], response_format=Total)
    assert agent.invoke(ASK)["structured_response"] == Total(total=3)
    assert watch.configs[0].json_schema == Total.model_json_schema()


def test_words_of_an_agent_stream_through_langgraph() -> None:
    agent = create_agent(agent_model(), [add])
    parts = list(agent.stream(ASK, stream_mode="messages"))
    spoken = [one.content for one, told in parts if told["langgraph_node"] == "model"]
    assert [text for text in spoken if text] == ["It", " is", " 3."]
    fragments = [call for one, _ in parts for call in getattr(one, "tool_call_chunks", ())]
    assert "".join(call["args"] for call in fragments) == '{"a": 1, "b": 2}'

    async def main() -> list[Any]:
        return [one async for one, _ in agent.astream(ASK, stream_mode="messages")]

    words = [one.content for one in run(main()) if one.content and one.type == "AIMessageChunk"]
    assert words == ["It", " is", " 3."]


def test_streamed_agents_do_not_carry_out_calls_that_were_cut() -> None:
    cut = len(call_text("add", {"a": 1, "b": 2})) - 18
    agent = create_agent(agent_model(max_tokens=cut, stop=[', "b"']), [add])
    for mode in ("messages", "updates"):
        parts = list(agent.stream(ASK, stream_mode=mode))  # type: ignore[call-overload]
        assert "tools" not in str([part for part in parts if isinstance(part, dict)])
    messages = agent.invoke(ASK)["messages"]
    assert [type(one) for one in messages] == [HumanMessage, AIMessage]
    assert len(messages[-1].invalid_tool_calls) == 1


def test_events_of_a_chain() -> None:
    chain = ChatPromptTemplate.from_template("{x}") | agent_model() | StrOutputParser()

    async def main() -> list[Any]:
        return [event async for event in chain.astream_events({"x": "hi"}, version="v2")]

    events = [event for event in run(main()) if event["event"].startswith("on_chat_model")]
    assert events[0]["event"] == "on_chat_model_start"
    assert events[-1]["event"] == "on_chat_model_end"
    assert events[-1]["data"]["output"].content == call_text("add", {"a": 1, "b": 2})
    said = "".join(e["data"]["chunk"].content for e in events if e["event"].endswith("_stream"))
    assert said == call_text("add", {"a": 1, "b": 2})
    assert events[0]["metadata"]["ls_provider"] == "adafuse"


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_text_of_events_of_version_3() -> None:
    llm = ChatAdaFuse(ensemble=watched("one two")[0])
    stream = llm.stream_events("x", version="v3")
    assert list(stream.text) == ["one", " two"]  # type: ignore[attr-defined]

    async def main() -> Any:
        events = await llm.astream_events("x", version="v3")
        words = [word async for word in events.text]
        return words, await events.output

    words, message = run(main())
    assert words == ["one", " two"]
    assert message.response_metadata["fusion"]["finish_reason"] == "stop"


def test_a_chain_with_a_retriever() -> None:
    llm = ChatAdaFuse(ensemble=watched(lambda asked: asked.split(": ")[1])[0])
    prompt = ChatPromptTemplate.from_messages([("system", "Use: {found}"), ("human", "{asked}")])
    found = RunnablePassthrough.assign(found=lambda given: f"about {given['asked']}")
    chain = found | prompt | llm | StrOutputParser()
    assert chain.invoke({"asked": "this: that"}) == "that"
    assert "".join(chain.stream({"asked": "this: that"})) == "that"
    assert chain.batch([{"asked": "a: b"}, {"asked": "c: d"}]) == ["b", "d"]


def test_typed_errors_lead_to_fallbacks_and_retries() -> None:
    narrow = ChatAdaFuse(ensemble=Ensemble([ScriptedMember("short", window=10)]))
    wide = ChatAdaFuse(ensemble=watched("long")[0])
    safe = narrow.with_fallbacks([wide], exceptions_to_handle=(PromptError,))
    assert safe.invoke("a" * 50).content == "long"
    assert [chunk.content for chunk in safe.stream("a" * 50)] == ["long", ""]
    assert safe.invoke("a").content == "short"
    assert safe.bind_tools([add]).invoke("a" * 50).content == "long"
    calls = []

    def sometimes(prompt: str) -> bool:
        calls.append(prompt)
        return len(calls) == 1

    ensemble, watch = watched("a b", fails=sometimes)
    retried = ChatAdaFuse(ensemble=ensemble).with_retry(wait_exponential_jitter=False)
    assert retried.invoke("p").content == "a b"
    assert len(watch.sessions) == 2
    configured = wide.with_config(tags=["mine"], run_name="me")
    assert configured.invoke("p").content == "long"
