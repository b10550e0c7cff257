"""The form of a ReAct step as a grammar, so that an agent can read whatever is written."""

from __future__ import annotations

import json
from collections.abc import Sequence

from llama_index.core.tools.types import BaseTool

from adafuse.errors import ConfigError
from adafuse.tools import read_tools
from adafuse_integrations.llama_index.calling import core_tools

__all__ = ["react_grammar"]

_ANSWER = r"/\S[^\n]{2,199}/"
_THOUGHT = r"/[^\s:][^\n:]{2,199}/"  # a colon could make "Answer:" of it


def react_grammar(
    tools: Sequence[BaseTool], *, act: bool = True, answer: bool = True, max_tokens: int = 256
) -> str:
    """A grammar of the steps that LlamaIndex's `ReActAgent` reads, for the field `grammar`.

        Thought: I need to multiply.               Thought: I can answer.
        Action: multiply                           Answer: It is 42.
        Action Input: {"a": 6, "b": 7}

    Small models seldom keep to that form by themselves. Thoughts and answers are one line each, of
    3 to 200 characters; thoughts have no colon.

    Args:
        tools: those of the agent; their arguments match their schemas.
        act: whether a step may call a tool.
        answer: whether it may answer.
        max_tokens: of a step; what arguments leave open is bounded by it.

    Raises:
        ConfigError: neither is left, or the arguments of a tool cannot be enforced.
        PromptError: a tool cannot be read.
        MissingExtraError: llguidance is not installed.
    """
    from adafuse.constraints import arguments_rule  # needs an extra

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
        told = tool["function"]
        begin = json.dumps(f"Action: {told['name']}\nAction Input: ")
        rules.append(f"act_{index}: {begin} input_{index}")
        rules.append(f"input_{index}: {arguments_rule(told, max_tokens)}")
    return "\n".join(rules) + "\n"
