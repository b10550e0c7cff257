"""A standard suite for completion models, which LangChain has for chat models only.

It mirrors LangChain's suite, test for test where a completion model has the same thing. A test
module derives from `CompletionSuite` and says which ensemble answers; nothing here depends on what
the models say.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import re

import jsonschema
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from adafuse import ConfigError, Ensemble, PromptError
from adafuse_integrations.langchain import AdaFuseLLM, read_answer
from watched_members import AsyncNotes, Notes, run

__all__ = ["CompletionSuite"]

PERSON = {
    "title": "Person",
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


class CompletionSuite:
    """Derive from it, and set these.

    Attributes:
        ensemble: two members or more.
        override: names of some of them, joined by "+".
        prompt: to be completed; the answer must have a word that can be a stop string.
    """

    ensemble: Ensemble
    override: str
    prompt = "The capital of France is"

    @pytest.fixture
    def llm(self) -> AdaFuseLLM:
        return AdaFuseLLM(ensemble=self.ensemble, max_tokens=24)

    def test_init(self, llm: AdaFuseLLM) -> None:
        assert llm._llm_type == "adafuse"
        assert AdaFuseLLM(ensemble=self.ensemble, temperature=0, stop=["x"], timeout=600)

    def test_init_from_env(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADAFUSE_MODELS", "org/a,org/b")
        assert len(AdaFuseLLM().models or ()) == 2

    def test_invoke(self, llm: AdaFuseLLM) -> None:
        assert isinstance(llm.invoke(self.prompt), str)
        assert llm.invoke(self.prompt)

    async def test_ainvoke(self, llm: AdaFuseLLM) -> None:
        assert await llm.ainvoke(self.prompt) == llm.invoke(self.prompt)

    def test_stream(self, llm: AdaFuseLLM) -> None:
        words = list(llm.stream(self.prompt))
        assert len(words) > 1
        assert "".join(words) == llm.invoke(self.prompt)

    async def test_astream(self, llm: AdaFuseLLM) -> None:
        words = [word async for word in llm.astream(self.prompt)]
        assert "".join(words) == llm.invoke(self.prompt)

    def test_batch(self, llm: AdaFuseLLM) -> None:
        rows = llm.batch([self.prompt, f"{self.prompt} "])
        assert rows[0] == llm.invoke(self.prompt)
        assert len(rows) == 2

    async def test_abatch(self, llm: AdaFuseLLM) -> None:
        assert await llm.abatch([self.prompt] * 2) == [llm.invoke(self.prompt)] * 2

    def test_batch_as_completed(self, llm: AdaFuseLLM) -> None:
        rows = dict(llm.batch_as_completed([self.prompt, self.prompt]))
        assert rows == dict.fromkeys((0, 1), llm.invoke(self.prompt))

    def test_one_callback_per_word(self, llm: AdaFuseLLM) -> None:
        invoked, streamed = Notes(), Notes()
        text = llm.invoke(self.prompt, {"callbacks": [invoked]})
        list(llm.stream(self.prompt, {"callbacks": [streamed]}))
        assert "".join(invoked.words) == text
        assert invoked.words == streamed.words
        assert all(invoked.words)
        assert invoked.events == ["start", "end"]

    async def test_async_callbacks(self, llm: AdaFuseLLM) -> None:
        notes = AsyncNotes()
        text = await llm.ainvoke(self.prompt, {"callbacks": [notes]})
        assert "".join(notes.words) == text

    def test_usage(self, llm: AdaFuseLLM) -> None:
        result = llm.generate([self.prompt])
        output = result.llm_output
        assert output is not None
        assert output["model_name"] == "+".join(one.name for one in self.ensemble.members)
        info = result.generations[0][0].generation_info
        assert info is not None
        usage = info["usage"]
        assert set(usage) == {one.name for one in self.ensemble.members}
        total = sum(one["prompt_tokens"] + one["committed_tokens"] for one in usage.values())
        assert output["token_usage"]["total_tokens"] == total > 0

    def test_trace_when_streaming(self, llm: AdaFuseLLM) -> None:
        notes = Notes()
        text = "".join(llm.stream(self.prompt, {"callbacks": [notes]}))
        info = notes.results[0].generations[0][0].generation_info
        assert read_answer(json.loads(json.dumps(info))).text == text
        assert info["finish_reason"] in ("stop", "length", "stop_string")

    def test_stop(self, llm: AdaFuseLLM) -> None:
        whole = llm.invoke(self.prompt)
        stop = whole.split()[-1]
        for text in (
            llm.invoke(self.prompt, stop=[stop]),
            AdaFuseLLM(ensemble=self.ensemble, max_tokens=24, stop=[stop]).invoke(self.prompt),
            "".join(llm.bind(stop=[stop]).stream(self.prompt)),
        ):
            assert text == whole[: whole.index(stop)]

    def test_max_tokens(self, llm: AdaFuseLLM) -> None:
        (generation,) = llm.generate([self.prompt], max_tokens=2).generations[0]
        info = generation.generation_info or {}
        first = self.ensemble.members[0].name
        assert info["usage"][first]["committed_tokens"] <= 2

    def test_model_override(self, llm: AdaFuseLLM) -> None:
        output = llm.generate([self.prompt], model=self.override).llm_output
        assert output is not None
        assert output["model_name"] == self.override
        with pytest.raises(ConfigError, match="unknown member"):
            llm.invoke(self.prompt, model="nobody")

    async def test_model_override_when_streaming(self, llm: AdaFuseLLM) -> None:
        expected = llm.invoke(self.prompt, model=self.override)
        assert "".join(llm.stream(self.prompt, model=self.override)) == expected
        words = [word async for word in llm.astream(self.prompt, model=self.override)]
        assert "".join(words) == expected

    def test_json_schema(self, llm: AdaFuseLLM) -> None:
        text = llm.invoke("Describe a person.", json_schema=PERSON, max_tokens=80)
        jsonschema.validate(json.loads(text), PERSON)
        assert "".join(llm.stream("Describe a person.", json_schema=PERSON, max_tokens=80)) == text

    def test_regex(self, llm: AdaFuseLLM) -> None:
        text = llm.invoke("Tell a date.", regex="[0-9]{4}-[0-9]{2}-[0-9]{2}")
        assert re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text)

    def test_choices(self, llm: AdaFuseLLM) -> None:
        assert llm.invoke("Yes or no?", choices=["yes", "no"]) in ("yes", "no")

    def test_grammar(self, llm: AdaFuseLLM) -> None:
        assert llm.invoke("Say it.", grammar='start: "ab" ("c" | "d")') in ("abc", "abd")

    def test_what_cannot_be_enforced_is_refused(self, llm: AdaFuseLLM) -> None:
        with pytest.raises(ConfigError):
            llm.invoke("x", json_schema={"not": {"type": "string"}})
        with pytest.raises(ConfigError):
            llm.invoke("x", regex="(")

    def test_serdes(self) -> None:
        llm = AdaFuseLLM(models=["org/a", {"model": "org/b", "weight": 2}], max_tokens=9)
        assert pickle.loads(pickle.dumps(llm)).asdict() == llm.asdict()
        told = llm.to_json()
        assert told["type"] == "constructor"
        assert AdaFuseLLM(**told["kwargs"]).asdict() == llm.asdict()

    def test_cache(self, llm: AdaFuseLLM) -> None:
        cached = AdaFuseLLM(ensemble=self.ensemble, max_tokens=24, cache=InMemoryCache())
        notes = Notes()
        first = cached.invoke(self.prompt)
        assert cached.invoke(self.prompt, {"callbacks": [notes]}) == first
        assert not notes.words
        assert first == llm.invoke(self.prompt)

    def test_tracing_parameters(self, llm: AdaFuseLLM) -> None:
        params = llm._get_ls_params(stop=["x"])
        assert params["ls_provider"] == "adafuse"
        assert params["ls_model_type"] == "llm"
        assert params["ls_model_name"] == "+".join(one.name for one in self.ensemble.members)
        assert (params["ls_max_tokens"], params["ls_stop"]) == (24, ["x"])

    def test_token_counts(self, llm: AdaFuseLLM) -> None:
        short, long = llm.get_num_tokens("a cat"), llm.get_num_tokens("a cat and a dog")
        assert 0 < short < long

    def test_in_a_chain(self, llm: AdaFuseLLM) -> None:
        chain = PromptTemplate.from_template("{x}") | llm | StrOutputParser()
        assert chain.invoke({"x": self.prompt}) == llm.invoke(self.prompt)
        assert "".join(chain.stream({"x": self.prompt})) == llm.invoke(self.prompt)

    async def test_events(self, llm: AdaFuseLLM) -> None:
        events = [event async for event in llm.astream_events(self.prompt, version="v2")]
        said = [e["data"]["chunk"] for e in events if e["event"] == "on_llm_stream"]
        assert "".join(one if isinstance(one, str) else one.text for one in said) == llm.invoke(
            self.prompt
        )

    def test_fallbacks(self, llm: AdaFuseLLM) -> None:
        safe = llm.bind(model="nobody").with_fallbacks([llm])
        assert safe.invoke(self.prompt) == llm.invoke(self.prompt)

    def test_unknown_arguments_and_empty_prompts(self, llm: AdaFuseLLM) -> None:
        with pytest.raises(ConfigError, match="did you mean"):
            llm.invoke(self.prompt, temprature=1)
        with pytest.raises(PromptError):
            llm.invoke("")

    def test_unicode(self, llm: AdaFuseLLM) -> None:
        prompt = "你好，世界! Ünïcödé 😀"
        assert "".join(llm.stream(prompt)) == llm.invoke(prompt)

    def test_closing_and_cancelling(self, llm: AdaFuseLLM) -> None:
        expected = llm.invoke(self.prompt)
        words = llm.stream(self.prompt)
        next(words)
        words.close()  # type: ignore[attr-defined]

        async def main() -> str:
            task = asyncio.create_task(llm.ainvoke(self.prompt))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return await llm.ainvoke(self.prompt)

        assert run(main(), seconds=300) == expected

    def test_answers_at_once_are_those_given_alone(self, llm: AdaFuseLLM) -> None:
        expected = llm.invoke(self.prompt)
        assert llm.batch([self.prompt] * 3, {"max_concurrency": 3}) == [expected] * 3
