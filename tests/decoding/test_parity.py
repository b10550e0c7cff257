"""Rule "paper": the fast path equals the plain oracle on random ensembles (DESIGN 3.6)."""

import functools
import random
from typing import Any

import pytest

import oracle
from adafuse import Answer
from families import FAMILIES, family
from parity import CHATS, PROMPTS, compare

MIXES = 200


def _case(number: int) -> tuple[list[oracle.OracleMember], Any, dict[str, Any]]:
    """An ensemble, a prompt and settings, drawn from the number."""
    rng = random.Random(number)
    names = [rng.choice(list(FAMILIES)) for _ in range(rng.randint(1, 4))]
    members = [
        oracle.OracleMember(f"{name}-{i}", *family(name, seed=rng.randint(0, 3)), weight=weight)
        for i, (name, weight) in enumerate((n, rng.choice((0.5, 1.0, 2.0))) for n in names)
    ]
    prompt: Any = rng.choice(PROMPTS)
    settings: dict[str, Any] = {
        "rule": "paper",
        "margin_threshold": rng.choice((0.0, 0.3, 0.7, 0.7, 0.7, 1.0)),
        "max_words": rng.randint(1, 4),
        "branches": rng.choice((1, 2, 3, 3, 5)),
        "max_word_tokens": rng.choice((2, 4, 16)),
        "max_new_tokens": rng.choice((1, 6, 11, 16)),
        "prompt_format": rng.choice(("raw", "auto", "chat")),
    }
    if rng.random() < 0.3:
        prompt, settings["prompt_format"] = rng.choice(CHATS), "chat"
    if rng.random() < 0.25:
        settings |= {"temperature": rng.choice((0.5, 3.0, 20.0)), "seed": rng.randint(0, 9)}
    if rng.random() < 0.25:
        settings["repetition_penalty"] = rng.choice((0.8, 1.3, 2.0))
    if rng.random() < 0.25:
        settings["stop"] = tuple(rng.sample(("a", "e ", " t", "1", "\n", "�", "or", "ora"), 2))
    return members, prompt, settings


@functools.cache
def _compared(number: int) -> tuple[Answer, int]:
    members, prompt, settings = _case(number)
    return compare(members, prompt, **settings)


@pytest.mark.parametrize("number", range(MIXES))
def test_random_ensembles_equal_the_oracle(number: int) -> None:
    _compared(number)


def test_enough_rounds_are_compared_before_a_near_tie() -> None:
    """The comparison must not be empty: nearly all rounds of the mixes are compared."""
    compared = total = 0
    for number in range(0, MIXES, 10):
        answer, rounds = _compared(number)
        compared, total = compared + rounds, total + len(answer.rounds)
    assert compared >= 0.8 * total
