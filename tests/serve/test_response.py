"""From rounds to choices: pieces add up to the whole, wherever rounds part and an answer is cut."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from adafuse import DecodingConfig
from adafuse.events import FinishReason, Round
from adafuse.prompting.prompt import read_prompt
from adafuse.serve.request import Ask
from adafuse.serve.response import Choice
from adafuse.tools import call_text, read_calls

NAMES = ("add", "say")
CALLS = [call_text("add", {"a": [1, {"b": "}</tool_call>"}]}), call_text("say", {"é": '"\n\\'})]
TEXTS = [
    "only text",
    "",
    CALLS[0],
    f"first\n\n{CALLS[0]}\n{CALLS[1]}",
    f"{CALLS[0]} between {CALLS[1]}\nafter ",
    call_text("unknown", {"a": 1}),
    f"so: {call_text('unknown', {'a': 1})}\n{CALLS[1]}",
    '<tool_call>\n{"name": "add", "arguments": [1]}\n</tool_call>',
    '<tool_call>\n{"name": "add", "arguments": {"a": oh}}\n</tool_call> then',
]


def ask(tools: Sequence[str]) -> Ask:
    return Ask(
        "m", (0,), (read_prompt(" "),), DecodingConfig(), tuple(tools),
        chat=True, stream=True, include_usage=False, details=False,
    )  # fmt: skip


def rounds(text: str, reason: FinishReason, dice: random.Random) -> list[Round]:
    """An answer, in rounds that part anywhere."""
    marks = sorted(dice.choices(range(len(text) + 1), k=dice.randrange(8)))
    spans = [text[a:b] for a, b in zip([0, *marks], [*marks, len(text)], strict=True)]
    one: dict[str, Any] = {"ends": False, "member": "", "drafters": (), "candidates": ()}
    one |= {"winner": -1, "margins": {}, "confident": True, "unanimous": True, "scored": False}
    made = [Round(at, span, (span,), **one) for at, span in enumerate(spans[:-1])]
    return [*made, Round(len(spans), spans[-1], (spans[-1],), **one, finish_reason=reason)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("reason", ["stop", "length"])
def test_pieces_add_up(text: str, reason: FinishReason) -> None:
    dice = random.Random(0)
    for end in range(len(text) + 1) if reason == "length" else [len(text)] * 40:
        written = text[:end]
        choice = Choice(0, ask(NAMES))
        content, calls = "", {}
        for one in rounds(written, reason, dice):
            for delta in choice.feed(one):
                content += delta.get("content", "")
                for part in delta.get("tool_calls", ()):
                    if "id" in part:
                        assert part["index"] == len(calls)  # no gaps
                        calls[part["index"]] = [part["id"], part["function"]["name"], ""]
                    calls[part["index"]][2] += part["function"]["arguments"]
        message = choice.message
        told = [
            [call["id"], call["function"]["name"], call["function"]["arguments"]]
            for call in message.get("tool_calls", ())
        ]
        assert list(calls.values()) == told
        assert content == (message["content"] or "")
        _, read = read_calls(written, NAMES)
        valid = [(one.name, one.arguments) for one in read if not hasattr(one, "error")]
        right = [
            (name, json.loads(arguments)) for _, name, arguments in told if _is_object(arguments)
        ]
        assert all(one in right for one in valid)
        # What a limit ended is never told as whole calls.
        called = told and reason == "stop"
        assert choice.finish_reason == ("tool_calls" if called else reason)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def test_without_tools_everything_is_text() -> None:
    choice = Choice(0, ask(()))
    for one in rounds(TEXTS[3], "stop", random.Random(1)):
        list(choice.feed(one))
    assert choice.message == {"role": "assistant", "content": TEXTS[3], "refusal": None}
    assert choice.finish_reason == "stop"


def test_a_call_of_no_tool_is_told_as_it_was_written() -> None:
    choice = Choice(0, ask(NAMES))
    for one in rounds(f"so: {TEXTS[5]}", "stop", random.Random(2)):
        list(choice.feed(one))
    assert choice.message["content"] == f"so: {TEXTS[5]}"
    assert "tool_calls" not in choice.message
