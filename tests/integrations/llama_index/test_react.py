"""The grammar of ReAct steps: what it takes is what LlamaIndex's parser reads."""

from __future__ import annotations

import random
from typing import Any

import pytest
from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.agent.react.types import ActionReasoningStep, ResponseReasoningStep

from adafuse import ConfigError, Prompt
from adafuse.constraints.grammar import byte_table
from adafuse_integrations.llama_index import AdaFuseLLM, GrammarReActAgent, react_grammar
from grammar_walks import is_taken, walk
from llama_index_script import look_up, multiply, now, tools
from watched_members import run, watched

ACT = 'Thought: I need it.\nAction: multiply\nAction Input: {"a": 6, "b": 7}'
ANSWER = "Thought: I know.\nAnswer: It is 42."


@pytest.mark.parametrize("seed", range(60))
def test_whatever_it_allows_is_read(seed: int) -> None:
    shown = tools(multiply, look_up, now)
    text = walk(byte_table().matcher(react_grammar(shown)), random.Random(seed), first=not seed)
    assert text is not None
    step = ReActOutputParser().parse(text)
    assert isinstance(step, ActionReasoningStep | ResponseReasoningStep)
    if isinstance(step, ResponseReasoningStep):
        assert step.response
        return
    (tool,) = (one for one in shown if one.metadata.name == step.action)
    assert not tool.call(**step.action_input).is_error


def test_what_it_takes() -> None:
    def takes(text: str, **options: Any) -> bool:
        return is_taken(byte_table().matcher(react_grammar(tools(multiply), **options)), text)

    assert takes(ACT)
    assert takes(ANSWER)
    assert not takes(ANSWER, answer=False)
    assert not takes(ACT, act=False)
    assert not takes(ACT.replace("multiply", "divide"))
    assert not takes(ACT.replace("7", '"7"'))
    assert not takes(ACT.replace("it.", "Answer: it."))
    assert not takes(f"{ANSWER}\nObservation: 42")


@pytest.mark.parametrize(
    "answer",
    ["5", "42", "no", "3.", "é", "word " * 80 + "end", "First:\n\n- one\n- two: 2\n"],
)
def test_bounds_that_no_one_asked_for(answer: str) -> None:
    """An answer may be as short and as long as it is, and have lines."""
    grammar = react_grammar(tools(multiply))
    assert is_taken(byte_table().matcher(grammar), f"Thought: I know.\nAnswer: {answer}")
    for line in ("Observation: 5", "Thought: I go on.", "Action: multiply", "Answer: 6"):
        text = f"Thought: I know.\nAnswer: {answer}\n{line}"
        assert not is_taken(byte_table().matcher(grammar), text)
    assert is_taken(byte_table().matcher(grammar), f"Thought: K\nAnswer: {answer}")


@pytest.mark.parametrize("answer", ["5", "no", "word " * 80 + "end"])
def test_an_agent_gives_the_answer_that_its_model_writes(answer: str) -> None:
    def respond(prompt: Prompt) -> str:
        observed = any("Observation" in str(m["content"]) for m in prompt.messages[1:])
        return f"Thought: I can answer now.\nAnswer: {answer}" if observed else ACT

    async def main() -> str:
        llm = AdaFuseLLM(ensemble=watched(respond=respond)[0], max_tokens=600)
        agent = GrammarReActAgent(tools=tools(multiply), llm=llm)
        return str(await agent.run("What is 6 times 7? The number only."))

    assert run(main()) == answer


def test_a_step_must_be_possible() -> None:
    with pytest.raises(ConfigError, match="to call a tool or to answer"):
        react_grammar([], answer=False)
    with pytest.raises(ConfigError, match="to call a tool or to answer"):
        react_grammar(tools(multiply), act=False, answer=False)
