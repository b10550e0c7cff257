"""ChatAdaFuse called from an event loop and from many threads, on scripted members."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser

from adafuse import ConfigError, ContextWindowError, Ensemble, MemberError, PromptError
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import ChatAdaFuse
from waiting import async_until, turns
from watched_members import CODE, STOPPED, AsyncNotes, Notes, Watch, run, watched, words_of

WORDS = words_of(CODE)
LONG = " ".join(f"word{number}" for number in range(1000))
SLOW = 500  # drafts, of 1,000, until a busy machine has told the decoder to stop


@pytest.mark.parametrize("how", ["ainvoke", "agenerate", "abatch", "astream", "chain"])
@pytest.mark.parametrize("notes", [Notes, AsyncNotes])
def test_one_callback_per_word_in_order(how: str, notes: type[Notes | AsyncNotes]) -> None:
    async def main() -> tuple[Any, list[str]]:
        llm = ChatAdaFuse(ensemble=watched()[0])
        handler = notes()
        config: Any = {"callbacks": [handler]}
        text: Any
        if how == "ainvoke":
            text = (await llm.ainvoke("p", config)).content
        elif how == "agenerate":
            result = await llm.agenerate([[HumanMessage("p")]], callbacks=[handler])
            text = result.generations[0][0].text
        elif how == "abatch":
            text = (await llm.abatch(["p"], config))[0].content
        elif how == "astream":
            text = "".join([str(chunk.content) async for chunk in llm.astream("p", config)])
        else:
            text = "".join([word async for word in (llm | StrOutputParser()).astream("p", config)])
        return text, [word for word in handler.words if word]

    assert run(main()) == (CODE, WORDS)


def test_async_messages_are_those_of_sync_calls() -> None:
    async def main() -> None:
        llm = ChatAdaFuse(ensemble=watched(second="def g():\n")[0], logprobs=True)
        message = llm.invoke("p")
        other = await llm.ainvoke("p")
        whole: Any = None
        async for chunk in llm.astream("p"):
            whole = chunk if whole is None else whole + chunk
        for one in (other, whole):
            assert one.content == message.content
            assert one.response_metadata == message.response_metadata
            assert one.usage_metadata == message.usage_metadata

    run(main())


def test_the_event_loop_is_not_blocked() -> None:
    async def main() -> Any:
        ensemble, watch = watched("a b", holds=0)
        answer = asyncio.create_task(ChatAdaFuse(ensemble=ensemble).ainvoke("p"))
        await async_until(watch.held.is_set)
        await turns()  # nobody else lets the draft be made
        watch.go_on.set()
        return (await answer).content

    assert run(main()) == "a b"


def test_words_are_handed_over_while_the_answer_is_written() -> None:
    async def main() -> None:
        ensemble, watch = watched("one two three", holds=2)
        stream = ChatAdaFuse(ensemble=ensemble).astream("p")
        assert (await anext(stream)).content == "one"
        watch.go_on.set()
        assert [word.content async for word in stream] == [" two", " three", ""]

    run(main())


HOWS = ["ainvoke", "agenerate", "abatch", "astream", "chain", "events", "structured"]


async def _consume(llm: ChatAdaFuse, how: str, config: Any) -> None:
    if how == "astream":
        async for _ in llm.astream("p", config):
            pass
    elif how == "chain":
        async for _ in (llm | StrOutputParser()).astream("p", config):
            pass
    elif how == "events":
        async for _ in llm.astream_events("p", config, version="v2"):
            pass
    elif how == "structured":
        schema = {"title": "T", "type": "object", "properties": {"a": {"type": "string"}}}
        await llm.with_structured_output(schema, method="json_mode").ainvoke("p", config)
    elif how == "agenerate":
        await llm.agenerate([[HumanMessage("p")]] * 2, callbacks=config["callbacks"])
    elif how == "abatch":
        await llm.abatch(["p", "p"], config)
    else:
        await llm.ainvoke("p", config)


@pytest.mark.parametrize("how", HOWS)
def test_cancelling_stops_the_decoder_within_one_round(how: str) -> None:
    async def main() -> tuple[Watch, Notes]:
        answer = '{"a": "' + LONG if how == "structured" else LONG
        ensemble, watch = watched(answer, holds=12)
        llm = ChatAdaFuse(ensemble=ensemble, max_tokens=5000)
        notes = Notes()
        task = asyncio.create_task(_consume(llm, how, {"callbacks": [notes]}))
        await async_until(lambda: watch.held.is_set() and len(notes.words) >= 3)
        task.cancel()
        await turns()
        watch.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await async_until(lambda: watch.open == 0)
        return watch, notes

    watch, notes = run(main())
    assert watch.drafts <= 12 + SLOW
    assert notes.events[-1] == "error"
    assert isinstance(notes.errors[0], STOPPED)
    assert notes.events.count("error") == notes.events.count("start")


def test_closing_a_stream_early_closes_the_sessions() -> None:
    async def main() -> Watch:
        ensemble, watch = watched(LONG, holds=4)
        llm = ChatAdaFuse(ensemble=ensemble, max_tokens=5000)
        words = llm.astream("p")
        assert [(await anext(words)).content for _ in range(3)] == ["word0", " word1", " word2"]
        closing = asyncio.create_task(words.aclose())  # type: ignore[attr-defined]
        await turns()
        watch.go_on.set()
        await closing
        assert watch.open == 0
        assert watch.drafts <= 5
        assert (await llm.ainvoke("p", max_tokens=11)).content == "word0 word1"
        return watch

    assert len(run(main()).sessions) == 2


def test_a_stream_that_was_never_started_opens_nothing() -> None:
    async def main() -> Watch:
        ensemble, watch = watched()
        await ChatAdaFuse(ensemble=ensemble).astream("p").aclose()  # type: ignore[attr-defined]
        return watch

    assert not run(main()).sessions


def test_a_stream_left_alone_is_stopped_too() -> None:
    async def main() -> Watch:
        ensemble, watch = watched(LONG, holds=4)
        async for _ in ChatAdaFuse(ensemble=ensemble, max_tokens=5000).astream("p"):
            break
        await turns()
        watch.go_on.set()
        await async_until(lambda: watch.open == 0)
        return watch

    assert run(main()).drafts <= 5


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_closing_a_stream_of_events_stops_the_decoder() -> None:
    async def main() -> Watch:
        ensemble, watch = watched(LONG, holds=12)
        llm = ChatAdaFuse(ensemble=ensemble, max_tokens=5000)
        stream = await llm.astream_events("p", version="v3")
        events = aiter(stream)
        for _ in range(4):
            await anext(events)
        closing = asyncio.create_task(stream.aclose())
        await turns()
        watch.go_on.set()
        await closing
        await async_until(lambda: watch.open == 0)
        return watch

    assert run(main()).drafts <= 13


def test_abatch_keeps_order_configurations_and_exceptions_per_row() -> None:
    async def main() -> None:
        ensemble, watch = watched(
            lambda prompt: f"answer to {prompt}", fails=lambda p: p == "bad", together=2
        )
        notes = [Notes() for _ in range(4)]
        configs: Any = [{"callbacks": [one]} for one in notes]
        llm = ChatAdaFuse(ensemble=ensemble)
        rows = await llm.abatch(["p0", "bad", "", "p3"], configs, return_exceptions=True)
        assert [rows[0].content, rows[3].content] == ["answer to p0", "answer to p3"]
        assert isinstance(rows[1], MemberError)
        assert isinstance(rows[2], PromptError)
        assert [one.events[-1] for one in notes] == ["end", "error", "error", "end"]
        assert 1 < watch.most_open <= 4
        found = [row async for row in llm.abatch_as_completed(["p0", "p1"])]
        assert {at: message.content for at, message in found} == {
            0: "answer to p0",
            1: "answer to p1",
        }
        with pytest.raises(MemberError, match="script broke"):
            await llm.abatch(["p", "bad", "p"], {"max_concurrency": 3})
        assert watch.open == 0

    run(main())


def test_eight_tasks_and_eight_threads_at_once_answer_as_if_alone() -> None:
    ensemble, watch = watched(
        lambda prompt: f"answer to {prompt} " * 5, together=2, second="answer to p1"
    )
    llm = ChatAdaFuse(ensemble=ensemble)
    prompts = [f"p{i}" for i in range(16)]
    alone = [message.content for message in llm.batch(prompts)]

    async def main() -> list[AIMessage]:
        return await asyncio.gather(*(llm.ainvoke(prompt) for prompt in prompts[8:]))

    with ThreadPoolExecutor(8) as pool:
        threads = pool.map(lambda prompt: llm.invoke(prompt).content, prompts[:8])
        tasks = [message.content for message in run(main())]
        assert [*threads, *tasks] == alone
    assert watch.open == 0
    assert watch.most_open > 1


def test_one_of_many_is_cancelled_and_the_others_go_on() -> None:
    async def main() -> None:
        ensemble, watch = watched(lambda prompt: f"{prompt} " * 20, holds=12)
        llm = ChatAdaFuse(ensemble=ensemble)
        tasks = [asyncio.create_task(llm.ainvoke(f"p{i}")) for i in range(4)]
        await async_until(lambda: watch.held.is_set() and watch.most_open == 4)
        tasks[1].cancel()
        await turns()
        watch.go_on.set()
        rows = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(rows.pop(1), asyncio.CancelledError)
        assert [row.content for row in rows if isinstance(row, AIMessage)] == [
            f"p{i} " * 20 for i in (0, 2, 3)
        ]
        assert watch.open == 0

    run(main())


def test_batch_runs_eight_rows_at_once_or_as_many_as_asked_for() -> None:
    def rows(most: int) -> tuple[ChatAdaFuse, Watch]:
        ensemble, watch = watched(lambda prompt: f"answer to {prompt}", together=most)
        return ChatAdaFuse(ensemble=ensemble), watch

    llm, watch = rows(1)
    one: Any = {"max_concurrency": 1}
    said = [message.content for message in llm.batch([f"p{i}" for i in range(4)], one)]
    assert said == [f"answer to p{i}" for i in range(4)]
    assert sorted(at for at, _ in llm.batch_as_completed(["a", "b", "c"], one)) == [0, 1, 2]
    assert watch.most_open == 1
    llm, watch = rows(3)
    llm.batch(["p"] * 6, {"max_concurrency": 3})
    assert watch.most_open == 3
    llm, watch = rows(8)
    llm.batch(["p"] * 12)
    assert watch.most_open == 8


def test_typed_errors_pass_through() -> None:
    async def main() -> None:
        llm = ChatAdaFuse(ensemble=Ensemble([ScriptedMember("x", window=10)]))
        notes = Notes()
        with pytest.raises(ContextWindowError) as caught:
            await llm.ainvoke("a" * 99, {"callbacks": [notes]})
        assert notes.errors == [caught.value]
        threads = threading.active_count()
        for call in (llm.ainvoke, llm.abatch):
            with pytest.raises(ConfigError, match="did you mean 'stop'"):
                await call(["p"], stopp=["x"])  # type: ignore[operator]
        assert threading.active_count() < threads + 16

    run(main())
