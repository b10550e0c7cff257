"""Who gets a say: the rule of decision, on readings that are made up."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

from adafuse.compare.results import Interval
from adafuse.fitting.cross_fit import Verdict, judge
from adafuse.fitting.readings import Readings
from adafuse.fitting.result import as_result

TEXTS, WORDS = 60, 8


def readings(logprobs: Any, prompts: Any = None) -> Readings:
    texts = np.repeat(np.arange(TEXTS), WORDS)
    if prompts is None:
        prompts = np.ones((TEXTS, logprobs.shape[1]))
    return Readings(logprobs, texts, np.arange(TEXTS), prompts)


def taking_turns(*shares: float, seed: int = 0) -> Any:
    """Each word is known to one member (1 nat), and strange to the others (5 nats)."""
    rng = np.random.default_rng(seed)
    knows = rng.choice(len(shares), TEXTS * WORDS, p=shares)
    return np.where(knows[:, None] == np.arange(len(shares)), -1.0, -5.0)


def told(verdict: Verdict, *names: str) -> str:
    facts: dict[str, Any] = {"texts": TEXTS, "words": TEXTS * WORDS, "skipped": (), "seed": 0}
    return as_result(verdict, names, **facts).sentence


def test_members_that_know_different_words_both_speak() -> None:
    verdict = judge(readings(taking_turns(0.7, 0.3)), seed=0)
    assert verdict.together
    assert verdict.weights == pytest.approx((0.7, 0.3), abs=0.06)
    assert verdict.difference.high < 0
    assert verdict.exponent == 0
    said = told(verdict, "Qwen", "Gemma")
    assert said.startswith("Together they are better: ")
    assert f"against {verdict.members[0].mean:.2f} of Qwen alone (95 % interval" in said
    assert said.endswith(
        f"; weights Qwen {verdict.weights[0]:.2f}, Gemma {verdict.weights[1]:.2f}."
    )
    assert "no say" not in said


def test_a_member_that_helps_nowhere_gets_no_say() -> None:
    logprobs = taking_turns(1.0, 0.0)
    verdict = judge(readings(logprobs), seed=0)
    assert verdict.weights == (1.0, 0.0)
    assert verdict.best == 0
    said = told(verdict, "Qwen", "SmolLM2")
    assert said.startswith("Qwen alone is better here: 1.00 nats a word against 5.00 of SmolLM2, ")
    assert said.endswith("; SmolLM2 gets no say.")


def test_what_may_be_chance_is_no_reason_to_speak() -> None:
    """In five of 60 texts the second member knows a little more: within the interval."""
    rng = np.random.default_rng(4)
    logprobs = -rng.gamma(2, 1, (TEXTS * WORDS, 1)) + np.array([[0.0, -2.0]])
    logprobs[:12, 1] = logprobs[:12, 0] + 1.0
    verdict = judge(readings(logprobs), seed=0)
    assert verdict.difference.high >= 0
    assert verdict.weights == (1.0, 0.0)
    assert "no say" in told(verdict, "a", "b")


def test_of_three_only_those_are_left_without_whom_it_is_worse() -> None:
    logprobs = taking_turns(0.6, 0.4)
    noise = np.random.default_rng(5).normal(0, 0.01, (len(logprobs), 1))
    verdict = judge(readings(np.hstack([logprobs, logprobs[:, :1] - 0.3 + noise])), seed=0)
    assert verdict.weights[2] == 0
    assert verdict.weights[:2] == pytest.approx((0.6, 0.4), abs=0.06)
    weights = f"weights a {verdict.weights[0]:.2g}, b {verdict.weights[1]:.2g}"
    assert told(verdict, "a", "b", "c").endswith(f"{weights}; c gets no say.")


def by_language(seed: int = 0) -> tuple[Any, Any]:
    """Two members that each know the words of half of the texts, and the prompts of these."""
    language = np.random.default_rng(seed).integers(0, 2, TEXTS)
    foreign = language[:, None] != np.arange(2)
    return np.where(np.repeat(foreign, WORDS, 0), -6.0, -1.0), np.where(foreign, 2.0, 0.5)


def test_weights_follow_the_prompt_where_that_is_clearly_better() -> None:
    logprobs, prompts = by_language()
    verdict = judge(readings(logprobs, prompts), seed=0)
    assert verdict.by_prompt.high < 0
    assert verdict.exponent > 3
    assert verdict.mixture.mean == pytest.approx(1.0, abs=0.02)
    assert "more by how well each predicts the prompt" in told(verdict, "a", "b")
    shuffled = np.random.default_rng(1).permutation(prompts)
    assert judge(readings(logprobs, shuffled), seed=0).exponent == 0


def test_held_out_texts_chose_nothing() -> None:
    """Weights that fit noise are no better on the other half, and the report says so."""
    rng = np.random.default_rng(6)
    logprobs = -np.repeat(rng.gamma(0.5, 4, (TEXTS, 2)), WORDS, 0)
    texts = np.repeat(np.arange(TEXTS), WORDS)
    one = judge(Readings(logprobs, texts, np.arange(TEXTS), np.ones((TEXTS, 2))), seed=0)
    again = judge(Readings(logprobs, texts, np.arange(TEXTS), np.ones((TEXTS, 2))), seed=0)
    assert one == again
    assert isinstance(one.mixture, Interval)
    assert one.mixture.low < one.mixture.mean < one.mixture.high


def test_texts_of_one_row_stay_in_one_half_and_are_drawn_together() -> None:
    """Ten texts each of six rows: intervals are those of six, not of sixty."""
    rng = np.random.default_rng(7)
    of_row = np.repeat(rng.gamma(2, 2, (6, 2)), 10 * WORDS, 0)
    texts = np.repeat(np.arange(TEXTS), WORDS)
    prompts = np.ones((TEXTS, 2))
    rows = judge(Readings(-of_row, texts, np.repeat(np.arange(6), 10), prompts), seed=0)
    apart = judge(Readings(-of_row, texts, np.arange(TEXTS), prompts), seed=0)

    def width(verdict: Verdict) -> float:
        return verdict.members[0].high - verdict.members[0].low

    assert width(rows) > 2 * width(apart)
