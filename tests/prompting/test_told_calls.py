"""Who is not to call reads past calls with their results: members imitate their own turns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adafuse.prompting.tool_turns import calls_with_results, results_as_messages
from chat_templates import DEAF, GEMMA, LLAMA31, MISTRAL, MISTRAL_TOOLS, reads
from family_tokenizers import CHATML_TEMPLATE, LLAMA3_TEMPLATE

MEMBERS = [
    ("llama3", LLAMA31),
    ("mistral", MISTRAL_TOOLS),
    ("qwen2", CHATML_TEMPLATE),
    ("llama3", LLAMA3_TEMPLATE),
    ("gemma3", GEMMA),
    ("mistral", MISTRAL),
    ("mistral", DEAF),
    ("gpt2", ""),
]
Messages = list[dict[str, Any]]


def call(id_: str | None, name: str = "stock", **arguments: Any) -> dict[str, Any]:
    called = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {**called, "id": id_} if id_ else called


def assistant(*calls: dict[str, Any], content: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": [*calls]}


def result(content: str, id_: str | None = None, **beside: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **({"tool_call_id": id_} if id_ else {}), **beside}


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def told(*messages: dict[str, Any]) -> list[tuple[str, str]]:
    """The roles and texts of turns."""
    written = results_as_messages(calls_with_results([*messages]))
    return [(message["role"], message["content"]) for message in written]


@pytest.mark.parametrize(("name", "template"), MEMBERS)
def test_no_turn_of_the_assistant_shows_a_call(name: str, template: str) -> None:
    called = assistant(call("c1", fruit="pears"), call("c2", fruit="plums"))
    results = [result("7 crates", "c1"), result("130 crates", "c2")]
    text = reads(name, template, [user("How many?"), called, *results])
    parts = ["How many?", 'fruit: "pears"', "7 crates", 'fruit: "plums"', "130 crates"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    between = text[places[0] : places[-1]].lower()
    assert "assistant" not in between
    assert "model" not in between


def test_a_turn_of_calls_alone_is_left_out_and_its_results_join_the_question() -> None:
    assert told(user("How many?"), assistant(call("c", fruit="pears")), result("7", "c")) == [
        ("user", 'How many?\n\nResult of the tool stock (fruit: "pears"): 7')
    ]


def test_what_was_said_beside_calls_stays_the_assistants() -> None:
    called = assistant(call("c", fruit="pears"), content="I look.")
    assert told(user("How many?"), called, result("7", "c"), user("And plums?")) == [
        ("user", "How many?"),
        ("assistant", "I look."),
        ("user", 'Result of the tool stock (fruit: "pears"): 7'),
        ("user", "And plums?"),
    ]


def test_results_find_their_calls_by_id_whatever_their_order() -> None:
    calls = assistant(call("a", fruit="pears"), call("b", fruit="plums"))
    assert told(calls, result("130", "b"), result("7", "a")) == [
        ("user", 'Result of the tool stock (fruit: "plums"): 130\n\n'
                 'Result of the tool stock (fruit: "pears"): 7'),
    ]  # fmt: skip


def test_results_without_ids_find_the_first_call_that_waits() -> None:
    calls = assistant(call(None, "stock", fruit="pears"), call(None, "cost", crates=5))
    (_, text), *_ = told(calls, result("15", name="cost"), result("7"))
    assert text.split("\n\n") == [
        "Result of the tool cost (crates: 5): 15",
        'Result of the tool stock (fruit: "pears"): 7',
    ]


def test_calls_without_results_are_told_and_late_results_too() -> None:
    calls = assistant(call("a", fruit="pears"), call("b", fruit="plums"))
    (_, first), (_, second) = told(calls, result("7", "a"), user("Well?"), result("130", "b"))
    assert first.split("\n\n") == [
        'Result of the tool stock (fruit: "pears"): 7',
        'Result of the tool stock (fruit: "plums"): none yet',
    ]
    assert second == 'Well?\n\nResult of the tool stock (fruit: "plums"): 130'
    assert told(user("Go."), assistant(call("a"))) == [
        ("user", "Go.\n\nResult of the tool stock: none yet")
    ]


def test_results_of_no_call_and_failing_ones_are_told() -> None:
    assert told(user("Go."), result("Error: no such fruit", "x", name="stock"), result("y")) == [
        (
            "user",
            "Go.\n\nResult of the tool stock: Error: no such fruit\n\nResult of a tool: y",
        )
    ]


def test_a_user_with_a_name_says_no_results() -> None:
    named = {**user("How many?"), "name": "Ada"}
    turns = told(named, assistant(call("c")), result("7", "c"))
    assert turns == [("user", "How many?"), ("user", "Result of the tool stock: 7")]


STEPS = st.lists(
    st.tuples(st.sampled_from(["user", "said", "call", "two", "result", "none"]), st.booleans()),
    max_size=8,
)


@given(STEPS)
@settings(max_examples=200)
def test_nothing_is_lost(steps: list[tuple[str, bool]]) -> None:
    """Whatever the order, with ids or without."""
    messages: Messages = []
    for at, (kind, ids) in enumerate(steps):
        calls = [call(f"{at}{n}" if ids else None, at=f"call {at}.{n}") for n in range(2)]
        id_ = f"{at - 1}0" if ids else None
        messages.append(
            {
                "user": user(f"text {at}."),
                "said": assistant(calls[0], content=f"text {at}."),
                "call": assistant(calls[0]),
                "two": assistant(*calls),
                "result": result(f"text {at}.", id_),
                "none": result(f"text {at}.", "unknown"),
            }[kind]
        )
    before = json.dumps(messages)
    turns = told(*messages)
    text = "\n".join(content for _, content in turns)
    for at, (kind, _) in enumerate(steps):
        if kind not in ("call", "two"):
            assert f"text {at}." in text
        for n in range({"said": 1, "call": 1, "two": 2}.get(kind, 0)):
            assert f'at: "call {at}.{n}"' in text
    assert not any(role == "tool" or not content for role, content in turns)
    assert json.dumps(messages) == before
