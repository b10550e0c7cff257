"""AdaFuseLLM given several prompts, on scripted members: each is answered as if alone."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.prompts import PromptTemplate

from adafuse import MemberError, PromptError
from adafuse_integrations.langchain import AdaFuseLLM
from watched_members import Notes, watched


def test_every_prompt_of_generate_has_its_own_callbacks() -> None:
    llm = AdaFuseLLM(ensemble=watched(lambda prompt: f"answer to {prompt}")[0])
    one, two = Notes(), Notes()
    result = llm.generate(["p1", "p2"], callbacks=[[one], [two]])
    assert "".join(one.words) == "answer to p1"
    assert "".join(two.words) == "answer to p2"
    assert result.run is not None
    assert [run.run_id for run in result.run] == [one.runs[0], two.runs[0]]
    assert two.results[0].generations[0][0].text == "answer to p2"
    assert two.results[0].llm_output["token_usage"]["completion_tokens"] == len("answer to p2")


def test_generate_without_callbacks_or_prompts() -> None:
    llm = AdaFuseLLM(ensemble=watched("x")[0])
    assert llm.generate([]).generations == []
    assert [one[0].text for one in llm.generate(["a", "b"], callbacks=[]).generations] == ["x"] * 2


def test_an_error_in_generate_ends_the_runs_it_leaves_unanswered() -> None:
    ensemble, _ = watched("a b c", fails=lambda prompt: prompt == "bad")
    notes = [Notes(), Notes(), Notes()]
    with pytest.raises(MemberError, match="script broke"):
        AdaFuseLLM(ensemble=ensemble).generate(
            ["good", "bad", "never"], callbacks=[[one] for one in notes]
        )
    assert [one.events for one in notes] == [
        ["start", "end"],
        ["start", "error"],
        ["start", "error"],
    ]


@pytest.mark.parametrize("concurrency", [None, 1, 2])
def test_batch_keeps_order_configurations_and_exceptions_per_row(concurrency: int | None) -> None:
    ensemble, _ = watched(lambda prompt: f"answer to {prompt}", fails=lambda p: p == "bad")
    notes = [Notes() for _ in range(4)]
    ids = [uuid.uuid4() for _ in notes]
    configs: Any = [
        {"callbacks": [one], "run_id": run, "tags": [f"t{i}"], "metadata": {"row": i}}
        for i, (one, run) in enumerate(zip(notes, ids, strict=True))
    ]
    if concurrency:
        configs[0]["max_concurrency"] = concurrency
    prompts = ["p0", "bad", "", "p3"]
    answers = AdaFuseLLM(ensemble=ensemble).batch(prompts, configs, return_exceptions=True)
    assert answers[0] == "answer to p0"
    assert isinstance(answers[1], MemberError)
    assert isinstance(answers[2], PromptError)
    assert answers[3] == "answer to p3"
    assert "".join(notes[0].words) == "answer to p0"
    assert "".join(notes[3].words) == "answer to p3"
    assert [one.events[-1] for one in notes] == ["end", "error", "error", "end"]
    assert [one.runs for one in notes] == [[run] for run in ids]
    assert [one.tags for one in notes] == [[[f"t{i}"]] for i in range(4)]
    assert [one.metadata[0]["row"] for one in notes] == [0, 1, 2, 3]


def test_batch_raises_the_first_error_and_answers_no_further_row() -> None:
    ensemble, watch = watched("a b", fails=lambda prompt: prompt == "bad")
    with pytest.raises(MemberError, match="script broke"):
        AdaFuseLLM(ensemble=ensemble).batch(
            ["fine", "bad", "after", "after"], {"max_concurrency": 1}
        )
    assert [prompt.text for prompt in watch.prompts] == ["fine", "bad"]
    assert watch.open == 0


@pytest.mark.parametrize(("given", "most"), [(None, 8), (1, 1), (3, 3)])
def test_batch_honours_max_concurrency(given: int | None, most: int) -> None:
    ensemble, watch = watched("a b c", together=most)
    config: Any = {"max_concurrency": given} if given else None
    assert AdaFuseLLM(ensemble=ensemble).batch(["p"] * 8, config) == ["a b c"] * 8
    assert watch.most_open == most


def test_batch_of_a_chain() -> None:
    ensemble, _ = watched(lambda prompt: f"answer to {prompt}", fails=lambda p: p == "about bad")
    chain = PromptTemplate.from_template("about {x}") | AdaFuseLLM(ensemble=ensemble)
    rows = chain.batch([{"x": "this"}, {"x": "bad"}, {"x": "that"}], return_exceptions=True)
    assert rows[0] == "answer to about this"
    assert isinstance(rows[1], MemberError)
    assert rows[2] == "answer to about that"


def test_eight_threads_at_once() -> None:
    ensemble, watch = watched(lambda prompt: f"answer to {prompt} " * 5, together=2)
    llm = AdaFuseLLM(ensemble=ensemble)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(llm.invoke, [f"p{i}" for i in range(16)]))
    assert answers == [f"answer to p{i} " * 5 for i in range(16)]
    assert watch.open == 0
    assert watch.most_open > 1
