"""The options beside the paper's settings, as `DecodingConfig` words them; for the oracle."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from oracle_member import Draft
from oracle_text import SPACELESS


@dataclass(frozen=True)
class Options:
    scoring: str = "token"
    weighting: str = "fixed"
    leader: int | None = None
    contested_only: bool = False


def size(text: str, ends: bool, scoring: str) -> int | None:
    """What an NLL is divided by; None: by the member's tokens."""
    if scoring == "token":
        return None
    if scoring == "byte":
        return max(len(text.encode()) + ends, 1)
    words, inside = 0, False
    for character in text:
        spaceless = bool(SPACELESS.match(character))
        words += not character.isspace() and (spaceless or not inside)
        inside = not character.isspace() and not spaceless
    return max(words + ends, 1)


def common_words(drafts: Sequence[Draft], stripped: Sequence[str]) -> tuple[str, bool] | None:
    """What the likeliest drafts begin with; `stripped` are their texts as they would be committed.

    Words are told by where they end, so that a blank that is left out does not matter.
    """
    ended = {(text, draft.ends) for text, draft in zip(stripped, drafts, strict=True)}
    if len(ended) == 1:
        return next(iter(ended)) if ended != {("", False)} else None
    prefixes = []
    for text, draft in zip(stripped, drafts, strict=True):
        left_out = len("".join(draft.words)) - len(text)
        lengths = [n - left_out for n in itertools.accumulate(map(len, draft.words))]
        prefixes.append({text[:length] for length in lengths if length > 0})
    shared = set.intersection(*prefixes)
    return (max(shared, key=len), False) if shared else None


def consistent(table: Sequence[Sequence[float | None]], weights: Sequence[float]) -> list[float]:
    """-log of the damped mixture of the members' beliefs; a row for each candidate."""
    beliefs = {}
    for number, weight in enumerate(weights):
        column = [row[number] for row in table]
        masses = [0.0 if nll is None else math.exp(-nll) for nll in column]
        if weight > 0 and sum(masses) > 0:
            beliefs[number] = [mass / math.fsum(masses) for mass in masses]
    if not beliefs:
        return [math.inf] * len(table)
    total = math.fsum(weights[number] for number in beliefs)
    count = len(table)
    mixture, importance = [0.0] * count, 0.0
    for number, belief in beliefs.items():
        damping = []
        for place in range(count):
            mean = math.fsum(weights[n] * beliefs[n][place] for n in beliefs) / total
            damping.append(math.exp(-abs(belief[place] - mean)))
        confidence = math.fsum(chance**2 for chance in belief)
        importance_here = weights[number] * confidence * math.fsum(damping) / count
        importance += importance_here
        for place in range(count):
            mixture[place] += importance_here * damping[place] * belief[place]
    return [-math.log(mass / importance) if mass > 0 else math.inf for mass in mixture]


Fit = tuple[float, int]


def perplexity(
    weights: Sequence[float], fits: Sequence[tuple[list[Fit | None], Fit]]
) -> list[float]:
    """Weights by what each member finds of each message (NLL, tokens), and of the whole prompt."""
    shared = [place for place in range(len(fits[0][0])) if all(fit[0][place] for fit in fits)]
    sums = []
    for texts, whole in fits:
        found = [texts[place] for place in shared]
        pairs = [one for one in found if one is not None] if shared else [whole]
        sums.append((math.fsum(nll for nll, _ in pairs), sum(tokens for _, tokens in pairs)))
    common = max(math.fsum(tokens for _, tokens in sums) / len(sums), 1)
    both = zip(weights, sums, strict=True)
    return [weight * math.exp(-nll / common) for weight, (nll, _) in both]
