"""Members in llama.cpp behind everything that asks members: grammars, tools, threads, streams."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from adafuse import Ensemble
from adafuse.local.loglikelihood import continuations_logprobs
from adafuse.local.member import LocalMember
from adafuse.local.reference import read_reference
from adafuse.prompting.prompt import read_prompt
from gguf_models import gguf, member

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look something up.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}},
            "required": ["city"],
        },
    },
}


def pair(**options: Any) -> Ensemble:
    return Ensemble([member(gguf("llama3"), **options), member(gguf("gemma3"), **options)])


def free(ensemble: Ensemble) -> list[int]:
    """How many sequences each member still has in use."""
    used = []
    for own in ensemble.members:
        context = own.runner.context  # type: ignore[attr-defined]
        context.collect()
        used.append(context.sequences - context.free_sequences)
    return used


def test_json_by_a_schema() -> None:
    answer = pair().generate("Hello", json_schema=SCHEMA, max_new_tokens=80)
    assert set(json.loads(answer.text)) == {"name", "age"}


def test_a_tool_is_called() -> None:
    chat = [{"role": "user", "content": "Where?"}]
    answer = pair().generate(chat, tools=[TOOL], tool_choice="required", max_new_tokens=60)
    assert "look_up" in answer.text


def test_guesses_change_no_answer() -> None:
    for prompt in ("Hello world, this is", "def add(a, b):\n    return"):
        texts = {
            pair().generate(prompt, max_new_tokens=16, speculation=on).text for on in (True, False)
        }
        assert len(texts) == 1


def test_a_prompt_that_begins_like_an_earlier_one_is_read_from_where_they_part() -> None:
    fresh, ensemble = pair(prompt_cache_mb=0), pair()
    first, second = "The cat sat on the mat and " * 3, "The cat sat on the mat and " * 2 + "slept"
    ensemble.generate(first, max_new_tokens=6)
    answer = ensemble.generate(second, max_new_tokens=6)
    assert all(usage.reused_tokens > 8 for usage in answer.usage.values())
    assert answer.text == fresh.generate(second, max_new_tokens=6).text


def test_a_stream_that_is_closed_gives_its_sequences_back() -> None:
    ensemble = pair(prompt_cache_mb=0)
    for _ in range(5):
        stream = ensemble.stream("Hello world", max_new_tokens=30)
        next(iter(stream))
        stream.close()
    assert free(ensemble) == [0, 0]


def test_threads_answer_as_one_after_another() -> None:
    prompts = ["Hello world", "x = [1, 2", "The end of", "naïve café", "| a | b |", "one two"]
    expected = [pair().generate(prompt, max_new_tokens=10).text for prompt in prompts]
    ensemble = pair(prompt_cache_mb=0)
    found: dict[str, str] = {}

    def ask(some: list[str]) -> None:
        for prompt in some:
            found[prompt] = ensemble.generate(prompt, max_new_tokens=10).text

    threads = [threading.Thread(target=ask, args=[prompts[at::3]]) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[prompt] for prompt in prompts] == expected
    assert free(ensemble) == [0, 0]


@pytest.mark.usefixtures("wide_cache")
def test_references_and_likelihoods_equal_those_in_transformers() -> None:
    from gguf_models import model_of

    ours = member(gguf("llama3"))
    theirs = LocalMember(*model_of("llama3"), "theirs")
    context, tails = list(range(40, 90)), [[5, 6, 7], [5, 8], [9], list(range(100, 140))]
    for one, other in zip(
        continuations_logprobs(ours, context, tails),
        continuations_logprobs(theirs, context, tails),
        strict=True,
    ):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
    prompt, words = read_prompt("Hello world"), ["this", " is", " it"]
    one = read_reference(ours, prompt, words, ends=True)
    other = read_reference(theirs, prompt, words, ends=True)
    assert one.nlls == pytest.approx(other.nlls, abs=1e-3)
