"""Prompts that grow: how much of a chat's and of an agent's history is read again.

Counts only; they are the same on every machine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.progress import track

from adafuse import Ensemble
from adafuse.events import MemberUsage
from adafuse.tools import CALL_START
from benchmarks.speed.figures import ratio

__all__ = ["run", "totals"]

QUESTIONS = (
    "Hello! Who was Ada Lovelace?",
    "Where was she born?",
    "What did she write about?",
    "Who built the machine?",
    "Was it ever finished?",
    "What is an algorithm?",
    "Give me an example of one.",
    "Who was her father?",
    "When did she die?",
    "Sum up what we talked about.",
)
TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search the notices of the library.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string", "maxLength": 24}},
            "required": ["query"],
        },
    },
}
RESULTS = (
    "The library opens at nine on weekdays.",
    "On Saturdays it opens at ten.",
    "A lost card costs three euros.",
    "Books are lent for four weeks.",
    "There are two rooms for groups.",
    "The printer is on the first floor.",
)


def run(pair: Ensemble, tokens: int) -> dict[str, Any]:
    """A chat of ten turns and an agent's six steps, by member."""
    return {"chat": totals(_chat(pair, tokens)), "agent": totals(_agent(pair, tokens))}


def _chat(pair: Ensemble, tokens: int) -> list[Mapping[str, MemberUsage]]:
    messages: list[dict[str, Any]] = []
    usages = []
    for question in track(QUESTIONS, "chat"):
        messages.append({"role": "user", "content": question})
        answer = pair.generate(messages, max_new_tokens=tokens)
        messages.append({"role": "assistant", "content": answer.text})
        usages.append(answer.usage)
    return usages


def _agent(pair: Ensemble, tokens: int) -> list[Mapping[str, MemberUsage]]:
    """Each step shows one more call and its result, and is answered freely.

    The calls are given: what is measured is how the history is read, not what models make of it.
    """
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Tell me about the library."}]
    usages = []
    for step, result in enumerate(track(RESULTS, "agent")):
        answer = pair.generate(messages, tools=[TOOL], tool_choice="auto", max_new_tokens=tokens)
        usages.append(answer.usage)
        call = {"name": "search", "arguments": {"query": result.split()[1]}}
        messages += [
            {
                "role": "assistant",
                "content": answer.text.partition(CALL_START)[0],
                "tool_calls": [{"id": f"call{step}", "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": f"call{step}", "content": result},
        ]
    return usages


def totals(usages: Sequence[Mapping[str, MemberUsage]]) -> dict[str, dict[str, Any]]:
    """By member: prompt tokens, reused and read, turn by turn and by the last prompt's length."""
    found = {}
    for name in usages[0]:
        mine = [by_name[name] for by_name in usages]
        prompts = [usage.prompt_tokens for usage in mine]
        read = [usage.prompt_tokens - usage.reused_tokens for usage in mine]
        found[name] = {
            "prompt tokens": prompts,
            "reused": [usage.reused_tokens for usage in mine],
            "read": read,
            "read by last prompt": ratio(sum(read), prompts[-1]),
            "all prompts by last prompt": ratio(sum(prompts), prompts[-1]),
        }
    return found
