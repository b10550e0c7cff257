"""How much each member's opinion counts: given weights, prompt perplexity, consistency.

Plain numbers; knows neither tokens nor models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from adafuse.config import DecodingConfig, Weighting
from adafuse.decoding.member import Member, PromptNLL, Rated, Session
from adafuse.errors import ConfigError

__all__ = [
    "check_rated",
    "consistent_scores",
    "final_scores",
    "leader_of",
    "mean_score",
    "member_weights",
    "perplexity_weights",
    "with_weight",
]


def member_weights(members: Sequence[Member], config: DecodingConfig) -> dict[str, float]:
    """Weights by member name: the configuration's, else the members' own; ConfigError if wrong."""
    weights = config.weights if config.weights is not None else [m.weight for m in members]
    if len(weights) != len(members):
        raise ConfigError(f"weights has {len(weights)} numbers for {len(members)} members")
    if not sum(weights) > 0:
        raise ConfigError("the weights of the members must not all be 0")
    return {member.name: float(weight) for member, weight in zip(members, weights, strict=True)}


def leader_of(names: Sequence[str], config: DecodingConfig) -> str | None:
    """The name of the leading member, if one is set by name or by place; ConfigError if wrong."""
    leader = config.leader
    if leader is None or leader in names:
        return leader if leader is None else str(leader)
    if isinstance(leader, int) and leader < len(names):
        return names[leader]
    members = ", ".join(names)
    raise ConfigError(f"leader {leader!r} is no member that answers; members in order: {members}")


def with_weight(members: Iterable[str], weights: Mapping[str, float]) -> list[str]:
    """Those of the members that count in the mean. Without one, no candidate is better."""
    return [name for name in members if weights[name] > 0]


def mean_score(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Weighted mean of the members' NLLs; plus infinity where no member has an opinion."""
    having = [(weights[name], score) for name, score in scores.items() if weights[name] > 0]
    if not having:
        return math.inf
    return sum(weight * score for weight, score in having) / sum(weight for weight, _ in having)


def check_rated(weights: Mapping[str, float], sessions: Mapping[str, Session]) -> None:
    """Raise ConfigError if a member that counts cannot rate a prompt."""
    for name in with_weight(sessions, weights):
        if not isinstance(sessions[name], Rated):
            raise ConfigError(f'member {name!r} cannot rate a prompt; weighting "perplexity" asks')


def perplexity_weights(
    weights: Mapping[str, float], fits: Mapping[str, PromptNLL]
) -> dict[str, float]:
    """Weights times exp(-log perplexity) of what the prompt's messages say.

    PackLLM (arXiv 2404.11531, 3.2) weighs members so. Perplexities of different tokenizers do not
    compare, so each NLL is divided by the same number: the mean of the members' token counts. Only
    messages count that all these members read as they are; where there is none, the whole prompt.
    A member whose NLL is not finite gets weight 0, unless none is. `fits` are those of the members
    with a weight above 0.
    """
    by_text = zip(*(fit.texts for fit in fits.values()), strict=True)
    common = [row for row in by_text if None not in row]
    sums = {
        name: tuple(map(sum, zip(*(row[at] for row in common), strict=True)))
        if common
        else fit.whole
        for at, (name, fit) in enumerate(fits.items())
    }
    tokens = max(sum(count for _, count in sums.values()) / len(sums), 1)
    finite = {name: nll / tokens for name, (nll, _) in sums.items() if math.isfinite(nll)}
    if not finite:
        return dict(weights)  # the first round will say so
    best = min(finite.values())
    return {
        name: weight * math.exp(best - finite[name]) if name in finite else 0.0
        for name, weight in weights.items()
    }


def final_scores(
    scores: Sequence[Mapping[str, float]], weights: Mapping[str, float], weighting: Weighting
) -> list[float]:
    """One score for each candidate, from those of the members by name; the lowest wins."""
    if weighting == "consistency":
        return consistent_scores(scores, weights)
    return [mean_score(own, weights) for own in scores]


def consistent_scores(
    scores: Sequence[Mapping[str, float]], weights: Mapping[str, float]
) -> list[float]:
    """Scores of candidates by consistency, after CoRE (arXiv 2510.13855), carried over to spans.

    A member's NLLs of the candidates become a distribution over them, softmax(-NLL). Then

    - candidates: each probability is damped by exp(-distance from the weighted mean), which lowers
      those on which members disagree;
    - members: a weight is multiplied by the sum of squares of its distribution (self-confidence)
      and by the mean of its dampings (agreement with the others).

    A candidate that a member has no NLL of counts as impossible to it. Returns -log of the
    weighted mean of damped probabilities, one number per candidate.
    """
    names = [n for n in weights if weights[n] > 0 and any(n in own for own in scores)]
    beliefs = {name: _softmax([-own.get(name, math.inf) for own in scores]) for name in names}
    names = [name for name in names if sum(beliefs[name]) > 0]
    total = sum(weights[name] for name in names)
    if not total > 0:
        return [math.inf] * len(scores)
    everyone = range(len(scores))
    mean = [sum(weights[n] * beliefs[n][at] for n in names) / total for at in everyone]
    damping = {n: [math.exp(-abs(beliefs[n][at] - mean[at])) for at in everyone] for n in names}
    counts = {
        name: weights[name]
        * sum(belief**2 for belief in beliefs[name])
        * (sum(damping[name]) / len(scores))
        for name in names
    }
    total = sum(counts.values())
    mixed = [sum(counts[n] * damping[n][at] * beliefs[n][at] for n in names) for at in everyone]
    return [-math.log(mass / total) if mass > 0 else math.inf for mass in mixed]


def _softmax(logits: Sequence[float]) -> list[float]:
    """Probabilities; all 0 where no logit is finite."""
    best = max(logits)
    if not math.isfinite(best):
        return [0.0] * len(logits)
    masses = [math.exp(logit - best) for logit in logits]
    return [mass / sum(masses) for mass in masses]
