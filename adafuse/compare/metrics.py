"""How good an answer is, by task: numbers from 0 to 1, the first of which is the one that counts.

Normalising and scoring are done by torchmetrics (SQuAD) and sacrebleu (translation).
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from adafuse.compare.dataset import Question
from adafuse.errors import ConfigError, MissingExtraError
from adafuse.text.words import count_words
from adafuse.validation import show

__all__ = ["METRICS", "Metric", "guess_metric", "read_metric"]

Metric = Callable[[str, Question], dict[str, float]]

# A minus behind a number or a word is a dash or an operator.
_NUMBER = re.compile(
    r"(?<![\w).])[-+]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)|\d+(?:\.\d+)?"
)
_LETTER = re.compile(
    r"""^\(?([A-Za-z])\)?[.:]?$ | ^\(?([A-Za-z])[).:]\s | answer\s+is:?\s+[*("']*([A-Z])\b
    | [(*]([A-Z])[)*] | \b([B-HJ-Z])(?=[.,)]|$)""",
    re.VERBOSE | re.MULTILINE,
)


def squad(answer: str, question: Question) -> dict[str, float]:
    """Exact match and F1 over words, without case, punctuation and articles, as SQuAD defines them.

    The best over the references.
    """
    from torchmetrics.functional.text import squad as score

    predicted = [{"prediction_text": answer, "id": "0"}]
    texts = list(question.references)
    target = [{"answers": {"text": texts, "answer_start": [0] * len(texts)}, "id": "0"}]
    scores = score(predicted, target)  # type: ignore[arg-type]
    return {"exact match": float(scores["exact_match"]) / 100, "F1": float(scores["f1"]) / 100}


def numeric(answer: str, question: Question) -> dict[str, float]:
    """Whether the last number of the answer is that of a reference, as for GSM8K."""
    number = _last_number(answer)
    targets = [_last_number(reference) for reference in question.references]
    return {"accuracy": float(number is not None and number in targets)}


def choice(answer: str, question: Question) -> dict[str, float]:
    """Whether the answer names the right choice: by its letter, else by its text.

    A letter counts alone, behind "answer is" or in brackets, or with a full stop or a bracket
    behind it; of several the last one. Where there is no letter, the answer has to be a choice, or
    name just one.
    """
    letters = [chr(ord("A") + at) for at in range(len(question.choices))]
    choices = list(zip(letters, question.choices, strict=True))
    right = {at for at, names in enumerate(choices) if set(names) & set(question.references)}
    line = answer.strip().strip("*_`\"' ")
    if line in question.choices:
        return {"accuracy": float(question.choices.index(line) in right)}
    matches = ("".join(filter(None, match.groups())).upper() for match in _LETTER.finditer(line))
    if named := [letter for letter in matches if letter in letters]:
        return {"accuracy": float(letters.index(named[-1]) in right)}
    held = [at for at, text in enumerate(question.choices) if _holds(line, text)]
    longest = [
        at for at in held
        if not any(_holds(question.choices[o], question.choices[at]) for o in held if o != at)
    ]  # fmt: skip
    return {"accuracy": float(len(longest) == 1 and longest[0] in right)}


def contains(answer: str, question: Question) -> dict[str, float]:
    """Whether a reference stands anywhere in the answer, without case and punctuation."""
    return {"contains": float(any(_holds(answer, reference) for reference in question.references))}


def translation(answer: str, question: Question) -> dict[str, float]:
    """Sentence chrF and BLEU of sacrebleu, divided by 100."""
    import sacrebleu

    line, references = answer.strip(), list(question.references)
    return {
        "chrF": sacrebleu.sentence_chrf(line, references).score / 100,
        "BLEU": sacrebleu.sentence_bleu(line, references).score / 100,
    }


METRICS: Mapping[str, Metric] = {
    metric.__name__: metric for metric in (squad, numeric, choice, contains, translation)
}
_NEEDS = {"squad": "torchmetrics", "translation": "sacrebleu"}


def guess_metric(question: Question) -> str:
    """The metric for a task, by what a row of it has."""
    if question.choices:
        return "choice"
    return "translation" if "source" in question.row else "squad"


def read_metric(metric: str | Callable[..., Any]) -> Metric:
    """A metric by name, a function, or "module:function" (or "file.py:function").

    A function of the user's takes the answer's text and the row, and gives a number or several by
    name; True is 1. Higher is better.
    """
    if callable(metric):
        return _wrapped(metric, getattr(metric, "__name__", "score"))
    if metric in METRICS:
        package = _NEEDS.get(metric)
        if package and importlib.util.find_spec(package) is None:
            raise MissingExtraError(f"the metric {metric!r}", "compare")
        return METRICS[metric]
    module, colon, name = metric.rpartition(":")
    if not colon:
        names = ", ".join(METRICS)
        raise ConfigError(f"unknown metric {metric!r}: one of {names}, or 'module:function'")
    try:
        if module.endswith(".py"):
            sys.path.insert(0, str(Path(module).resolve().parent))
            module = Path(module).stem
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module does
        raise ConfigError(f"the metric {metric!r} cannot be imported: {error}") from error
    if not callable(function):
        raise ConfigError(f"the metric {metric!r} is no function, but {show(function)}")
    return _wrapped(function, name)


def _wrapped(function: Callable[..., Any], name: str) -> Metric:
    def scored(answer: str, question: Question) -> dict[str, float]:
        try:
            result = function(answer, question.row)
        except Exception as error:  # whatever the user's function does
            raise ConfigError(f"the metric {name!r} failed: {error!r:.200}") from error
        numbers = result if isinstance(result, Mapping) else {name: result}
        try:
            read = {str(key): float(value) for key, value in numbers.items()}
        except (TypeError, ValueError):
            read = {}
        if not read or not all(map(math.isfinite, read.values())):
            raise ConfigError(
                f"the metric {name!r} must give a number, or several by name, not {show(result)}"
            )
        return read

    return scored


def _last_number(text: str) -> Decimal | None:
    numbers = _NUMBER.findall(text.replace("\u2212", "-"))
    try:
        return Decimal(numbers[-1].replace(",", "")).normalize() if numbers else None
    except InvalidOperation:
        return None


def _holds(text: str, part: str) -> bool:
    """Whether a text has the words of another one in it.

    What has no words (a sign), or is of a script without spaces, has to stand there as it is.
    """
    words = _plain(part)
    if not words or count_words(part) > len(part.split()):
        return bool(part.strip()) and part.strip().casefold() in text.casefold()
    return f" {words} " in f" {_plain(text)} "


def _plain(text: str) -> str:
    """Lower case, words and digits only, one space between them."""
    return " ".join(re.findall(r"\w+", text.casefold()))
