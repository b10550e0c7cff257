"""The server, asked with OpenAI's own client: answers are what the ensemble gives by itself."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from adafuse import Ensemble, Prompt
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text
from scripted import CODE
from serve_setup import Running, poll, serving

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
TEXT = "Grüße – 你好, 😀\n\n  if x < 5:\t'<think>'\n"
TWO_CALLS = "\n".join(
    ["Let me see.", call_text("add", {"a": 1, "b": 2}), call_text("add", {"a": 3, "b": 4})]
)
UNREADABLE = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}


class Person(BaseModel):
    name: str
    age: int


def respond(prompt: Prompt) -> str:
    """What the first member wants to say."""
    asked = str(prompt.messages[-1]["content"])
    if asked == "tools":
        return "\n".join([str(message["role"]) for message in prompt.messages])
    if prompt.messages[-1]["role"] == "tool":
        return f"{prompt.messages[-1]['name']} says {asked}"
    if asked == "add":
        return TWO_CALLS if prompt.tools else "nothing to call"
    if asked == "person":
        return json.dumps({"name": "Ada", "age": 36})
    if asked == "system":
        return str(prompt.messages[0]["content"])
    return CODE if asked == "code" else TEXT


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    first = ScriptedMember(respond=respond, name="first", confident=False, weight=3.0)
    return Ensemble([first, ScriptedMember("Grüße – no", name="second")])


@pytest.fixture(scope="module")
def server(ensemble: Ensemble) -> Generator[Running]:
    with serving(ensemble) as running:
        yield running


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def ask(server: Running, text: str, **options: Any) -> Any:
    options = {"model": "adafuse", "messages": asked(text), **options}
    return server.openai().chat.completions.create(**options)


@pytest.mark.parametrize("text", ["hello", "code"])
@pytest.mark.parametrize("model", ["adafuse", "first", "second+first"])
def test_a_chat_answer(server: Running, ensemble: Ensemble, text: str, model: str) -> None:
    names = {member.name: member for member in ensemble.members}
    members = [names[one] for one in model.split("+")] if model != "adafuse" else ensemble.members
    alone = Ensemble(members).generate(asked(text))
    done = ask(server, text, model=model)
    choice = done.choices[0]
    assert (choice.message.content, choice.finish_reason) == (alone.text, "stop")
    assert choice.message.tool_calls is None
    first = alone.usage[members[0].name]
    assert done.usage.prompt_tokens == first.prompt_tokens
    assert done.usage.completion_tokens == first.committed_tokens
    assert done.usage.total_tokens == first.prompt_tokens + first.committed_tokens
    assert (done.object, done.model) == ("chat.completion", model)
    assert done.id.startswith("chatcmpl-")
    assert done.system_fingerprint.startswith("fp_")


@pytest.mark.parametrize("text", ["hello", "code"])
def test_a_stream_adds_up_to_the_answer(server: Running, text: str) -> None:
    whole = ask(server, text)
    chunks = list(ask(server, text, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    words = [delta.content for delta in deltas if delta.content]
    assert len(words) > 5  # as they are fused, not at the end
    assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_ends_with_the_usage_if_it_is_asked_for(server: Running) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = list(ask(server, "hello", **options))
    assert last.choices == []
    assert last.usage == ask(server, "hello").usage
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_the_wire(server: Running) -> None:
    body = {"messages": asked("hello"), "stream": True}
    answer = server.post(body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") for event in events[:-2])


async def test_asynchronously(server: Running) -> None:
    async with server.async_openai() as client:
        done = await client.chat.completions.create(model="adafuse", messages=asked("code"))
        assert done.choices[0].message.content == CODE
        stream = await client.chat.completions.create(
            model="adafuse", messages=asked("code"), stream=True
        )
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(said) == CODE
        text = await client.completions.create(model="adafuse", prompt="code")
        assert text.choices[0].text == CODE


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_limits_of_length_and_stops(server: Running, limit: str) -> None:
    cut = ask(server, "hello", **{limit: 7})
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == (TEXT[:7], "length")
    assert cut.usage.completion_tokens == 7
    for stop in ("你", ["nowhere", "你"]):
        stopped = ask(server, "hello", stop=stop).choices[0]
        assert (stopped.message.content, stopped.finish_reason) == ("Grüße – ", "stop")
        pieces = [one.choices[0] for one in ask(server, "hello", stop=stop, stream=True)]
        assert "".join(one.delta.content or "" for one in pieces) == "Grüße – "
        assert pieces[-1].finish_reason == "stop"


def test_completions(server: Running, ensemble: Ensemble) -> None:
    client = server.openai().completions
    one = client.create(model="adafuse", prompt="code")
    alone = ensemble.generate("code")
    assert one.object == "text_completion"
    assert [(c.text, c.finish_reason, c.index) for c in one.choices] == [(alone.text, "stop", 0)]
    several = client.create(model="adafuse", prompt=["code", "hello", "code"])
    texts = [ensemble.generate(prompt).text for prompt in ("code", "hello", "code")]
    assert [choice.text for choice in several.choices] == texts
    assert several.usage is not None
    assert several.usage.completion_tokens == sum(map(len, texts))


def test_streams_of_several_completions(server: Running, ensemble: Ensemble) -> None:
    prompts = ["code", "hello"]
    chunks = server.openai().completions.create(
        model="adafuse", prompt=prompts, stream=True, stream_options={"include_usage": True}
    )
    *pieces, last = list(chunks)
    texts, reasons = ["", ""], [""] * 2
    for choice in (choice for piece in pieces for choice in piece.choices):
        texts[choice.index] += choice.text
        reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [ensemble.generate(prompt).text for prompt in prompts]
    assert reasons == ["stop", "stop"]
    assert last.usage is not None
    assert last.usage.completion_tokens == sum(map(len, texts))


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


def test_members_are_told_of_the_schema(server: Running) -> None:
    form = {
        "type": "json_schema",
        "json_schema": {"name": "word", "schema": {"type": "string", "maxLength": 300}},
    }
    said = ask(server, "system", response_format=form, max_tokens=400).choices[0].message.content
    assert said[0] == '"'  # the answer is held to it, too
    free = ask(server, "system").choices[0].message.content
    assert free == "system"  # the first message is the user's


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


def test_settings_of_adafuse(server: Running, ensemble: Ensemble) -> None:
    settings = {"branches": 1, "max_words": 1, "weights": [1, 3], "preset": "paper"}
    done = ask(server, "hello", extra_body={**settings, "adafuse_details": True})
    alone = ensemble.generate(asked("hello"), **settings)
    details = done.model_extra["adafuse"]
    assert done.choices[0].message.content == alone.text
    assert details["rounds"] == len(alone.rounds)
    words = {"first": 0, "second": 0}
    for one in alone.rounds:
        if one.member:
            words[one.member] += len(one.words)
    assert details["words_by_member"] == words
    assert details["dropped"] == []
    assert "hello" not in json.dumps(details)
    choice = ask(server, "hello", extra_body={"choices": ["Grün", "Grüße"]}).choices[0]
    assert choice.message.content == "Grüße"
    *_, last = ask(server, "hello", stream=True, extra_body={"adafuse_details": True})
    plain = ask(server, "hello", extra_body={"adafuse_details": True})
    assert last.model_extra["adafuse"] == plain.model_extra["adafuse"]
    assert "adafuse" not in ask(server, "hello").model_extra


def test_neutral_arguments_change_nothing(server: Running) -> None:
    neutral: dict[str, Any] = {
        "n": 1,
        "top_p": 1.0,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logprobs": False,
        "logit_bias": {},
        "store": False,
        "seed": 3,
        "temperature": 0,
        "user": "someone",
        "service_tier": "auto",
        "parallel_tool_calls": False,
        "tool_choice": "auto",
    }
    assert ask(server, "hello", **neutral).choices[0].message.content == TEXT


def test_models(server: Running) -> None:
    client = server.openai().models
    assert [model.id for model in client.list()] == ["adafuse", "first", "second"]
    assert client.retrieve("second+first").id == "second+first"
    with pytest.raises(openai.NotFoundError) as caught:
        client.retrieve("third")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("options", "code", "param"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model"),
        ({"n": 2}, "unsupported_argument", "n"),
        ({"top_p": 0.5}, "unsupported_argument", "top_p"),
        ({"logprobs": True}, "unsupported_argument", "logprobs"),
        ({"extra_body": {"branch": 1}}, "unknown_argument", "branch"),
        ({"extra_body": {"max_new_tokens": 1}}, "unknown_argument", "max_new_tokens"),
        ({"extra_body": {"branches": 0}}, "invalid_value", "branches"),
        ({"extra_body": {"weights": [1]}}, "invalid_value", "weights"),
        ({"extra_body": {"preset": "best"}}, "invalid_value", "preset"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_tokens": "9"}, "invalid_value", "max_tokens"),
        ({"temperature": -1}, "invalid_value", "temperature"),
        ({"seed": 1.5}, "invalid_value", "seed"),
        ({"stop": [""]}, "invalid_value", "stop"),
        ({"stream_options": 1}, "invalid_value", "stream_options"),
        ({"user": 1}, "invalid_value", "user"),
        ({"messages": []}, "invalid_prompt", "messages"),
        ({"messages": asked("")}, "invalid_prompt", None),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "invalid_prompt", "messages.[0]"),
        ({"messages": [{"role": "user"}]}, "invalid_prompt", "messages.[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_prompt", "messages.[0]"),
        (
            {"messages": [*asked("x"), {"role": "user", "content": "y", "cat": 1}]},
            "invalid_prompt",
            "messages.[1]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "invalid_prompt",
            "messages.[0]",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [UNREADABLE]}]},
            "invalid_prompt",
            "messages.[0]",
        ),
        ({"tools": [{"type": "retrieval"}]}, "invalid_prompt", "tools"),
        ({"tools": [ADD], "tool_choice": "sub"}, "invalid_value", "tool_choice"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"parallel_tool_calls": "yes"}, "invalid_value", "parallel_tool_calls"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format"),
        ({"extra_body": {"regex": "("}}, "invalid_value", "regex"),
        ({"extra_body": {"grammar": "start: ("}}, "invalid_value", "grammar"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_refused_by_name(
    server: Running, options: dict[str, Any], code: Any, param: str | None, stream: bool
) -> None:
    kind = code if isinstance(code, type) else openai.BadRequestError
    with pytest.raises(kind) as caught:
        ask(server, "hello", stream=stream, **options)
    error = caught.value
    assert (error.code, error.param) == (
        "model_not_found" if isinstance(code, type) else code,
        param,
    )
    assert error.type == "invalid_request_error"
    assert "\n" not in error.message
    poll(server.idle)


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": []},
        {"prompt": [1, 2]},
        {"prompt": [[1, 2]]},
        {"prompt": ""},
        {"prompt": ["a", ""]},
        {"prompt": None},
        {"prompt": "a", "echo": True},
        {"prompt": "a", "best_of": 2},
        {"prompt": "a", "logprobs": 2},
        {"prompt": "a", "suffix": "b"},
        {"prompt": "a", "tools": [ADD]},
        {"prompt": "a", "prompt_format": "html"},
    ],
)
def test_completions_that_are_refused(server: Running, options: dict[str, Any]) -> None:
    answer = server.post({"model": "adafuse", **options}, "completions")
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_prompt_that_is_too_long(server: Running) -> None:
    small = Ensemble([ScriptedMember("x", name="small", window=5)])
    with serving(small) as running, pytest.raises(openai.BadRequestError) as caught:
        ask(running, "more than five", stream=True)
    assert caught.value.code == "context_length_exceeded"
    assert "'small'" in caught.value.message


def test_the_metrics(ensemble: Ensemble) -> None:
    with serving(ensemble) as running:
        done = ask(running, "hello", extra_body={"adafuse_details": True})
        with pytest.raises(openai.BadRequestError):
            ask(running, "hello", n=2)
        list(ask(running, "hello", stream=True))
        counts = running.metrics()
    chat = 'endpoint="/v1/chat/completions"'
    assert f'adafuse_requests_total{{{chat},outcome="ok"}} 2.0' in counts
    assert f'adafuse_requests_total{{{chat},outcome="unsupported_argument"}} 1.0' in counts
    for member, words in done.model_extra["adafuse"]["words_by_member"].items():
        assert f'adafuse_words_total{{member="{member}"}} {2.0 * words}' in counts
    assert f'adafuse_tokens_total{{kind="completion"}} {2.0 * len(TEXT)}' in counts
    assert "adafuse_answers_running 0.0" in counts
    assert "adafuse_answers_waiting 0.0" in counts
    assert f"adafuse_request_seconds_count{{{chat}}} 2.0" in counts
    assert f"adafuse_first_words_seconds_count{{{chat}}} 2.0" in counts
    assert "hello" not in counts
