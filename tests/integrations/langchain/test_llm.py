"""AdaFuseLLM called synchronously: words, callbacks, chunks, errors; on scripted members."""

from __future__ import annotations

import gc
import json
import pickle
from typing import Any

import pytest
from langchain_core.load import dumpd, load
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import GenerationChunk
from langchain_core.prompts import PromptTemplate

from adafuse import ContextWindowError, Ensemble
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import AdaFuseLLM, AnswerChunk, read_answer
from watched_members import CODE, Notes, no_ids, watched, words_of

WORDS = words_of(CODE)


def chunks_of(llm: AdaFuseLLM, prompt: str = "prompt") -> list[AnswerChunk]:
    return list(llm._stream(prompt))


def test_code_survives_a_chain() -> None:
    ensemble, watch = watched()
    chain = PromptTemplate.from_template("Write {what}") | AdaFuseLLM(ensemble=ensemble)
    assert (chain | StrOutputParser()).invoke({"what": "code"}) == CODE
    assert "".join((chain | StrOutputParser()).stream({"what": "code"})) == CODE
    assert watch.prompts[0].text == "Write code"


@pytest.mark.parametrize("how", ["invoke", "generate", "stream", "batch", "chain"])
def test_one_callback_per_word(how: str) -> None:
    llm = AdaFuseLLM(ensemble=watched()[0])
    notes = Notes()
    config: Any = {"callbacks": [notes]}
    if how == "invoke":
        assert llm.invoke("prompt", config) == CODE
    elif how == "generate":
        assert llm.generate(["prompt"], callbacks=[notes]).generations[0][0].text == CODE
    elif how == "stream":
        assert list(llm.stream("prompt", config)) == [*WORDS, ""]
    elif how == "batch":
        assert llm.batch(["prompt"], config) == [CODE]
    else:
        assert (llm | StrOutputParser()).invoke("prompt", config) == CODE
    assert notes.words == WORDS
    assert notes.events == ["start", "end"]
    assert len(WORDS) > 8


def test_callbacks_of_the_model_itself() -> None:
    notes = Notes()
    AdaFuseLLM(ensemble=watched()[0], callbacks=[notes]).invoke("prompt")
    assert notes.words == WORDS


def test_words_of_one_round_come_one_by_one() -> None:
    llm = AdaFuseLLM(ensemble=Ensemble([ScriptedMember("one two three four")]), preset="paper")
    notes = Notes()
    llm.invoke("prompt", {"callbacks": [notes]})
    assert notes.words == ["one", " two", " three", " four"]
    assert [info["round"]["index"] for info in notes.infos] == [1, 1, 1, 2]
    assert notes.infos[0]["round"]["text"] == "one two three"


def test_a_words_chunk_says_who_drafted_it_and_how() -> None:
    llm = AdaFuseLLM(ensemble=watched("one two", second="one three")[0], preset="paper")
    first, second, *_ = chunks_of(llm)
    assert first.text == "one"
    assert first.generation_info is not None
    assert first.generation_info["member"] == "first"
    one = first.generation_info["round"]
    assert set(one) >= {
        *("index", "text", "member", "drafters", "confident", "unanimous", "scored"),
        *("margins", "candidates"),
    }
    assert one["scored"] is True
    assert one["margins"] == {"first": [0.0], "second": [1.0, 1.0]}
    assert [c["text"] for c in one["candidates"]] == ["one", "one three"]
    assert set(one["candidates"][0]["scores"]) == {"first", "second"}
    assert one["candidates"][0]["score"] == pytest.approx(1.5)
    assert second.generation_info is not None
    assert second.generation_info["round"]["index"] == 2


def test_the_last_chunk_has_no_text_and_the_usage() -> None:
    last = chunks_of(AdaFuseLLM(ensemble=watched("a b")[0]))[-1]
    assert last.text == ""
    assert last.generation_info is not None
    assert last.generation_info["finish_reason"] == "stop"
    usage = last.generation_info["usage"]["first"]
    assert usage["committed_tokens"] == 3
    assert "token_ids" not in usage


def test_chunks_add_up_to_the_trace_of_invoke() -> None:
    llm = AdaFuseLLM(ensemble=watched(second="def g(y):\n")[0])
    chunks = chunks_of(llm)
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    (generation,) = llm.generate(["prompt"]).generations[0]
    assert total.text == generation.text == CODE
    assert total.generation_info == generation.generation_info
    info = generation.generation_info
    assert info is not None
    assert "".join(word["text"] for word in info["words"]) == CODE
    indices = [one["index"] for one in info["rounds"]]
    assert indices == list(range(1, len(indices) + 1))


