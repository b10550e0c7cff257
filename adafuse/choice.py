"""Which candidate wins: pooling, weighted means, ties, and the draw (DESIGN 3.3). Plain numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence

from adafuse.events import Candidate
from adafuse.member import Draft

__all__ = ["choose", "mean_score", "pool", "with_weight"]


def pool(drafts: Mapping[str, Sequence[Draft]]) -> list[Candidate]:
    """Unite the drafts of all members, in member order; equal (text, ends) are one candidate.

    Its words are those of its earliest drafter.
    """
    words: dict[tuple[str, bool], tuple[str, ...]] = {}
    drafters: dict[tuple[str, bool], dict[str, None]] = {}
    for member, proposals in drafts.items():
        for draft in proposals:
            key = (draft.text, draft.ends)
            words.setdefault(key, draft.words)
            drafters.setdefault(key, {})[member] = None
    return [
        Candidate(text, ends, words[text, ends], tuple(names))
        for (text, ends), names in drafters.items()
    ]


def with_weight(members: Iterable[str], weights: Mapping[str, float]) -> list[str]:
    """Those of the members that count in the mean. Without one, no candidate is better."""
    return [name for name in members if weights[name] > 0]


def mean_score(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Weighted mean of the members' NLLs; plus infinity where no member has an opinion."""
    having = [(weights[name], score) for name, score in scores.items() if weights[name] > 0]
    total = sum(weight for weight, _ in having)
    if not having:
        return math.inf
    return sum(weight * score for weight, score in having) / total


def choose(scores: Sequence[float], temperature: float, rng: random.Random) -> int:
    """Return the index of the winner.

    Temperature 0: the lowest score; ties go to the earlier one in pool order. Above 0: one draw
    from softmax(-score / temperature) by inverse CDF in pool order.
    """
    best = min(range(len(scores)), key=scores.__getitem__)
    if temperature == 0:
        return best
    drawn = rng.random()  # one draw per scored round, whatever the scores are
    if math.isinf(scores[best]):
        return best
    weights = [math.exp((scores[best] - score) / temperature) for score in scores]
    target = drawn * sum(weights)
    total = 0.0
    for index, weight in enumerate(weights):
        total += weight
        if target < total:
            return index
    return max(i for i, weight in enumerate(weights) if weight > 0)  # rounding: the last possible
