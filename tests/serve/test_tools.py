"""Tool calls and JSON of a schema, asked for with OpenAI's own client."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import openai
import pytest

from serve_script import ADD, CALL, TEXT, Person, ask, asked, scripted
from serve_setup import Running, serving


@pytest.fixture(scope="module")
def server() -> Generator[Running]:
    with serving(scripted()) as running:
        yield running


def test_tools(server: Running) -> None:
    done = ask(server, "add", tools=[ADD], parallel_tool_calls=True).choices[0]
    assert (done.finish_reason, done.message.content) == ("tool_calls", "Let me see.")
    calls = [json.loads(call.function.arguments) for call in done.message.tool_calls]
    assert calls == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert {call.function.name for call in done.message.tool_calls} == {"add"}
    assert len({call.id for call in done.message.tool_calls}) == 2
    # An answer goes back as it came, with the results of its calls.
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": "7"}]}
        for call in done.message.tool_calls
    ]
    history = [*asked("add"), done.message, *results]
    after = ask(server, "", messages=history, tools=[ADD]).choices[0]
    assert (after.message.content, after.finish_reason) == ("add says 7", "stop")


def test_streams_of_tool_calls_add_up(server: Running) -> None:
    stream = ask(server, "add", tools=[ADD], parallel_tool_calls=True, stream=True)
    content, calls, reason = "", {}, None
    for choice in (chunk.choices[0] for chunk in stream):
        content += choice.delta.content or ""
        reason = choice.finish_reason or reason
        for part in choice.delta.tool_calls or ():
            if part.id is not None:
                assert (part.type, part.index) == ("function", len(calls))
                calls[part.index] = [part.function.name, ""]
            calls[part.index][1] += part.function.arguments
    assert (content, reason) == ("Let me see.", "tool_calls")
    assert [(name, json.loads(text)) for name, text in calls.values()] == [
        ("add", {"a": 1, "b": 2}),
        ("add", {"a": 3, "b": 4}),
    ]


def test_the_choice_of_tools_holds(server: Running) -> None:
    named = {"type": "function", "function": {"name": "add"}}
    for choice in ("required", named):
        done = ask(server, "hello", tools=[ADD], tool_choice=choice, max_tokens=100).choices[0]
        assert [call.function.name for call in done.message.tool_calls] == ["add"]
        assert done.message.content is None
    none = ask(server, "add", tools=[ADD], tool_choice="none").choices[0]
    assert (none.message.content, none.message.tool_calls) == ("nothing to call", None)
    one = ask(server, "add", tools=[ADD]).choices[0]
    assert len(one.message.tool_calls) == 1


@pytest.mark.parametrize("tokens", range(1, 66, 4))
def test_a_call_that_is_cut_is_the_same_streamed_and_whole(server: Running, tokens: int) -> None:
    options = {"tools": [ADD], "max_tokens": tokens, "tool_choice": "required"}
    whole = ask(server, "add", **options).choices[0]
    content, arguments = "", ""
    for choice in (one.choices[0] for one in ask(server, "add", **options, stream=True)):
        content += choice.delta.content or ""
        arguments += "".join(call.function.arguments for call in choice.delta.tool_calls or ())
        reason = choice.finish_reason
    assert content or whole.message.tool_calls
    told = "".join(call.function.arguments for call in whole.message.tool_calls or ())
    assert (content, arguments, reason) == (
        whole.message.content or "",
        told,
        whole.finish_reason,
    )
    assert reason in ("length", "tool_calls")


@pytest.mark.parametrize("tokens", range(20, 66, 5))
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_server_writes_it_reads(server: Running, tokens: int, stream: bool) -> None:
    """A cut call, too: else its conversation could never go on."""
    options = {"tools": [ADD], "max_tokens": tokens, "tool_choice": "required"}
    if stream:
        with server.openai().chat.completions.stream(
            model="adafuse", messages=asked("add"), **options
        ) as events:
            with suppress(openai.LengthFinishReasonError):
                events.until_done()
            message: Any = events.current_completion_snapshot.choices[0].message
    else:
        message = ask(server, "add", **options).choices[0].message
    called = message.tool_calls or ()
    results = [{"role": "tool", "tool_call_id": call.id, "content": "cut?"} for call in called]
    history = [*asked("add"), message, *results, *asked("hello")]
    done = ask(server, "", messages=history, tools=[ADD]).choices[0]
    assert (done.message.content, done.finish_reason) == (TEXT, "stop")


def test_a_parsed_message_is_read(server: Running) -> None:
    """OpenAI's client sends back what it has read of the content and of arguments."""
    strict = {**ADD["function"], "strict": True}
    client = server.openai().chat.completions
    said = client.parse(model="adafuse", messages=asked("person"), response_format=Person)
    called = client.parse(
        model="adafuse",
        messages=asked("add"),
        tools=[{"type": "function", "function": strict}],  # type: ignore[list-item]
    )
    call = called.choices[0].message.tool_calls[0]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "3"}]
    for history in ([said.choices[0].message], [called.choices[0].message, *results]):
        done = ask(server, "", messages=[*asked("x"), *history, *asked("hello")])
        assert done.choices[0].message.content == TEXT


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "add"}}]},
        *(
            {"tool_calls": [{**CALL, "function": {"name": "add", "arguments": arguments}}]}
            for arguments in ("", " ", None, '"{}"', {"a": 1}, json.dumps('{"a": 1}'), "[]")
        ),
        {"tool_calls": [{**CALL, "index": 0}], "content": ""},
        {"tool_calls": [{**CALL, "id": None}]},
        {"tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "x"}}}]},
        {"content": "2", "reasoning": "1 + 1"},
        {"content": "2", "reasoning_content": "1 + 1"},
        {"content": None},
        {"content": [{"type": "text", "text": "2", "cache_control": {"type": "ephemeral"}}]},
        {"content": "2", "refusal": None, "annotations": [], "audio": None},
    ],
    ids=str,
)
def test_what_other_servers_write_is_read(server: Running, message: dict[str, Any]) -> None:
    results = [{"role": "tool", "tool_call_id": "1", "content": None}] * ("tool_calls" in message)
    history = [*asked("x"), {"role": "assistant", **message}, *results, *asked("hello")]
    reply = server.post({"messages": history, "tools": [ADD]})
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["message"]["content"] == TEXT


