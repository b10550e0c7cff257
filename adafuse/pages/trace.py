"""The trace of an answer: one page on which every word says who drafted it, and against what.

Builds plain values and hands them to a template. Knows neither members nor decoding: an answer
read back from a framework's metadata is as good as a fresh one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adafuse.events import FinishedAnswer
from adafuse.pages._render import frame, render, write
from adafuse.pages._rounds import view_members, view_rounds
from adafuse.pages._summary import view_totals
from adafuse.prompting.prompt import Message

__all__ = ["save_trace", "trace_frame", "trace_page"]

_TITLE = "Answer trace"
_FIXED_PITCH = re.compile(r"```|^(?: {2,}|\t|\|)", re.MULTILINE)  # code and tables are in columns


def trace_page(
    answer: FinishedAnswer,
    *,
    prompt: str | Sequence[Message] | None = None,
    title: str | None = None,
) -> str:
    """Show an answer as one HTML page that needs nothing else.

    Args:
        answer: any, also one read back by an integration's `read_answer`.
        prompt: what was asked, text or chat messages, to be shown too.
        title: of the page; default: "Answer trace".
    """
    members = view_members(answer)
    rounds = view_rounds(answer.rounds, members)
    return render(
        "trace.html.j2",
        "trace.js",
        title=title or _TITLE,
        prompt=_turns(prompt),
        members=list(members.values()),
        rounds=rounds,
        numbers={name: at for at, name in enumerate(members, 1)},
        answer_is_empty=not answer.text,
        totals=view_totals(answer, rounds, members),
        fixed_pitch=_FIXED_PITCH.search(answer.text) is not None,
    )


def save_trace(
    answer: FinishedAnswer,
    path: str | Path,
    *,
    prompt: str | Sequence[Message] | None = None,
    title: str | None = None,
) -> Path:
    """Write `trace_page` to a file, over what was there; returns its path.

    Raises:
        ConfigError: it cannot be written there, such as for want of the folder.
    """
    return write(trace_page(answer, prompt=prompt, title=title), path)


def trace_frame(answer: FinishedAnswer) -> str:
    """The page as an HTML element, for notebooks."""
    return frame(trace_page(answer), _TITLE)


def _turns(prompt: str | Sequence[Message] | None) -> list[tuple[str, str]]:
    """Roles and what they said; text that was to be completed has the role ""."""
    if prompt is None:
        return []
    if isinstance(prompt, str):
        return [("", prompt)]
    return [(str(turn.get("role", "")), _said(turn)) for turn in prompt]


def _said(turn: Mapping[str, Any]) -> str:
    """A message's content; with all that it has besides, as JSON, if that is more than text."""
    said = {key: value for key, value in turn.items() if key != "role"}
    if said.keys() == {"content"} and isinstance(said["content"], str):
        return said["content"]
    return json.dumps(said, ensure_ascii=False, indent=2, default=str)
