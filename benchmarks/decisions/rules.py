"""The rules: which candidate each takes at a border, and how likely it finds the reference's word.

An outcome has one number a border: whether the word taken is the reference's, and, where a rule is
a distribution, nats of the reference's own word.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logsumexp

from benchmarks.decisions.borders import Border

__all__ = ["Outcome", "outcomes", "weighted"]

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Outcome:
    """What a rule gives at every border."""

    hits: list[float] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)  # empty: the rule is no distribution


def outcomes(
    borders: Sequence[Border], members: Sequence[int], names: Sequence[str], branches: int
) -> dict[str, Outcome]:
    """Every rule without fitted weights, with so many branches, by name."""
    found: dict[str, Outcome] = {}

    def note(rule: str, hit: bool, nats: float | None = None) -> None:
        outcome = found.setdefault(rule, Outcome())
        outcome.hits.append(float(hit))
        if nats is not None:
            outcome.nats.append(nats)

    columns = list(members)
    for border in borders:
        words = border.words(branches)[:, columns]
        reference = words[border.reference]
        for at, member in enumerate(columns):
            own = border.drafted(member, branches)
            note(f"greedy {names[at]}", border.hits[own[0]] if own else False, -reference[at])
            taken = _word(border, own, words[:, at])
            note(f"words of {names[at]} alone", taken, -reference[at])
        pool = border.pool(columns, branches)
        tokens, counts = border.tokens[:, columns], np.maximum(border.counts[:, columns], 1)
        for rule, scores in (
            ("paper", -tokens / counts),
            ("mean per byte", -tokens / np.maximum(border.sizes, 1)[:, None]),
            ("mean per word", -tokens),
        ):
            note(rule, _lowest(border, pool, scores.mean(axis=1)))
        for at, name in enumerate(names):
            note(f"paper judged by {name}", _lowest(border, pool, (-tokens / counts)[:, at]))
            note(f"words judged by {name}", _word(border, pool, words[:, at]), -reference[at])
        equal = np.full(len(columns), -np.log(len(columns)))
        sure = log_softmax(-border.entropies[columns])
        for label, weights in (("", equal), (" x sure", sure)):
            for rule, combine in _COMBINE.items():
                scores = combine(words, weights)
                nats = -scores[border.reference]
                note(f"words {rule}{label}", _word(border, pool, scores), nats)
        everything = border.pool(columns, branches, margin=False)
        scores = _mixture(words, equal)
        note(
            "words mixture, no margin rule", _word(border, everything, scores),
            -scores[border.reference],
        )  # fmt: skip
        joined = _mixture(_joined(border, pool, words), equal)
        note(
            "words mixture, blanks joined", _word(border, pool, joined),
            -joined[border.reference],
        )  # fmt: skip
    return found


def _joined(border: Border, pool: Sequence[int], words: Floats) -> Floats:
    """Words of the pool and the reference that differ in blanks behind them are one event."""
    found = words.copy()
    places = dict.fromkeys([*pool, border.reference])
    for place in places:
        same = [other for other in places if border.stems[other] == border.stems[place]]
        if len(same) > 1:
            found[place] = logsumexp(words[same], axis=0)
    return found


def weighted(
    borders: Sequence[Border], members: Sequence[int], branches: int, weights: Floats
) -> Outcome:
    """A mixture with log-weights of its own at every border, (borders, M)."""
    columns, outcome = list(members), Outcome()
    for border, own in zip(borders, weights, strict=True):
        words = border.words(branches)[:, columns]
        scores = _mixture(words, own)
        pool = border.pool(columns, branches)
        outcome.hits.append(float(_word(border, pool, scores)))
        outcome.nats.append(float(-scores[border.reference]))
    return outcome


def _mixture(words: Floats, weights: Floats) -> Floats:
    return np.asarray(logsumexp(words + weights, axis=1))


def _product(words: Floats, weights: Floats) -> Floats:
    """Not normalised: its nats are the members' mean, and more than a distribution would have."""
    return np.asarray(words @ np.exp(weights))


_COMBINE: dict[str, Callable[[Floats, Floats], Floats]] = {
    "mixture": _mixture,
    "product": _product,
}


def _lowest(border: Border, pool: Sequence[int], scores: Floats) -> bool:
    """Whether the candidate with the lowest score is a hit; stops are words like others."""
    return bool(pool) and bool(border.hits[min(pool, key=scores.__getitem__)])


def _word(border: Border, pool: Sequence[int], scores: Floats) -> bool:
    """Whether the likeliest word is a hit; what completes a stop is the end."""
    events = dict.fromkeys(border.end if border.stops[place] else place for place in pool)
    return bool(events) and bool(border.hits[max(events, key=scores.__getitem__)])
