"""Histories are read as other servers and clients write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adafuse import DecodingConfig
from adafuse.prompting.prompt import read_prompt, with_constraint
from adafuse.tools.choice import without_repeats


def assistant(calls: list[Any]) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": calls}


def call(name: str = "f", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        *((text, {}) for text in ("", " ", "\n", None, "null", "{}", "[]", [], {}, '"{}"', '""')),
        ('{"a": 1}', {"a": 1}),
        (json.dumps('{"a": "ü"}'), {"a": "ü"}),
        (json.dumps('{"a": 1, "a": 2}'), {"a": 2}),
    ],
)
def test_arguments_are_read_as_other_servers_and_clients_write_them(
    written: Any, arguments: dict[str, Any]
) -> None:
    """What others write is read: no text for no arguments, and JSON that is encoded twice."""
    given = assistant([call(arguments=written)])
    assert read_prompt([given]).messages[0]["tool_calls"][0]["function"]["arguments"] == arguments
    unsaid = {"id": "1", "type": "function", "function": {"name": "f"}}
    (read,) = read_prompt([assistant([unsaid])]).messages
    assert read["tool_calls"][0]["function"]["arguments"] == {}


def _turn(name: str, arguments: Any, id_: str) -> list[dict[str, Any]]:
    call = {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    result = {"role": "tool", "tool_call_id": id_, "content": "7"}
    return [{"role": "assistant", "content": "", "tool_calls": [call]}, result]


STOCK = {
    "type": "function",
    "function": {
        "name": "stock",
        "parameters": {"type": "object", "properties": {"fruit": {"type": "string"}}},
    },
}
ASKED = [{"role": "user", "content": "How many pears?"}]
PEARS, AGAIN = _turn("stock", {"fruit": "pears"}, "a"), _turn("stock", '{"fruit":"pears"}', "b")
APPLES = _turn("stock", {"fruit": "apples"}, "c")


def _together(*turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls of several turns in one answer, and their results."""
    calls = [call for called, _ in turns for call in called["tool_calls"]]
    results = [result for _, result in turns]
    return [{"role": "assistant", "content": "", "tool_calls": calls}, *results]


CHANGED = [AGAIN[0], {**AGAIN[1], "content": "8"}]
TWICE = _together(PEARS, AGAIN)
BOTH = _together(PEARS, APPLES)


@pytest.mark.parametrize(
    ("said", "settings", "choice", "over"),
    [
        ([*PEARS, *AGAIN], {}, "auto", True),
        ([*PEARS, *APPLES, *AGAIN], {}, None, True),
        ([*PEARS, *TWICE], {}, "auto", True),  # the same, however often in one answer
        ([*BOTH, *AGAIN], {}, "auto", True),  # nothing new
        ([*PEARS, *BOTH], {}, "auto", False),
        (TWICE, {}, "auto", False),
        ([*PEARS, *APPLES, *CHANGED], {}, "auto", False),  # a file read again, once it was written
        ([*PEARS, *CHANGED, *CHANGED], {}, "auto", True),
        (PEARS, {}, "auto", False),
        ([*PEARS, *APPLES], {}, "auto", False),
        ([*PEARS, *ASKED, *AGAIN], {}, "auto", False),  # another question, the same call
        ([*PEARS, *AGAIN, *ASKED], {}, "auto", False),
        ([*PEARS, *AGAIN], {"repetition_guard": False}, "auto", False),
        ([*PEARS, *AGAIN], {}, "any", False),
    ],
)
def test_calls_that_go_round_end_in_an_answer(
    said: list[Any], settings: dict[str, Any], choice: str | None, over: bool
) -> None:
    pytest.importorskip("llguidance")
    prompt = read_prompt([*ASKED, *said], tools=[STOCK])
    held = with_constraint(prompt, DecodingConfig(**settings), choice)
    none = with_constraint(prompt, DecodingConfig(), "none")
    assert (held == none) is over
    assert bool(held.tools) is not over


def test_members_read_calls_that_go_round_once() -> None:
    """The latest result stays; without it weak models go on calling."""
    pytest.importorskip("llguidance")
    prompt = read_prompt([*ASKED, *PEARS, *APPLES, *AGAIN], tools=[STOCK])
    read = with_constraint(prompt, DecodingConfig()).messages
    assert [message.get("tool_call_id") for message in read] == [None, None, "c", None, "b"]
    kept = with_constraint(prompt, DecodingConfig(repetition_guard=False)).messages
    assert len(kept) == 7


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ([*PEARS, *CHANGED, *CHANGED], [*PEARS, *CHANGED]),
        ([*PEARS, *TWICE], TWICE),
        ([*BOTH, *AGAIN], [*BOTH, *AGAIN]),
        ([*PEARS, *BOTH, *BOTH], BOTH),
    ],
)
def test_only_calls_that_come_again_are_left_out(said: list[Any], left: list[Any]) -> None:
    """One that was made beside another stays with the other's result."""
    assert without_repeats(said) == left
