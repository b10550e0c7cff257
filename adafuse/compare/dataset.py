"""Questions from rows of JSON lines: what is asked, and what answers are right.

Knows the usual names of fields; knows no models and no metrics.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.runtime import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from adafuse.errors import ConfigError
from adafuse.prompting.prompt import read_prompt
from adafuse.validation import show

__all__ = [
    "REFERENCES",
    "Layout",
    "Question",
    "placed_rows",
    "read_questions",
    "read_rows",
    "read_text",
]

REFERENCES = ("answers", "answer", "references", "reference", "target", "targets")
_TEMPLATES = {
    ("context", "question", "choices"): "{{ context }}\n\nQuestion: {{ question }}\n{{ choices }}",
    ("context", "question"): "{{ context }}\n\nQuestion: {{ question }}",
    ("question", "choices"): "{{ question }}\n{{ choices }}",
    ("question",): "{{ question }}",
    ("source",): "{{ source }}",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One row.

    Attributes:
        prompt: text to be completed, or chat messages.
        references: right answers, any of which will do.
        choices: what may be answered, if the row lists it; the answer is a letter or the text.
        row: the row as it was given.
    """

    prompt: str | tuple[dict[str, str], ...]
    references: tuple[str, ...]
    choices: tuple[str, ...]
    row: Mapping[str, Any]

    @property
    def text(self) -> str:
        """What is asked, in short: the last message, or the prompt."""
        return self.prompt if isinstance(self.prompt, str) else str(self.prompt[-1]["content"])


@dataclass(frozen=True, slots=True)
class Layout:
    """How a row becomes a prompt.

    Attributes:
        template: the user's message in Jinja, with the row's fields as variables, and `choices` as
            a list with letters, one a line; None takes the first of the usual fields that a row
            has. A row with messages takes nothing of a layout.
        system: a system message.
        examples: rows that are shown as solved before each question.
        raw: the template is text to be completed, without a chat; examples then stand before it,
            with blank lines between.
    """

    template: str | None = None
    system: str | None = None
    examples: tuple[Mapping[str, Any], ...] = ()
    raw: bool = False

    def question(self, row: Mapping[str, Any], where: str) -> Question:
        """Read a row; ConfigError if it lacks a field, or one is of a wrong type."""
        choices = _choices(row, where)
        references = _references(row, choices, where)
        if "messages" in row or (self.template is None and "prompt" in row):
            prompt = row.get("messages", row.get("prompt"))
            if isinstance(prompt, list | tuple):
                self._refuse_more(where)
                if not all(isinstance(turn, Mapping) for turn in prompt):
                    raise ConfigError(f"{where}: its messages must be objects")
                return Question(tuple(map(dict, prompt)), references, choices, row)
            if not isinstance(prompt, str):
                raise ConfigError(f"{where}: its prompt must be text, not {show(prompt)}")
            text = prompt
        else:
            text = self._render(row, choices, where)
        return Question(self._prompt(text), references, choices, row)

    def _refuse_more(self, where: str) -> None:
        """What a conversation that is already there has no place for."""
        if self.template or self.system or self.examples or self.raw:
            raise ConfigError(
                f"{where} has messages; a template, a system message, examples and raw are for "
                "rows without"
            )

    def _prompt(self, text: str) -> str | tuple[dict[str, str], ...]:
        turns = [("system", self.system)] if self.system else []
        parts = [self.system] if self.system else []
        for number, row in enumerate(self.examples, 1):
            where = f"example {number}"
            choices = _choices(row, where)
            example = self._render(row, choices, where)
            solution = _references(row, choices, where)[0]
            turns += [("user", example), ("assistant", solution)]
            parts.append(example + ("" if example.endswith((" ", "\n")) else " ") + solution)
        if self.raw:
            return "\n\n".join([*parts, text])
        turns.append(("user", text))
        return tuple({"role": role, "content": content} for role, content in turns)

    def _render(self, row: Mapping[str, Any], choices: Sequence[str], where: str) -> str:
        usual = (text for names, text in _TEMPLATES.items() if all(map(row.get, names)))
        template = self.template or next(usual, None)
        if template is None:
            raise ConfigError(
                f"{where}: it has none of 'messages', 'prompt', 'question' and 'source' (but "
                f"{', '.join(map(str, row))}); say with a template what to ask"
            )
        listed = "\n".join(f"{chr(65 + at)}. {choice}" for at, choice in enumerate(choices))
        try:
            prompt = _JINJA.from_string(template).render({**row, "choices": listed})
        except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"{where}: the template cannot be filled in: {error}") from None
        if not prompt.strip():
            raise ConfigError(f"{where}: the template gives an empty prompt")
        return prompt


