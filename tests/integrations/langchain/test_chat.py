"""ChatAdaFuse called synchronously: words, callbacks, chunks, the trace, errors; scripted."""

from __future__ import annotations

import gc
import json
import pickle
from typing import Any

import pytest
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate

from adafuse import ConfigError, ContextWindowError, Ensemble, PromptError
from adafuse.errors import AnswerTimeoutError, MemberError
from adafuse.testing import ScriptedMember
from adafuse_integrations.langchain import ChatAdaFuse, ChatAnswerChunk, read_answer
from waiting import Clock
from watched_members import CODE, Notes, no_ids, watched, words_of

WORDS = words_of(CODE)
pytestmark = pytest.mark.filterwarnings("ignore:The function `load:")


def total(chunks: Any) -> AIMessageChunk:
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessageChunk)
    return whole


@pytest.mark.parametrize("how", ["invoke", "generate", "batch", "chain", "stream"])
def test_one_callback_per_word(how: str) -> None:
    llm = ChatAdaFuse(ensemble=watched()[0])
    notes = Notes()
    config: Any = {"callbacks": [notes]}
    if how == "invoke":
        assert llm.invoke("prompt", config).content == CODE
    elif how == "generate":
        result = llm.generate([[HumanMessage("prompt")]], callbacks=[notes])
        assert result.generations[0][0].text == CODE
    elif how == "batch":
        assert [one.content for one in llm.batch(["prompt"], config)] == [CODE]
    elif how == "chain":
        chain = ChatPromptTemplate.from_messages([("human", "{x}")]) | llm | StrOutputParser()
        assert chain.invoke({"x": "prompt"}, config) == CODE
    else:
        assert [chunk.content for chunk in llm.stream("prompt", config)] == [*WORDS, ""]
        assert notes.words.pop() == ""  # LangChain tells of the last chunk too
    assert notes.words == WORDS
    assert all(isinstance(chunk, ChatGenerationChunk) for chunk in notes.chunks)
    assert notes.events == ["start", "end"]


def test_a_words_chunk_says_where_it_comes_from() -> None:
    notes = Notes()
    llm = ChatAdaFuse(ensemble=watched("one two", second="one three")[0], preset="paper")
    llm.invoke("p", {"callbacks": [notes]})
    assert [chunk.round["index"] for chunk in notes.chunks] == [1, 2]
    one = notes.chunks[0].round
    assert one["drafters"] == ["first"]
    assert [c["text"] for c in one["candidates"]] == ["one", "one three"]
    assert set(one["candidates"][0]["scores"]) == {"first", "second"}


@pytest.mark.parametrize("settings", [{}, {"logprobs": True, "top_logprobs": 2}])
def test_chunks_add_up_to_the_message(settings: dict[str, Any]) -> None:
    llm = ChatAdaFuse(ensemble=watched(second="def g(y):\n")[0], **settings)
    notes = Notes()
    message = llm.invoke("prompt")
    chunks = list(llm.stream("prompt", {"callbacks": [notes]}))
    whole = total(chunks)
    assert whole.content == message.content == CODE
    assert whole.response_metadata == message.response_metadata
    assert whole.usage_metadata == message.usage_metadata
    assert whole.tool_calls == message.tool_calls == []
    assert chunks[-1].chunk_position == "last"
    told = notes.results[0].generations[0][0].message
    assert told.response_metadata == message.response_metadata


def test_chunks_add_up_in_any_grouping() -> None:
    chunks = list(ChatAdaFuse(ensemble=watched("a b c d")[0]).stream("p"))
    right = chunks[-1]
    for chunk in reversed(chunks[:-1]):
        right = chunk + right
    assert right.response_metadata == total(chunks).response_metadata
    assert (chunks[0] + chunks[1:]).response_metadata == right.response_metadata
    assert right.usage_metadata == total(chunks).usage_metadata


def test_the_message_says_which_models_what_it_cost_and_why_it_ended() -> None:
    llm = ChatAdaFuse(ensemble=watched("ab cd", second="ab cd")[0])
    message = llm.invoke("1234")
    assert message.usage_metadata == {
        "input_tokens": 8,
        "output_tokens": 10,
        "total_tokens": 18,
        "input_token_details": {"first": 4, "second": 4},
        "output_token_details": {"first": 5, "second": 5},
    }
    told = message.response_metadata
    assert told["model_name"] == "first+second"
    assert told["model_provider"] == "adafuse"
    assert told["finish_reason"] == "stop"
    assert told["token_usage"]["total_tokens"] == 18
    assert llm.invoke("p", max_tokens=4).response_metadata["finish_reason"] == "length"
    assert llm.invoke("p", stop=[" cd"]).response_metadata["finish_reason"] == "stop_string"


def test_the_trace_reads_back_as_the_answer() -> None:
    ensemble, _ = watched(second="def g(y):\n")
    answer = ensemble.generate([{"role": "user", "content": "prompt"}])
    message = ChatAdaFuse(ensemble=ensemble).invoke("prompt")
    read = read_answer(json.loads(json.dumps(message.response_metadata)))
    assert read.text == answer.text
    assert read.rounds[:-1] == answer.rounds[:-1]
    assert read.usage == {name: no_ids(usage) for name, usage in answer.usage.items()}
    words = message.response_metadata["fusion"]["words"]
    assert "".join(word["text"] for word in words) == CODE


def test_scores_of_words() -> None:
    ensemble, _ = watched("one two", second="six three")
    told = ChatAdaFuse(ensemble=ensemble).invoke("p", logprobs=True, top_logprobs=1)
    one, two = told.response_metadata["logprobs"]["content"]
    (first, second) = read_answer(told.response_metadata).rounds[:2]
    assert one["token"] == "one"
    assert one["logprob"] == -(first.candidates[first.winner].score or 0)
    assert set(one["by_member"]) == {"first", "second"}
    assert [entry["token"] for entry in one["top_logprobs"]] == ["one"]
    assert (two["token"], two["round"]) == (" two", second.index)
    assert "logprobs" not in ChatAdaFuse(ensemble=ensemble).invoke("p").response_metadata


