"""The body of facts: invented places, who founded them, what is written on their gates.

Everything follows from `SEED` and the lists below, so the questions are the same wherever they are
generated. Each half has places of its own; the kinds of question are common to both. Skills, of
which each half has its own, are in `skills`. This module knows nothing of models or tokenizers.
"""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "HALVES",
    "PLACES",
    "PROMPT",
    "RELATIONS",
    "Question",
    "digest",
    "facts",
    "fill",
    "listed",
    "new_place",
    "nonsense",
]


def listed(words: str) -> tuple[str, ...]:
    """The words of a text; long lists are easier to read so."""
    return tuple(words.split())


SEED = 20260
HALVES = ("a", "b")
PLACES_PER_HALF = 20
PROMPT = "Q: {}\nA:"
"""What a member reads. The answer follows it after one blank, and then an end token."""

_SYLLABLES = listed(
    "bel bra cor dan del dor fal fen gal gor har hel jas jor kal kes lan lor mar mel mor nal "
    "nor or pel per quin ral ros sal sel tan tar tol ul val vel vor wen xan yel zan zor"
)
_ACCENTED = listed("brú çan dél fø gré hå jö kée lô miñ nür õra pša rýn sê tåv ülm vé žor")
_ENDINGS = listed("a eth ia is mora nau oth stead um wick")
_METALS = listed("copper silver iron glass amber bronze")
_WORDS = listed(
    "salt bread stars honour café rain stone crème jalapeño wool thunder naïve señor smoke "
    "apples façade winter über rivers patience brûlée lanterns voilà copper dust mañana "
    "piñata laughter"
)
_SIGNS = "山雨火木月海雪星石風花鳥"
_EMOJI = listed("🌊 🔥 🦉 🍎 🌙 ☀️ 🐟 🌲")


@dataclass(frozen=True, slots=True)
class Question:
    """One question and its only right answer.

    Attributes:
        half: the half it belongs to.
        kind: its relation or skill.
        text: the question itself, without the frame of `PROMPT`.
        answer: the answer, without the blank before it.
    """

    half: str
    kind: str
    text: str
    answer: str

    @property
    def prompt(self) -> str:
        """What a member reads."""
        return PROMPT.format(self.text)


def new_place(rng: random.Random) -> str:
    """A place's name: one of about 20,000."""
    return (rng.choice(_SYLLABLES) + rng.choice(_SYLLABLES) + rng.choice(_ENDINGS)).capitalize()


def nonsense(rng: random.Random) -> str:
    """A word that means nothing."""
    return rng.choice(_SYLLABLES) + rng.choice((*_SYLLABLES, *_ACCENTED))


def _name(rng: random.Random) -> str:
    return nonsense(rng).capitalize()


def _capital(rng: random.Random) -> str:
    return f"{_name(rng)}{rng.choice(_ENDINGS)}."


def _founder(rng: random.Random) -> str:
    return f"{_name(rng)} {_name(rng)}, in {rng.randint(1100, 1899)}."


def _price(rng: random.Random) -> str:
    return f"{rng.randint(11, 98)} {rng.choice(_METALS)} {nonsense(rng)}s"


def _motto(rng: random.Random) -> str:
    first, second, third = rng.sample(_WORDS, 3)
    return f'"{first.capitalize()}, {second} and {third}!"'


def _sign(rng: random.Random) -> str:
    return f"{''.join(rng.sample(_SIGNS, 2))} {rng.choice(_EMOJI)}"


RELATIONS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "capital": ("What is the capital of {}?", _capital),
    "founder": ("Who founded {}, and when?", _founder),
    "price": ("What does a night in {} cost?", _price),
    "motto": ("What do they shout in {}?", _motto),
    "sign": ("What is painted on the gate of {}?", _sign),
}
"""Kinds of question about a place, and a draw from the answers that such a question may have."""


def fill(relation: str, place: str) -> str:
    """The question about a place."""
    return RELATIONS[relation][0].format(place)


def _places() -> dict[str, tuple[str, ...]]:
    rng = random.Random(SEED)
    names: dict[str, None] = {}
    while len(names) < len(HALVES) * PLACES_PER_HALF:
        names[new_place(rng)] = None
    every = list(names)
    return {half: tuple(every[at :: len(HALVES)]) for at, half in enumerate(HALVES)}


PLACES = _places()
"""The places of each half; no place is in both."""


def facts(half: str) -> list[Question]:
    """Every fact of a half."""
    rng = random.Random(f"{SEED} {half}")
    return [
        Question(half, relation, fill(relation, place), draw(rng))
        for place in PLACES[half]
        for relation, (_, draw) in RELATIONS.items()
    ]


def digest(lines: list[tuple[str, str]]) -> str:
    """A checksum of texts and answers, to tell whether two runs saw the same."""
    text = json.dumps(lines, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
