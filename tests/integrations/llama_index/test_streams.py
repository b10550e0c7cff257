"""AdaFuseLLM's streams and coroutines, on members that can be watched: order, threads, ends."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from adafuse import Ensemble, MemberError
from adafuse.testing import ScriptedMember
from adafuse_integrations.llama_index import AdaFuseLLM
from llama_index_script import FORMS, ask, debugging, is_stream, listening, multiply
from waiting import async_until, turns
from watched_members import CODE, run, watched, words_of

WORDS = words_of(CODE)
LONG = "word " * 1000
SLOW = 500  # drafts, of 1,000, until a busy machine has told the decoder to stop
SAID = [ChatMessage(role="user", content="p")]


class Note(BaseModel):
    text: str


def stream_of(llm: AdaFuseLLM, method: str) -> Any:
    """A stream, not begun."""
    calls: dict[str, Any] = {
        "complete": lambda: llm.stream_complete("p"),
        "chat": lambda: llm.stream_chat(SAID),
        "tools": lambda: llm.stream_chat_with_tools([FunctionTool.from_defaults(multiply)], "p"),
        "predict": lambda: llm.stream(PromptTemplate("p")),
        "structured": lambda: llm.stream_structured_predict(Note, PromptTemplate("p")),
    }
    return calls[method]()


async def astream_of(llm: AdaFuseLLM, method: str) -> Any:
    """Likewise."""
    if method == "complete":
        return await llm.astream_complete("p")
    if method == "chat":
        return await llm.astream_chat(SAID)
    if method == "tools":
        return await llm.astream_chat_with_tools([FunctionTool.from_defaults(multiply)], "p")
    if method == "predict":
        return await llm.astream(PromptTemplate("p"))
    return await llm.astream_structured_predict(Note, PromptTemplate("p"))


METHODS = ["complete", "chat", "tools", "predict", "structured"]


def answer_to(method: str) -> str:
    return '{"text": "one two three four"}' if method == "structured" else CODE


def endless(method: str) -> str:
    return '{"text": "' + LONG if method == "structured" else LONG


@pytest.mark.parametrize("method", METHODS)
def test_a_delta_comes_before_the_next_word_is_drafted(method: str) -> None:
    ensemble, watch = watched(answer_to(method))
    seen = [watch.drafts for _ in stream_of(AdaFuseLLM(ensemble=ensemble), method)]
    assert seen[0] < seen[-1] / 2
    assert seen == sorted(seen)


@pytest.mark.parametrize("method", METHODS)
def test_an_async_delta_comes_before_the_last_word_is_drafted(method: str) -> None:
    async def main() -> None:
        ensemble, watch = watched(answer_to(method), holds=3)
        stream = await astream_of(AdaFuseLLM(ensemble=ensemble), method)
        await anext(stream)
        watch.go_on.set()
        assert [one async for one in stream]

    run(main())


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_decoded_before_it_is_asked_for(method: str) -> None:
    ensemble, watch = watched(answer_to(method))
    words = stream_of(AdaFuseLLM(ensemble=ensemble), method)
    assert not watch.sessions
    next(words)
    assert len(watch.sessions) == 1
    words.close()
    assert watch.open == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_stream_is_closed_though_a_handler_keeps_its_exception(method: str) -> None:
    ensemble, watch = watched(answer_to(method))
    llm = AdaFuseLLM(ensemble=ensemble)
    llm.callback_manager, _ = debugging()
    with listening() as events:
        words = stream_of(llm, method)
        next(words)
        words.close()
        assert watch.open == 0
        assert events.seen


@pytest.mark.parametrize("method", METHODS)
def test_the_loop_is_free_while_an_answer_is_written(method: str) -> None:
    async def main() -> None:
        ensemble, watch = watched(answer_to(method), holds=0)
        llm = AdaFuseLLM(ensemble=ensemble)

        async def read() -> None:
            async for _ in await astream_of(llm, method):
                pass

        task = asyncio.create_task(read())
        await async_until(watch.held.is_set)
        await turns()  # nobody else lets the draft be made
        watch.go_on.set()
        await task

    run(main())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("taken", [0, 1])
def test_closing_an_async_stream_waits_for_the_decoder(method: str, taken: int) -> None:
    async def main() -> None:
        ensemble, watch = watched(endless(method), holds=12)
        words = await astream_of(AdaFuseLLM(ensemble=ensemble, max_tokens=5000), method)
        for _ in range(taken):
            await anext(words)
        closing = asyncio.create_task(words.aclose())
        await turns()
        gc.collect()  # LlamaIndex's generator of `predict` leaves its own to the collector
        await turns()
        watch.go_on.set()
        await closing
        assert method == "predict" or watch.open == 0
        await async_until(lambda: watch.open == 0)
        assert watch.drafts <= taken * SLOW

    run(main())


@pytest.mark.parametrize("method", ["complete", "chat", "tools", "structured", "stream"])
def test_cancelling_stops_the_decoder(method: str) -> None:
    async def main() -> None:
        ensemble, watch = watched(endless(method), holds=3)
        llm = AdaFuseLLM(ensemble=ensemble, max_tokens=5000)

        async def ask() -> None:
            if method == "complete":
                await llm.acomplete("p")
            elif method == "chat":
                await llm.achat(SAID)
            elif method == "tools":
                await llm.achat_with_tools([FunctionTool.from_defaults(multiply)], "p")
            elif method == "structured":
                await llm.astructured_predict(Note, PromptTemplate("p"))
            else:
                async for _ in await llm.astream_chat(SAID):
                    pass

        task = asyncio.create_task(ask())
        await async_until(watch.held.is_set)
        task.cancel()
        await turns()
        watch.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await async_until(lambda: watch.open == 0)
        assert watch.drafts <= SLOW

    run(main())


@pytest.mark.parametrize("form", FORMS)
def test_what_breaks_in_the_middle_is_told_once(form: str) -> None:
    ensemble, watch = watched(CODE, fails=lambda prompt: True)
    llm = AdaFuseLLM(ensemble=ensemble)
    manager, ends = debugging()
    llm.callback_manager = manager

    with listening() as events, pytest.raises(MemberError, match="the script broke"):
        ask(llm, "chat", form, SAID)
    (payload,) = ends()
    assert isinstance(payload["exception"], MemberError)
    assert "LLMChatEndEvent" not in events.names
    assert watch.open == 0
    assert events.names.count("ExceptionEvent") == is_stream(form)


def test_callers_at_once_get_their_own_answers_and_events() -> None:
    ensemble, watch = watched(lambda prompt: f"answer to {prompt} in words")
    llm = AdaFuseLLM(ensemble=ensemble)

    def ask(at: int) -> str:
        if at % 2:
            return llm.complete(f"p{at}").text
        said = [ChatMessage(role="user", content=f"p{at}")]
        return "".join(one.delta or "" for one in llm.stream_chat(said))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert answers == [f"answer to p{at} in words" for at in range(8)]
    assert watch.open == 0

    async def main() -> list[str]:
        made = await asyncio.gather(*(llm.acomplete(f"p{at}") for at in range(8)))
        return [one.text for one in made]

    assert run(main()) == answers


def test_what_was_broken_or_closed_leaves_the_model_usable() -> None:
    ensemble, watch = watched(CODE, fails=lambda prompt: prompt == "bad")
    llm = AdaFuseLLM(ensemble=ensemble)
    for _ in range(3):
        words = llm.stream_complete("p")
        next(words)
        words.close()
        with pytest.raises(MemberError):
            llm.complete("bad")
        assert llm.complete("p").text == CODE
    assert watch.open == 0


def test_no_thread_is_left_by_a_stream_that_nobody_reads() -> None:
    async def main() -> None:
        ensemble, watch = watched(LONG, holds=12)
        words = await AdaFuseLLM(ensemble=ensemble, max_tokens=5000).astream_complete("p")
        await anext(words)
        del words
        gc.collect()
        watch.go_on.set()

    run(main())  # fails where a thread stays


def test_an_answer_ends_with_a_response_without_words() -> None:
    llm = AdaFuseLLM(ensemble=Ensemble([ScriptedMember("")]))
    (one,) = llm.stream_complete("p")
    assert (one.text, one.delta) == ("", "")
    assert one.raw is not None
    assert one.raw["finish_reason"] == "stop"
    assert not llm.chat(SAID).message.content


def test_words_are_those_of_the_decoder() -> None:
    llm = AdaFuseLLM(ensemble=watched(CODE)[0])
    assert [one.delta for one in llm.stream_complete("p")] == [*WORDS, ""]
