"""Members, settings and prompts at random, and whether two answers are the same."""

import random
from typing import Any

import pytest

from adafuse import Answer
from adafuse.local.member import LocalMember
from families import FAMILIES, family
from parity import NEAR

PROMPTS = (
    "Hello world, this is",
    "def add(a, b):\n    return",
    "日本語のテキスト",
    "| a | b |\n|--",
)


def members(number: int, cache: int = 0) -> list[LocalMember]:
    rng = random.Random(number)
    names = [rng.choice(list(FAMILIES)) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.3:
        names = names[:1] * 2  # two that may agree
    seeds = [rng.randint(0, 1) for _ in names]
    return [
        LocalMember(*family(name, seed), f"{name}-{at}", prompt_cache_mb=cache)
        for at, (name, seed) in enumerate(zip(names, seeds, strict=True))
    ]


def settings(number: int) -> dict[str, Any]:
    rng = random.Random(number)
    found: dict[str, Any] = {
        "margin_threshold": rng.choice((0.0, 0.3, 0.7, 0.7)),
        "max_words": rng.randint(1, 4),
        "branches": rng.choice((1, 2, 3, 3, 5)),
        "max_new_tokens": rng.choice((5, 10, 16)),
        "prompt_format": rng.choice(("raw", "chat")),
    }
    if rng.random() < 0.25:
        found |= {"temperature": 3.0, "seed": 5}
    if rng.random() < 0.25:
        found["repetition_penalty"] = 1.3
    return found


def same(one: Answer, other: Answer) -> int:
    """Assert that rounds are equal up to a near-tie; returns how many were compared."""
    for at, (a, b) in enumerate(zip(one.rounds, other.rounds, strict=False)):
        pairs = list(zip(a.candidates, b.candidates, strict=False))
        scores = sorted(c.score for c in a.candidates if c.score is not None)
        near = len(scores) > 1 and scores[1] - scores[0] < NEAR
        if near and a.winner != b.winner:
            return at
        assert [(c.text, c.ends) for c in a.candidates] == [(c.text, c.ends) for c in b.candidates]
        assert (a.text, a.words, a.winner, a.drafters) == (b.text, b.words, b.winner, b.drafters)
        for c, d in pairs:
            assert c.scores == pytest.approx(d.scores, abs=1e-4, rel=1e-5)
    assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
    assert {n: u.token_ids for n, u in one.usage.items()} == {
        n: u.token_ids for n, u in other.usage.items()
    }
    return len(one.rounds)
