"""The reference texts: five kinds, each with the prompt that members read before it.

Rows of public test sets are not part of the project; code is the standard library of the Python
that runs this, and prose the contexts of SQuAD, or the text files of a folder.
"""

import json
import random
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adafuse.errors import ConfigError

__all__ = ["KINDS", "Text", "texts"]

_BEGINNING = 48  # words of a document before those that are read
_PART = 64  # words of a document that are read
_LINES = 40  # of a file before the part that is read


@dataclass(frozen=True)
class Text:
    """A reference and what comes before it.

    `row` is what it is of: texts of one row go together into halves and resamples. Texts of one
    `group`, which follow one another, have long beginnings of their prompts in common.
    """

    kind: str
    row: str
    group: str
    prompt: str | list[dict[str, str]]  # text to be continued, or messages to be answered
    reference: str
    ends: bool  # whether the answer is over behind it
    stops: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.row}/{self.reference[:80]}"


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    file = folder / f"{name}.jsonl"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read: {error.strerror}; --data names its folder"
        ) from None
    return [json.loads(line) for line in lines]


def _chat(system: str, examples: list[tuple[str, str]], question: str) -> list[dict[str, str]]:
    turns = [
        turn for asked, answer in examples for turn in (("user", asked), ("assistant", answer))
    ]
    said = [("system", system), *turns, ("user", question)]
    return [{"role": role, "content": content} for role, content in said]


_READ = [
    (
        "The Vistula is the longest river in Poland. It rises at Barania Góra, is 1,047 kilometres "
        "long, and flows into the Baltic Sea.\n\nQuestion: Into which sea does the Vistula flow?",
        "the Baltic Sea",
    ),
    (
        "A violin has four strings, tuned in fifths. Most bows are strung with hair from the tails "
        "of horses.\n\nQuestion: What are most bows strung with?",
        "hair from the tails of horses",
    ),
]


def _answers(folder: Path, rng: random.Random) -> Iterator[Text]:
    """Answers over a context: first answers, then others that were accepted."""
    rows = _rows(folder, "squad")
    order = list(dict.fromkeys(row["context"] for row in rows))
    rng.shuffle(order)
    numbered = sorted(enumerate(rows), key=lambda pair: order.index(pair[1]["context"]))
    system = "Answer the question with a few words from the text, and nothing else."
    for turn in range(3):
        for at, row in numbered:
            distinct = list(dict.fromkeys(answer.strip() for answer in row["answers"]))
            if turn < len(distinct):
                asked = f"{row['context']}\n\nQuestion: {row['question']}"
                yield Text(
                    "answers", f"squad {at}", f"{turn} {order.index(row['context'])}",
                    _chat(system, _READ, asked), distinct[turn], True, ("\n",),
                )  # fmt: skip


def _solutions(folder: Path, rng: random.Random) -> Iterator[Text]:
    rows = _rows(folder, "gsm8k")
    system = 'Solve the problem step by step, and end with "the answer is" and the number.'
    examples = [(f"Question: {row['question']}", row["answer"]) for row in rows[:2]]
    rest = list(enumerate(rows))[2:]
    rng.shuffle(rest)
    for turn, (at, row) in enumerate(rest):
        yield Text(
            "solutions", f"gsm8k {at}", str(turn // 4),
            _chat(system, examples, f"Question: {row['question']}"), row["answer"], True,
            ("\n\n", "Question:"),
        )  # fmt: skip


def _translations(folder: Path, rng: random.Random) -> Iterator[Text]:
    """English to German and back, in turn."""
    rows = _rows(folder, "flores_en_de")
    rest = list(enumerate(rows))[2:]
    rng.shuffle(rest)
    ways = {"German": ("source", "reference"), "English": ("reference", "source")}
    for start in range(0, len(rest), 4):
        for turn, (language, (given, wanted)) in enumerate(ways.items()):
            examples = [(row[given], row[wanted]) for row in rows[:2]]
            system = f"Translate the text into {language}, and write nothing else."
            # No row in both directions: the answer to one would be the other's prompt.
            for at, row in rest[start : start + 4][turn::2]:
                yield Text(
                    "translations", f"flores {at}", f"{start} {language}",
                    _chat(system, examples, row[given]), row[wanted], True, ("\n",),
                )  # fmt: skip


def _parts(words: list[str]) -> tuple[str, str]:
    return "".join(words[:_BEGINNING]), "".join(words[_BEGINNING : _BEGINNING + _PART])


def _prose(folder: Path, rng: random.Random) -> Iterator[Text]:
    """Documents: the beginning is the prompt, what follows is read."""
    from adafuse.text.words import split_words

    if any(folder.glob("*.txt")):
        named = [
            (file.name, file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.txt"))
        ]
    else:
        contexts = dict.fromkeys(row["context"] for row in _rows(folder, "squad"))
        named = [(f"squad {at}", text) for at, text in enumerate(contexts)]
    rng.shuffle(named)
    for name, text in named:
        beginning, part = _parts(list(split_words(text.strip())))
        if part:
            yield Text("prose", name, name, beginning, part, ends=False)


def _code(folder: Path, rng: random.Random) -> Iterator[Text]:
    """Files of the standard library, each from a line somewhere."""
    from adafuse.text.words import split_words

    place = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(file for file in place.glob("*.py") if file.stat().st_size > 4000)
    files += sorted(file for file in place.glob("*/*.py") if file.stat().st_size > 4000
                    and not {"site-packages", "test", "idlelib"} & set(file.parts))  # fmt: skip
    rng.shuffle(files)
    for file in files:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        if len(lines) < 3 * _LINES:
            continue
        begin = rng.randrange(_LINES, len(lines) - 2 * _LINES)
        before = "".join(lines[begin - _LINES : begin]).rstrip()
        text = "".join(lines[begin - _LINES : begin + _LINES])[len(before) :]
        part = "".join(split_words(text)[:_PART])
        yield Text("code", str(file.relative_to(place)), str(file), before, part, ends=False)


_SOURCES: Mapping[str, Callable[[Path, random.Random], Iterator[Text]]] = {
    "answers": _answers,
    "solutions": _solutions,
    "translations": _translations,
    "prose": _prose,
    "code": _code,
}
KINDS = tuple(_SOURCES)


def texts(kind: str, folder: Path, seed: int) -> Iterator[Text]:
    """All texts of a kind, in an order that the seed gives."""
    return _SOURCES[kind](folder, random.Random(f"{seed} {kind}"))
