"""Answering every question with every system, so that it can be interrupted and go on later.

Answers are kept in a file of JSON lines, each with a key of all that it depends on: the system, its
settings and the prompt. What is there already is not asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adafuse.answer import Answer
from adafuse.compare.dataset import Question
from adafuse.compare.records import Records, key_of
from adafuse.compare.systems import System
from adafuse.errors import AdaFuseError
from adafuse.prompting.prompt import PromptFormat
from adafuse.telemetry.summary import summarise

__all__ = ["Ledger", "SystemAnswer", "answer_all", "answer_key", "ask"]


@dataclass(frozen=True, slots=True)
class SystemAnswer:
    """One system's answer to one question.

    Attributes:
        text: the answer; "" if there is an error.
        seconds: wall time.
        finish_reason: why it ended.
        rounds: rounds, and of these `scored` ones.
        words: by member that drafted them.
        forward_passes: of all members.
        tokens_processed: likewise.
        tokens: committed by the first member.
        error: what went wrong, or "".
    """

    text: str
    seconds: float
    finish_reason: str = ""
    rounds: int = 0
    scored: int = 0
    words: Mapping[str, int] | None = None
    forward_passes: int = 0
    tokens_processed: int = 0
    tokens: int = 0
    error: str = ""


class Ledger:
    """Answers by key, in a file if there is one: each is written as soon as it is there."""

    def __init__(self, path: Path | None = None) -> None:
        self._records = Records(path, "answer of a comparison", lambda kept: SystemAnswer(**kept))

    def get(self, key: str) -> SystemAnswer | None:
        """The answer of this key, if it was given."""
        kept = self._records.get(key)
        return None if kept is None else SystemAnswer(**kept)

    def add(self, key: str, answer: SystemAnswer) -> None:
        """Keep an answer; a question that failed is asked again next time."""
        if not answer.error:
            self._records.add(key, asdict(answer))


def answer_all(
    systems: Sequence[System],
    questions: Sequence[Question],
    ledger: Ledger,
    *,
    models: Mapping[str, Any],
    prompt_format: PromptFormat | None,
    advance: Callable[[], None],
    keep: Callable[[System, int, Answer], None] | None,
) -> list[list[SystemAnswer]]:
    """Answers by system and question; `keep` is called with each new one.

    Question by question, all systems in turn and each time another one first, so that a machine
    that grows slower does so for all. `models` tells what is loaded by member name; members that
    were given loaded cannot tell, so a ledger is for one ensemble.
    """
    answers: list[list[SystemAnswer]] = [[] for _ in systems]
    for at, question in enumerate(questions):
        for turn in range(len(systems)):
            place = (turn + at) % len(systems)
            system = systems[place]
            key = answer_key(system, question, models, prompt_format)
            answer = ledger.get(key)
            if answer is None:
                told = partial(keep, system, at) if keep else None
                answer = ask(system, question, prompt_format, told)
                ledger.add(key, answer)
            answers[place].append(answer)
            advance()
    return answers


def ask(
    system: System,
    question: Question,
    prompt_format: PromptFormat | None = None,
    keep: Callable[[Answer], None] | None = None,
) -> SystemAnswer:
    """One answer; an error of this package that ends it is noted in it, not raised."""
    prompt = question.prompt if isinstance(question.prompt, str) else list(question.prompt)
    form = prompt_format if isinstance(prompt, str) else None
    began = time.perf_counter()
    try:
        answer = system.ensemble.generate(prompt, prompt_format=form)
    except AdaFuseError as error:  # of this question: others may do
        return SystemAnswer("", time.perf_counter() - began, error=" ".join(str(error).split()))
    seconds = time.perf_counter() - began
    if keep is not None:
        keep(answer)
    summary, usage = summarise(answer.rounds, answer.usage), answer.usage.values()
    return SystemAnswer(
        text=answer.text,
        seconds=seconds,
        finish_reason=answer.finish_reason,
        rounds=summary.rounds,
        scored=summary.scored,
        words=summary.words_by_member,
        forward_passes=sum(used.forward_passes for used in usage),
        tokens_processed=sum(used.tokens_processed for used in usage),
        tokens=answer.usage[system.members[0]].committed_tokens,
    )


def answer_key(
    system: System,
    question: Question,
    models: Mapping[str, Any],
    prompt_format: PromptFormat | None = None,
) -> str:
    """A digest of all that an answer depends on; `models` tells what is loaded by member name."""
    depends = {
        **system.identity,
        "models": {name: models.get(name) for name in system.members},
        "prompt": question.prompt,
        "format": prompt_format,
    }
    return key_of(depends)
