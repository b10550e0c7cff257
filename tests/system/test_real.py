"""The two demo models: real weights, real tokenizers (DESIGN 7)."""

import ast
import json
import os
from pathlib import Path

import pytest
import torch
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from llama_index.core import Document, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent

import oracle
from adafuse import ContextWindowError, Ensemble, MemberSpec
from adafuse.demo.models import prepare_all
from adafuse.loading.loader import load_members
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from adafuse_integrations import llama_index
from adafuse_integrations.langchain import AdaFuseLLM
from llama_index_script import multiply, tools
from parity import compare

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ADAFUSE_DATA", ROOT.parent / "shared" / "data"))
CODE = "Write a Python function add(a, b) that returns the sum of a and b."


@pytest.fixture(scope="module")
def members() -> list[LocalMember]:
    folders = prepare_all()
    specs = [MemberSpec(str(folder), name=name) for name, folder in folders.items()]
    return load_members(specs, dtype="float32")


@pytest.fixture(scope="module")
def pair(members: list[LocalMember]) -> Ensemble:
    return Ensemble(members)


def _questions(count: int) -> list[str]:
    """Questions of a public test set if it is there, else about our own documents."""
    path = DATA / "triviaqa.jsonl"
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()[:count]
        return [str(json.loads(line)["question"]) for line in lines]
    return [f"What is the number after {number}?" for number in range(count)]


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_greedy_ids_are_those_of_generate(members: list[LocalMember], name: str) -> None:
    member = next(m for m in members if m.name == name)
    twin = LocalMember(member.runner, member.tokenizer, "twin")
    for index, question in enumerate(_questions(2)):
        text = f"Question: {question}\nAnswer:"
        ids = list(member.render(read_prompt(text)).ids)
        copies = [member, twin] if index == 0 else [member]
        answer = Ensemble(copies).generate(text, branches=1, max_new_tokens=32)
        ours = list(answer.usage[name].token_ids)
        model = member.runner.model
        theirs = model.generate(torch.tensor([ids]), max_new_tokens=32, do_sample=False)
        expected = theirs[0][len(ids) :].tolist()
        ends = [at for at, token in enumerate(expected) if token in member.end_ids]
        assert ours == expected[: ends[0] if ends else None]


@pytest.mark.parametrize("chat", [False, True])
def test_rounds_equal_the_oracle(pair: Ensemble, members: list[LocalMember], chat: bool) -> None:
    text = "Once upon a time, in a small village,"
    prompt = [{"role": "user", "content": "Tell me a short story."}] if chat else text
    real = [oracle.OracleMember(m.name, m.runner.model, m.tokenizer) for m in members]
    _, rounds = compare(real, prompt, pair, max_new_tokens=8)
    assert rounds >= 3


def test_a_prompt_of_3000_tokens_works_and_one_beyond_the_window_is_refused(
    pair: Ensemble,
) -> None:
    text = "The sky is blue and the grass is green. " * 320
    answer = pair.generate(text, max_new_tokens=4)
    assert all(usage.prompt_tokens >= 3000 for usage in answer.usage.values())
    assert answer.text
    with pytest.raises(ContextWindowError, match=r"8192.*no room"):
        pair.generate(text * 4)


def test_a_closed_stream_leaves_the_next_answer_as_it_was(pair: Ensemble) -> None:
    question = "Question: What is the capital of France?\nAnswer:"
    fresh = pair.generate(question, max_new_tokens=8)
    stream = pair.stream("Once upon a time", max_new_tokens=32)
    words: list[str] = []
    while len(words) < 3:
        words.extend(next(stream).words)
    stream.close()
    again = pair.generate(question, max_new_tokens=8)
    assert again.text == fresh.text
    texts = [[(c.text, c.ends) for c in r.candidates] for r in again.rounds]
    assert texts == [[(c.text, c.ends) for c in r.candidates] for r in fresh.rounds]


def test_python_code_keeps_its_newlines_and_indentation_through_a_chain(pair: Ensemble) -> None:
    llm = AdaFuseLLM(ensemble=pair, max_tokens=64)
    chain = PromptTemplate.from_template("{task}") | llm | StrOutputParser()
    streamed = list(chain.stream({"task": CODE}))
    text = chain.invoke({"task": CODE})
    assert "".join(streamed) == text
    assert "\n    return" in text
    code = text.split("```python\n")[-1].split("```")[0]
    assert ast.parse(code)


def test_a_query_engine_of_llama_index_streams_what_it_answers(pair: Ensemble) -> None:
    llm = llama_index.AdaFuseLLM(ensemble=pair, max_tokens=12)
    index = SummaryIndex.from_documents([Document(text="The library opens at nine.")])
    answer = str(index.as_query_engine(llm=llm).query("When does the library open?"))
    words = index.as_query_engine(llm=llm, streaming=True).query("When does the library open?")
    told = list(words.response_gen)
    assert "".join(told) == answer
    assert len(told) > 2


async def test_a_function_agent_of_llama_index_ends_its_loop(pair: Ensemble) -> None:
    agent = FunctionAgent(
        tools=tools(multiply),
        llm=llama_index.AdaFuseLLM(ensemble=pair, max_tokens=32, answer_after_tools=True),
        initial_tool_choice="any",
        allow_parallel_tool_calls=False,
    )
    output = await agent.run("What is 127 times 34?")
    (called,) = output.tool_calls
    assert called.tool_output.raw_output == called.tool_kwargs["a"] * called.tool_kwargs["b"]
    assert str(output).strip()
