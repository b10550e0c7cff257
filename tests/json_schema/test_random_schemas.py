"""What comes out under 200 random JSON schemas is JSON that they accept, whoever writes it."""

import functools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from adafuse import ConfigError, DecodingConfig, Ensemble
from adafuse.constraints.constraint import read_constraint
from adafuse.constraints.grammar import Matcher, byte_table
from adafuse.local.member import LocalMember
from families import family
from random_schemas import case
from schema_checks import NEVER, REFUSED, VALIDATOR, wrong

SCHEMAS = 200
WALKS = 4  # random texts of each schema's grammar
VARIATIONS = 15  # of each schema's example
VALUES = (None, True, 0, -1, 0.5, 10**15, "", "é", "x" * 50, [], {}, [None], {"a": 1}, {"": []})
ENSEMBLES = (
    ("llama3",),
    ("llama",),
    ("gemma3",),
    ("qwen2",),
    ("gpt2", "llama"),
    ("gemma3", "qwen2"),
)
KEYWORDS = (
    "type properties required additionalProperties patternProperties minProperties maxProperties"
    " items prefixItems minItems maxItems enum const minimum maximum exclusiveMinimum"
    " exclusiveMaximum multipleOf minLength maxLength pattern format anyOf oneOf allOf $ref $defs"
    " $schema title description default examples"
)


@functools.cache
def ensemble(*names: str) -> Ensemble:
    return Ensemble([LocalMember(*family(name, 1), name) for name in names])


def settings(number: int) -> dict[str, Any]:
    """How an answer is decoded; in its tokens the example can be written byte by byte, twice."""
    rng = random.Random(number)
    return {
        "max_new_tokens": max(64, 2 * case(number).size + 32),
        "margin_threshold": rng.choice((0.0, 0.4, 0.7)),
        "max_words": rng.randint(1, 4),
        "branches": rng.randint(1, 3),
        "max_word_tokens": rng.choice((2, 16)),
        "temperature": rng.choice((0.0, 0.0, 2.0)),
        "seed": number,
    }


def start(schema: dict[str, Any], tokens: int = 128) -> Matcher:
    constraint = read_constraint(DecodingConfig(json_schema=schema, max_new_tokens=tokens))
    assert constraint is not None
    return byte_table().matcher(constraint.grammar)


def bits(mask: bytes) -> list[int]:
    return [8 * at + bit for at, byte in enumerate(mask) for bit in range(8) if byte >> bit & 1]


def walk(matcher: Matcher, rng: random.Random) -> str:
    """A random text that a grammar allows, empty if none was ended; later on, ends are taken."""
    text = b""
    for at in range(2000):
        allowed = [byte for byte in bits(matcher.allowed()) if byte < 256]
        ending = matcher.accepting and rng.random() < 0.3
        if not allowed or ending or (matcher.accepting and at > 60):
            assert matcher.accepting, f"a dead end after {text!r}"
            return text.decode()
        closing = [byte for byte in b'"]}' if byte in allowed]
        plain = [byte for byte in allowed if byte < 128] or allowed
        pick = closing if closing and at > 60 else rng.choice((plain, allowed))
        text += bytes([rng.choice(pick)])
        assert matcher.feed(text[-1:]) == 1
    return ""


def varied(rng: random.Random, value: Any) -> Any:
    """The value with something in it changed, added or left out."""
    if isinstance(value, dict | list) and value and rng.random() < 0.7:
        items = dict(value) if isinstance(value, dict) else dict(enumerate(value))
        key = rng.choice(list(items))
        if rng.random() < 0.2:
            del items[key]
        else:
            items[key] = varied(rng, items[key])
        return items if isinstance(value, dict) else list(items.values())
    if isinstance(value, dict) and rng.random() < 0.5:
        return {**value, rng.choice(("a", "x_2", "7", "é")): rng.choice(VALUES)}
    if isinstance(value, list) and rng.random() < 0.5:
        return [*value, rng.choice([*VALUES, *value])]
    if isinstance(value, int | float) and rng.random() < 0.5:
        return round(value + rng.choice((-100, -1, -0.01, 0.01, 0.5, 1, 9)), 6)
    if isinstance(value, str) and rng.random() < 0.5:
        return rng.choice((value[1:], value + "é", value * 2, f" {value}", value.upper()))
    return rng.choice(VALUES)


def keywords(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for one in schema:
            yield from keywords(one)
    elif isinstance(schema, dict):
        for name, value in schema.items():
            yield name
            named = name in ("properties", "patternProperties", "$defs")
            values = (
                value.values() if named else [value] if name not in ("const", "default") else []
            )
            for one in values:
                yield from keywords(one)


def test_every_schema_is_one_and_accepts_its_example() -> None:
    for number in range(SCHEMAS):
        made = case(number)
        VALIDATOR.check_schema(made.schema)
        text = json.dumps(made.example, ensure_ascii=False)
        assert not wrong(made.schema, text), (number, made)


def test_the_schemas_use_every_keyword() -> None:
    used = {name for number in range(SCHEMAS) for name in keywords(case(number).schema)}
    assert not set(KEYWORDS.split()) - used
    assert len({json.dumps(case(number).schema) for number in range(SCHEMAS)}) > 0.9 * SCHEMAS


def test_a_number_gives_the_same_schema_in_every_process() -> None:
    code = "import random_schemas as r; print([r.case(n).schema for n in range(40)])"
    path = os.pathsep.join(sys.path)
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{[case(number).schema for number in range(40)]}\n".encode()}


@pytest.mark.parametrize("first", range(0, SCHEMAS, 20))
def test_no_text_that_a_grammar_allows_is_wrong(first: int) -> None:
    whole = 0
    for number in range(first, first + 20):
        schema, rng = case(number).schema, random.Random(number)
        matcher = start(schema)
        for text in filter(None, (walk(matcher.copy(), rng) for _ in range(WALKS))):
            whole += 1
            assert not wrong(schema, text), (number, text, schema)
    assert whole > 0.8 * 20 * WALKS


@pytest.mark.parametrize("first", range(0, SCHEMAS, 20))
def test_no_wrong_variation_of_an_example_is_allowed(first: int) -> None:
    forbidden = 0
    for number in range(first, first + 20):
        schema, example, rng = case(number).schema, case(number).example, random.Random(number)
        matcher = start(schema)
        for _ in range(VARIATIONS):
            text = json.dumps(varied(rng, example), ensure_ascii=False)
            if wrong(schema, text):
                forbidden += 1
                data, there = text.encode(), matcher.copy()
                assert there.feed(data) < len(data) or not there.accepting, (number, text, schema)
    assert forbidden > 0.3 * 20 * VARIATIONS


@pytest.mark.parametrize(("schema", "text"), NEVER)
def test_what_a_schema_forbids_its_grammar_forbids_or_is_refused(
    schema: dict[str, Any], text: str
) -> None:
    assert wrong(schema, text)
    try:
        matcher = start(schema, tokens=4096)
    except ConfigError:
        return
    data = text.encode()
    assert matcher.feed(data) < len(data) or not matcher.accepting


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_enforced_is_refused_before_decoding(why: str) -> None:
    with pytest.raises(ConfigError):
        ensemble("llama3").stream("x", json_schema=REFUSED[why])


@pytest.mark.parametrize("number", range(SCHEMAS))
def test_weak_models_write_json_that_the_schema_accepts(number: int) -> None:
    schema, names = case(number).schema, ENSEMBLES[number % len(ENSEMBLES)]
    answer = ensemble(*names).generate("In JSON:", json_schema=schema, **settings(number))
    assert not wrong(schema, answer.text), answer.text
