"""The oracle's rounds, with logits that llama.cpp gives it one text at a time (DESIGN 3.6).

Tokenizers are those of transformers on both sides: what llama.cpp makes of texts is tested in
tests/text/.
"""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest

import oracle
from adafuse import Answer, Ensemble
from adafuse.local.member import LocalMember
from families import family
from gguf_models import PlainLlama, gguf, runner
from parity import CHATS, PROMPTS, compare

# Gemma's GELU is rounded to float16, so that its rounds are near-ties too often.
KINDS = ("llama", "llama3", "qwen2")
MIXES = 40


def _case(number: int) -> tuple[list[Any], Any, dict[str, Any]]:
    """Members, a prompt and settings, drawn from the number."""
    rng = random.Random(number)
    names = [rng.choice(KINDS) for _ in range(rng.randint(1, 3))]
    members = [(name, rng.randint(0, 1), rng.choice((0.5, 1.0, 2.0))) for name in names]
    prompt: Any = rng.choice(PROMPTS)
    settings: dict[str, Any] = {
        "rule": rng.choice(("words", "words", "paper")),
        "margin_threshold": rng.choice((0.3, 0.7, 1.0)),
        "branches": rng.choice((1, 2, 3, 5)),
        "max_word_tokens": rng.choice((4, 16)),
        "max_new_tokens": rng.choice((6, 11, 16)),
        "prompt_format": rng.choice(("raw", "auto", "chat")),
    }
    if rng.random() < 0.3:
        prompt, settings["prompt_format"] = rng.choice(CHATS), "chat"
    if rng.random() < 0.25:
        settings |= {"temperature": 0.5, "seed": rng.randint(0, 9)}
    if rng.random() < 0.25:
        settings["repetition_penalty"] = rng.choice((0.8, 1.3))
    return members, prompt, settings


@functools.cache
def plain(name: str, seed: int) -> PlainLlama:
    return PlainLlama(gguf(name, seed))


@pytest.fixture
def mixed(request: pytest.FixtureRequest, wide_cache: None) -> tuple[Answer, int]:
    """What a case's members answer, and how many rounds of it were compared."""
    drawn, prompt, settings = _case(request.param)
    asked = [
        oracle.OracleMember(f"{at}", plain(name, seed), family(name)[1], weight=weight)  # type: ignore[arg-type]
        for at, (name, seed, weight) in enumerate(drawn)
    ]
    fused = [
        LocalMember(runner(gguf(name, seed)), family(name)[1], f"{at}", weight=weight)
        for at, (name, seed, weight) in enumerate(drawn)
    ]
    return compare(asked, prompt, Ensemble(fused), **settings)


_totals: list[tuple[int, int]] = []


@pytest.mark.parametrize("mixed", range(MIXES), indirect=True)
def test_random_ensembles_equal_the_oracle(mixed: tuple[Answer, int]) -> None:
    answer, compared = mixed
    _totals.append((compared, len(answer.rounds)))


def test_enough_rounds_are_compared_before_a_near_tie() -> None:
    if not _totals:
        pytest.skip("the rounds were compared in another process")
    assert sum(compared for compared, _ in _totals) >= 0.8 * sum(total for _, total in _totals)
