"""The trace of an answer: one page on which every word says who drafted it, and against what.

Builds plain values and hands them to a template. Knows neither members nor decoding: an answer
read back from a framework's metadata is as good as a fresh one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adafuse.events import FinishedAnswer
from adafuse.pages._render import frame, number, percent, render, write
from adafuse.pages._rounds import KINDS, MemberView, view_members, view_rounds
from adafuse.prompting.prompt import Message
from adafuse.telemetry.summary import summarise

__all__ = ["save_trace", "trace_frame", "trace_page"]

_TITLE = "Answer trace"
_FIXED_PITCH = re.compile(r"```|^(?: {2,}|\t|\|)", re.MULTILINE)  # code and tables are in columns
_REASONS = {
    "stop": "ended by itself",
    "length": "cut at the length limit",
    "stop_string": "ended at a stop string",
}
_PHASES = ("prefill", "draft", "score", "commit")


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
    weights = {name: own.weight for name, own in answer.usage.items() if own.weight is not None}
    rounds = list(view_rounds(answer.rounds, members, weights))
    return render(
        "trace.html.j2",
        "trace.js",
        title=title or _TITLE,
        prompt=_turns(prompt),
        answer=answer,
        members=members,
        numbers={name: at for at, name in enumerate(members, 1)},
        rounds=rounds,
        kinds=_kinds(Counter(view["kind"] for view in rounds)),
        reason=_REASONS.get(answer.finish_reason, answer.finish_reason),
        fixed_pitch=_FIXED_PITCH.search(answer.text) is not None,
        **_totals(answer, members),
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
    """Roles and contents; text that was to be completed has the role ""."""
    if prompt is None or isinstance(prompt, str):
        return [] if prompt is None else [("", prompt)]
    return [(str(turn.get("role", "")), _content(turn)) for turn in prompt]


def _content(turn: Mapping[str, Any]) -> str:
    """A message's content; with all that it has besides, as JSON, if that is more than text."""
    fields = {key: value for key, value in turn.items() if key != "role"}
    if fields.keys() == {"content"} and isinstance(fields["content"], str):
        return fields["content"]
    return json.dumps(fields, ensure_ascii=False, indent=2, default=str)


def _kinds(counts: Mapping[str, int]) -> list[tuple[str, str, int, float]]:
    """How rounds were decided: name, meaning, count, share."""
    return [
        (kind, meaning, counts.get(kind, 0), percent(counts.get(kind, 0), sum(counts.values())))
        for kind, meaning in KINDS.items()
        if kind in counts or kind in ("unanimous", "confident", "contested")
    ]


def _totals(answer: FinishedAnswer, members: Mapping[str, MemberView]) -> dict[str, Any]:
    """What the answer's rounds add up to and what it cost, as figures and tables."""
    summary = summarise(answer.rounds, answer.usage)
    total = sum(len(round_.words) for round_ in answer.rounds)
    counts = {name: summary.words_by_member.get(name, 0) for name in members}
    words = [(member, counts[member.name], percent(counts[member.name], total))
             for member in members.values()]  # fmt: skip
    forwards = sum(usage.forward_passes for usage in answer.usage.values())
    nobodys = total - sum(counts.values())
    return {
        "words": words + ([(None, nobodys, percent(nobodys, total))] if nobodys else []),
        "figures": {
            "words": number(total),
            "rounds": number(summary.rounds),
            "forwards": number(forwards),
            "tokens read per committed token": number(summary.tokens_read_per_committed_token, 2),
            "seconds, all members": number(summary.seconds, 2),
        },
        "costs": _costs(answer, counts),
    }


def _costs(answer: FinishedAnswer, words: Mapping[str, int]) -> dict[str, list[str]]:
    """The table of costs by column: a cell for each member, then their sum if there are several."""
    usages = answer.usage.values()
    phases = dict.fromkeys((*_PHASES, *(phase for usage in usages for phase in usage.seconds)))
    columns: dict[str, list[float]] = {
        "words": [words[name] for name in answer.usage],
        "prompt": [usage.prompt_tokens for usage in usages],
        "reused": [usage.reused_tokens for usage in usages],
        "committed": [usage.committed_tokens for usage in usages],
        "forwards": [usage.forward_passes for usage in usages],
        "read": [usage.tokens_processed for usage in usages],
        **{phase: [usage.seconds.get(phase, 0.0) for usage in usages] for phase in phases},
        "seconds": [sum(usage.seconds.values()) for usage in usages],
    }
    if not any(columns["reused"]):
        del columns["reused"]
    costs: dict[str, list[str]] = {}
    if any(usage.weight is not None for usage in usages):
        costs["weight"] = [*(number(usage.weight, 3) for usage in usages), "–"]
    for title, column in columns.items():
        values = [*column, sum(column)] if len(column) > 1 else column
        digits = 2 if title in (*phases, "seconds") else 0
        costs[title] = [number(value, digits) for value in values]
    return costs
