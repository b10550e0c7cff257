"""Logprobs of the server in OpenAI's form, asked with OpenAI's own client and LangChain's."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import pytest

from adafuse import Ensemble
from adafuse.testing import ScriptedMember
from serve_script import ADD, TEXT, ask, scripted
from serve_setup import Running, serving


@pytest.fixture(scope="module")
def server() -> Generator[Running]:
    with serving(scripted()) as running:
        yield running


def test_a_chat_answer_has_an_entry_for_each_word(server: Running) -> None:
    choice = ask(server, "hello", logprobs=True, top_logprobs=2).choices[0]
    words = choice.logprobs.content
    assert "".join(word.token for word in words) == choice.message.content == TEXT
    assert b"".join(bytes(word.bytes) for word in words).decode() == TEXT
    assert all(word.logprob <= 0 for word in words)
    assert [word.token for word in words[:2]] == ["Grüße", " –"]  # all agree on these
    third = words[2]
    assert [top.token for top in third.top_logprobs] == [" 你好,", " no"]
    assert third.top_logprobs[0].logprob == third.logprob > third.top_logprobs[1].logprob
    assert choice.logprobs.refusal is None


@pytest.mark.parametrize("text", ["hello", "add", "code"])
def test_a_stream_tells_the_same(server: Running, text: str) -> None:
    options: dict[str, Any] = {"logprobs": True, "top_logprobs": 3, "tools": [ADD]}
    whole = ask(server, text, **options).choices[0].logprobs.content
    told = [chunk.choices[0] for chunk in ask(server, text, stream=True, **options)]
    streamed = [word for choice in told if choice.logprobs for word in choice.logprobs.content]
    assert streamed == whole
    assert len([choice for choice in told if choice.logprobs]) > 3  # with the words, not behind
    assert all(choice.logprobs is None for choice in told[:1])


def test_without_asking_there_are_none(server: Running) -> None:
    assert ask(server, "hello").choices[0].logprobs is None
    assert ask(server, "hello", logprobs=False, top_logprobs=0).choices[0].logprobs is None
    assert all(c.choices[0].logprobs is None for c in ask(server, "hello", stream=True))
    none = ask(server, "hello", logprobs=True).choices[0].logprobs.content
    assert all(word.top_logprobs == [] for word in none)


@pytest.mark.parametrize("top", [0, 2])
def test_completions_have_theirs(server: Running, top: int) -> None:
    client = server.openai()
    whole = client.completions.create(model="adafuse", prompt=["a", "b"], logprobs=top)
    streams: dict[int, list[Any]] = {0: [], 1: []}
    for chunk in client.completions.create(
        model="adafuse", prompt=["a", "b"], logprobs=top, stream=True
    ):
        streams[chunk.choices[0].index].append(chunk.choices[0].logprobs)
    for choice in whole.choices:
        told = choice.logprobs
        assert "".join(told.tokens) == choice.text == TEXT
        for token, offset in zip(told.tokens, told.text_offset, strict=True):
            assert choice.text.startswith(token, offset)
        assert all(number <= 0 for number in told.token_logprobs)
        if top:
            assert max(map(len, told.top_logprobs)) == 2
            for token, number, tops in zip(
                told.tokens, told.token_logprobs, told.top_logprobs, strict=True
            ):
                assert tops[token] == number
        else:
            assert told.top_logprobs is None
        pieces = [piece for piece in streams[choice.index] if piece is not None]
        assert [token for piece in pieces for token in piece.tokens] == told.tokens
        assert [at for piece in pieces for at in piece.text_offset] == told.text_offset
    unasked = client.completions.create(model="adafuse", prompt="a").choices[0]
    assert unasked.logprobs is None


def test_what_is_impossible_is_a_number_that_json_has() -> None:
    pair = [ScriptedMember("yes", "a", nll=math.inf), ScriptedMember("yes", "b", nll=math.inf)]
    with serving(Ensemble(pair)) as running:
        answer = running.post(
            {"messages": [{"role": "user", "content": "?"}], "logprobs": True, "top_logprobs": 1}
        )
    (word,) = answer.json()["choices"][0]["logprobs"]["content"]
    assert word["logprob"] == -9999.0


def test_langchains_openai_client_reads_them(server: Running) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    chat = langchain_openai.ChatOpenAI(
        model="adafuse", base_url=server.url, api_key="none", logprobs=True, top_logprobs=2
    )
    whole = chat.invoke("hello").response_metadata["logprobs"]["content"]
    assert "".join(word["token"] for word in whole) == TEXT
    chunks = list(chat.stream("hello"))
    told = [
        word
        for chunk in chunks
        for word in (chunk.response_metadata.get("logprobs") or {}).get("content", [])
    ]
    assert [word["token"] for word in told] == [word["token"] for word in whole]
