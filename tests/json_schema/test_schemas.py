"""What JSON schemas let through once they are bounded, and what is refused before decoding."""

import json
import sys
from typing import Any

import pytest

from adafuse import AdaFuseWarning, ConfigError, DecodingConfig, DecodingError
from adafuse.constraints.constraint import Constraint, read_constraint
from adafuse.constraints.enforcer import check_json
from adafuse.json_schema.validation import problem
from grammar_walks import is_taken, start, takes, texts
from schema_checks import wrong
from schema_examples import INTEGER, NULL, REWRITTEN, STRING, an_object

NEVER_IN_TIME = {"$defs": {"a": an_object(a={"$ref": "#/$defs/a"})}, "$ref": "#/$defs/a"}
REFUSED: tuple[tuple[Any, str, str], ...] = (
    # Each with the keyword and the pointer that the message names.
    (an_object(a={"not": STRING}), "not", "/properties/a"),
    ({"items": {"if": STRING, "then": STRING}}, "if", "/items"),
    ({"contains": INTEGER}, "contains", ""),
    ({"type": "array", "uniqueItems": True}, "uniqueItems", ""),
    ({"dependentRequired": {"a": ["b"]}}, "dependentRequired", ""),
    ({"dependentSchemas": {"a": {}}}, "dependentSchemas", ""),
    ({"dependencies": {"a": ["b"]}}, "dependencies", ""),
    ({**STRING, "contentSchema": {}}, "contentSchema", ""),
    ({"$dynamicRef": "#a"}, "$dynamicRef", ""),
    (
        {"allOf": [an_object(a=NULL), {"unevaluatedProperties": False}]},
        "unevaluatedProperties",
        "/allOf/1",
    ),
    ({"properties": {"a": {}}, "unevaluatedProperties": False}, "unevaluatedProperties", ""),
    ({"items": {"unevaluatedItems": False}}, "unevaluatedItems", "/items"),
    ({"propertyNames": {"pattern": "a", "maxLength": 3}}, "propertyNames", ""),
    ({"patternProperties": {"^x": {}, "y$": {}}}, "patternProperties", ""),
    ({"patternProperties": {"(?=x)": {}}}, "patternProperties", ""),
    ({"additionalProperties": INTEGER, "minProperties": 2}, "minProperties", ""),
    ({"properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2}, "minProperties", ""),
    ({"properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 2}, "maxProperties", ""),
    ({"oneOf": [INTEGER, {"type": "number"}]}, "oneOf", ""),
    ({"items": {"oneOf": [{}, NULL]}}, "oneOf", "/items"),
    ({"oneOf": [an_object(a=INTEGER), {**an_object(), "properties": {"a": {}}}]}, "oneOf", ""),
    ({"oneOf": [an_object(a=INTEGER), an_object(b=INTEGER)]}, "oneOf", ""),
    ({"oneOf": [{**INTEGER, "maximum": 3}, {**INTEGER, "minimum": 4}]}, "oneOf", ""),
    ({"oneOf": [{"minLength": 3}, {"minimum": 3}]}, "oneOf", ""),
    ({"oneOf": [{"const": 1}, {"enum": [2, 1.0]}]}, "oneOf", ""),
    ({"$defs": {"a/b": {"$ref": "#/$defs/c"}}, "$ref": "#/$defs/a~1b"}, "$ref", "/$defs/a~1b"),
    ({"$ref": "https://example.com/s"}, "$ref", ""),
    ({"$ref": "#"}, "$ref", ""),
    ({"$ref": "#/type", "type": "string"}, "$ref", ""),
    (NEVER_IN_TIME, "$ref", "/$defs/a/properties/a"),
    ({**STRING, "pattern": "^(?=a)"}, "pattern", ""),
    ({**STRING, "pattern": "("}, "pattern", ""),
    ({**STRING, "pattern": "(?i)a"}, "pattern", ""),
    ({**STRING, "pattern": "a^b"}, "pattern", ""),
    ({**STRING, "pattern": "^a$", "format": "uuid"}, "pattern", ""),
    ({**STRING, "format": "uri-template"}, "format", ""),
    ({"const": 2**53 + 1}, "const", ""),
    ({"const": -(2**63)}, "const", ""),
    ({"items": {"enum": [0.1234567890123456]}}, "enum", "/items"),
    ({"const": "\x01"}, "const", ""),
    ({"const": "a\x7f"}, "const", ""),
    ({"const": {"a": "\ud800"}}, "const", ""),
    ({"const": {"\ud800": 1}}, "const", ""),
    ({"required": ["\ud800"]}, "required", ""),
    ({"enum": [1, 2], "type": "string"}, "enum", ""),
    ({"type": "integer", "multipleOf": 65537}, "multipleOf", ""),
    ({"type": "number", "multipleOf": 0.07}, "multipleOf", ""),
    ({"type": "integer", "minimum": 2**60}, "minimum", ""),
    ({"type": "number", "exclusiveMinimum": 1, "maximum": 1}, "exclusiveMinimum", ""),
    ({"type": "integer", "multipleOf": 5, "minimum": 6, "maximum": 9}, "multipleOf", ""),
    (an_object(a={**STRING, "minLength": 3, "maxLength": 2}), "minLength", "/properties/a"),
    (an_object(a={**STRING, "pattern": "^abc$", "maxLength": 2}), "pattern", "/properties/a"),
    ({"type": "array", "minItems": 10**9}, "minItems", ""),
    ({"type": "array", "items": False, "minItems": 1}, "false", ""),
    ({**an_object(a={}), "properties": {"a": False}}, "false", ""),
    ({"allOf": [STRING, INTEGER]}, "allOf", ""),
    ({"type": "text"}, "type", ""),
    ({"minLength": -1}, "minLength", ""),
    ({"minLength": "1"}, "minLength", ""),
    ({"properties": {"a": 3}}, "properties", ""),
    ({"required": True}, "required", ""),
    ({"exclusiveMinimum": True, "minimum": 1}, "exclusiveMinimum", ""),
    ({"enum": []}, "enum", ""),
)


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_bounded_schema_takes_what_it_should_and_nothing_else(name: str) -> None:
    schema, good, bad = REWRITTEN[name]
    matcher = start(schema)
    for text in good:
        assert is_taken(matcher, text), text
        assert not wrong(_newer(schema), text), text
    for text in bad:
        assert not is_taken(matcher, text), text


def _newer(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as 2020-12 has it, where a list of items has another name."""
    if not isinstance(schema.get("items"), list):
        return schema
    return {**schema, "prefixItems": schema["items"], "items": schema["additionalItems"]}


@pytest.mark.parametrize(("schema", "keyword", "pointer"), REFUSED)
def test_a_refusal_names_the_keyword_and_where_it_stands(
    schema: dict[str, Any], keyword: str, pointer: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        start(schema)
    message = str(caught.value)
    place = pointer or "the top level"
    assert message.startswith(f"json_schema cannot be enforced: {keyword!r} at {place} ")
    assert "\n" not in message
    assert len(message) < 500


def test_what_is_left_out_of_the_parameters_of_a_tool_is_told_with_its_name() -> None:
    function = {"name": "f", "parameters": an_object(a={"not": {}})}
    with pytest.warns(AdaFuseWarning, match=r"parameters of tool 'f'.*'not' at /properties/a"):
        read_constraint(DecodingConfig(), [{"function": function}], "any")


def _nested(levels: int, **outer: Any) -> dict[str, Any]:
    schema: dict[str, Any] = INTEGER
    for _ in range(levels):
        schema = {**outer, "properties": {"a": schema}, "required": ["a"]}
    return schema


@pytest.mark.parametrize("levels", [91, 400, sys.getrecursionlimit(), 100_000])
def test_a_schema_that_is_too_deep_is_refused(levels: int) -> None:
    with pytest.raises(ConfigError):
        start(_nested(levels))
    deep: Any = 1
    for _ in range(levels):
        deep = [deep]
    with pytest.raises(ConfigError):
        start({"const": deep})


def test_a_deep_schema_and_a_long_row_of_definitions_need_no_deep_stack() -> None:
    assert takes(_nested(80), '{"a": ' * 80 + "1" + "}" * 80)
    row = {f"{at}": {"type": "array", "items": {"$ref": f"#/$defs/{at + 1}"}} for at in range(80)}
    assert takes({"$defs": {**row, "80": INTEGER}, "$ref": "#/$defs/0"}, "[" * 80 + "]" * 80)


def test_recursion_ends_before_readers_do() -> None:
    schema = {
        "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}},
        "$ref": "#/$defs/a",
    }
    assert takes(schema, "[" * 30 + "]" * 30)
    assert not takes(schema, "[" * 60 + "]" * 60)


def test_many_options_within_each_other_are_refused_in_time() -> None:
    options = [{"anyOf": [{"minimum": at + 30 * row} for at in range(30)]} for row in range(3)]
    with pytest.raises(ConfigError, match="combinations"):
        start({"allOf": options})


def test_strings_share_the_characters_that_the_tokens_make() -> None:
    schema = an_object(a=STRING, b=STRING)
    assert takes(schema, json.dumps({"a": "x" * 200, "b": ""}), tokens=100)
    assert not takes(schema, json.dumps({"a": "x" * 201, "b": ""}), tokens=100)
    assert takes(schema, json.dumps({"a": "x" * 32, "b": ""}), tokens=1)
    assert takes(an_object(a={**STRING, "maxLength": 900}), json.dumps({"a": "x" * 900}), tokens=1)
    assert takes(
        an_object(a={**STRING, "pattern": "^x{90}"}), json.dumps({"a": "x" * 90}), tokens=1
    )
    assert not takes(
        an_object(a={**STRING, "pattern": "^x{9}"}), json.dumps({"a": "x" * 33}), tokens=1
    )


def test_anything_is_json_of_three_levels() -> None:
    for schema in ({}, {"title": "x"}, {"$ref": "#/$defs/a", "$defs": {"a": True}}):
        assert takes(schema, '[{"a": null}, 1.5, "x", true]')
        assert not takes(schema, "[[[[]]]]")
        assert not takes(schema, "1e9")
    for text in texts({}, 30):
        assert not wrong({}, text)


def test_references_are_resolved_within_the_document() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
    assert takes(tree, '{"next": {"next": {}}}')
    named = {"$defs": {"a": {"$id": "b", "$defs": {"c": {"$anchor": "d", **NULL}}}}}
    for reference in ("#/$defs/a/$defs/c", "b#/$defs/c", "b#d"):
        assert takes({**named, "$ref": reference}, "null")
        assert not takes({**named, "$ref": reference}, "1")


def test_no_reference_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr("urllib.request.urlopen", fetch)
    for address in ("https://example.com/s", "https://json-schema.org/draft/2020-12/schema"):
        with pytest.raises(ConfigError, match=rf"'\$ref' at the top level is '{address}'"):
            start({"$ref": address})


@pytest.mark.parametrize(
    ("schema", "text", "message"),
    [
        ({"type": "number", "multipleOf": 0.1}, "8.1", ""),
        ({"type": "number", "multipleOf": 0.1}, "8.15", "8.15 is not a multiple of 0.1"),
        ({**STRING, "pattern": "^a"}, '"b"', "'b' does not match '^a'"),
        ({"patternProperties": {"^a": INTEGER}}, '{"ab": null}', "None is not of type 'integer'"),
        (
            {"patternProperties": {"^a": {}}, "additionalProperties": False},
            '{"b": null}',
            "False schema does not allow None",
        ),
        ({"items": [INTEGER], "additionalItems": False}, '["x"]', "'x' is not of type 'integer'"),
        ({"not": INTEGER}, "1", "1 should not be valid under {'type': 'integer'}"),
        (INTEGER, "{", "Expecting property name"),
        ({**STRING, "pattern": "^(a|aa)+$"}, f'"{"a" * 60}b"', ""),  # too slow: left to the grammar
    ],
)
def test_a_whole_answer_is_checked(schema: dict[str, Any], text: str, message: str) -> None:
    assert problem(schema, text).startswith(message) if message else not problem(schema, text)


def test_an_answer_that_its_grammar_lets_through_is_an_error_if_it_is_wrong() -> None:
    constraint = Constraint("JSON answer", "start: /[0-9]/", schema='{"maximum": 3}')
    check_json(constraint, "3")
    with pytest.raises(DecodingError, match="4 is greater than the maximum of 3"):
        check_json(constraint, "4")
