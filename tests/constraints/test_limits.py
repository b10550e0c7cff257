"""Nothing is cut silently: an answer that a limit ended is never told as whole.

Closing in time makes JSON and calls whole for which there were too few tokens, and a bound that a
schema does not have ends a value that would go on. Both say `length`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from adafuse import Answer, Ensemble
from adafuse.events import FinishReason
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text, read_calls

CHAT = [{"role": "user", "content": "Write a file."}]
FILE = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
    "required": ["path", "text"],
}
WRITE = {"type": "function", "function": {"name": "write", "parameters": FILE}}
TEXT = "one two three four five six seven eight nine ten " * 4
CALL = call_text("write", {"path": "x.md", "text": TEXT})
ITEMS = {"type": "array", "items": {"type": "integer"}}


def asked(script: str, **given: Any) -> Answer:
    # Scripts say the same again, which is another reason to close.
    return Ensemble([ScriptedMember(script)]).generate(CHAT, repetition_guard=False, **given)


@pytest.mark.parametrize("tokens", [75, 100, 120, 180, len(CALL) - 1])
@pytest.mark.parametrize("choice", ["any", "auto", "write"])
def test_a_call_that_was_closed_for_want_of_tokens(tokens: int, choice: str) -> None:
    answer = asked(CALL, tools=[WRITE], tool_choice=choice, max_new_tokens=tokens)
    _, (call,) = read_calls(answer.text)
    assert call.arguments != {"path": "x.md", "text": TEXT}
    assert answer.finish_reason == "length"


@pytest.mark.parametrize("parallel", [False, True])
def test_a_call_for_which_there_was_room_is_whole(parallel: bool) -> None:
    answer = asked(
        CALL,
        tools=[WRITE],
        tool_choice="any",
        max_new_tokens=len(CALL) + 1,
        parallel_tool_calls=parallel,
    )
    assert (answer.text, answer.finish_reason) == (CALL, "stop")


@pytest.mark.parametrize("tokens", [30, 60, 200])
@pytest.mark.parametrize("form", ["json_schema", "regex", "grammar"])
def test_every_form_that_was_closed_for_want_of_tokens(tokens: int, form: str) -> None:
    forms: dict[str, tuple[str, Any]] = {
        "json_schema": (json.dumps({"path": "x", "text": TEXT * 2}), FILE),
        "regex": (f"{TEXT * 2}!", "[a-z ]+!"),
        "grammar": (f"{TEXT * 2}!", 'start: /[a-z ]+/ "!"'),
    }
    script, constraint = forms[form]
    answer = asked(script, max_new_tokens=tokens, **{form: constraint})
    assert answer.text != script
    assert answer.finish_reason == "length"


def test_a_choice_that_was_made_for_want_of_tokens() -> None:
    choices = ["yes", "yes and more"]
    for tokens, wanted in ((4, ("yes", "length")), (12, ("yes and more", "stop"))):
        answer = asked("yes and more", choices=choices, max_new_tokens=tokens)
        assert (answer.text, answer.finish_reason) == wanted
    assert asked("yes", choices=choices, max_new_tokens=4).finish_reason == "stop"


@pytest.mark.parametrize(
    ("value", "schema", "reason"),
    [
        (list(range(15)), ITEMS, "stop"),
        (list(range(20)), ITEMS, "length"),
        (list(range(20)), {**ITEMS, "maxItems": 16}, "stop"),
        (list(range(20)), {**ITEMS, "maxItems": 30}, "stop"),
        ({str(n): n for n in range(3)}, {"type": "object"}, "stop"),
        ({str(n): n for n in range(20)}, {"type": "object"}, "length"),
        ({str(n): n for n in range(20)}, {"additionalProperties": {"type": "integer"}}, "length"),
        ({"a": list(range(20))}, {"properties": {"a": {}}}, "length"),
        ("x" * 2001, {"type": "string"}, "length"),
        ("x" * 60, {"type": "string"}, "stop"),
        ("x" * 60, {"type": "string", "maxLength": 50}, "stop"),
        ("x" * 2001, {"anyOf": [{"type": "null"}, {"type": "string"}]}, "length"),
        (["x" * 2001], {"type": ["array", "string"], "items": {"type": "string"}}, "length"),
    ],
    ids=str,
)
def test_a_value_that_ends_at_a_bound_that_its_schema_does_not_have(
    value: Any, schema: dict[str, Any], reason: FinishReason
) -> None:
    """A weak model could go on with it for ever; a file could as well be that long."""
    script = json.dumps({"value": value})
    whole = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    answer = asked(script, json_schema=whole, max_new_tokens=500)
    assert answer.finish_reason == reason
    tool = {"type": "function", "function": {"name": "take", "parameters": whole}}
    call = asked(
        call_text("take", {"value": value}), tools=[tool], tool_choice="any", max_new_tokens=560
    )
    assert call.finish_reason == reason
