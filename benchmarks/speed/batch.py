"""Eight prompts decoded together against one after another: words a second, and equal texts."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.progress import track

from adafuse import Answer, Ensemble
from benchmarks.speed.figures import passes_per_token, ratio
from benchmarks.speed.prompts import short_prompts

__all__ = ["figures", "run"]

LONGEST = 300
"""Tokens of the longest prompt, as the first member counts."""


def run(pair: Ensemble, count: Callable[[str], int], prompts: int, tokens: int) -> dict[str, Any]:
    """Half of the single answers come before the batch, half behind it: drift is fair to both."""
    texts = short_prompts(prompts, LONGEST - 20, count)
    settings: dict[str, Any] = {"prompt_format": "auto", "max_new_tokens": tokens}
    half = len(texts) // 2
    single: list[Answer] = []
    start = time.perf_counter()
    single += (pair.generate(text, **settings) for text in track(texts[:half], "one by one"))
    middle = time.perf_counter()
    together = pair.generate_batch(texts, **settings)
    after = time.perf_counter()
    single += (pair.generate(text, **settings) for text in track(texts[half:], "one by one"))
    end = time.perf_counter()
    return figures(single, together, (middle - start) + (end - after), after - middle)


def figures(
    single: Sequence[Answer], together: Sequence[Answer], alone: float, batch: float
) -> dict[str, Any]:
    """What both took, in words a second and in forwards, and how many texts are equal."""
    words = [sum(len(one.words) for answer in all_ for one in answer.rounds)
             for all_ in (single, together)]  # fmt: skip
    return {
        "prompts": len(single),
        "texts equal": sum(a.text == b.text for a, b in zip(single, together, strict=True)),
        "words": words[1],
        "words a second, one by one": ratio(words[0], alone),
        "words a second, together": ratio(words[1], batch),
        "speed-up": ratio(words[1] * alone, words[0] * batch),
        "seconds, one by one": round(alone, 2),
        "seconds, together": round(batch, 2),
        "passes per token, one by one": passes_per_token(_usages(single)),
    }


def _usages(answers: Sequence[Answer]) -> list[Any]:
    return [usage for answer in answers for usage in answer.usage.values()]
