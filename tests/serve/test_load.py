"""The server under load, and callers that go away: bounds hold, and no place is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from adafuse import Ensemble
from adafuse.decoding.member import Drafts
from adafuse.local.member import LocalMember
from adafuse.testing import ScriptedMember, ScriptedSession
from families import family
from serve_setup import PATIENCE, Running, chat, poll, serving
from watched_members import watched

WORDS = "one two three four five six seven eight nine ten " * 4_000


def sent(running: Running, body: Any) -> socket.socket:
    """A request that was sent and is not answered; it goes away where this is closed."""
    url, data = httpx.URL(running.url), json.dumps(body).encode()
    head = f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.host}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    caller = socket.create_connection((url.host, url.port))
    caller.sendall(head.encode() + data)
    return caller


class Held(threading.Event):
    """Members that draft nothing before it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.drafts = 0


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Generator[Held]:
    event = Held()
    draft = ScriptedSession.draft

    def wait(self: ScriptedSession, **arguments: Any) -> Drafts:
        event.drafts += 1
        assert event.wait(PATIENCE)
        return draft(self, **arguments)

    monkeypatch.setattr(ScriptedSession, "draft", wait)
    yield event
    event.set()


def echo() -> Ensemble:
    return Ensemble([ScriptedMember(lambda text: f"{text} is it", name="a", confident=False)])


def test_64_streams_at_once_are_each_what_they_are_alone() -> None:
    ensemble = Ensemble([LocalMember(*family(name, 1), name) for name in ("llama", "qwen2")])
    prompts = [f"{'abc' * (at % 5)} question {at}?" for at in range(64)]
    alone = [
        ensemble.generate([{"role": "user", "content": prompt}], max_new_tokens=6)
        for prompt in prompts
    ]

    async def stream(client: openai.AsyncOpenAI, prompt: str) -> tuple[str, str | None, int]:
        text, reason, tokens = "", None, 0
        async for chunk in await client.chat.completions.create(
            model="adafuse",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=6,
            stream=True,
            stream_options={"include_usage": True},
        ):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        return text, reason, tokens

    async def all_of(running: Running) -> list[tuple[str, str | None, int]]:
        limits = httpx.Limits(max_connections=64)
        async with (
            httpx.AsyncClient(limits=limits, timeout=10 * PATIENCE) as http,
            running.async_openai(http_client=http) as client,
        ):
            return await asyncio.gather(*(stream(client, prompt) for prompt in prompts))

    with serving(ensemble, max_concurrency=8, max_queue=56) as running:
        streamed = asyncio.run(all_of(running))
        poll(running.idle)
        counts = running.metrics()
    assert streamed == [
        (one.text, one.finish_reason, one.usage["llama"].committed_tokens) for one in alone
    ]
    assert 'outcome="ok"} 64.0' in counts


def test_64_callers_at_once_without_a_queue_to_speak_of(held: Held) -> None:
    with serving(echo(), max_concurrency=2, max_queue=3) as running:
        with ThreadPoolExecutor(64) as pool:
            asked = [pool.submit(running.post, chat(f"caller {at}")) for at in range(64)]
            poll(lambda: sum(one.done() for one in asked) == 64 - 5)
            assert (running.gate.running, running.gate.waiting) == (2, 3)
            held.set()
        answers = [one.result() for one in asked]
        for at, answer in enumerate(answers):
            if answer.status_code == 200:
                said = answer.json()["choices"][0]["message"]["content"]
                assert said == f"caller {at} is it"
                continue
            assert answer.status_code == 429
            assert answer.headers["retry-after"]
            error = answer.json()["error"]
            assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
        assert sum(answer.status_code == 200 for answer in answers) == 5
        poll(running.idle)
        assert running.post(chat("later")).status_code == 200
        assert 'outcome="queue_full"} 59.0' in running.metrics()


def test_openai_s_client_comes_again_after_429(held: Held) -> None:
    with serving(echo(), max_concurrency=1, max_queue=0) as running, ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.post, chat("first"))
        poll(lambda: held.drafts == 1)
        with pytest.raises(openai.RateLimitError):
            running.openai().chat.completions.create(**chat("second"))
        threading.Timer(0.2, held.set).start()
        again = running.openai(max_retries=20).chat.completions.create(**chat("third"))
        assert again.choices[0].message.content == "third is it"
        assert first.result().status_code == 200


