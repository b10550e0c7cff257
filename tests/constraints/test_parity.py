"""Constrained answers of the fast path equal those of the plain oracle."""

import functools
import json
import random
from dataclasses import replace
from typing import Any, get_args

import pytest

import oracle
from adafuse import Answer, DecodingConfig
from adafuse.constraints.constraint import Constraint, read_constraint
from adafuse.events import Rule
from adafuse.tools import CALL_START, read_tools
from constrained_cases import GRAMMARS, NAMES, caller, looper
from families import family
from parity import CHATS, PROMPTS, compare

MIXES = 64
RULES: tuple[Rule, ...] = get_args(Rule)
WORD = {"type": "string", "maxLength": 6}
SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "object", "properties": {"name": WORD, "age": {"type": "integer", "maximum": 99}}},
    {"type": "object", "properties": {"é 日": {"enum": ["a b", "a c", 'q"', "日本", None, 1.5]}}},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    {"anyOf": [{"const": "yes"}, {"const": "no"}, {"type": "null"}]},
    {
        "type": "object",
        "properties": {
            "date": {"type": "string", "pattern": "^20[0-9]{2}-[01][0-9]$"},
            "to": {"type": "object", "properties": {"city": WORD}, "required": ["city"]},
        },
        "required": ["date", "to"],
    },
)
REGEXES = (
    "(ab)*c",
    r"[a-z]{2,8}@[a-z]{2,4}\.(com|org)",
    r"\d{4}-\d{2}-\d{2}",
    "[^\n]{1,12}[.!]",
    "(é|日本|👩‍🔬|e\u0301){2,4}",
    " *x\n",
    r"\p{Lu}\p{L}{1,5}( \p{L}{1,4}){0,2}",
    "The answer is (yes|no), because .{1,9}",
)
CHOICES = (
    ("red", "green apple", "green", "blue"),
    (" yes", " no", "yes"),
    ("東京", "東北", "ภาษาไทย", "e\u0301a", "e\u0301b"),
    ("a", "ab", "abc", "\n", "  "),
)
TRIGGERED = (
    ("e", 'start: "e" /[a-z]{1,3}/ "!"'),
    (" t", 'start: " t" ("=" /[0-9]{2}/ ";"){1,2}'),
    ("a", 'start: "a" | "a, and then " ("b c" | "b é")'),
)
TOOLS = [
    {"name": "add", "parameters": {"type": "object", "properties": {"a": {"enum": [1, 20]}}}},
    {"name": "find", "parameters": {"type": "object", "properties": {"what": WORD}}},
]


def _constraint(rng: random.Random, config: DecodingConfig) -> Constraint | None:
    kind = rng.choice(("json_schema", "json_schema", "regex", "choices", "grammar", "trigger"))
    if kind == "trigger":
        trigger, grammar = rng.choice(TRIGGERED)
        return Constraint("sentence", grammar, trigger, strict=False, prose=True)
    listed: Any = {
        "json_schema": SCHEMAS,
        "regex": REGEXES,
        "choices": CHOICES,
        "grammar": GRAMMARS,
    }[kind]
    return read_constraint(config.override(**{kind: rng.choice(listed)}))


def _settings(rng: random.Random) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "margin_threshold": rng.choice((0.0, 0.3, 0.7, 0.7, 0.7, 0.95, 0.95, 1.0)),
        "max_words": rng.randint(1, 4),
        "branches": rng.choice((1, 2, 3, 5)),
        "max_word_tokens": rng.choice((2, 4, 16)),
        "prompt_format": rng.choice(("raw", "auto", "chat")),
        "max_new_tokens": 144,
    }
    if rng.random() < 0.25:
        settings |= {"temperature": rng.choice((0.5, 3.0, 20.0)), "seed": rng.randint(0, 9)}
    if rng.random() < 0.25:
        settings["repetition_penalty"] = rng.choice((0.8, 1.3, 2.0))
    if rng.random() < 0.15:
        settings["stop"] = tuple(rng.sample(('"', "a", ": ", "1", "\n", "é", "bc"), 2))
    return settings


def _case(number: int) -> tuple[list[oracle.OracleMember], Any, dict[str, Any]]:
    """An ensemble, a prompt, and settings with a constraint, drawn from the number."""
    rng = random.Random(f"constrained {number}")
    members = [
        oracle.OracleMember(
            f"{name}-{at}", *family(name, rng.randint(0, 3)), rng.choice((1.0, 2.0))
        )
        for at, name in enumerate(rng.choice(NAMES) for _ in range(rng.choice((1, 1, 2, 2, 3))))
    ]
    settings = _settings(rng)
    prompt: Any = rng.choice(PROMPTS)
    if rng.random() < 0.2:
        prompt, settings["prompt_format"] = rng.choice(CHATS), "chat"
    settings |= {"constraint": _constraint(rng, DecodingConfig()), "rule": RULES[number % 2]}
    return members, prompt, settings


