"""How much each member counts: given weights, and how well a member predicts the prompt.

Plain numbers; knows neither tokens nor models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from adafuse.config import DecodingConfig
from adafuse.decoding.member import Member, PromptNLL, Rated, Session
from adafuse.errors import ConfigError

__all__ = ["check_rated", "member_weights", "prompt_weights", "with_weight"]


def member_weights(members: Sequence[Member], config: DecodingConfig) -> dict[str, float]:
    """Weights by member name: the configuration's, else the members' own; ConfigError if wrong."""
    weights = config.weights if config.weights is not None else [m.weight for m in members]
    if len(weights) != len(members):
        raise ConfigError(f"weights has {len(weights)} numbers for {len(members)} members")
    if not sum(weights) > 0:
        raise ConfigError("the weights of the members must not all be 0")
    return {member.name: float(weight) for member, weight in zip(members, weights, strict=True)}


def with_weight(members: Iterable[str], weights: Mapping[str, float]) -> list[str]:
    """Those of the members that count. Without one, no candidate is better."""
    return [name for name in members if weights[name] > 0]


def check_rated(weights: Mapping[str, float], sessions: Mapping[str, Session]) -> None:
    """Raise ConfigError if a member that counts cannot rate a prompt."""
    for name in with_weight(sessions, weights):
        if not isinstance(sessions[name], Rated):
            raise ConfigError(f"member {name!r} cannot rate a prompt; prompt_exponent asks for it")


def prompt_weights(
    weights: Mapping[str, float], fits: Mapping[str, PromptNLL], exponent: float
) -> dict[str, float]:
    """Weights times exp(-exponent * NLL per character) of what the prompt's messages say.

    After PackLLM (arXiv 2404.11531, 3.2); characters in place of tokens, since perplexities of
    different tokenizers do not compare. Only messages count that all these members read as they
    are; where there is none, the whole prompt. A member whose NLL is not finite gets weight 0,
    unless none is. `fits` are those of the members with a weight above 0.
    """
    by_text = zip(*(fit.texts for fit in fits.values()), strict=True)
    common = [row for row in by_text if None not in row]
    sums = {
        name: tuple(map(sum, zip(*(row[at] for row in common), strict=True)))
        if common
        else fit.whole
        for at, (name, fit) in enumerate(fits.items())
    }
    nlls = {name: nll / max(size, 1) for name, (nll, size) in sums.items() if math.isfinite(nll)}
    if not nlls:
        return dict(weights)  # the first round will say so
    best = min(nlls.values())
    return {
        name: weight * math.exp(exponent * (best - nlls[name])) if name in nlls else 0.0
        for name, weight in weights.items()
    }
