"""Long prompts: whether a token of the answer costs more behind a longer prompt.

Prefills are left out: what is counted is what comes after them. Lengths take turns.
"""

from collections.abc import Callable
from typing import Any

from rich.progress import track

from adafuse import Ensemble
from benchmarks.speed.figures import median, ratio, read_per_token
from benchmarks.speed.prompts import long_prompts
from benchmarks.speed.timing import Timed, timed

__all__ = ["LENGTHS", "figures", "run"]

LENGTHS = (250, 1000, 4000)
_WORDING = 40  # tokens of the prompt around its context


def run(
    pair: Ensemble, count: Callable[[str], int], repeats: int, tokens: int
) -> dict[str, dict[str, Any]]:
    """Tokens read per token and seconds per word, by prompt length in the first member's tokens."""
    limits = [length - _WORDING for length in LENGTHS] * repeats
    answers: dict[int, list[Timed]] = {length: [] for length in LENGTHS}
    for number, prompt in enumerate(track(long_prompts(limits, count), "long prompts")):
        answers[LENGTHS[number % len(LENGTHS)]].append(
            timed(pair, prompt, prompt_format="auto", max_new_tokens=tokens)
        )
    found = {str(length): figures(all_) for length, all_ in answers.items()}
    shortest = found[str(LENGTHS[0])]["seconds per word"]
    for one in found.values():
        one["seconds by those of the shortest"] = ratio(one["seconds per word"], shortest)
    return found


def figures(answers: list[Timed]) -> dict[str, Any]:
    """Of answers behind prompts of one length: counts summed, seconds as medians."""
    usages = [usage for one in answers for usage in one.answer.usage.values()]
    first = [next(iter(one.answer.usage.values())) for one in answers]
    return {
        "prompt tokens": [usage.prompt_tokens for usage in first],
        "tokens read per token": read_per_token(usages),
        "seconds per word": median(_seconds_per_word(one) for one in answers),
        "seconds of prefill": median(_prefill(one) for one in answers),
    }


def _prefill(one: Timed) -> float:
    return sum(usage.seconds.get("prefill", 0.0) for usage in one.answer.usage.values())


def _seconds_per_word(one: Timed) -> float | None:
    words = sum(len(round_.words) for round_ in one.answer.rounds)
    return ratio(one.seconds - _prefill(one), words, 4)
