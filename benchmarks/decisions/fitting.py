"""Weights fitted to half of the texts and used on the other half, both ways."""

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from adafuse.fitting.mixture import fit_mixture
from benchmarks.decisions.borders import Border

__all__ = ["cross_fitted", "fit_weights", "halves"]

Floats = npt.NDArray[np.float64]
_SMALLEST = 1e-12  # of a weight, so that its logarithm is a number


def halves(borders: Sequence[Border], seed: int) -> npt.NDArray[np.bool_]:
    """Which half each border belongs to, by its row; shape (borders,)."""
    rows = sorted({border.row for border in borders})
    random.Random(seed).shuffle(rows)
    first = set(rows[: len(rows) // 2])
    return np.array([border.row in first for border in borders])


def fit_weights(logprobs: Floats, features: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Log-weights (M,), and how much each of the features (borders, M) lowers them, (K,).

    `w_m exp(-sum_k factor_k feature_km)`, normalised at every border; factors are at least 0.
    """
    fixed = fit_mixture(logprobs)
    if not features:
        return np.log(np.maximum(fixed, _SMALLEST)), np.zeros(0)
    start = np.log(np.maximum(fixed, 1e-4))
    members = logprobs.shape[1]

    def nats(parameters: Floats) -> float:
        weights = log_weights(parameters[:members], parameters[members:], features)
        return float(-logsumexp(weights + logprobs, axis=1).mean())

    bounds = [(-12.0, 12.0)] * members + [(0.0, None)] * len(features)
    found = minimize(
        nats, np.concatenate([start, np.full(len(features), 0.1)]), method="L-BFGS-B", bounds=bounds
    )
    return found.x[:members], found.x[members:]


def log_weights(base: Floats, factors: Floats, features: Sequence[Floats]) -> Floats:
    """Normalised log-weights, (borders, M) or (1, M) without features."""
    weights = base[None, :]
    for factor, feature in zip(factors, features, strict=True):
        weights = weights - factor * feature
    return np.asarray(log_softmax(weights, axis=1))


def cross_fitted(
    logprobs: Floats, first: npt.NDArray[np.bool_], features: Sequence[Floats] = ()
) -> tuple[Floats, list[dict[str, list[float]]]]:
    """Log-weights at every border, fitted to the other half, (borders, M); and what was fitted.

    They are equal where the other half is empty.
    """
    found = np.full_like(logprobs, -np.log(logprobs.shape[1]))
    told = []
    for half in (first, ~first):
        if not half.any():
            continue
        base, factors = fit_weights(logprobs[half], [feature[half] for feature in features])
        held = [feature[~half] for feature in features]
        found[~half] = log_weights(base, factors, held)
        weights = np.exp(log_softmax(base))
        told.append({"weights": weights.round(4).tolist(), "factors": factors.round(4).tolist()})
    return found, told
