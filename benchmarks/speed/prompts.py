"""The prompts that are measured: four kinds of work, and contexts of a given length."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.rows import rag_prompt, rows

__all__ = ["WORKLOADS", "Task", "fill", "long_prompts", "short_prompts", "tasks"]

RAG_TOKENS = (300, 1200)
"""Shortest and longest context of the RAG workload, in the first member's tokens."""

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt, and what ends its answer besides the members."""

    prompt: str
    stop: tuple[str, ...] = ()


def fill(first: str, others: Iterable[str], limit: int, count: Count) -> str:
    """A context of at most `limit` tokens that has `first` in it, whatever its length.

    Of the others, each is added that differs from all before and still fits. `first` stands in the
    middle.
    """
    kept = [first]
    left = limit - count(first)
    for other in others:
        if other not in kept and (tokens := count(f"\n\n{other}")) <= left:
            kept.append(other)
            left -= tokens
    half = len(kept) // 2
    return "\n\n".join([*kept[1 : half + 1], first, *kept[half + 1 :]])


def tasks(count: Count, prompts: int) -> dict[str, list[Task]]:
    """The tasks of every workload, `prompts` of them each; `count` counts a text's tokens."""
    low, high = RAG_TOKENS
    step = (high - low) / max(prompts - 1, 1)
    limits = [round(low + step * number) for number in range(prompts)]
    return {
        "RAG": [Task(prompt, ("\n",)) for prompt in long_prompts(limits, count)],
        "open questions": [Task(row["question"]) for row in rows("natural_questions", prompts)],
        "arithmetic": [
            Task(f"Question: {row['question']}\nLet's think step by step.\nAnswer:")
            for row in rows("gsm8k", prompts)
        ],
        "translation": [
            Task(f"Translate into German.\n\nEnglish: {row['source']}\n\nGerman:", ("\n",))
            for row in rows("flores_en_de", prompts)
        ],
    }


def long_prompts(limits: Sequence[int], count: Count) -> list[str]:
    """A SQuAD prompt for each limit, whose context has about so many tokens and no more."""
    contexts = [row["context"] for row in rows("squad", 300)]
    found = []
    for number, (row, limit) in enumerate(zip(rows("squad", len(limits)), limits, strict=True)):
        start = number * len(contexts) // len(limits)
        context = fill(row["context"], contexts[start:] + contexts[:start], limit, count)
        found.append(rag_prompt({**row, "context": context}))
    return found


def short_prompts(wanted: int, limit: int, count: Count) -> list[str]:
    """The first `wanted` SQuAD prompts of at most `limit` tokens, with contexts that differ."""
    found: dict[str, str] = {}
    for row in rows("squad", 300):
        prompt = rag_prompt(row)
        if count(prompt) <= limit:
            found.setdefault(row["context"], prompt)
    return list(found.values())[:wanted]


WORKLOADS = ("RAG", "open questions", "arithmetic", "translation")