def test_chunks_add_up_in_any_grouping_and_behind_a_plain_chunk() -> None:
    chunks = chunks_of(AdaFuseLLM(ensemble=Ensemble([ScriptedMember("a b c d e")]), preset="paper"))
    left = chunks[0]
    for chunk in chunks[1:]:
        left = left + chunk
    right = chunks[-1]
    for chunk in reversed(chunks[:-1]):
        right = chunk + right
    plain = GenerationChunk(text="", generation_info={"mine": "x"})
    for chunk in chunks:
        plain = plain + chunk
    assert left.generation_info == right.generation_info
    assert plain.generation_info == {"mine": "x", **(left.generation_info or {})}
    assert left.text == right.text == plain.text == "a b c d e"
    info = left.generation_info or {}
    assert [one["index"] for one in info["rounds"]] == [1, 2, 3]  # each once: a b c, d e, end
    assert [(word["text"], word["round"]) for word in info["words"]][2:4] == [(" c", 1), (" d", 2)]
    with pytest.raises(TypeError):
        chunks[0] + "text"


def test_the_trace_reads_back_as_the_answer() -> None:
    ensemble, _ = watched(second="def g(y):\n")
    answer = ensemble.generate("prompt", prompt_format="auto")
    result = AdaFuseLLM(ensemble=ensemble).generate(["prompt"])
    info = result.generations[0][0].generation_info
    assert info is not None
    read = read_answer(json.loads(json.dumps(info)))
    assert read.text == answer.text
    assert read.rounds[:-1] == answer.rounds[:-1]
    assert read.usage == {name: no_ids(usage) for name, usage in answer.usage.items()}
    with pytest.raises(ValueError, match="usage"):
        read_answer({"rounds": []})


def test_streamed_runs_end_with_the_whole_trace() -> None:
    notes = Notes()
    for _ in AdaFuseLLM(ensemble=watched()[0]).stream("prompt", {"callbacks": [notes]}):
        pass
    (generation,) = notes.results[0].generations[0]
    assert generation.text == CODE
    assert generation.generation_info["finish_reason"] == "stop"
    assert read_answer(generation.generation_info).text == CODE


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_chunks_pickle_and_load_as_langchain_values() -> None:
    chunk = chunks_of(AdaFuseLLM(ensemble=watched()[0]))[0]
    assert pickle.loads(pickle.dumps(chunk)) == chunk
    loaded = load(dumpd(chunk), allowed_objects="core")
    assert type(loaded) is GenerationChunk
    assert loaded.generation_info == chunk.generation_info


def test_output_names_the_model_and_sums_tokens() -> None:
    llm = AdaFuseLLM(ensemble=watched("ab", second="ab")[0])
    output = llm.generate(["1234", "12"]).llm_output
    assert output is not None
    assert output["model_name"] == "first+second"
    usage = output["token_usage"]
    assert usage["prompt_tokens"] == 2 * (4 + 2)
    assert usage["completion_tokens"] == 2 * (2 + 2)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_closing_a_stream_closes_the_sessions() -> None:
    ensemble, watch = watched()
    notes = Notes()
    stream = AdaFuseLLM(ensemble=ensemble).stream("prompt", {"callbacks": [notes]})
    assert [next(stream) for _ in range(3)] == WORDS[:3]
    assert watch.open == 1
    stream.close()
    assert watch.open == 0
    assert watch.drafts == 3
    assert notes.words == WORDS[:3]
    assert AdaFuseLLM(ensemble=ensemble).invoke("prompt") == CODE


def test_an_error_in_a_callback_closes_the_sessions() -> None:
    class Angry(Notes):
        raise_error = True

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            raise KeyError(token)

    ensemble, watch = watched()
    with pytest.raises(KeyError):
        AdaFuseLLM(ensemble=ensemble).invoke("prompt", {"callbacks": [Angry()]})
    gc.collect()
    assert watch.open == 0


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_typed_errors_pass_through(how: str) -> None:
    llm = AdaFuseLLM(ensemble=Ensemble([ScriptedMember("x", window=10)]))
    notes = Notes()
    config: Any = {"callbacks": [notes]}
    with pytest.raises(ContextWindowError) as caught:
        llm.invoke("a" * 99, config) if how == "invoke" else list(llm.stream("a" * 99, config))
    assert notes.errors == [caught.value]
    assert caught.value.prompt_tokens == 99
