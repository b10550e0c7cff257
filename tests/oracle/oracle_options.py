"""What members' scores become, and weights by the prompt; for the oracle (DESIGN 3.3, 3.7)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Options:
    combine: str = "mixture"
    prompt_exponent: float = 0.0
    top_p: float = 1.0


def mean(row: Sequence[float | None], weights: Sequence[float]) -> float:
    """Weighted mean of the members' scores of one candidate."""
    pairs = [(weight, nll) for weight, nll in zip(weights, row, strict=True) if nll is not None]
    if not pairs:
        return math.inf
    return math.fsum(w * nll for w, nll in pairs) / math.fsum(w for w, _ in pairs)


def mixture(row: Sequence[float | None], weights: Sequence[float], judges: Sequence[int]) -> float:
    """-log of the weighted mean of the judges' probabilities; without an opinion: 0."""
    total = math.fsum(weights[n] for n in judges)
    logs = [
        math.log(weights[n] / total) - nll
        for n, nll in enumerate(row)
        if nll is not None and weights[n] > 0
    ]
    return -torch.logsumexp(torch.tensor(logs, dtype=torch.double), -1).item()


Fit = tuple[float, int]


def by_prompt(
    weights: Sequence[float], fits: Sequence[tuple[list[Fit | None], Fit]], exponent: float
) -> list[float]:
    """Weights by what each member finds of each message (NLL, characters), and of the prompt."""
    shared = [place for place in range(len(fits[0][0])) if all(fit[0][place] for fit in fits)]
    rates = []
    for texts, whole in fits:
        found = [texts[place] for place in shared]
        pairs = [one for one in found if one is not None] if shared else [whole]
        rates.append(math.fsum(nll for nll, _ in pairs) / max(sum(size for _, size in pairs), 1))
    return [w * math.exp(-exponent * rate) for w, rate in zip(weights, rates, strict=True)]
