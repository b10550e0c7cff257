"""Schemas that are enforced, each with texts that its grammar takes and texts that it does not.

This module knows neither models nor grammars.
"""

from typing import Any

__all__ = ["INTEGER", "NULL", "REWRITTEN", "STRING", "an_object"]

INTEGER, STRING, NULL = ({"type": kind} for kind in ("integer", "string", "null"))
NODE = {
    "type": "object",
    "properties": {"value": INTEGER, "below": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    "required": ["value"],
}
ITEM = {"$id": "item", "$ref": "#/$defs/own", "$defs": {"own": INTEGER}}


def an_object(**properties: Any) -> dict[str, Any]:
    """A schema of an object that must have some properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


REWRITTEN: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    # Each with texts that it takes, and texts that it does not.
    "objects hold listed names only": (
        {"type": "object", "properties": {"a": INTEGER}},
        ["{}", '{"a": 1}'],
        ['{"b": 1}', '{"a": 1, "b": 1}', '{"a":1}', '{ "a": 1}'],
    ),
    "an object of no listed names": ({"type": "object", "properties": {}}, ["{}"], ['{"a": 1}']),
    "an object of which nothing is said": (
        {"type": "object"},
        ["{}", '{"a": {"b": 1}}', '{"é": null, "z": [1, "x"]}'],
        ['{"a": {"b": {"c": 1}}}', '{"a": [[[]]]}', f'{{"{"x" * 41}": 1}}', "[]"],
    ),
    "additional properties": (
        {**an_object(a=INTEGER), "additionalProperties": STRING},
        ['{"a": 1}', '{"a": 1, "b": "x"}'],
        ['{"b": "x"}', '{"a": 1, "b": 2}', '{"a": "x"}', '{"a": 1, "\\u0061": "x"}'],
    ),
    "required names that are not listed": (
        {"type": "object", "required": ["z"], "additionalProperties": INTEGER},
        ['{"z": 1}', '{"z": 1, "y": 2}'],
        ["{}", '{"y": 1}', '{"z": "x"}'],
    ),
    "names of a pattern": (
        {"patternProperties": {"^x": INTEGER}, "properties": {"x1": {"maximum": 3}}},
        ["{}", '{"x1": 3}', '{"x2": 4}'],
        ['{"x1": 4}', '{"a": 1}', '{"x1": 2.5}'],
    ),
    "names of an enum": (
        {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": INTEGER},
        ["{}", '{"a": 1, "b": 2}', '{"b": 2}'],
        ['{"c": 1}', '{"a": 1, "a": 2}'],
    ),
    "names of a length": (
        {"type": "object", "propertyNames": {"maxLength": 2}, "additionalProperties": INTEGER},
        ['{"ab": 1}'],
        ['{"abc": 1}'],
    ),
    "names of a format": (
        {"type": "object", "propertyNames": {"format": "date"}, "additionalProperties": NULL},
        ['{"2024-02-29": null}'],
        ['{"2023-02-29": null}', '{"a": null}'],
    ),
    "names that another keyword refuses": (
        {"properties": {"a": INTEGER, "b1": INTEGER}, "propertyNames": {"pattern": "[0-9]"}},
        ["{}", '{"b1": 1}'],
        ['{"a": 1}'],
    ),
    "as many properties as are listed": (
        {"properties": {"a": NULL, "b": NULL}, "minProperties": 2},
        ['{"a": null, "b": null}'],
        ["{}", '{"a": null}'],
    ),
    "one property of several": (
        {"properties": {"a": NULL, "b": NULL, "c": NULL}, "minProperties": 1, "maxProperties": 1},
        ['{"a": null}', '{"c": null}'],
        ["{}", '{"a": null, "b": null}'],
    ),
    "no more properties than are required": (
        {**an_object(a=NULL), "maxProperties": 1, "additionalProperties": True},
        ['{"a": null}'],
        ['{"a": null, "b": null}'],
    ),
    "lists without an end": (
        {"type": "array", "items": NULL},
        ["[]", f"[{', '.join(['null'] * 16)}]"],
        [f"[{', '.join(['null'] * 17)}]"],
    ),
    "bounds that are given are kept": (
        {"type": "array", "items": NULL, "minItems": 20, "maxItems": 40},
        [f"[{', '.join(['null'] * 40)}]"],
        ["[]", f"[{', '.join(['null'] * 41)}]"],
    ),
    "uniqueItems: false": ({"type": "array", "items": NULL, "uniqueItems": False}, ["[null]"], []),
    "one item is always unique": (
        {"type": "array", "items": NULL, "uniqueItems": True, "maxItems": 1},
        ["[null]"],
        ["[null, null]"],
    ),
    "minContains alone": ({"type": "array", "items": NULL, "minContains": 2}, ["[]"], ["[1]"]),
    "contains none": ({"type": "array", "contains": NULL, "minContains": 0}, ["[1]"], []),
    "items of draft 7": (
        {"type": "array", "items": [INTEGER, STRING], "additionalItems": False},
        ["[]", "[1]", '[1, "x"]'],
        ['["x"]', '[1, "x", 2]'],
    ),
    "additionalItems beside prefixItems": (
        {"prefixItems": [INTEGER], "items": {"type": "boolean"}, "additionalItems": False},
        ["[1]", "[1, true]"],
        ["[true]"],
    ),
    "items that nothing matches": (
        {"type": "array", "prefixItems": [INTEGER, False, INTEGER]},
        ["[]", "[1]"],
        ["[1, 1]"],
    ),
    "whole numbers with a point": (
        {**STRING, "minLength": 2.0, "maxLength": 2.0},
        ['"ab"'],
        ['"a"'],
    ),
    "a pattern within a text": ({**STRING, "pattern": "a", "minLength": 3}, ['"xax"'], ['"a"']),
    "lengths in characters": ({**STRING, "maxLength": 2}, ['"😀é"'], ['"abc"']),
    "types of keywords": ({"minimum": 3, "maximum": 4}, ["3", "4.0"], ['"x"', "null", "2"]),
    "several types": ({"type": ["integer", "null"], "minimum": 3}, ["3", "null"], ["2", '"x"']),
    "numbers without bounds": (
        {"type": "number"},
        ["0.5", "-999999999999999"],
        ["1e5", "1" * 20, "NaN"],
    ),
    "bounds beyond floats": (
        {"type": "integer", "minimum": 2**53 - 1, "maximum": 2**60},
        [str(2**53)],
        [str(2**53 + 2)],
    ),
    "enums of mixed values": (
        {"enum": ["é", 1.0, None, {"b": [True], "a": 2}]},
        ['"é"', "1", "null", '{"b": [true], "a": 2}'],
        ["true", "2", '"e"'],
    ),
    "enums beside other keywords": (
        {"enum": ["a", "abc", 3, 5, [1], {"n": 1}], "maxLength": 2, "minimum": 4, "minItems": 2},
        ['"a"', "5", '{"n": 1}'],
        ['"abc"', "3", "[1]"],
    ),
    "enum and const": ({"enum": [1, 2], "const": 2.0}, ["2"], ["1"]),
    "false is no 0": ({"enum": [0, 1], "allOf": [{"enum": [False, 1]}]}, ["1"], ["0", "false"]),
    "allOf of objects": (
        {"allOf": [an_object(a=INTEGER), {"$ref": "#/$defs/b"}], "$defs": {"b": an_object(b=NULL)}},
        ['{"a": 1, "b": null}'],
        ['{"a": 1}', '{"b": null}'],
    ),
    "allOf of bounds": (
        {
            "type": "integer",
            "allOf": [{"minimum": 2, "multipleOf": 2}, {"maximum": 7, "multipleOf": 3}],
        },
        ["6"],
        ["2", "3", "4", "0", "12"],
    ),
    "what stands beside $ref": (
        {"$ref": "#/$defs/a", "maximum": 3, "$defs": {"a": INTEGER}},
        ["3", "-1"],
        ["4", '"x"'],
    ),
    "what stands beside anyOf": (
        {
            "properties": {"k": INTEGER, "a": NULL},
            "anyOf": [{"required": ["k"]}, {"required": ["a"]}],
        },
        ['{"k": 1}', '{"a": null}', '{"k": 1, "a": null}'],
        ["{}", '{"k": "x"}'],
    ),
    "an option that nothing matches": (
        {"anyOf": [{"type": "string", "maxLength": -0.0, "minLength": 1}, NULL, False]},
        ["null"],
        ['""', "1"],
    ),
    "oneOf told apart by a property behind $ref": (
        {
            "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
            "discriminator": {"propertyName": "kind", "mapping": {}},
            "$defs": {
                "cat": an_object(kind={"const": "cat"}, lives=INTEGER),
                "dog": an_object(kind={"const": "dog"}, name=STRING),
            },
        },
        ['{"kind": "cat", "lives": 9}', '{"kind": "dog", "name": "x"}'],
        ['{"kind": "cat", "name": "x"}', '{"kind": "dog"}'],
    ),
    "oneOf of constants": (
        {"oneOf": [{"const": 1, "title": "one"}, {"const": 2}, {"enum": ["x", True]}]},
        ["1", "2", '"x"', "true"],
        ["3"],
    ),
    "recursion": (
        {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
        ['{"value": 1}', '{"value": 1, "below": [{"value": 2, "below": []}]}'],
        ['{"below": []}', '{"value": 1, "below": [{}]}'],
    ),
    "recursion beside another keyword": (
        {
            "$defs": {
                "n": {"properties": {"n": {"allOf": [{"$ref": "#/$defs/n"}], "minProperties": 0}}}
            },
            "$ref": "#/$defs/n",
        },
        ["{}", '{"n": {"n": {}}}'],
        ['{"n": 1}', '{"m": {}}'],
    ),
    "definitions of draft 7": (
        {"definitions": {"a b": INTEGER}, "items": {"$ref": "#/definitions/a%20b"}},
        ["[1]"],
        ['["x"]'],
    ),
    "names of definitions in any script": (
        {"$defs": {"é/~": INTEGER}, "items": {"$ref": "#/$defs/é~1~0"}},
        ["[1]"],
        ['["x"]'],
    ),
    "anchors": ({"$defs": {"x": {"$anchor": "a", **INTEGER}}, "$ref": "#a"}, ["1"], ['"x"']),
    "addresses": (
        {"$id": "https://x.org/s", "items": {"$ref": "item"}, "$defs": {"i": ITEM, "own": STRING}},
        ["[1]"],
        ['["x"]'],
    ),
    "a reference to another place": (
        {"properties": {"a": INTEGER, "b": {"$ref": "#/properties/a"}}},
        ['{"b": 1}'],
        ['{"b": "x"}'],
    ),
    "other drafts": (
        {"$schema": "http://json-schema.org/draft-04/schema#", "const": 1},
        ["1"],
        ["2"],
    ),
    "the library's own options": (
        {**an_object(a=INTEGER), "x-guidance": {"whitespace_flexible": True, "lenient": True}},
        ['{"a": 1}'],
        ['{"a":1}', '{\n"a": 1}'],
    ),
    "notes": (
        {
            **INTEGER,
            **dict.fromkeys(
                ("title", "description", "$comment", "x-note", "strict", "nullable"), "x"
            ),
            **{key: {"not": {}} for key in ("default", "examples", "readOnly", "deprecated")},
            **dict.fromkeys(("contentMediaType", "contentEncoding", "discriminator", "xml"), "y"),
        },
        ["1"],
        ['"x"', "null"],
    ),
    "formats that are notes": ({**STRING, "format": "password"}, ['"x"', '""'], ["1"]),
    "formats of another type": ({"type": "integer", "format": "date"}, ["1"], []),
}
