"""The skills of each half: answers that follow from the question by a rule.

A question of the test is never one of training, so a member cannot answer it from memory.
"""

import random
from collections.abc import Callable

from complementarity.body import HALVES, SEED, Question, facts, listed

__all__ = ["SKILLS", "WORDS_OF_A_SKILL", "letters", "questions", "some_words", "tasks"]

TASKS_PER_SKILL = 16
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_THINGS = listed(
    "barrel candle drum engine feather glove hammer island jacket kettle ladder mirror needle "
    "orange pocket ribbon saddle ticket violin window"
)

Pair = tuple[str, str]


def letters(rng: random.Random, count: int = 4) -> list[str]:
    """Different letters."""
    return rng.sample(_ALPHABET, count)


def some_words(rng: random.Random, count: int) -> list[str]:
    """Different names of things."""
    return rng.sample(_THINGS, count)


def _backwards(rng: random.Random) -> Pair:
    given = letters(rng)
    return f"Say {' '.join(given)} backwards.", " ".join(given[::-1])


def _capitals(rng: random.Random) -> Pair:
    given = letters(rng)
    return f"Put {' '.join(given)} in capitals.", " ".join(given).upper()


def _count(rng: random.Random) -> Pair:
    start = rng.randint(1, 95)
    numbers = range(start, start + rng.randint(3, 5))
    return f"Count {numbers[0]} to {numbers[-1]}.", ", ".join(map(str, numbers))


def _call(rng: random.Random) -> Pair:
    function, first, second = some_words(rng, 3)
    return f"Call {function} with {first} and {second}.", f"{function}({first}, {second})"


def _sort(rng: random.Random) -> Pair:
    given = letters(rng)
    return f"Sort {' '.join(given)} by alphabet.", " ".join(sorted(given))


def _add(rng: random.Random) -> Pair:
    left, right = rng.randint(10, 59), rng.randint(2, 9)
    return f"What is {left} plus {right}?", f"{left} + {right} = {left + right}"


def _list(rng: random.Random) -> Pair:
    given = some_words(rng, 3)
    lines = "\n".join(f"- {thing}" for thing in given)
    return f"List {given[0]}, {given[1]} and {given[2]}.", lines


def _twice(rng: random.Random) -> Pair:
    thing, other = some_words(rng, 2)
    return f"Double {thing} {other}.", f"{thing} {thing} {other} {other}"


SKILLS: dict[str, dict[str, Callable[[random.Random], Pair]]] = {
    "a": {"backwards": _backwards, "capitals": _capitals, "count": _count, "call": _call},
    "b": {"sort": _sort, "add": _add, "list": _list, "twice": _twice},
}
"""The skills of each half, as draws of a question and its answer."""


WORDS_OF_A_SKILL = {
    "a": ("say", "backwards", "put", "capitals", "count", "call"),
    "b": ("sort", "alphabet", "plus", "list", "double"),
}
"""Words of the questions of a half's skills, which the other half's member never reads."""


def tasks(half: str) -> list[Question]:
    """The tasks of the test, which are kept out of training."""
    rng = random.Random(f"{SEED} tasks {half}")
    found: dict[str, Question] = {}
    for skill, draw in SKILLS[half].items():
        wanted = len(found) + TASKS_PER_SKILL
        while len(found) < wanted:
            text, answer = draw(rng)
            found[text] = Question(half, skill, text, answer)
    return list(found.values())


def questions(half: str | None = None) -> list[Question]:
    """All questions of the test, or those of one half."""
    halves = HALVES if half is None else (half,)
    return [one for name in halves for one in (*facts(name), *tasks(name))]
