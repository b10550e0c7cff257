"""The grammar of ReAct steps: what it takes is what LlamaIndex's parser reads."""

from __future__ import annotations

import random
from typing import Any

import pytest
from llama_index.core.agent.react.output_parser import ReActOutputParser
from llama_index.core.agent.react.types import ActionReasoningStep, ResponseReasoningStep

from adafuse import ConfigError
from adafuse.constraints.grammar import byte_table
from adafuse_integrations.llama_index import react_grammar
from grammar_walks import is_taken, walk
from llama_index_script import look_up, multiply, now, tools

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


def test_a_step_must_be_possible() -> None:
    with pytest.raises(ConfigError, match="to call a tool or to answer"):
        react_grammar([], answer=False)
    with pytest.raises(ConfigError, match="to call a tool or to answer"):
        react_grammar(tools(multiply), act=False, answer=False)
