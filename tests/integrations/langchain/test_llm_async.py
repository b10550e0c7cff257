"""AdaFuseLLM called from an event loop, on scripted members."""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from adafuse import ConfigError, ContextWindowError, Ensemble, MemberError, PromptError
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM, read_answer
from waiting import async_until, turns
from watched_members import CODE, STOPPED, AsyncNotes, Notes, Watch, run, watched, words_of

WORDS = words_of(CODE)
LONG = "word " * 1000
SLOW = 500  # drafts, of 1,000, until a busy machine has told the decoder to stop


async def read(llm: AdaFuseLLM, count: int, **config: Any) -> list[str]:
    """Read some words of a stream, and close it."""
    words = llm.astream("p", config)
    taken = [await anext(words) for _ in range(count)]
    await words.aclose()
    return taken


@pytest.mark.parametrize("how", ["ainvoke", "agenerate", "astream", "abatch", "chain"])
@pytest.mark.parametrize("notes", [Notes, AsyncNotes])
def test_one_callback_per_word_in_order(how: str, notes: type[Notes | AsyncNotes]) -> None:
    async def main() -> tuple[str, list[str]]:
        llm = AdaFuseLLM(ensemble=watched()[0])
        handler = notes()
        config: Any = {"callbacks": [handler]}
        if how == "ainvoke":
            text = await llm.ainvoke("p", config)
        elif how == "agenerate":
            text = (await llm.agenerate(["p"], callbacks=[handler])).generations[0][0].text
        elif how == "astream":
            text = "".join([word async for word in llm.astream("p", config)])
        elif how == "abatch":
            (text,) = await llm.abatch(["p"], config)
        else:
            chain = PromptTemplate.from_template("{x}") | llm | StrOutputParser()
            text = "".join([word async for word in chain.astream({"x": "p"}, config)])
        return text, handler.words

    assert run(main()) == (CODE, WORDS)


def test_agenerate_and_astream_carry_the_same_trace() -> None:
    async def main() -> list[dict[str, Any]]:
        llm = AdaFuseLLM(ensemble=watched(second="def g():\n")[0])
        notes = Notes()
        async for _ in llm.astream("p", {"callbacks": [notes]}):
            pass
        result = await llm.agenerate(["p"])
        assert result.llm_output == llm.generate(["p"]).llm_output
        pair = [notes.results[0].generations[0][0], result.generations[0][0]]
        return [one.generation_info for one in pair]

    streamed, generated = run(main())
    assert streamed == generated
    assert read_answer(generated).text == CODE


def test_every_prompt_of_agenerate_has_its_own_callbacks() -> None:
    async def main() -> None:
        llm = AdaFuseLLM(ensemble=watched(lambda prompt: f"answer to {prompt}")[0])
        one, two = Notes(), AsyncNotes()
        result = await llm.agenerate(["p1", "p2"], callbacks=[[one], [two]])
        assert "".join(one.words) == "answer to p1"
        assert "".join(two.words) == "answer to p2"
        assert [g[0].text for g in result.generations] == ["answer to p1", "answer to p2"]
        assert (await llm.agenerate(["p"], callbacks=[])).generations[0][0].text == "answer to p"

    run(main())


@pytest.mark.parametrize("concurrency", [None, 2])
def test_abatch_keeps_order_configurations_and_exceptions_per_row(concurrency: int | None) -> None:
    async def main() -> None:
        ensemble, watch = watched(lambda p: f"answer to {p}", fails=lambda p: p == "bad")
        notes = [Notes() for _ in range(4)]
        ids = [uuid.uuid4() for _ in notes]
        pairs = zip(notes, ids, strict=True)
        configs: Any = [{"callbacks": [one], "run_id": run_id} for one, run_id in pairs]
        if concurrency:
            configs[0]["max_concurrency"] = concurrency
        llm = AdaFuseLLM(ensemble=ensemble)
        answers = await llm.abatch(["p0", "bad", "", "p3"], configs, return_exceptions=True)
        assert [answers[0], answers[3]] == ["answer to p0", "answer to p3"]
        assert isinstance(answers[1], MemberError)
        assert isinstance(answers[2], PromptError)
        assert "".join(notes[0].words) == "answer to p0"
        assert "".join(notes[3].words) == "answer to p3"
        assert [one.events[-1] for one in notes] == ["end", "error", "error", "end"]
        assert [one.runs for one in notes] == [[run_id] for run_id in ids]
        assert watch.most_open <= (concurrency or 8)

    run(main())


def test_abatch_raises_the_first_error_and_stops_the_other_rows() -> None:
    async def main() -> Watch:
        ensemble, watch = watched(lambda p: LONG, fails=lambda p: p == "bad", holds=12, together=3)
        llm, config = AdaFuseLLM(ensemble=ensemble, max_tokens=5000), {"max_concurrency": 3}
        rows = asyncio.create_task(llm.abatch(["p", "bad", "p"], config))
        await async_until(lambda: any(session.closed for session in watch.sessions))
        await turns()
        watch.go_on.set()
        with pytest.raises(MemberError, match="script broke"):
            await rows
        assert watch.open == 0
        return watch

    assert run(main()).drafts <= 12 + SLOW