@functools.cache
def _compared(number: int) -> tuple[Answer, int]:
    members, prompt, settings = _case(number)
    return compare(members, prompt, **settings)


@pytest.mark.parametrize("number", range(MIXES))
def test_random_constrained_ensembles_equal_the_oracle(number: int) -> None:
    _compared(number)


ZEROS = {"type": "string", "pattern": "^(0:){22,}$"}
LOOPING: tuple[dict[str, Any], ...] = (
    {"type": "string", "pattern": "^(na )*$", "minLength": 30},
    {"type": "string", "pattern": "^-*$", "minLength": 90, "maxLength": 100},
    {
        "type": "array",
        "items": {"type": "string", "pattern": "^(0:){22,}$"},
        "minItems": 1,
        "maxItems": 1,
    },
    {"type": "array", "items": {"enum": ["a"]}, "minItems": 5, "maxItems": 20},
    {"type": "array", "items": {"enum": [0, 0.0]}, "minItems": 14, "maxItems": 20},
    {"type": "array", "prefixItems": [{"const": f"1.{n}"} for n in range(16)], "minItems": 3},
)
LONGEST = (33, 90, 50, 6, 14, 12)
"""Characters of the string, or items, that each may have come to."""


def _looping(number: int) -> tuple[list[oracle.OracleMember], Any, dict[str, Any]]:
    """Members that never close anything by themselves, and a schema that lets them go on."""
    rng = random.Random(f"looping {number}")
    members = [
        oracle.OracleMember(f"{name}-{at}", *looper(name, rng.randint(0, 3)))
        for at, name in enumerate(rng.sample(NAMES, rng.choice((1, 2))))
    ]
    schema = LOOPING[number % len(LOOPING)]
    settings = {
        "branches": rng.choice((1, 3)),
        "max_new_tokens": 400,
        "rule": RULES[number // len(LOOPING) % 2],
        "constraint": read_constraint(DecodingConfig(json_schema=schema, max_new_tokens=400)),
    }
    return members, rng.choice(PROMPTS), settings


@pytest.mark.parametrize("number", range(2 * len(LOOPING)))
def test_json_that_repeats_itself_equals_the_oracle(number: int) -> None:
    guarded, free = _guarded_and_free(number)
    value = json.loads(guarded.text)
    length = len("".join(value) if number % len(LOOPING) == 2 else value)
    assert length <= LONGEST[number % len(LOOPING)]
    assert len(guarded.text) <= len(free.text)


def test_the_guard_closes_most_of_what_repeats_itself() -> None:
    pairs = map(_guarded_and_free, range(2 * len(LOOPING)))
    assert sum(len(guarded.text) < len(free.text) for guarded, free in pairs) >= len(LOOPING)


@functools.cache
def _guarded_and_free(number: int) -> tuple[Answer, Answer]:
    """The answer, and what it would be without the guard; both equal the oracle's."""
    members, prompt, settings = _looping(number)
    guarded, _ = compare(members, prompt, **settings)
    settings["constraint"] = replace(settings["constraint"], guarded=False)
    free, _ = compare(members, prompt, **settings)
    return guarded, free


def _calling(number: int) -> tuple[list[oracle.OracleMember], Any, dict[str, Any]]:
    """The same with tools that may be called."""
    rng = random.Random(f"calling {number}")
    tools = read_tools([{"type": "function", "function": tool} for tool in TOOLS])
    several = rng.random() < 0.5
    constraint = read_constraint(DecodingConfig(), tools, "auto", parallel_tool_calls=several)
    members = [oracle.OracleMember("caller", *caller(number % 3), weight=3.0)]
    members += [
        oracle.OracleMember(name, *family(name, number, eos_bias=-5.0))
        for name in rng.sample(NAMES, rng.randint(0, 2))
    ]
    settings = {**_settings(rng), "stop": (), "constraint": constraint}
    return members, rng.choice(PROMPTS), settings


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("number", [1, 3, 5, 7, 10, 12, 14, 15])  # others are never called
def test_calls_in_free_answers_equal_the_oracle(number: int, rule: Rule) -> None:
    members, prompt, settings = _calling(number)
    answer, _ = compare(members, prompt, rule=rule, **settings)
    assert CALL_START in answer.text or (rule == "words" and number in (3, 14))


def test_enough_rounds_are_compared_before_a_near_tie() -> None:
    """Nearly all rounds are compared, and answers of all kinds are among them."""
    compared = total = forced = scored = 0
    for number in range(0, MIXES, 10):
        answer, rounds = _compared(number)
        compared, total = compared + rounds, total + len(answer.rounds)
        forced += sum(one.forced for one in answer.rounds[:rounds])
        scored += sum(one.scored for one in answer.rounds[:rounds])
    assert compared >= 0.8 * total
    assert forced >= 3
    assert scored > 5
