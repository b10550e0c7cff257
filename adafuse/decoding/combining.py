"""One score for each candidate, from those of all members (DESIGN 3.3 and 3.7). Plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from adafuse.config import Combine, DecodingConfig
from adafuse.events import Candidate

__all__ = ["combined", "log_sum", "mean_score", "mixture_score"]


def combined(
    pooled: Sequence[Candidate],
    nlls: Sequence[Mapping[str, float]],
    weights: Mapping[str, float],
    config: DecodingConfig,
) -> tuple[Candidate, ...]:
    """Candidates with their scores: `nlls` are the members' of each, by name.

    By words, all ways to end the answer here are one candidate: its probability is their sum.
    """
    how: Combine | None = config.combine if config.rule == "words" else None
    voters = {name: weights[name] for own in nlls for name in own}

    def scored(candidate: Candidate, own: Mapping[str, float]) -> Candidate:
        score = mixture_score if how == "mixture" else mean_score
        return replace(candidate, scores=own, score=score(own, voters))

    candidates = [scored(*pair) for pair in zip(pooled, nlls, strict=True)]
    ends = [one for one in candidates if one.ends and not one.text.strip()]
    if how is None or len(ends) < 2:
        return tuple(candidates)
    return tuple(
        scored(*_one_end(ends)) if candidate is ends[0] else candidate
        for candidate in candidates
        if candidate not in ends[1:]
    )


def _one_end(ends: Sequence[Candidate]) -> tuple[Candidate, dict[str, float]]:
    """Ends as one: what the likeliest of them commits, and the members' summed probabilities."""
    likeliest = min(ends, key=lambda end: math.inf if end.score is None else end.score)
    names = dict.fromkeys(chain.from_iterable(end.scores for end in ends))
    nlls = {
        name: -log_sum(-end.scores[name] for end in ends if name in end.scores) for name in names
    }
    drafters = tuple(dict.fromkeys(chain.from_iterable(end.drafters for end in ends)))
    stopped = any(end.stop is not None for end in ends)
    return replace(
        likeliest, drafters=drafters, stop=(likeliest.stop or 0) if stopped else None
    ), nlls


def mean_score(nlls: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Weighted mean of the members' NLLs; plus infinity where no member has an opinion."""
    having = [(weights[name], nll) for name, nll in nlls.items() if weights[name] > 0]
    if not having:
        return math.inf
    return sum(weight * nll for weight, nll in having) / sum(weight for weight, _ in having)


def mixture_score(nlls: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """-log of the weighted mean of the members' probabilities; without an opinion: 0."""
    total = sum(weights.values())
    terms = (math.log(weights[n] / total) - nll for n, nll in nlls.items() if weights[n] > 0)
    return -log_sum(terms)


def log_sum(logs: Iterable[float]) -> float:
    """log of the sum of exponentials; minus infinity of none."""
    known = list(logs)
    peak = max(known, default=-math.inf)
    if math.isinf(peak):
        return peak
    return peak + math.log(sum(math.exp(log - peak) for log in known))
