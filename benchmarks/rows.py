"""Prompts from rows of public test sets (JSON lines; they are not part of the project)."""

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("ADAFUSE_DATA", ROOT.parent / "shared" / "data"))
"""Holds squad.jsonl, triviaqa.jsonl and others; ADAFUSE_DATA names another folder."""


def rows(name: str, count: int) -> list[dict[str, Any]]:
    """`count` rows of a set, spread evenly over its file."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:: len(lines) // count][:count]]


def rag_prompt(row: dict[str, Any]) -> str:
    """The demo's prompt over a SQuAD row."""
    return (
        "Answer the question from the context, in one sentence.\n\n"
        f"Context: {row['context']}\n\nQuestion: {row['question']}\n\nAnswer:"
    )


def short_prompt(row: dict[str, Any]) -> str:
    """A question to be completed, for what reads the whole prompt once a token."""
    return f"Question: {row['question']}\nAnswer:"
