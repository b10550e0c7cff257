"""JSON that repeats itself closes; data that repeats, and what a schema asks for, stay possible."""

import json
import random
from typing import Any

import pytest

from adafuse import DecodingConfig, Ensemble
from adafuse.constraints.constraint import Constraint, read_constraint
from adafuse.constraints.repetition import JsonTrail
from adafuse.constraints.text_matcher import TextMatcher
from adafuse.testing import ScriptedMember
from adafuse.tools import call_text, read_tools
from oracle_repetition import closing

STRINGS = {"type": "array", "items": {"type": "string"}, "maxItems": 99}
DATA: tuple[Any, ...] = (
    "00000000",
    "ha ha ha ha ha ha ha ha ha ha",
    "-" * 80,
    "=" * 79 + "\n" + "Title",
    "| a | b | c |\n" + "|---" * 12 + "|",
    "* * * * * * * * * * * * * * * *",
    " " * 40 + "return",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "A" * 64 + "Bw==",
    "+1 555-555-5555, 555 555 5555",
    "0" * 64,
    "00000000-0000-0000-0000-000000000000",
    "0000:0000:0000:0000:0000:0000:0000:0001",
    " ".join(["00"] * 16),
    "very very very very good",
    "Row, row, row your boat\n" * 4 + "gently",
    "哈哈哈哈哈哈哈哈哈哈",
    [0, 0, 0, 0],
    [0] * 9 + [1],
    ["yes", "yes", "yes", "no", "yes", "yes", "yes", "yes", "yes", "yes"],
    list(range(1, 11)),
    [f"2024-{month:02}" for month in range(1, 12)] + ["and so on"],
    [3.5, 3.6, 3.5, 3.7, 3.9, 4.0, 4.2, 4.1, 4.4, 4.5, 4.7, 4.6, 4.9, 5.0, 5.1, 5.3],
    [{"id": number, "name": name} for number, name in enumerate("abcdefghijklmnop")],
    {"a": "x", "b": "x", "c": "x", "d": "x", "e": "x", "f": "x", "g": "x", "h": "x", "i": "x"},
)
LOOPS: tuple[tuple[str, str], ...] = (
    ('"' + "john." * 99, '"john.john.john.john.john.john.joh'),
    ('"' + "-" * 99, '"' + "-" * 81),
    ('"' + "555-" * 99, '"' + "555-" * 12 + "5"),
    ('"' + "a@example.com, " * 99, '"' + "a@example.com, " * 4 + "a"),
    ('"x' + "哈" * 99, '"x' + "哈" * 81),
    (r'"a\"' + r"\n\"" * 99, r'"a\"' + r"\n\"" * 8),
    ("[" + ", ".join(["0"] * 99), "[" + ", ".join(["0"] * 10)),
    ("[" + ", ".join(["0", "0.0"] * 99), "[" + ", ".join(["0", "0.0"] * 5)),
    ("[" + ", ".join(['"a"'] * 99), "[" + ", ".join(['"a"'] * 6)),
    ("[" + ", ".join(['"a"', '"b"', '"c"'] * 99), "[" + ", ".join(['"a"', '"b"', '"c"'] * 3)),
    ('["x", ' + ", ".join(['{"a": 1}'] * 99), '["x", ' + ", ".join(['{"a": 1}'] * 6)),
    (str(list(range(-3, 99))), str(list(range(-3, 9)))[:-1]),
    (
        json.dumps([f"{n // 10}.{n % 10}" for n in range(10, 99)]),
        json.dumps([f"{n // 10}.{n % 10}" for n in range(10, 22)])[:-1],
    ),
    (
        json.dumps([f"1.{n}" for n in range(99)]),
        json.dumps([f"1.{n}" for n in range(12)])[:-1],
    ),
    ('{"a": 1, "b": 2, "a": 3, "c": 4', '{"a": 1, "b": 2, "a": 3'),
)


def of(schema: Any, **settings: Any) -> Constraint:
    constraint = read_constraint(DecodingConfig(json_schema=schema, **settings))
    assert constraint is not None
    return constraint


def allowed(text: str, schema: Any, **settings: Any) -> str:
    return TextMatcher(of(schema, **settings)).admit(text, False)[0]


