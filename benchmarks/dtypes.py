"""How many rounds fall otherwise in a narrower dtype, teacher forced on the answers of float32.

The first ensemble answers; then both decide the next round after each of its prefixes, which they
read as one text. So a round that falls otherwise does not change those after it.
"""

import math
from collections.abc import Sequence
from contextlib import closing
from statistics import median
from typing import Any

from rich.progress import track

from adafuse import Ensemble
from adafuse.events import Round
from benchmarks.identity import choice_gap
from benchmarks.speed.members import count_tokens, real_pair
from benchmarks.speed.prompts import tasks

__all__ = ["compared", "run"]

_TOKENS = 24  # of an answer
_ROUNDS = 15  # that an answer of so many tokens has, about


def run(rounds: int, dtype: str) -> dict[str, Any]:
    """Compare the demo pair in float32 and in another dtype on about as many rounds."""
    wide, narrow = real_pair(keep_prompts=True), real_pair(keep_prompts=True, dtype=dtype)
    listed = tasks(lambda text: count_tokens(wide, text), -(-rounds // (4 * _ROUNDS)))
    prompts = [task.prompt for row in zip(*listed.values(), strict=True) for task in row]
    return {"dtypes": ["float32", dtype], **compared(wide, narrow, prompts, rounds, _TOKENS)}


def compared(
    wide: Ensemble, narrow: Ensemble, prompts: Sequence[str], rounds: int, tokens: int
) -> dict[str, Any]:
    """Counts over the first so many rounds of the answers to `prompts`, in turn.

    Returns how many rounds were compared, had the same drafts, and committed the same text; the
    gaps in `wide` of those that did not, nearest first (of scores, else of margins); and the
    median and largest difference of a score that both have.
    """
    found: list[tuple[Round, Round]] = []
    for prompt in track(prompts, "both dtypes"):
        prefix = prompt
        for round_ in wide.generate(prompt, prompt_format="raw", max_new_tokens=tokens).rounds:
            if len(found) == rounds:
                break
            found.append((_next(wide, prefix), _next(narrow, prefix)))
            prefix += round_.text
    apart = [score for pair in found for score in _score_differences(*pair)]
    return {
        "rounds": len(found),
        "drafts equal": sum(_texts(a) == _texts(b) for a, b in found),
        "text equal": sum(_choice(a) == _choice(b) for a, b in found),
        "gaps where it is not": sorted(
            round(choice_gap(a, b), 4) for a, b in found if _choice(a) != _choice(b)
        ),
        "score difference, median": median(apart) if apart else None,
        "score difference, largest": max(apart, default=None),
    }


def _next(ensemble: Ensemble, prefix: str) -> Round:
    """The round that follows a text."""
    with closing(ensemble.stream(prefix, prompt_format="raw")) as stream:
        return next(stream)


def _texts(round_: Round) -> list[tuple[str, bool]]:
    return [(candidate.text, candidate.ends) for candidate in round_.candidates]


def _choice(round_: Round) -> tuple[str, bool]:
    return round_.text, round_.ends


def _score_differences(one: Round, other: Round) -> list[float]:
    scores = {(c.text, c.ends): c.score for c in one.candidates if c.score is not None}
    return [
        abs(c.score - scores[c.text, c.ends])
        for c in other.candidates
        if c.score is not None and math.isfinite(c.score - scores.get((c.text, c.ends), math.nan))
    ]
