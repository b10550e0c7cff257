"""Tools bound to ChatAdaFuse: how they are given, enforced, and read back; scripted members."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from adafuse import ConfigError, Prompt, PromptError
from adafuse.tools import CALL_START, call_text
from adafuse_integrations.langchain import ChatAdaFuse
from watched_members import Notes, run, watched

ADD = {"a": 1, "b": 2}
TWO = f"Let me see.\n{call_text('add', ADD)}\n{call_text('add', {'a': 3, 'b': 4})}"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


class Add(BaseModel):
    """Add two numbers."""

    a: int = Field(description="the first")
    b: int


class OldAdd(BaseModelV1):
    """Add two numbers."""

    a: int
    b: int


class DictAdd(TypedDict):
    """Add two numbers."""

    a: Annotated[int, ..., "the first"]
    b: int


def plain_add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


SCHEMA = {"title": "schema_add", "type": "object", "properties": {"a": {"type": "integer"}}}
OPENAI = {"type": "function", "function": {"name": "open_add", "parameters": SCHEMA}}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # LangChain calls it beta
    CHAIN = (ChatPromptTemplate.from_template("{style}") | RunnableLambda(str)).as_tool(
        name="style", description="Speak in a style."
    )


def llm_of(answer: Any, **settings: Any) -> tuple[ChatAdaFuse, Any]:
    respond = answer if callable(answer) else lambda prompt: answer
    ensemble, watch = watched(respond=respond)
    return ChatAdaFuse(ensemble=ensemble, **settings), watch


def total(chunks: Any) -> AIMessageChunk:
    whole: Any = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessageChunk)
    return whole


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (add, "add"),
        (plain_add, "plain_add"),
        (Add, "Add"),
        (OldAdd, "OldAdd"),
        (DictAdd, "DictAdd"),
        (SCHEMA, "schema_add"),
        (OPENAI, "open_add"),
        (CHAIN, "style"),
    ],
)
def test_tools_of_every_form_reach_the_members_and_are_called(form: Any, name: str) -> None:
    arguments = {"style": "pirate"} if name == "style" else {"a": 1}
    if name not in ("style", "schema_add", "open_add"):
        arguments = {"a": 1, "b": 2}
    llm, watch = llm_of(call_text(name, arguments))
    message = llm.bind_tools([form]).invoke("x")
    (shown,) = watch.prompts[0].tools
    assert shown["function"]["name"] == name
    assert shown["function"]["parameters"]["type"] == "object"
    (call,) = message.tool_calls
    assert (call["name"], call["args"], call["type"]) == (name, arguments, "tool_call")
    assert message.content == ""
    assert message.response_metadata["finish_reason"] == "tool_calls"
    direct = llm.invoke("x", tools=[form])
    assert direct.tool_calls[0]["args"] == arguments


@pytest.mark.parametrize("version", [None, "v1"])
def test_text_and_calls_stream_in_fragments_that_add_up(version: str | None) -> None:
    llm, _ = llm_of(TWO, output_version=version)
    bound = llm.bind_tools([add], parallel_tool_calls=True)
    message = bound.invoke("x")
    assert message.text == "Let me see."
    assert [call["args"] for call in message.tool_calls] == [ADD, {"a": 3, "b": 4}]
    ids = [call["id"] for call in message.tool_calls]
    assert len(set(ids)) == 2
    assert all(str(one).startswith("call_") for one in ids)
    chunks = list(bound.stream("x"))
    assert [c.text for c in chunks if c.text] == ["Let", " me", " see."]
    fragments = [call for chunk in chunks for call in chunk.tool_call_chunks]  # type: ignore[attr-defined]
    assert len({call["index"] for call in fragments}) == 2
    assert [call["name"] for call in fragments if call["name"]] == ["add", "add"]
    assert sum(bool(call["id"]) for call in fragments) == 2
    assert len(fragments) > 6
    assert not any(chunk.text and chunk.tool_call_chunks for chunk in chunks)  # type: ignore[attr-defined]
    whole = total(chunks)
    assert whole.text == message.text
    assert [call["args"] for call in whole.tool_calls] == [ADD, {"a": 3, "b": 4}]
    assert whole.usage_metadata == message.usage_metadata
    assert whole.response_metadata == message.response_metadata
    assert not set(ids) & {call["id"] for call in whole.tool_calls}
    kinds = [block["type"] for block in whole.content_blocks]
    assert kinds == ["text", "tool_call", "tool_call"]


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_calls_in_streams_of_events() -> None:
    llm, _ = llm_of(TWO)
    stream = llm.bind_tools([add], parallel_tool_calls=True).stream_events("x", version="v3")
    list(stream)
    message = stream.output  # type: ignore[attr-defined]
    assert [call["args"] for call in message.tool_calls] == [ADD, {"a": 3, "b": 4}]
    assert message.text == "Let me see."
    assert message.response_metadata["finish_reason"] == "tool_calls"
    assert message.usage_metadata["output_token_details"] == {"first": len(TWO)}


def test_callbacks_get_the_fragments_of_calls_too() -> None:
    llm, _ = llm_of(call_text("add", ADD))
    notes = Notes()
    llm.bind_tools([add]).invoke("x", {"callbacks": [notes]})
    fragments = [call for chunk in notes.chunks for call in chunk.message.tool_call_chunks]
    assert "".join(call["args"] for call in fragments) == '{"a": 1, "b": 2}'
    assert set(notes.words) == {""}


@pytest.mark.parametrize("choice", ["any", "required", True, {"type": "any"}])
def test_a_call_is_forced(choice: Any) -> None:
    llm, _ = llm_of("Hello there! How are you?", max_tokens=400)
    message = llm.bind_tools([add, shout], tool_choice=choice).invoke("Hello!")
    assert len(message.tool_calls) == 1
    assert not message.invalid_tool_calls


@pytest.mark.parametrize("choice", ["shout", {"type": "function", "function": {"name": "shout"}}])
def test_a_certain_call_is_forced(choice: Any) -> None:
    llm, _ = llm_of(call_text("add", ADD), max_tokens=400)
    message = llm.bind_tools([add, shout], tool_choice=choice).invoke("Hello!")
    assert [call["name"] for call in message.tool_calls] == ["shout"]


@pytest.mark.parametrize("choice", ["none", False, {"type": "none"}])
def test_no_tool_is_shown_or_called(choice: Any) -> None:
    llm, watch = llm_of(call_text("add", ADD))
    message = llm.bind_tools([add], tool_choice=choice).invoke("x")
    assert message.tool_calls == message.invalid_tool_calls == []
    assert CALL_START not in message.content
    assert watch.prompts[0].tools == ()
    assert llm_of("Just <text> & 1 < 2.")[0].bind_tools([add], tool_choice=choice).invoke(
        "x"
    ).content == ("Just <text> & 1 < 2.")


@pytest.mark.parametrize("choice", [None, "auto", {"type": "auto"}])
def test_free_text_is_as_it_would_be_without_tools(choice: Any) -> None:
    answer = "It is 3 < 4.\n\n<b>Yes</b>  "
    llm, watch = llm_of(answer)
    bound = llm.bind_tools([add], tool_choice=choice)
    assert bound.invoke("x").content == answer
    assert "".join(str(chunk.content) for chunk in bound.stream("x")) == answer
    assert watch.prompts[0].tools


def test_one_call_unless_several_are_allowed() -> None:
    llm, _ = llm_of(TWO)
    assert len(llm.bind_tools([add]).invoke("x").tool_calls) == 1
    assert len(llm.bind_tools([add], parallel_tool_calls=True).invoke("x").tool_calls) == 2


@pytest.mark.parametrize(
    ("bound", "says"),
    [
        ({"tool_choice": "ad"}, r"unknown tool_choice 'ad'; did you mean 'add'"),
        ({"tool_choice": {"type": "function", "function": {"name": "any"}}}, "'any'"),
        ({"tool_choice": {"type": "what"}}, "names no tool"),
        ({"tool_choice": 3}, "must be a word"),
        ({"temprature": 1}, "did you mean 'temperature'"),
        ({"tools": [], "tool_choice": "any"}, "'any' needs tools"),
        ({"tools": [object()]}, "tool 0 cannot be read"),
        ({"tools": [{"type": "web_search"}]}, "must be"),
        ({"tools": [add, shout, add.model_copy(update={"description": "Otherwise"})]}, "add"),
        ({"json_schema": {"not": {}}, "tool_choice": "auto"}, "cannot be enforced"),
        ({"regex": "a+"}, "exclude each other"),
        ({"tools": [{**OPENAI["function"], "name": "not a name"}]}, "A-Z a-z"),  # type: ignore[dict-item]
    ],
)
def test_what_cannot_be_bound_is_refused_when_it_is_bound(bound: dict[str, Any], says: str) -> None:
    llm = ChatAdaFuse(models=["org/never-loaded"])
    with pytest.raises((ConfigError, PromptError), match=says):
        llm.bind_tools(**{"tools": [add], **bound})


def test_an_agent_loop_by_hand() -> None:
    def respond(prompt: Prompt) -> str:
        last = prompt.messages[-1]
        return f"It is {last['content']}." if last["role"] == "tool" else call_text("add", ADD)

    llm, watch = llm_of(respond)
    bound = llm.bind_tools([add])
    question = HumanMessage("1 + 2?")
    asked = bound.invoke([question])
    result = add.invoke(asked.tool_calls[0])
    assert isinstance(result, ToolMessage)
    assert bound.invoke([question, asked, result]).content == "It is 3."
    told = watch.prompts[1].messages
    assert told[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": ADD}
    assert told[2]["tool_call_id"] == told[1]["tool_calls"][0]["id"]

    async def main() -> AIMessage:
        return await bound.ainvoke([question])

    assert run(main()).tool_calls[0]["args"] == ADD


def test_a_tool_without_parameters_gets_none() -> None:
    @tool
    def now() -> str:
        """Tell the time."""
        return "noon"

    llm, _ = llm_of('<tool_call>\n{"name": "now", "arguments": {"zone": "utc"}}\n</tool_call>')
    (call,) = llm.bind_tools([now], tool_choice="any").invoke("x").tool_calls
    assert call["args"] == {}


def test_an_answer_to_a_result_calls_no_tool_again_where_that_is_asked_for() -> None:
    def respond(prompt: Prompt) -> str:
        return call_text("add", ADD) if prompt.tools else "3"

    asked = [
        HumanMessage("add"),
        AIMessage("", tool_calls=[{"name": "add", "args": ADD, "id": "c"}]),
        ToolMessage("3", tool_call_id="c"),
    ]
    settled = ChatAdaFuse(ensemble=watched(respond=respond)[0], answer_after_tools=True)
    bound = settled.bind_tools([add])
    assert bound.invoke(asked).content == "3"
    assert "".join(chunk.text for chunk in bound.stream(asked)) == "3"
    assert run(bound.ainvoke(asked)).content == "3"
    assert bound.invoke(asked[:1]).tool_calls
    assert settled.bind_tools([add], tool_choice="any").invoke(asked).tool_calls
    assert settled.bind_tools([add]).invoke(asked, answer_after_tools=False).tool_calls
