"""Weights by expectation maximisation: against scipy, against known answers, and properties."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("scipy")
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from adafuse.fitting.mixture import Mixture, fit_mixture, fit_prompt_exponent, mixture_nlls

NATS = st.floats(0, 40, allow_subnormal=False)
READINGS = st.tuples(st.integers(1, 40), st.integers(2, 4)).flatmap(
    lambda shape: arrays(float, shape, elements=NATS)
)


def nats(weights: Any, logprobs: Any) -> float:
    with np.errstate(divide="ignore"):
        return float(-logsumexp(np.log(weights) + logprobs, axis=-1).mean())


def test_a_known_answer() -> None:
    """Each finds its own words certain and the others impossible: shares of the words."""
    logprobs = np.full((10, 3), -100.0)
    logprobs[:7, 0] = logprobs[7:9, 1] = logprobs[9:, 2] = -1.0
    assert fit_mixture(logprobs) == pytest.approx([0.7, 0.2, 0.1], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_those_of_a_general_optimiser(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logprobs = np.log(rng.beta(0.4, 1.0, (300, 3)) + 1e-9) - rng.gamma(1, 0.5, 3)
    found = minimize(lambda x: nats(softmax(x), logprobs), np.zeros(3), method="BFGS")
    own = fit_mixture(logprobs)
    assert nats(own, logprobs) <= found.fun + 1e-5
    assert own == pytest.approx(softmax(found.x), abs=5e-3)


@given(READINGS)
def test_texts_are_never_less_likely_than_to_the_best_member(nlls: Any) -> None:
    weights = fit_mixture(-nlls)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
    assert nats(weights, -nlls) <= nlls.mean(0).min() + 1e-5


@given(READINGS, st.integers(0, 2**32 - 1))
def test_nor_are_they_with_weights_by_prompt(nlls: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = rng.integers(0, 5, len(nlls))
    prompts = rng.gamma(2, 0.5, (5, nlls.shape[1]))
    found = fit_prompt_exponent(-nlls, prompts, texts)
    by_prompt = mixture_nlls(found, -nlls, prompts, texts).mean()
    assert by_prompt <= nats(fit_mixture(-nlls), -nlls) + 1e-5


def test_a_useless_member_gets_nothing() -> None:
    rng = np.random.default_rng(1)
    logprobs = np.log(rng.beta(0.5, 1.0, (500, 3)) + 1e-9)
    logprobs[:, 1] = np.minimum(logprobs[:, 0], logprobs[:, 2]) - 1.0
    weights = fit_mixture(logprobs)
    assert weights[1] == 0.0
    assert min(weights[0], weights[2]) > 0.3


def test_members_that_are_the_same_share_evenly() -> None:
    logprobs = np.repeat(np.log(np.linspace(0.1, 0.9, 9))[:, None], 2, axis=1)
    assert fit_mixture(logprobs) == pytest.approx([0.5, 0.5])


def test_who_knows_the_prompt_speaks() -> None:
    """Two members, each of which knows one language; its prompts tell which one it is."""
    rng = np.random.default_rng(2)
    language = rng.integers(0, 2, 60)
    texts = np.repeat(np.arange(60), 10)
    foreign = language[:, None] != np.arange(2)  # (texts, members)
    logprobs = np.where(foreign[texts], -6.0, -1.0)
    prompts = np.where(foreign, 2.0, 0.5)
    fixed = Mixture(fit_mixture(logprobs))
    found = fit_prompt_exponent(logprobs, prompts, texts)
    assert found.exponent > 3
    nlls = [mixture_nlls(one, logprobs, prompts, texts).mean() for one in (found, fixed)]
    assert nlls[0] == pytest.approx(1.0, abs=0.01)
    assert nlls[1] > 1.6
    assert found.shares(prompts)[~foreign].min() > 0.98


def test_prompts_that_tell_nothing_leave_the_exponent_at_0() -> None:
    rng = np.random.default_rng(3)
    logprobs = np.log(rng.beta(0.5, 1.0, (400, 2)))
    prompts = np.full((40, 2), 1.5)
    texts = np.repeat(np.arange(40), 10)
    found = fit_prompt_exponent(logprobs, prompts, texts)
    assert found.exponent == 0.0
    assert found.weights == pytest.approx(fit_mixture(logprobs))
