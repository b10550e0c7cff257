"""Which candidate wins: pooling, ties, and the draw (DESIGN 3.3). Plain values."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from adafuse.decoding.member import Draft
from adafuse.events import Candidate

__all__ = ["choose", "pool"]


def pool(drafts: Mapping[str, Sequence[Draft]]) -> list[Candidate]:
    """Unite the drafts of all members, in member order; equal (text, ends) are one candidate.

    Its words are those of its earliest drafter. A stop string that any of them completed counts,
    but takes nothing of the answer with it where another one ends without.
    """
    pooled: dict[tuple[str, bool], Candidate] = {}
    for member, proposals in drafts.items():
        for draft in proposals:
            key = (draft.text, draft.ends)
            known = pooled.setdefault(key, Candidate(*key, draft.words, (), stop=draft.stop))
            drafters = tuple(dict.fromkeys([*known.drafters, member]))
            stop = known.stop
            if known.drafters and (known.stop, draft.stop) != (None, None):
                stop = min(known.stop or 0, draft.stop or 0)
            pooled[key] = replace(known, drafters=drafters, stop=stop)
    return list(pooled.values())


def choose(
    scores: Sequence[float], temperature: float, rng: random.Random, top_p: float = 1.0
) -> int:
    """Return the index of the winner.

    Temperature 0: the lowest score; ties go to the earlier one in pool order. Above 0: one draw
    from softmax(-score / temperature) by inverse CDF in pool order, of the likeliest candidates
    that together have `top_p` of it.
    """
    best = min(range(len(scores)), key=scores.__getitem__)
    if temperature == 0:
        return best
    drawn = rng.random()  # one draw per scored round, whatever the scores are
    if math.isinf(scores[best]):
        return best
    weights = [math.exp((scores[best] - score) / temperature) for score in scores]
    weights = _likeliest(weights, top_p)
    target = drawn * sum(weights)
    for index, total in enumerate(accumulate(weights)):
        if target < total:
            return index
    return max(i for i, weight in enumerate(weights) if weight > 0)  # rounding: the last possible


def _likeliest(weights: list[float], top_p: float) -> list[float]:
    """Weights, with 0 in place of those outside the likeliest that together have `top_p`."""
    if top_p == 1:
        return weights
    kept = [0.0] * len(weights)
    for at in sorted(range(len(weights)), key=lambda at: -weights[at]):  # stable: pool order
        if sum(kept) >= top_p * sum(weights):
            break
        kept[at] = weights[at]
    return kept
