"""The texts that weights are fitted to: a prompt, and what follows it in the user's own data.

Three kinds of rows: questions with answers, as `adafuse.compare` reads them; chat transcripts, of
which every assistant turn is a text; documents, from which answers are drawn or whose like is to be
written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NoReturn

from adafuse.compare.dataset import REFERENCES, Layout
from adafuse.errors import AdaFuseError, ConfigError
from adafuse.prompting.prompt import Prompt, read_prompt
from adafuse.text.words import split_words, unspaced
from adafuse.validation import show

__all__ = ["Text", "document_texts", "row_texts"]

_ASKED = ("messages", "prompt", "question", "source")
_PIECE = 128  # words of a document that are read at a time, those of its prompt included
_PROMPT = 32  # of these, at most a quarter, begin the piece and are not fitted to
_LEAST = 8  # words of a document


@dataclass(frozen=True, slots=True)
class Text:
    """One text.

    Attributes:
        where: it is from, for errors: a file and a line.
        prompt: what comes before.
        reference: what members are to find likely.
        ends: whether the answer is over behind it.
    """

    where: str
    prompt: Prompt
    reference: str
    ends: bool


def row_texts(
    where: str,
    row: Mapping[str, Any],
    layout: Layout,
    answer: str | None = None,
    prose: bool = False,
) -> list[Text]:
    """The texts of a row; several of a conversation or a long document.

    Args:
        where: the row is, for errors.
        layout: how a question becomes a prompt.
        answer: the column with the right answer, where it has none of the usual names.
        prose: see `document_texts`.

    Raises:
        ConfigError: the row lacks something, is empty, or answers with its own prompt.
    """
    if answer is not None:
        if answer not in row:
            raise ConfigError(f"{where} has no column {answer!r}, but {', '.join(map(str, row))}")
        row = {**row, "answers": row[answer]}
    answered = any(row.get(name) is not None for name in REFERENCES)
    if layout.template is None and not answered:
        if isinstance(row.get("messages"), list | tuple):
            if not (turns := list(_transcript(where, row))):
                raise ConfigError(
                    f"{where}: the assistant says nothing in words after the user; leave it out"
                )
            return turns
        if "text" in row and not any(name in row for name in _ASKED):
            if not isinstance(row["text"], str):
                raise ConfigError(f"{where}: its text must be a string, not {show(row['text'])}")
            return document_texts(where, row["text"], prose)
    question = layout.question(row, where)
    reference = question.references[0]
    if any(str(row.get(name)).strip() == reference.strip() for name in _ASKED):
        _refuse_copy(where)
    prompt = question.prompt
    if isinstance(prompt, str) and not prompt[-1:].isspace() and reference[:1].strip():
        reference = f" {reference}"
    return [_checked(where, prompt, reference)]


def _transcript(where: str, row: Mapping[str, Any]) -> Iterator[Text]:
    """Every assistant turn that says something, behind all that was said before."""
    messages = row["messages"]
    if not all(isinstance(turn, Mapping) for turn in messages):
        raise ConfigError(f"{where}: its messages must be objects")
    if not messages or messages[-1].get("role") != "assistant":
        raise ConfigError(
            f"{where}: its messages must end with what the assistant said, or it needs an answer"
        )
    for at, turn in enumerate(messages):
        before, content = messages[:at], turn.get("content")
        if turn.get("role") != "assistant" or not any(m.get("role") == "user" for m in before):
            continue
        if turn.get("tool_calls") and not content:
            continue  # members write calls in a syntax of their own
        if not isinstance(content, str):
            raise ConfigError(f"{where}, message {at}: its content must be text")
        yield _checked(f"{where}, message {at}", list(before), content, row.get("tools"))


def _checked(
    where: str, prompt: str | Sequence[Mapping[str, Any]], reference: str, tools: Any = None
) -> Text:
    if not reference.strip():
        raise ConfigError(f"{where}: its answer is empty, so there is nothing to fit to")
    asked = prompt if isinstance(prompt, str) else str(prompt[-1].get("content"))
    if reference.strip() == asked.strip():
        _refuse_copy(where)
    try:
        read_prompt(reference)  # half characters
        given = prompt if isinstance(prompt, str) else list(prompt)
        checked = read_prompt(given, tools=tools or None)
    except AdaFuseError as error:
        raise ConfigError(f"{where}: {error}") from None
    return Text(where, checked, reference, ends=True)


def _refuse_copy(where: str) -> NoReturn:
    raise ConfigError(
        f"{where}: its answer is a copy of its prompt, which would reward copying; name other "
        "columns, or leave it out"
    )


def document_texts(where: str, document: str, prose: bool = False) -> list[Text]:
    """A document in pieces of some hundred words, each read from its first words.

    Unless it is `prose`, a piece is read a second time behind itself, and that is what is fitted
    to: how sure a member is of what it has just read is what answers from documents ask of it. How
    well it guesses a new text, which is what prose asks, says little of that.

    ConfigError for one that has next to no words.
    """
    words = _words(document.strip())
    if len(words) < _LEAST:
        has = f"has {len(words)} words" if words else "is empty"
        raise ConfigError(f"{where} {has}; a document needs at least {_LEAST}")
    count = -(-len(words) // _PIECE)
    borders = [len(words) * at // count for at in range(count + 1)]
    texts = []
    for number, (begin, end) in enumerate(pairwise(borders), 1):
        behind = begin + min(_PROMPT, (end - begin) // 4)
        prompt, reference = "".join(words[begin:behind]).lstrip(), "".join(words[behind:end])
        if not prose:
            prompt = f"{''.join(words[begin:end]).strip()}\n\n{prompt}"
        piece = f"{where}, piece {number}" if count > 1 else where
        texts.append(replace(_checked(piece, prompt, reference), ends=False))
    return texts


def _words(text: str) -> list[str]:
    """Words with the whitespace before them; every character of a script without spaces is one."""
    words = []
    for word in split_words(text):
        start = 0
        for at, character in enumerate(word, 1):
            if unspaced(character) and at < len(word):
                words.append(word[start:at])
                start = at
        words.append(word[start:])
    return words
