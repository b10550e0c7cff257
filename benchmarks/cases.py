"""Answers side by side on a file of cases: questions about documents, or whatever is asked.

JSON lines: {"document": name, "text": …} are all shown with every question; {"question": …} and, if
there is a right answer, {"answers": […]}, any of which the answer must have in it.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adafuse.compare.answers import ask
from adafuse.compare.dataset import Question, read_rows
from adafuse.compare.metrics import METRICS
from adafuse.compare.systems import System
from adafuse.errors import ConfigError
from adafuse.loading.loader import load_members
from adafuse.text.words import bare_words
from benchmarks.tasks import systems
from benchmarks.tasks.command import DType, Ensembles, Members, Plain, Systems, Threads

__all__ = ["main", "most_repeated", "read_cases", "run"]

_PHRASE = 4  # words


def read_cases(path: Path) -> list[Question]:
    """Its questions as chat messages, each behind all documents.

    Raises:
        ConfigError: the file cannot be read, or a line is neither a document nor a question.
    """
    rows = read_rows(path)
    for number, row in enumerate(rows, 1):
        if not ({"document", "text"} <= set(row) or "question" in row):
            raise ConfigError(f"{path}, line {number}: it has neither 'question' nor 'document'")
    texts = [f"{row['document']}:\n{row['text']}" for row in rows if "document" in row]
    asked = [row for row in rows if "question" in row]
    if not asked:
        raise ConfigError(f"{path} has no questions")
    found = []
    for row in asked:
        text = row["question"]
        if texts:
            task = "Answer the question from these documents, in one short sentence."
            text = "\n\n".join([task, *texts, f"Question: {text}"])
        message = {"role": "user", "content": text}
        found.append(Question((message,), tuple(row.get("answers", ())), (), row))
    return found


def most_repeated(text: str, size: int = _PHRASE) -> int:
    """How often the phrase of `size` words that comes most often comes; 0 in a shorter text.

    In scripts without spaces every character is one.
    """
    words = bare_words(text)
    phrases = Counter(zip(*(words[at:] for at in range(size)), strict=False))
    return max(phrases.values(), default=0)


def run(cases: Sequence[Question], asked: Sequence[System]) -> list[dict[str, Any]]:
    """Every question's answers by system: text, whether it is right, repetition and seconds."""
    found = []
    for case in cases:
        answers = {}
        for system in asked:
            began = time.perf_counter()
            answer = ask(system, case)
            answers[system.name] = {
                "text": answer.error or answer.text,
                "right": bool(METRICS["contains"](answer.text, case)["contains"])
                if case.references
                else None,
                "most repeated": most_repeated(answer.text),
                "finish reason": answer.finish_reason,
                "tokens": answer.tokens,
                "seconds": round(time.perf_counter() - began, 2),
            }
        found.append({"question": case.row["question"], "answers": answers})
    return found


def _table(question: str, answers: Mapping[str, Mapping[str, Any]]) -> Table:
    drawn = Table(title=escape(question), title_justify="left", pad_edge=False, show_lines=True)
    for column in ("system", "answer", "right", "repeated", "seconds"):
        drawn.add_column(column, overflow="fold")
    for name, one in answers.items():
        right = {None: "", True: "yes", False: "no"}[one["right"]]
        cut = " [dim](cut)[/dim]" if one["finish reason"] == "length" else ""
        drawn.add_row(
            escape(name), escape(one["text"]) + cut, right,
            f"{one['most repeated']}", f"{one['seconds']:.1f}",
        )  # fmt: skip
    return drawn


def main(
    file: Annotated[Path, typer.Argument(help="JSON lines: documents and questions.")],
    member: Members = None,
    plain: Plain = None,
    ensemble: Ensembles = None,
    system: Systems = None,
    tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 64,
    stop: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    dtype: DType = "float32",
    threads: Threads = 0,
    out: Annotated[Path | None, typer.Option(help="Also write JSON here.")] = None,
) -> None:
    """Ask members and ensembles the same questions, one by one, and show answers side by side."""
    cases = read_cases(file)
    folders = systems.find_members(member or [])
    plans = systems.plan([*folders], ensemble or [], system or [f"paper={systems.PAPER}"])
    if threads:
        torch.set_num_threads(threads)
    members = load_members(systems.needed(folders, plans, dtype, plain or []))
    shared = {"max_new_tokens": tokens, "stop": tuple(stop or ())}
    found = run(cases, systems.build(plans, members, shared))
    console = Console()
    for one in found:
        console.print(_table(one["question"], one["answers"]))
    for name in found[0]["answers"]:
        marks = [one["answers"][name]["right"] for one in found]
        scored = [mark for mark in marks if mark is not None]
        if scored:
            console.print(f"{name}: {sum(scored)} of {len(scored)} right", highlight=False)
    if out is not None:
        out.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