_JINJA = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


def read_rows(source: str | Path | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows of a file of JSON lines or of one JSON array (UTF-8), or as they are.

    ConfigError if one is no object.
    """
    return [row for _, row in placed_rows(source)]


def placed_rows(
    source: str | Path | Sequence[Mapping[str, Any]],
) -> list[tuple[str, Mapping[str, Any]]]:
    """Likewise, each with where it is: "questions.jsonl, line 3", or "row 3"."""
    if not isinstance(source, str | Path):
        rows = [(f"row {number}", row) for number, row in enumerate(source, 1)]
    elif (text := read_text(source)).lstrip().startswith("["):
        listed = _parsed(str(source), text)
        rows = [(f"{source}, row {number}", row) for number, row in enumerate(listed, 1)]
    else:
        lines = [(f"{source}, line {at}", line) for at, line in enumerate(text.split("\n"), 1)]
        rows = [(where, _parsed(where, line)) for where, line in lines if line.strip()]
    for where, row in rows:
        if not isinstance(row, Mapping):
            raise ConfigError(f"{where} must be an object, not {show(row)}")
    return rows


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON: {error}") from None


def read_text(path: str | Path) -> str:
    """A file's text; ConfigError if it cannot be read or is not UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason} at {error.start}") from None


def read_questions(rows: Sequence[Mapping[str, Any]], layout: Layout) -> tuple[Question, ...]:
    """Rows as questions, checked; errors name a row by its number."""
    if not rows:
        raise ConfigError("there are no questions")
    questions = tuple(layout.question(row, f"row {at}") for at, row in enumerate(rows, 1))
    for question in questions:
        read_prompt(question.prompt)
    return questions


def _choices(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    choices = row.get("choices") or ()
    if isinstance(choices, Mapping):  # as ARC has it: {"text": […], "label": […]}
        choices = choices.get("text", ())
    listed = isinstance(choices, list | tuple)
    if not listed or not all(isinstance(choice, str) for choice in choices):
        raise ConfigError(f"{where}: its choices must be a list of texts, not {show(choices)}")
    return tuple(choices)


def _references(row: Mapping[str, Any], choices: Sequence[str], where: str) -> tuple[str, ...]:
    name = next((name for name in REFERENCES if row.get(name) is not None), None)
    if name is None:
        raise ConfigError(f"{where} has no right answer: none of {', '.join(REFERENCES)}")
    value = row[name]
    if isinstance(value, Mapping):  # as SQuAD has it: {"text": […], "answer_start": […]}
        value = value.get("text", ())
    labels = row["choices"].get("label", ()) if isinstance(row.get("choices"), Mapping) else ()
    if isinstance(value, str) and value in labels:
        value = choices[list(labels).index(value)]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
        value = choices[value]
    listed = [value] if isinstance(value, str | int | float) else value
    if not isinstance(listed, list | tuple) or not listed or None in listed:
        raise ConfigError(f"{where}: {name} must be a text or a list of texts, not {show(value)}")
    try:
        "".join(map(str, listed)).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{where}: {name} has a lone surrogate: {show(value)}") from None
    return tuple(map(str, listed))
