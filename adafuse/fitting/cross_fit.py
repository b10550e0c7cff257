"""Who deserves a say: weights are fitted to one half of the texts and judged on the other.

Nobody is judged on texts that chose the weights. Intervals are bootstrap intervals over groups of
texts (scipy), the same groups for both sides of a difference. Knows no models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from adafuse.compare.results import RESAMPLES, Interval
from adafuse.fitting.mixture import (
    Array,
    Mixture,
    fit_mixture,
    fit_prompt_exponent,
    mixture_nlls,
)
from adafuse.fitting.readings import Readings

__all__ = ["Verdict", "judge"]

_LEAST_SHARE = 0.01  # of the say; less is not worth a model


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who writes, with what weights, and what is known of it.

    Attributes:
        weights: one for each member, with sum 1; 0 for who has no say.
        exponent: of the prompt's probability, see `Mixture`.
        best: index of the member that is best alone.
        members: nats per word of each member alone.
        mixture: nats per word of the fitted mixture on texts that it was not fitted to: of those
            that have a say, or of all where only one has.
        difference: `mixture` less the best member's.
        by_prompt: nats per word with weights by prompt less those with fixed ones.
    """

    weights: tuple[float, ...]
    exponent: float
    best: int
    members: tuple[Interval, ...]
    mixture: Interval
    difference: Interval
    by_prompt: Interval

    @property
    def together(self) -> bool:
        """Whether more than one member has a say."""
        return sum(weight > 0 for weight in self.weights) > 1


def judge(readings: Readings, seed: int) -> Verdict:
    """Fit, judge and decide.

    Weights by prompt are taken where they are ahead of fixed ones beyond the interval. Then
    members are left out as long as those that remain are not clearly worse off, one by one; at
    last all but one, unless all of them together are clearly ahead of the best one. The weights
    are then fitted to all texts.
    """
    trial = _Trial(readings, seed)
    everyone = tuple(range(readings.logprobs.shape[1]))
    alone = [trial.held_out((member,), False) for member in everyone]
    best = int(np.argmin([nlls.mean() for nlls in alone]))
    by_prompt = trial.interval(trial.held_out(everyone, True) - trial.held_out(everyone, False))
    prompted = by_prompt.high < 0
    full = trial.held_out(everyone, prompted)
    chosen = _needed(trial, everyone, prompted)
    if trial.interval(full - alone[best]).high >= 0:
        chosen = (best,)  # together they are not ahead of it
    elif trial.interval(trial.held_out(chosen, prompted) - alone[best]).high >= 0:
        chosen = everyone  # none is needed by itself, and yet all together are
    chosen, mixture = trial.final(chosen, prompted)
    held = trial.held_out(chosen, prompted) if len(chosen) > 1 else full
    weights = dict(zip(chosen, mixture.weights.tolist(), strict=True))
    return Verdict(
        tuple(weights.get(member, 0.0) for member in everyone),
        mixture.exponent,
        best if len(chosen) > 1 else chosen[0],
        tuple(trial.interval(nlls) for nlls in alone),
        trial.interval(held),
        trial.interval(held - alone[best]),
        by_prompt,
    )


def _needed(trial: _Trial, members: tuple[int, ...], prompted: bool) -> tuple[int, ...]:
    """Those without whom the others would be worse off beyond the interval."""
    while len(members) > 1:
        held = trial.held_out(members, prompted)
        fewer = [tuple(m for m in members if m != left_out) for left_out in members]
        nearest = min(fewer, key=lambda some: float(trial.held_out(some, prompted).mean()))
        if trial.interval(held - trial.held_out(nearest, prompted)).high < 0:
            break
        members = nearest
    return members


class _Trial:
    """Readings in two halves, and what was found on the half that did not fit."""

    def __init__(self, readings: Readings, seed: int) -> None:
        self._readings, self._seed = readings, seed
        groups = int(readings.groups.max()) + 1
        order = np.random.default_rng(seed).permutation(groups)
        first = np.zeros(groups, dtype=bool)
        first[order[: groups // 2]] = True
        self._group = readings.groups[readings.texts]  # (borders,)
        self._first = first[self._group]  # (borders,)
        self._words = np.bincount(self._group)
        self._held: dict[tuple[tuple[int, ...], bool], Array] = {}

    def held_out(self, members: tuple[int, ...], prompted: bool) -> Array:
        """NLL of each word under the mixture fitted to the other half, (borders,)."""
        key = members, prompted and len(members) > 1
        if key not in self._held:
            self._held[key] = self._cross_fitted(*key)
        return self._held[key]

    def _cross_fitted(self, members: tuple[int, ...], prompted: bool) -> Array:
        some = self._readings.part(members)
        if len(members) == 1:
            return -some.logprobs[:, 0]
        nlls = np.empty(len(some.logprobs))
        for half in (self._first, ~self._first):
            mixture = _fitted(some, half, prompted)
            nlls[~half] = mixture_nlls(
                mixture, some.logprobs[~half], some.prompts, some.texts[~half]
            )
        return nlls

    def final(self, members: tuple[int, ...], prompted: bool) -> tuple[tuple[int, ...], Mixture]:
        """Weights fitted to all texts, without those who have next to no say."""
        while True:
            some = self._readings.part(members)
            mixture = _fitted(some, np.ones(len(some.logprobs), dtype=bool), prompted)
            shares = mixture.shares(some.prompts)[some.texts].mean(0)
            enough = tuple(m for m, share in zip(members, shares, strict=True)
                           if share >= _LEAST_SHARE)  # fmt: skip
            if enough == members:
                return members, mixture
            members = enough

    def interval(self, nlls: Array) -> Interval:
        """Nats per word, and where they lie in 95 of 100 resamples of the groups."""
        sums = np.bincount(self._group, weights=nlls)
        mean = float(sums.sum() / self._words.sum())
        if np.ptp(sums / self._words) == 0:  # nothing to resample
            return Interval(mean, mean, mean)
        from scipy.stats import bootstrap

        drawn = bootstrap(
            (sums, self._words), _per_word, paired=True, vectorized=True, n_resamples=RESAMPLES,
            method="percentile", rng=np.random.default_rng(self._seed), batch=1000,
        ).confidence_interval  # fmt: skip
        return Interval(mean, float(drawn.low), float(drawn.high))


def _per_word(sums: Any, words: Any, axis: int = -1) -> Any:
    return sums.sum(axis) / words.sum(axis)


def _fitted(readings: Readings, borders: Any, prompted: bool) -> Mixture:
    """A mixture of all members, fitted to some borders."""
    logprobs, texts = readings.logprobs[borders], readings.texts[borders]
    if logprobs.shape[1] == 1 or not prompted:
        return Mixture(fit_mixture(logprobs))
    return fit_prompt_exponent(logprobs, readings.prompts, texts)
