"""The server, asked with OpenAI's own client: answers are what the ensemble gives by itself."""

from __future__ import annotations

import json
from collections.abc import Generator

import openai
import pytest

from adafuse import Ensemble
from serve_script import TEXT, ask, asked, scripted
from serve_setup import Running, serving
from watched_members import CODE


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return scripted()


@pytest.fixture(scope="module")
def server(ensemble: Ensemble) -> Generator[Running]:
    with serving(ensemble) as running:
        yield running


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


def test_models(server: Running) -> None:
    client = server.openai().models
    assert [model.id for model in client.list()] == ["adafuse", "first", "second"]
    assert client.retrieve("second+first").id == "second+first"
    with pytest.raises(openai.NotFoundError) as caught:
        client.retrieve("third")
    assert caught.value.code == "model_not_found"


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