@pytest.mark.parametrize("value", DATA, ids=repr)
def test_data_that_repeats_is_not_cut(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    trail = JsonTrail()
    for at, byte in enumerate(text.encode()):
        ends = trail.closing
        assert not ends or byte in ends, text.encode()[:at]
        trail.feed(byte)


@pytest.mark.parametrize(("text", "kept"), LOOPS)
def test_what_repeats_itself_closes(text: str, kept: str) -> None:
    data, trail, at = text.encode(), JsonTrail(), 0
    while not (end := trail.closing) or (end != b'"' and data[at] != ord(",")):
        trail.feed(data[at])
        at += 1
    assert data[:at].decode() == kept
    assert end.decode() == {'"': '"', "[": "]", "{": "}"}[text[0]] == closing(data[:at])


def test_what_is_taken_back_was_never_there() -> None:
    text = json.dumps(["ab" * 30, [0] * 13, {"a": [1, 2]}]).encode()
    trail, rng, length = JsonTrail(), random.Random(0), 0
    for _ in range(300):
        at = rng.randrange(len(text))
        for byte in text[length:at]:
            trail.feed(byte)
        trail.back(max(length - at, 0))
        assert trail.closing.decode() == closing(text[:at])
        length = at


def test_the_grammar_says_whether_it_may_close() -> None:
    assert allowed('"' + "ab" * 99, {"type": "string"}) == '"' + "ab" * 16 + "a"
    assert allowed('"' + "ab" * 99, {"type": "string", "minLength": 77}) == '"' + "ab" * 38 + "a"
    assert allowed('"' + "ab" * 99, {"type": "string", "pattern": "^(ab)+c?$"}) == '"' + "ab" * 17
    assert allowed('"' + "ab" * 99, {"const": "ab" * 50}) == '"' + "ab" * 50
    many = {"type": "array", "items": {"type": "integer"}, "minItems": 14, "maxItems": 50}
    assert json.loads(allowed(str([5] * 50), many) + "]") == [5] * 14
    assert json.loads(allowed(str([*range(50)]), many) + "]") == [*range(14)]
    free = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert allowed('{"a": 1, "b": 2, "a": 3, "c": 4', free) == '{"a": 1, "b": 2, "a": 3'


def test_what_is_long_and_forced_is_read_at_once() -> None:
    schema = {"properties": {"a": {"const": "ab" * 20_000}}, "required": ["a"], "type": "object"}
    text = '{"a": "' + "ab" * 20_000 + '"}'
    assert allowed(text, schema) == text


@pytest.mark.parametrize("least", [6, 8, 13, 40])
def test_a_number_of_items_that_is_asked_for_can_be_written(least: int) -> None:
    schema = {**STRINGS, "minItems": least}
    text = json.dumps(["a"] * least)
    assert allowed(text, schema) == text


def test_calls_are_guarded_and_other_constraints_are_not() -> None:
    parameters = {"type": "object", "properties": {"what": {"type": "string"}}}
    tools = read_tools(
        [{"type": "function", "function": {"name": "find", "parameters": parameters}}]
    )
    begin = call_text("find", {"what": "ab" * 99}).partition("abab")[0]
    for choice in ("auto", "any"):
        constraint = read_constraint(DecodingConfig(), tools, choice)
        assert constraint is not None
        matcher = TextMatcher(constraint)
        matcher.feed(begin)
        assert matcher.admit("ab" * 99, False)[0] == "ab" * 16 + "a"
    for setting in ({"regex": "(ab|cd)*"}, {"grammar": 'start: ("ab" | "cd")*'}):
        held = read_constraint(DecodingConfig(**setting))
        assert held is not None
        assert TextMatcher(held).admit("ab" * 99, False)[0] == "ab" * 99


def test_a_setting_switches_it_off() -> None:
    off = {"repetition_guard": False}
    assert len(allowed('"' + "ab" * 99, {"type": "string"}, **off)) == 199
    assert allowed(str([5] * 50), {"type": "array", "maxItems": 50}, **off) == str([5] * 50)


def test_members_without_masks_are_held_to_it() -> None:
    schema = {"type": "object", "properties": {"e": {"type": "string"}}, "required": ["e"]}
    member = ScriptedMember('{"e": "' + "john." * 60 + '"}')
    text = Ensemble([member]).generate("Hi", json_schema=schema).text
    assert json.loads(text) == {"e": "john." * 6 + "joh"}
