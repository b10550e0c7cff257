"""Which candidate wins: pooling, agreement, ties, and the draw (DESIGN 3.3). Plain values."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import accumulate

from adafuse.decoding.member import Draft
from adafuse.events import Candidate, cut_words

__all__ = ["agreed", "choose", "pool"]


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


def agreed(drafts: Mapping[str, Sequence[Draft]]) -> Candidate | None:
    """What all members would write by themselves: the words that their likeliest drafts share.

    Each member that drafted anything counts by its most probable draft, from the first word on; all
    of them end there if all their drafts do. None where already the first words differ.
    """
    first = [proposals[0] for proposals in drafts.values() if proposals]
    if not first:
        return None
    if len({(draft.text, draft.ends) for draft in first}) == 1:
        text, ends = first[0].text, first[0].ends
    else:
        borders = [set(accumulate(draft.words)) for draft in first]
        text, ends = max(set.intersection(*borders), key=len, default=""), False
    if not text and not ends:
        return None
    drafters = tuple(name for name, proposals in drafts.items() if proposals)
    return Candidate(text, ends, cut_words(first[0].words, len(text)), drafters)


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
    for index, total in enumerate(accumulate(weights)):
        if target < total:
            return index
    return max(i for i, weight in enumerate(weights) if weight > 0)  # rounding: the last possible
