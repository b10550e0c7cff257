"""The test sets: what is asked and how, how long an answer may be, and how it is scored.

Messages are the same for all members; each renders them as it was trained to read: a model with a
chat template by that, another as a list of questions and answers (`benchmarks.members`). Solved
examples are written here, so that no row of a set is shown before another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adafuse.compare.dataset import Layout, Question, read_questions, read_rows
from adafuse.errors import ConfigError

__all__ = ["TASKS", "Task", "questions_of"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """One test set.

    Attributes:
        file: of JSON lines, without its ending.
        metric: of `adafuse.compare.METRICS`; its first number counts.
        layout: how a row is asked.
        tokens: the longest answer, in tokens of the first member.
        stop: what ends an answer besides.
        read: changes a row before it is asked.
    """

    file: str
    metric: str
    layout: Layout
    tokens: int
    stop: tuple[str, ...] = ("\n",)
    read: Callable[[Row], Row] = dict

    @property
    def settings(self) -> dict[str, Any]:
        """Decoding settings that every system has."""
        return {"max_new_tokens": self.tokens, "stop": self.stop}


def _backwards(row: Row) -> Row:
    return {"source": row["reference"], "reference": row["source"]}


_SHORT = "Answer the question with a name, a date or a few words, and nothing else."
_PASSAGES = (  # short, so that they cost little beside the contexts of the set
    {
        "context": "The Vistula is the longest river in Poland. It rises at Barania Góra, is 1,047 "
        "kilometres long, and flows into the Baltic Sea.",
        "question": "Into which sea does the Vistula flow?",
        "answer": "the Baltic Sea",
    },
    {
        "context": "Marie Curie won the Nobel Prize in Physics in 1903, with her husband Pierre "
        "and Henri Becquerel, and the Nobel Prize in Chemistry in 1911.",
        "question": "When did Curie win her second Nobel Prize?",
        "answer": "1911",
    },
    {
        "context": "A violin has four strings, tuned in fifths. Most bows are strung with hair "
        "from the tails of horses.",
        "question": "What are most bows strung with?",
        "answer": "hair from the tails of horses",
    },
)
_FACTS = (
    {"question": "Which planet is known as the Red Planet?", "answer": "Mars"},
    {"question": "Who wrote the play Hamlet?", "answer": "William Shakespeare"},
    {"question": "In which year did the Second World War end?", "answer": "1945"},
    {"question": "What is the capital of Portugal?", "answer": "Lisbon"},
    {"question": "Which instrument did Louis Armstrong play?", "answer": "the trumpet"},
)
_SUMS = (
    {
        "question": "A box holds 12 pencils. Mia buys 4 boxes and gives 15 pencils to her class. "
        "How many pencils does she have left?",
        "answer": "Mia buys 4 * 12 = 48 pencils.\nAfter giving some away she has 48 - 15 = 33 "
        "pencils left.\nTherefore, the answer is 33",
    },
    {
        "question": "Tom earns $14 an hour and works 6 hours a day, 5 days a week. He spends a "
        "quarter of his pay on rent. How much money is left after a week?",
        "answer": "Tom earns 14 * 6 = $84 a day.\nIn a week he earns 84 * 5 = $420.\nThe rent is "
        "420 / 4 = $105.\nSo 420 - 105 = $315 is left.\nTherefore, the answer is 315",
    },
    {
        "question": "A train has 8 wagons with 40 seats each. Three eighths of all seats are free. "
        "How many passengers are seated?",
        "answer": "The train has 8 * 40 = 320 seats.\nOf these 320 * 3 / 8 = 120 seats are free.\n"
        "So 320 - 120 = 200 passengers are seated.\nTherefore, the answer is 200",
    },
)
_PAIRS = (
    {
        "source": "The library opens at nine o'clock and closes late on Thursdays.",
        "reference": "Die Bibliothek öffnet um neun Uhr und schließt donnerstags spät.",
    },
    {
        "source": "According to the mayor, the bridge will be repaired before the end of the year.",
        "reference": "Nach Angaben des Bürgermeisters wird die Brücke noch vor Jahresende "
        "repariert.",
    },
    {
        "source": "She has lived in Vienna since 2015 and works as a nurse.",
        "reference": "Sie lebt seit 2015 in Wien und arbeitet als Krankenschwester.",
    },
)
TASKS: Mapping[str, Task] = {
    "squad": Task(
        "squad",
        "squad",
        Layout(
            "{{ context }}\n\nQuestion: {{ question }}",
            "Answer the question with a few words from the text, and nothing else.",
            _PASSAGES,
        ),
        24,
    ),
    "triviaqa": Task("triviaqa", "squad", Layout("Question: {{ question }}", _SHORT, _FACTS), 20),
    "natural_questions": Task(
        "natural_questions", "squad", Layout("Question: {{ question }}?", _SHORT, _FACTS), 20
    ),
    "gsm8k": Task(
        "gsm8k",
        "numeric",
        Layout(
            "Question: {{ question }}",
            'Solve the problem step by step, and end with "the answer is" and the number.',
            _SUMS,
        ),
        200,
        ("\nQuestion:",),
    ),
    "en_de": Task(
        "flores_en_de",
        "translation",
        Layout("Translate into German: {{ source }}", None, _PAIRS),
        120,
    ),
    "de_en": Task(
        "flores_en_de",
        "translation",
        Layout("Translate into English: {{ source }}", None, tuple(map(_backwards, _PAIRS))),
        120,
        read=_backwards,
    ),
}


def questions_of(task: Task, folder: Path, rows: int, offset: int) -> tuple[Question, ...]:
    """The task's `rows` questions from `offset` on; below 0 that counts from the file's end.

    Raises:
        ConfigError: the file cannot be read, has no rows there, or a row lacks a field.
    """
    path = folder / f"{task.file}.jsonl"
    found: Sequence[Row] = read_rows(path)
    begin = offset if offset >= 0 else max(len(found) + offset, 0)
    if not (chosen := found[begin : begin + rows]):
        raise ConfigError(f"{path} has {len(found)} rows, none from {offset} on")
    return read_questions([task.read(row) for row in chosen], task.layout)
