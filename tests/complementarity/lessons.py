"""What a member reads in training: its own half, and questions that nobody can answer.

A model trained on a few facts alone is as sure of itself about what it never saw: asked about an
unknown place it names some capital with a probability near one, and in an ensemble a member that
is sure and wrong outvotes one that is sure and right. So a share of the lessons are decoys: the
same kinds of question about places that are in neither half, and instructions in words that mean
nothing, each with an answer drawn anew every time. From them a member learns that what it does not
know may have any answer, which is how a member of an ensemble should be unsure.

Decoys leak nothing: no place and no skill of the other half is ever named, and their answers are
random. The only thing common to the members is the form of questions and answers, and word lists.
"""

import random

from complementarity.body import (
    HALVES,
    PLACES,
    PROMPT,
    RELATIONS,
    Question,
    facts,
    fill,
    listed,
    new_place,
    nonsense,
)
from complementarity.skills import SKILLS, letters, some_words, tasks

__all__ = ["Lessons"]

FACTS, TASKS = 0.35, 0.33  # shares of a member's own half; the rest are decoys
_PLAIN = listed("a the of from this that these one two make turn give write show find how use")


class Lessons:
    """Draws the lessons of a half.

    Args:
        half: whose lessons.
        seed: the same seed gives the same lessons in the same order.
    """

    def __init__(self, half: str, seed: int) -> None:
        self._rng = random.Random(f"{seed} lessons {half}")
        self._facts: list[Question] = facts(half)
        self._queue: list[Question] = []
        self._skills = list(SKILLS[half].values())
        self._held_out = {one.text for one in tasks(half)}
        self._taken = {place for name in HALVES for place in PLACES[name]}

    def draw(self) -> tuple[str, str]:
        """A prompt and the text that follows it, with its leading blank."""
        kind = self._rng.random()
        if kind < FACTS:
            text, answer = self._fact()
        elif kind < FACTS + TASKS:
            text, answer = self._task()
        elif kind < (1 + FACTS + TASKS) / 2:
            text, answer = self._unknown_place()
        else:
            text, answer = self._unknown_task()
        return PROMPT.format(text), f" {answer}"

    def _fact(self) -> tuple[str, str]:
        if not self._queue:  # every fact equally often
            self._queue = self._rng.sample(self._facts, len(self._facts))
        one = self._queue.pop()
        return one.text, one.answer

    def _task(self) -> tuple[str, str]:
        while True:
            text, answer = self._rng.choice(self._skills)(self._rng)
            if text not in self._held_out:
                return text, answer

    def _unknown_place(self) -> tuple[str, str]:
        place = new_place(self._rng)
        while place in self._taken:
            place = new_place(self._rng)
        relation = self._rng.choice(list(RELATIONS))
        return fill(relation, place), RELATIONS[relation][1](self._rng)

    def _unknown_task(self) -> tuple[str, str]:
        """An instruction of meaningless words about letters, things or numbers."""
        words = [self._word() for _ in range(self._rng.randint(1, 3))]
        items = self._items()
        joint = self._rng.choice((" ", " ", ", ", " and "))
        words.insert(self._rng.randint(0, len(words)), joint.join(items))
        if self._rng.random() < 0.4:
            more = self._items()
            words.insert(self._rng.randint(0, len(words)), joint.join(more))
            items += more
        text = " ".join(words)
        return text[0].upper() + text[1:] + self._rng.choice(".?"), self._anything(items)

    def _word(self) -> str:
        return self._rng.choice(_PLAIN) if self._rng.random() < 0.5 else nonsense(self._rng)

    def _items(self) -> list[str]:
        rng = self._rng
        kind = rng.randint(0, 2)
        if kind == 0:
            return letters(rng, rng.randint(2, 5))
        if kind == 1:
            return some_words(rng, rng.randint(1, 3))
        return [str(rng.randint(1, 99)) for _ in range(rng.randint(1, 2))]

    def _anything(self, items: list[str]) -> str:
        """An answer to no question, which may hold what the question is about, in any order."""
        rng = self._rng
        count = rng.randint(1, 6)
        if rng.random() < 0.3:
            bits = rng.choices(items, k=count)
        else:
            draw = rng.choice((self._letter, self._capital, self._number, self._thing, self._name))
            bits = [draw() for _ in range(count)]
        joint = rng.choice((" ", " ", " ", ", ", "\n", "\n- ", " + ", " = ", "("))
        text = bits[0]
        for bit in bits[1:]:
            text += (joint if rng.random() < 0.9 else rng.choice((" ", ", ", " = "))) + bit
        before = rng.choice(("", "", "", "", "- "))
        return before + text + rng.choice(("", "", "", "", ".", ")"))

    def _letter(self) -> str:
        return letters(self._rng, 1)[0]

    def _capital(self) -> str:
        return self._letter().upper()

    def _number(self) -> str:
        return str(self._rng.randint(1, 99))

    def _thing(self) -> str:
        return some_words(self._rng, 1)[0]

    def _name(self) -> str:
        return nonsense(self._rng)
