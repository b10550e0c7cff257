"""The server, asked by frameworks through their own clients of OpenAI's interface."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from adafuse import Ensemble, Prompt
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text
from serve_setup import Running, serving

TEXT = "Grüße – 你好, 😀\n\n  if x < 5:\t'<think>'\n"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def respond(prompt: Prompt) -> str:
    last = prompt.messages[-1]
    names = [one["function"]["name"] for one in prompt.tools]
    if last["role"] == "tool":
        return f"It is {last['content']}."
    if "Person" in names:
        return call_text("Person", {"name": "Ada", "age": 36})
    if names:
        return call_text(names[0], {"a": 1, "b": 2})
    return json.dumps({"name": "Ada", "age": 36}) if last["content"] == "person" else TEXT


@pytest.fixture(scope="module")
def server() -> Generator[Running]:
    first = ScriptedMember(respond=respond, name="first", confident=False)
    with serving(Ensemble([first, ScriptedMember(respond=respond, name="second")])) as running:
        yield running


@pytest.fixture
def chat(server: Running) -> ChatOpenAI:
    return ChatOpenAI(
        model="adafuse", base_url=server.url, api_key="none", max_retries=0, stream_usage=True
    )


@pytest.fixture
def like(server: Running) -> OpenAILike:
    return OpenAILike(
        model="adafuse",
        api_base=server.url,
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        temperature=0.0,
    )


def test_langchain_invokes_and_streams(chat: ChatOpenAI) -> None:
    whole = chat.invoke("hello")
    assert whole.content == TEXT
    assert whole.response_metadata["finish_reason"] == "stop"
    total: Any = None
    pieces = 0
    for chunk in chat.stream("hello"):
        pieces += bool(chunk.content)
        total = chunk if total is None else total + chunk
    assert (total.content, total.usage_metadata) == (TEXT, whole.usage_metadata)
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == len(TEXT)
    assert pieces > 5


async def test_langchain_asynchronously(chat: ChatOpenAI) -> None:
    answers = await chat.abatch(["hello"] * 10)
    assert {answer.content for answer in answers} == {TEXT}
    assert "".join([str(chunk.content) async for chunk in chat.astream("hello")]) == TEXT


def test_langchain_calls_tools(chat: ChatOpenAI) -> None:
    bound = chat.bind_tools([add])
    asked = bound.invoke("1 + 2?")
    (call,) = asked.tool_calls
    assert (call["name"], call["args"]) == ("add", {"a": 1, "b": 2})
    assert asked.response_metadata["finish_reason"] == "tool_calls"
    total: Any = None
    for chunk in bound.stream("1 + 2?"):
        total = chunk if total is None else total + chunk
    assert [(one["name"], one["args"]) for one in total.tool_calls] == [("add", call["args"])]
    result = ToolMessage(str(add.invoke(call["args"])), tool_call_id=call["id"])
    assert bound.invoke([HumanMessage("1 + 2?"), asked, result]).content == "It is 3."
    forced = chat.bind_tools([add], tool_choice="any").invoke("1 + 2?")
    assert [one["name"] for one in forced.tool_calls] == ["add"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_langchain_structured_output(chat: ChatOpenAI, method: Any) -> None:
    model = chat.with_structured_output(Person, method=method)
    assert model.invoke("person") == Person(name="Ada", age=36)


def test_langchain_settings_of_adafuse(server: Running) -> None:
    chat = ChatOpenAI(
        model="second",
        base_url=server.url,
        api_key="none",
        extra_body={"branches": 1, "choices": ["Grün", "Grüße"]},
    )
    assert chat.invoke("hello").content == "Grüße"


def test_langchain_completes(server: Running) -> None:
    llm = OpenAI(
        model="adafuse", base_url=server.url, api_key="none", temperature=0, max_tokens=256
    )
    assert llm.invoke("hello") == TEXT
    assert "".join(llm.stream("hello")) == TEXT
    rows = llm.generate(["hello", "person"]).generations
    assert [row[0].text for row in rows] == [TEXT, '{"name": "Ada", "age": 36}']


def test_llama_index_answers_and_streams(like: OpenAILike) -> None:
    messages = [ChatMessage(role="system", content="Be short."), ChatMessage("hello")]
    assert like.chat(messages).message.content == TEXT
    deltas = [part.delta for part in like.stream_chat(messages)]
    assert "".join(delta or "" for delta in deltas) == TEXT
    assert like.complete("hello").text == TEXT
    assert "".join(part.delta or "" for part in like.stream_complete("hello")) == TEXT


async def test_llama_index_asynchronously(like: OpenAILike) -> None:
    assert (await like.achat([ChatMessage("hello")])).message.content == TEXT
    parts = [part async for part in await like.astream_chat([ChatMessage("hello")])]
    assert parts[-1].message.content == TEXT


def test_llama_index_calls_tools(like: OpenAILike) -> None:
    def plus(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    tools = [FunctionTool.from_defaults(plus)]
    answer = like.chat_with_tools(tools, user_msg="1 + 2?")
    (call,) = like.get_tool_calls_from_response(answer)
    assert (call.tool_name, call.tool_kwargs) == ("plus", {"a": 1, "b": 2})
    *_, last = like.stream_chat_with_tools(tools, user_msg="1 + 2?", tool_required=True)
    (call,) = like.get_tool_calls_from_response(last)
    assert (call.tool_name, call.tool_kwargs) == ("plus", {"a": 1, "b": 2})
    result = like.predict_and_call(tools, "1 + 2?")
    assert result.response == "3"


def test_llama_index_structured_output(like: OpenAILike) -> None:
    model = like.as_structured_llm(Person)
    assert model.complete("person").raw == Person(name="Ada", age=36)
    native = like.model_copy(update={"should_use_structured_outputs": True})
    assert native.as_structured_llm(Person).complete("person").raw == Person(name="Ada", age=36)


def test_llama_index_completes_raw_text(server: Running) -> None:
    llm = OpenAILike(model="adafuse", api_base=server.url, api_key="none", is_chat_model=False)
    assert llm.complete("hello", temperature=0).text == TEXT
    parts = llm.stream_complete("hello", temperature=0)
    assert "".join(part.delta or "" for part in parts) == TEXT