def test_words_that_all_agree_on_have_their_probability_too() -> None:
    llm = ChatAdaFuse(ensemble=watched("one two")[0], logprobs=True, top_logprobs=3)
    entries = llm.invoke("p").response_metadata["logprobs"]["content"]
    assert [(entry["token"], entry["logprob"]) for entry in entries] == [
        ("one", -1.0),
        (" two", -1.0),
    ]
    assert entries[0]["bytes"] == list(b"one")
    assert [top["token"] for top in entries[0]["top_logprobs"]] == ["one"]


def test_words_of_the_papers_rule_have_none() -> None:
    with pytest.raises(ConfigError, match="logprobs are probabilities of words, and rule 'paper'"):
        ChatAdaFuse(ensemble=watched()[0], logprobs=True).invoke("p", preset="paper")


def test_every_message_reaches_the_members() -> None:
    ensemble, watch = watched()
    ChatAdaFuse(ensemble=ensemble).invoke(
        [
            SystemMessage("be brief"),
            HumanMessage("hi", name="Ann"),
            AIMessage("yes?"),
            ("user", "x"),
        ]
    )
    assert [(m["role"], m["content"]) for m in watch.prompts[0].messages] == [
        ("system", "be brief"),
        ("user", "hi"),
        ("assistant", "yes?"),
        ("user", "x"),
    ]
    assert watch.prompts[0].messages[1]["name"] == "Ann"
    assert watch.prompts[0].format == "chat"


def test_closing_a_stream_closes_the_sessions() -> None:
    ensemble, watch = watched()
    notes = Notes()
    stream = ChatAdaFuse(ensemble=ensemble).stream("prompt", {"callbacks": [notes]})
    assert [next(stream).content for _ in range(3)] == WORDS[:3]
    assert watch.open == 1
    stream.close()  # type: ignore[attr-defined]
    assert watch.open == 0
    assert watch.drafts == 3
    assert ChatAdaFuse(ensemble=ensemble).invoke("prompt").content == CODE


def test_an_error_in_a_callback_closes_the_sessions() -> None:
    class Angry(Notes):
        raise_error = True

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            raise KeyError(token)

    ensemble, watch = watched()
    with pytest.raises(KeyError):
        ChatAdaFuse(ensemble=ensemble).invoke("prompt", {"callbacks": [Angry()]})
    gc.collect()
    assert watch.open == 0


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_errors_pass_through_typed_and_are_told(how: str) -> None:
    def ask(llm: ChatAdaFuse, prompt: Any, **config: Any) -> None:
        llm.invoke(prompt, config) if how == "invoke" else list(llm.stream(prompt, config))

    llm = ChatAdaFuse(ensemble=Ensemble([ScriptedMember("x", window=10)]))
    notes = Notes()
    with pytest.raises(ContextWindowError) as caught:
        ask(llm, "a" * 99, callbacks=[notes])
    assert notes.errors == [caught.value]
    with pytest.raises(PromptError, match="conversation is empty"):
        ask(llm, [])
    with pytest.raises(PromptError, match="conversation is empty"):
        ask(llm, "")
    ensemble, watch = watched("a b c", fails=lambda prompt: True)
    with pytest.raises(MemberError, match="script broke"):
        ask(ChatAdaFuse(ensemble=ensemble), "p")
    assert watch.open == 0


def test_an_answer_that_takes_too_long_is_stopped_between_rounds(clock: Clock) -> None:
    ensemble, watch = watched("word " * 100, seconds=0.01)
    notes = Notes()
    with pytest.raises(AnswerTimeoutError, match=r"0\.05 seconds") as caught:
        ChatAdaFuse(ensemble=ensemble, timeout=0.05).invoke("p", {"callbacks": [notes]})
    assert isinstance(caught.value, TimeoutError)
    assert watch.open == 0
    assert 1 <= len(notes.words) <= 8
    assert ChatAdaFuse(ensemble=watched()[0]).invoke("p", timeout=30).content == CODE


def test_messages_and_chunks_are_written_down_and_read_back() -> None:
    notes = Notes()
    llm = ChatAdaFuse(ensemble=watched(second="x")[0])
    message = llm.invoke("p", {"callbacks": [notes]}, logprobs=True)
    assert loads(dumps(message), allowed_objects="messages") == message
    chunk = notes.chunks[0]
    assert isinstance(chunk, ChatAnswerChunk)
    assert pickle.loads(pickle.dumps(chunk)) == chunk
    loaded = load(dumpd(chunk), allowed_objects="core")
    assert type(loaded) is ChatGenerationChunk
    assert loaded.message == chunk.message


def test_generate_sums_the_tokens_of_several_conversations() -> None:
    llm = ChatAdaFuse(ensemble=watched("ab")[0])
    output = llm.generate([[HumanMessage("1234")], [HumanMessage("12")]]).llm_output
    assert output is not None
    assert output["model_name"] == "first"
    assert output["token_usage"]["prompt_tokens"] == 6
    assert output["token_usage"]["total_tokens"] == 10


def test_any_text_survives() -> None:
    texts = ["<think>a</think>\n\n", "a <b", "<tool_call>", "x\n\n  y\t", "你好，世界", "é😀 ̈"]
    for text in texts:
        llm = ChatAdaFuse(ensemble=watched(text)[0])
        assert llm.invoke("p").content == text
        assert "".join(str(chunk.content) for chunk in llm.stream("p")) == text
