"""The mixture that makes texts most likely: weights by expectation maximisation (DESIGN 3.8).

Numbers only. A border is a place where a word (or the end) is decided; at each of them every
member has said how probable it finds the word of the text. Of fixed weights the log-likelihood is
concave, so where the steps lead is the best there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Mixture", "fit_mixture", "fit_prompt_exponent", "mixture_nlls"]

Array = np.ndarray[Any, np.dtype[np.float64]]

_STEPS = 5_000
_TOLERANCE = 1e-7  # nats a border that further steps could gain at most
_TINY = 1e-3  # a mean share that is on its way to 0 gets there
_EXPONENTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # looked at before the search


@dataclass(frozen=True, slots=True)
class Mixture:
    """Weights, and how much they depend on the prompt.

    Attributes:
        weights: (members,), at least 0, with sum 1.
        exponent: lambda of w_m * exp(-lambda * NLL of the prompt per character); 0: fixed weights.
    """

    weights: Array
    exponent: float = 0.0

    def shares(self, prompts: Array) -> Array:
        """Weights behind each prompt.

        Args:
            prompts: (texts, members), NLL of the prompt per character in nats.

        Returns:
            (texts, members); each row has the sum 1.
        """
        factors = _factors(prompts, self.exponent) * self.weights
        return factors / factors.sum(-1, keepdims=True)  # type: ignore[no-any-return]


def fit_mixture(logprobs: Array) -> Array:
    """Weights under which the words are most likely.

    Args:
        logprobs: (borders, members), log-probability of the text's word in nats, all finite.

    Returns:
        (members,), at least 0, with sum 1; a member that helps nowhere has exactly 0.
    """
    texts = np.zeros(len(logprobs), dtype=int)
    return _ascend(logprobs, np.ones((1, logprobs.shape[1])), texts)


def fit_prompt_exponent(logprobs: Array, prompts: Array, texts: Any) -> Mixture:
    """Weights and exponent, fitted together.

    Args:
        logprobs: as for `fit_mixture`.
        prompts: (texts, members), NLL of each text's prompt per character in nats.
        texts: (borders,), which text a border belongs to, as a row of `prompts`.

    Returns:
        A mixture that is at least as likely as the best of fixed weights.
    """
    from scipy.optimize import minimize_scalar

    found: dict[float, tuple[float, Array]] = {}

    def loss(exponent: float) -> float:
        exponent = float(exponent)
        if exponent not in found:
            weights = _ascend(logprobs, _factors(prompts, exponent), texts)
            mixture = Mixture(weights, exponent)
            nlls = mixture_nlls(mixture, logprobs, prompts, texts)
            found[exponent] = float(nlls.mean()), weights
        return found[exponent][0]

    # Not always with one valley: the search is between the neighbours of the best that was seen.
    at = int(np.argmin([loss(exponent) for exponent in _EXPONENTS]))
    between = (_EXPONENTS[max(at - 1, 0)], _EXPONENTS[min(at + 1, len(_EXPONENTS) - 1)])
    minimize_scalar(loss, bounds=between, method="bounded", options={"xatol": 0.01})
    best = min(found, key=lambda exponent: found[exponent][0])
    return Mixture(found[best][1], best)


def mixture_nlls(mixture: Mixture, logprobs: Array, prompts: Array, texts: Any) -> Array:
    """NLL of each word under a mixture, (borders,), in nats; arguments as of the fit."""
    shares = mixture.shares(prompts)[texts]  # (borders, members)
    top = logprobs.max(-1)
    with np.errstate(divide="ignore"):
        terms = np.log(shares) + (logprobs - top[:, None])
    return -(np.logaddexp.reduce(terms, axis=-1) + top)  # type: ignore[no-any-return]


def _factors(prompts: Array, exponent: float) -> Array:
    """exp(-exponent * NLL), (texts, members); a text's largest is 1, as shares allow."""
    return np.exp(exponent * (prompts.min(-1, keepdims=True) - prompts))  # type: ignore[no-any-return]


def _ascend(logprobs: Array, factors: Array, texts: Any) -> Array:
    """Weights that maximise the sum of log(sum_m w_m f_tm p_bm / sum_m w_m f_tm).

    Each step multiplies w_m by its mean share of what was written over its mean share of the say.
    With factors of 1 that is expectation maximisation; else the normaliser is bounded by its
    tangent besides, so that no step makes the texts less likely either way.
    """
    likelihoods = np.exp(logprobs - logprobs.max(-1, keepdims=True)) * factors[texts]
    counts = np.bincount(texts, minlength=len(factors))
    weights = np.full(logprobs.shape[1], 1 / logprobs.shape[1])
    for _ in range(_STEPS):
        written = likelihoods.T @ (1 / np.maximum(likelihoods @ weights, 1e-300))
        said = factors.T @ (counts / np.maximum(factors @ weights, 1e-300))
        ratios = written / said  # 1 where a weight is right, below 1 where even 0 is too much
        if (ratios - 1).max() < _TOLERANCE:
            break
        weights = weights * ratios
        weights /= weights.sum()
    shares = weights * said / len(logprobs)
    weights = np.where((shares < _TINY) & (ratios < 1), 0.0, weights)
    return weights / weights.sum()  # type: ignore[no-any-return]