def test_json_schemas(server: Running) -> None:
    parsed = server.openai().chat.completions.parse(
        model="adafuse", messages=asked("person"), response_format=Person
    )
    assert parsed.choices[0].message.parsed == Person(name="Ada", age=36)
    with server.openai().chat.completions.stream(
        model="adafuse", messages=asked("person"), response_format=Person
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Ada", age=36)
    loose = ask(server, "person", response_format={"type": "json_object"})
    assert json.loads(loose.choices[0].message.content) == {"name": "Ada", "age": 36}
    plain = ask(server, "hello", response_format={"type": "text"})
    assert plain.choices[0].message.content == TEXT


def test_json_objects_may_have_a_schema_as_llama_cpp_has_it(server: Running) -> None:
    form = {"type": "json_object", "schema": Person.model_json_schema()}
    for text in ("person", "hello"):  # the second is another text, held to it
        done = ask(server, text, response_format=form, max_tokens=200)
        assert set(json.loads(done.choices[0].message.content)) == {"name", "age"}


def test_members_are_told_of_the_schema(server: Running) -> None:
    form = {
        "type": "json_schema",
        "json_schema": {"name": "word", "schema": {"type": "string", "maxLength": 300}},
    }
    said = ask(server, "system", response_format=form, max_tokens=400).choices[0].message.content
    assert said[0] == '"'  # the answer is held to it, too
    free = ask(server, "system").choices[0].message.content
    assert free == "system"  # the first message is the user's


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", ["call", "json"])
def test_what_a_limit_closed_is_not_told_as_whole(server: Running, form: str, stream: bool) -> None:
    """An agent that does not look would write half a file."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    tool = {"type": "function", "function": {"name": "keep", "parameters": schema}}
    options: dict[str, Any] = {
        "call": {"tools": [tool], "tool_choice": "required"},
        "json": {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "keep", "schema": schema},
            }
        },
    }[form]
    said: dict[str, list[str]] = {"short": [], "long": []}
    for asked_for, reasons in said.items():
        done = ask(server, f"{asked_for} {form}", stream=stream, max_tokens=90, **options)
        choices = [chunk.choices[0] for chunk in done] if stream else done.choices
        reasons += [choice.finish_reason for choice in choices if choice.finish_reason]
    assert said == {"short": ["tool_calls" if form == "call" else "stop"], "long": ["length"]}


def test_json_that_is_cut_has_length_as_its_reason(server: Running) -> None:
    form = {"type": "json_object"}
    options = {"response_format": form, "max_tokens": 4, "extra_body": {"adafuse_details": True}}
    done = ask(server, "hello", **options)
    if done.choices[0].finish_reason == "length":  # room for {} is always left
        assert done.model_extra["adafuse"]["incomplete"] != [None]
    with pytest.raises(openai.LengthFinishReasonError):
        server.openai().chat.completions.parse(
            model="adafuse", messages=asked("person"), response_format=Person, max_tokens=3
        )