def test_the_event_loop_is_not_blocked() -> None:
    async def main() -> Any:
        ensemble, watch = watched("a b", holds=0)
        answer = asyncio.create_task(AdaFuseLLM(ensemble=ensemble).ainvoke("p"))
        await async_until(watch.held.is_set)
        await turns()  # nobody else lets the draft be made
        watch.go_on.set()
        return await answer

    assert run(main()) == "a b"


def test_loading_does_not_block_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_slowly(cls: type[Ensemble], models: Any, **options: Any) -> Ensemble:
        assert threading.current_thread() is not threading.main_thread()
        return cls([ScriptedMember("loaded")])

    monkeypatch.setattr(Ensemble, "load", classmethod(load_slowly))

    async def main() -> list[str]:
        llms = [AdaFuseLLM(models=["org/async"]) for _ in range(3)]
        return await asyncio.gather(*(llm.ainvoke("p") for llm in llms))

    assert run(main()) == ["loaded"] * 3


def test_words_are_handed_over_while_the_answer_is_written() -> None:
    async def main() -> None:
        ensemble, watch = watched("one two three", holds=2)
        stream = AdaFuseLLM(ensemble=ensemble).astream("p")
        assert await anext(stream) == "one"
        watch.go_on.set()
        assert [word async for word in stream] == [" two", " three", ""]

    run(main())


@pytest.mark.parametrize("how", ["ainvoke", "agenerate", "astream", "abatch", "chain"])
def test_cancelling_stops_the_decoder_and_closes_the_sessions(how: str) -> None:
    async def main() -> tuple[Watch, Notes]:
        ensemble, watch = watched(LONG, holds=12)
        llm = AdaFuseLLM(ensemble=ensemble, max_tokens=5000)
        notes = Notes()
        config: Any = {"callbacks": [notes]}

        async def consume() -> None:
            if how == "astream":
                async for _ in llm.astream("p", config):
                    pass
            elif how == "chain":
                async for _ in (llm | StrOutputParser()).astream("p", config):
                    pass
            elif how == "agenerate":
                await llm.agenerate(["p", "p"], callbacks=[notes])
            elif how == "abatch":
                await llm.abatch(["p", "p"], config)
            else:
                await llm.ainvoke("p", config)

        task = asyncio.create_task(consume())
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


def test_closing_a_stream_early_closes_the_sessions() -> None:
    async def main() -> Watch:
        ensemble, watch = watched(LONG, holds=4)
        llm = AdaFuseLLM(ensemble=ensemble, max_tokens=5000)
        words = llm.astream("p")
        assert [await anext(words) for _ in range(3)] == ["word", " word", " word"]
        closing = asyncio.create_task(words.aclose())
        await turns()
        watch.go_on.set()
        await closing
        assert watch.open == 0
        assert watch.drafts <= 5
        assert await llm.ainvoke("p", max_tokens=9) == "word word"
        return watch

    assert len(run(main()).sessions) == 2


def test_a_stream_that_was_never_started_opens_nothing() -> None:
    async def main() -> Watch:
        ensemble, watch = watched()
        await AdaFuseLLM(ensemble=ensemble).astream("p").aclose()
        return watch

    assert not run(main()).sessions


def test_a_stream_left_alone_is_stopped_too() -> None:
    async def main() -> Watch:
        ensemble, watch = watched(LONG, holds=4)
        async for _ in AdaFuseLLM(ensemble=ensemble, max_tokens=5000).astream("p"):
            break
        await turns()
        watch.go_on.set()
        await async_until(lambda: watch.open == 0)
        return watch

    assert run(main()).drafts <= 5


def test_many_streams_at_once() -> None:
    async def main() -> None:
        ensemble, watch = watched(lambda prompt: f"answer to {prompt}", together=8)
        llm = AdaFuseLLM(ensemble=ensemble)
        answers = await asyncio.gather(*(llm.ainvoke(f"p{i}") for i in range(8)))
        assert answers == [f"answer to p{i}" for i in range(8)]
        assert watch.open == 0

    run(main())


def test_typed_errors_pass_through() -> None:
    async def main() -> None:
        llm = AdaFuseLLM(ensemble=Ensemble([ScriptedMember("x", window=10)]))
        for stream in (False, True):
            notes = Notes()
            config: Any = {"callbacks": [notes]}
            words = llm.astream("a" * 99, config)
            with pytest.raises(ContextWindowError) as caught:
                await (anext(words) if stream else llm.ainvoke("a" * 99, config))
            assert notes.errors == [caught.value]
        for call in (llm.ainvoke, llm.abatch, llm.agenerate):
            with pytest.raises(ConfigError, match="did you mean 'stop'"):
                await call(["p"], stopp=["x"])

    run(main())


def test_settings_of_a_call() -> None:
    async def main() -> None:
        ensemble, watch = watched("one two three")
        llm = AdaFuseLLM(ensemble=ensemble, stop=[" two"])
        assert await llm.ainvoke("p") == "one"
        assert await llm.ainvoke("p", stop=[" three"], seed=3) == "one two"
        assert await llm.bind(max_tokens=2).ainvoke("p") == "on"
        assert [word async for word in llm.astream("p", stop=[])] == ["one", " two", " three", ""]
        assert await llm.abatch(["p"], temperature=0.5, stop=[" three"]) == ["one two"]
        assert watch.configs[1].seed == 3
        assert watch.configs[-1].temperature == 0.5

    run(main())
