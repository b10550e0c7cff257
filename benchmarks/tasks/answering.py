"""Rows answered by every system, several at a time; can be stopped, and goes on later."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

from adafuse.compare.answers import Ledger, SystemAnswer, answer_key, ask
from adafuse.compare.dataset import Question
from adafuse.compare.systems import System

__all__ = ["Answers", "answer_all"]

Answers = dict[str, dict[str, list[SystemAnswer]]]
"""By task and system; in order of the rows, and as many rows for each system of a task."""


def answer_all(
    questions: Mapping[str, Sequence[Question]],
    systems: Mapping[str, Sequence[System]],
    ledger: Ledger,
    *,
    models: Mapping[str, Any],
    width: int,
    in_time: Callable[[], bool],
    advance: Callable[[str, int], None],
) -> Answers:
    """Ask blocks of rows, task by task and system by system, until all is answered or time is up.

    Args:
        questions, systems: by task; a task's systems differ in name.
        ledger: what it has is not asked again.
        models: what is loaded by member name; see `adafuse.compare.answers`.
        width: how many answers are decoded at the same time: their members share forwards.
        in_time: asked before every answer; what was begun is finished.
        advance: told the task, and how many more of its answers there are.

    Returns:
        The rows that all systems have answered. `seconds` of an answer are those since the one
        that was finished before it: they add up to the time that all took.
    """
    found: Answers = {task: {one.name: [] for one in systems[task]} for task in questions}
    size = 3 * width  # of a block: long enough to keep `width` at work, short enough to stop early
    longest = max(map(len, questions.values()))
    for begin in range(0, longest, size):
        for task, asked in questions.items():
            block = asked[begin : begin + size]
            answers = []
            for system in systems[task]:
                keys = [answer_key(system, question, models) for question in block]
                answers.append(_answer(system, block, keys, ledger, width, in_time))
                advance(task, len(answers[-1]))
            common = min(map(len, answers))
            for system, given in zip(systems[task], answers, strict=True):
                found[task][system.name] += given[:common]
            if common < len(block):
                return found
    return found


def _answer(
    system: System,
    questions: Sequence[Question],
    keys: Sequence[str],
    ledger: Ledger,
    width: int,
    in_time: Callable[[], bool],
) -> list[SystemAnswer]:
    """Answers to the first questions: all of them, if there is time."""
    given = {key: answer for key in keys if (answer := ledger.get(key)) is not None}
    open_ = {key: question for key, question in zip(keys, questions, strict=True)
             if key not in given}  # fmt: skip
    pool = ThreadPoolExecutor(width)
    last = time.perf_counter()
    try:
        asked = {
            pool.submit(lambda one=question: ask(system, one) if in_time() else None): key
            for key, question in open_.items()
        }
        for future in as_completed(asked):
            if (answer := future.result()) is None:
                continue
            now = time.perf_counter()
            given[asked[future]] = answer = replace(answer, seconds=now - last)
            ledger.add(asked[future], answer)
            last = now
    finally:
        pool.shutdown(cancel_futures=True)  # an interruption waits for what was begun
    first = next((at for at, key in enumerate(keys) if key not in given), len(keys))
    return [given[key] for key in keys[:first]]
