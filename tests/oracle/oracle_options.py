"""What members' scores become, and weights by the prompt; for the oracle (DESIGN 3.3, 3.7)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from oracle_member import Member


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


def fit(member: Member, texts: Sequence[str]) -> tuple[list[Fit | None], Fit]:
    """NLL and characters of what each message says, and of the whole prompt."""
    pieces = [member.text.token_bytes(token) for token in member.prompt]
    with torch.no_grad():
        logits = member.model(input_ids=torch.tensor([member.prompt]), use_cache=False).logits[0]
    steps = logits.double().log_softmax(-1)

    def rate(first: int, last: int) -> Fit | None:
        """Of the tokens that hold bytes from `first` to `last`."""
        terms, unknown, end = [], 0, 0
        for place, piece in enumerate(pieces):
            start, end = end, end + len(piece)
            if first < last and start < last and end > first:
                if place:
                    terms.append(-steps[place - 1][member.prompt[place]].item())
                else:
                    unknown += 1
        if unknown and not terms:
            return None
        count = len(terms) + unknown
        size = len(b"".join(pieces)[first:last].decode(errors="replace"))
        return math.fsum(terms) * (count / len(terms) if terms else 1.0), size

    whole, begin = b"".join(pieces), 0
    found: list[Fit | None] = []
    for text in texts:
        data = text.strip().encode()
        at = whole.find(data, begin)
        if at >= 0:
            begin = at + len(data)
        found.append(rate(at, begin) if at >= 0 else None)
    return found, rate(0, len(whole)) or (0.0, 1)
