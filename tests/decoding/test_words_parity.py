"""Rule "words": the fast path equals the plain oracle (DESIGN 3.6, 3.7)."""

import functools
import random
from typing import Any

import pytest

import oracle
from adafuse import Answer
from families import FAMILIES, family
from parity import CHATS, PROMPTS, compare, ensemble_of

MIXES = 300
STOPS = ("a", "e ", " t", "1", "\n", "�", "or", "ora", " ", "th")


def _case(number: int) -> tuple[list[oracle.OracleMember], Any, dict[str, Any]]:
    """An ensemble, a prompt and settings, drawn from the number."""
    rng = random.Random(1000 + number)
    names = [rng.choice(list(FAMILIES)) for _ in range(rng.randint(1, 4))]
    weights = [rng.choice((0.0, 0.5, 1.0, 2.0)) for _ in names]
    weights[rng.randrange(len(names))] = 1.0
    members = [
        oracle.OracleMember(f"{name}-{i}", *family(name, seed=rng.randint(0, 3)), weight=weight)
        for i, (name, weight) in enumerate(zip(names, weights, strict=True))
    ]
    prompt: Any = rng.choice(PROMPTS)
    settings: dict[str, Any] = {
        "rule": "words",
        "combine": rng.choice(("mixture", "mixture", "product")),
        "margin_threshold": rng.choice((0.0, 0.02, 0.3, 0.7, 0.7, 1.0)),
        "branches": rng.choice((1, 2, 3, 3, 5)),
        "max_word_tokens": rng.choice((2, 4, 16)),
        "max_new_tokens": rng.choice((1, 6, 11, 16)),
        "prompt_format": rng.choice(("raw", "auto", "chat")),
    }
    if rng.random() < 0.3:
        prompt, settings["prompt_format"] = rng.choice(CHATS), "chat"
    if rng.random() < 0.25:
        settings |= {"temperature": rng.choice((0.5, 1.0, 3.0)), "seed": rng.randint(0, 9)}
        settings["top_p"] = rng.choice((1.0, 0.9, 0.5))
    if rng.random() < 0.25:
        settings["repetition_penalty"] = rng.choice((0.8, 1.3, 2.0))
    if rng.random() < 0.4:
        settings["stop"] = tuple(rng.sample(STOPS, 3))
        settings["pool_stops"] = rng.random() < 0.8
    if rng.random() < 0.2 and 0.0 not in weights:
        settings["prompt_exponent"] = rng.choice((0.5, 2.0))
    return members, prompt, settings


@functools.cache
def _compared(number: int) -> tuple[Answer, int]:
    members, prompt, settings = _case(number)
    return compare(members, prompt, **settings)


@pytest.mark.parametrize("number", range(MIXES))
def test_random_ensembles_equal_the_oracle(number: int) -> None:
    _compared(number)


@pytest.mark.parametrize("number", range(0, MIXES, 10))
def test_answers_are_the_same_without_speculation(number: int) -> None:
    members, prompt, settings = _case(number)
    form = settings.pop("prompt_format")
    given = {"prompt_format": form} if isinstance(prompt, str) else {}
    plain = ensemble_of(members).generate(prompt, speculation=False, **given, **settings)
    fast, compared = _compared(number)
    for ours, theirs in zip(plain.rounds[:compared], fast.rounds, strict=False):
        assert [(c.text, c.ends) for c in ours.candidates] == [
            (c.text, c.ends) for c in theirs.candidates
        ]
        assert ours.winner == theirs.winner


def test_enough_rounds_are_compared_before_a_near_tie() -> None:
    """The comparison must not be empty: nearly all rounds of the mixes are compared."""
    compared = total = 0
    for number in range(0, MIXES, 10):
        answer, rounds = _compared(number)
        compared, total = compared + rounds, total + len(answer.rounds)
    assert compared >= 0.8 * total