def test_several_prompts_take_several_places_or_none(held: Held) -> None:
    with serving(echo(), max_concurrency=2, max_queue=1) as running:
        body = {"model": "adafuse", "prompt": ["a", "b", "c", "d"]}
        assert running.post(body, "completions").status_code == 429
        assert (running.gate.running, running.gate.waiting) == (0, 0)
        held.set()
        done = running.post({**body, "prompt": ["a", "b", "c"]}, "completions").json()
        assert [choice["text"] for choice in done["choices"]] == ["a is it", "b is it", "c is it"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_goes_away_frees_its_place(stream: bool) -> None:
    ensemble, watch = watched(WORDS, seconds=0.002)
    with serving(ensemble, max_concurrency=1, max_queue=1) as running:
        body = chat("go", stream=stream, max_tokens=100_000)
        with sent(running, body) as caller:
            if stream:
                assert caller.recv(100).startswith(b"HTTP/1.1 200")
            poll(lambda: watch.drafts > 2)
        poll(running.idle)
        assert watch.open == 0
        assert watch.drafts < 40_000  # it was not decoded to its end
        poll(lambda: 'outcome="gone"} 1.0' in running.metrics())
        assert running.post(chat("next", max_tokens=5)).status_code == 200


def test_a_caller_that_goes_away_leaves_the_queue(held: Held) -> None:
    with serving(echo(), max_concurrency=1, max_queue=1) as running, ThreadPoolExecutor(2) as pool:
        first = pool.submit(running.post, chat("first"))
        poll(lambda: running.gate.running == 1)
        with sent(running, chat("gone")):
            poll(lambda: running.gate.waiting == 1)
        poll(lambda: running.gate.waiting == 0)
        third = pool.submit(running.post, chat("third"))
        poll(lambda: running.gate.waiting == 1)
        held.set()
        assert [one.result().status_code for one in (first, third)] == [200, 200]
        assert held.drafts == 2 * 4  # "gone" was never begun


def test_an_answer_takes_too_long() -> None:
    ensemble, watch = watched(WORDS, seconds=0.01)
    with serving(ensemble) as running:
        late = running.post(chat("x", timeout=0.05))
        assert (late.status_code, late.json()["error"]["code"]) == (504, "answer_timeout")
        assert late.headers["x-should-retry"] == "false"
        with pytest.raises(openai.APIError) as caught:
            list(running.openai().chat.completions.create(
                **chat("x"), stream=True, extra_body={"timeout": 0.05}
            ))  # fmt: skip
        assert caught.value.code == "answer_timeout"
        assert watch.open == 0


def test_waiting_takes_too_long(held: Held) -> None:
    with serving(echo(), max_concurrency=1) as running, ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.post, chat("first"))
        poll(lambda: running.gate.running == 1)
        late = running.post(chat("second", timeout=0.05))
        assert (late.status_code, late.json()["error"]["code"]) == (503, "queue_timeout")
        assert running.gate.waiting == 0
        held.set()
        assert first.result().status_code == 200


def test_nobody_waits_longer_than_the_server_allows() -> None:
    from adafuse import DecodingConfig

    ensemble = Ensemble([ScriptedMember("x", name="a")], DecodingConfig(timeout=60))
    with serving(ensemble) as running:
        assert running.post(chat("x", timeout=59)).status_code == 200
        refused = running.post(chat("x", timeout=61))
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "timeout")


def test_health_is_told_while_members_work(held: Held) -> None:
    with serving(echo()) as running, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(running.post, chat("x")) for _ in range(8)]
        poll(lambda: running.gate.running == 8)
        assert httpx.get(f"{running.root}/health", timeout=PATIENCE).status_code == 200
        held.set()
        assert {one.result().status_code for one in asked} == {200}


def test_an_answer_that_is_cancelled_by_the_servers_end() -> None:
    ensemble, watch = watched(WORDS, seconds=0.005)
    with serving(ensemble, drain_seconds=0.0) as running:
        stream = running.openai().chat.completions.create(**chat("x"), stream=True)
        next(iter(stream))
        running.server.shutdown_soon()
        with pytest.raises(openai.APIError) as caught:
            list(stream)
        assert caught.value.code == "shutting_down"
    assert watch.open == 0


def test_mixed_callers_leave_nothing_behind() -> None:
    ensemble, watch = watched(lambda text: f"{text} " * 20 + "end", seconds=0.0005)

    def call(running: Running, at: int) -> None:
        text = f"caller{at}"
        right = f"{text} " * 20 + "end"
        kind = at % 5
        if kind == 0:
            answer = running.post(chat(text))
            assert answer.status_code in (200, 429)
            said = answer.json()
            assert "error" in said or said["choices"][0]["message"]["content"] == right
        elif kind == 1:
            url = f"{running.url}/chat/completions"
            with httpx.Client(timeout=PATIENCE, verify=False) as client:
                body = chat(text, stream=True)
                with client.stream("POST", url, json=body) as answer:
                    for _, line in zip(range(at % 7), answer.iter_lines(), strict=False):
                        assert not line or line.startswith(("data: ", "{"))
        elif kind == 2:
            with contextlib.suppress(httpx.TimeoutException):
                running.post(chat(text), timeout=0.001 * (at % 11 + 1))
        elif kind == 3:
            assert running.post({"messages": at}).status_code == 400
        else:
            answer = running.post({"prompt": [text, text]}, "completions")
            assert answer.status_code in (200, 429)
            texts = [choice["text"] for choice in answer.json().get("choices", ())]
            assert texts in ([right, right], [])

    with serving(ensemble, max_concurrency=3, max_queue=5) as running:
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda at: call(running, at), range(250)))
        poll(running.idle)
        assert watch.open == 0
        assert watch.most_open <= 3
        assert running.post(chat("x")).status_code == 200
