"""ReAct steps in a form that can be read: a grammar for them, and an agent that is held to it.

LlamaIndex's `ReActAgent` reads steps from free text. Models this project is for seldom keep to its
form by themselves, and small ones neither begin nor stop calling tools.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from llama_index.core.agent.react.types import ObservationReasoningStep
from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.agent.workflow.agent_context import AgentContext
from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool
from llama_index.core.tools.types import BaseTool
from pydantic import Field

from adafuse.errors import ConfigError
from adafuse.tools import read_tools
from adafuse_integrations.llama_index._tools import core_tools
from adafuse_integrations.llama_index.base import AdaFuseLLM

__all__ = ["GrammarReActAgent", "react_grammar"]

# Any text, but for lines that begin another step, as models go on that have seen one.
_ANSWER = r"/(?s:\S.*)/ & ~/(?s:.*)\n *(Thought|Action|Action Input|Observation|Answer):(?s:.*)/"
_THOUGHT = r"/[^\s:][^\n:]{0,199}/"  # a colon could make "Answer:" of it


def react_grammar(
    tools: Sequence[BaseTool], *, act: bool = True, answer: bool = True, max_tokens: int = 256
) -> str:
    """A grammar of the steps that LlamaIndex's `ReActAgent` reads, for the field `grammar`.

        Thought: I need to multiply.               Thought: I can answer.
        Action: multiply                           Answer: It is 42.
        Action Input: {"a": 6, "b": 7}

    Thoughts are one line of up to 200 characters without a colon; answers are any text but lines
    that begin another step.

    Args:
        tools: those of the agent; their arguments match their schemas.
        act: whether a step may call a tool.
        answer: whether it may answer.
        max_tokens: of a step; what arguments leave open is bounded by it.

    Raises:
        ConfigError: neither is left, or nothing fits the parameters of a tool.
        PromptError: a tool cannot be read.
        MissingExtraError: llguidance is not installed.
    """
    from adafuse.constraints.constraint import arguments_rule  # needs an extra

    shown = read_tools(core_tools(tools)) if act else ()
    steps = [f"act_{index}" for index in range(len(shown))] + ["answer"] * answer
    if not steps:
        raise ConfigError("a ReAct step must be allowed to call a tool or to answer")
    rules = [
        rf'start: "Thought: " THOUGHT "\n" ({" | ".join(steps)})',
        'answer: "Answer: " ANSWER',
        f"THOUGHT: {_THOUGHT}",
        f"ANSWER: {_ANSWER}",
    ]
    for index, tool in enumerate(shown):
        function = tool["function"]
        begin = json.dumps(f"Action: {function['name']}\nAction Input: ")
        rules.append(f"act_{index}: {begin} input_{index}")
        rules.append(f"input_{index}: {arguments_rule(function, max_tokens)}")
    return "\n".join(rules) + "\n"


class GrammarReActAgent(ReActAgent):
    """LlamaIndex's `ReActAgent`, whose steps an `AdaFuseLLM` writes under `react_grammar`."""

    call_first: bool = Field(
        default=False, description="Whether it calls a tool before it answers."
    )
    answer_after_tools: bool = Field(
        default=False, description="Whether it answers once a tool has given a result."
    )

    async def take_step(
        self,
        ctx: AgentContext,
        llm_input: list[ChatMessage],
        tools: Sequence[AsyncBaseTool],
        memory: BaseMemory,
    ) -> AgentOutput:
        """Take a step in a form that can be read.

        Raises:
            ConfigError: the model is no AdaFuseLLM, or nothing fits the parameters of a tool.
        """
        if not isinstance(self.llm, AdaFuseLLM):
            raise ConfigError(f"the llm must be an AdaFuseLLM, not {type(self.llm).__name__}")
        steps = await ctx.store.get(self.reasoning_key, default=[])
        observed = any(isinstance(step, ObservationReasoningStep) for step in steps)
        act = bool(tools) and not (observed and self.answer_after_tools)
        answer = observed or not (act and self.call_first)
        grammar = react_grammar(tools, act=act, answer=answer, max_tokens=self.llm.max_tokens)
        held = self.llm.model_copy(update={"grammar": grammar})
        taking = self.model_copy(update={"llm": held})
        return await super(GrammarReActAgent, taking).take_step(ctx, llm_input, tools, memory)
