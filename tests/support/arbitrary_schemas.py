"""Schemas of any keywords in any combination: most make little sense, and some are refused.

The same number gives the same schema in every process. This module knows neither models nor
grammars.
"""

import random
from typing import Any

__all__ = ["odd_schema"]

NAMES = ("a", "b", "x_1", "é", "$ref", "", 'q"', "x", "y\n")
PATTERNS = (
    *("^x", "^[a-z]+$", "y$", r"\d", r"^\W*$", r"^[^\d]{2,4}$", "^(a|b)*$", r"^\s?\S+$", "."),
    *(r"^[\x00-\x7f]{1,3}$", r'^[^"\\]*$', r"^\S\s\w\D$", "(?i)^ab$", "^a{,3}$", "^$|^abc$"),
)
FORMATS = ("date", "date-time", "email", "ipv4", "uuid", "uri", "json-pointer", "unheard-of")
NUMBERS = (0, 1, -1, 3, 0.5, -0.5, 0.1, 10, 1e3, 7, 0.3333, 1e-7, 2**53, 2**60, -1e300, 5e-324)
STEPS = (1, 2, 3, 0.5, 0.1, 0.01, 7, 1.5, 0.07, 1000, 5000)
TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")
WORDS = ("", "a", "ab", "x1", "é", "\n", 'a"b', "12")
REFERENCES = ("#/$defs/a", "#/$defs/b", "#/$defs/c", "#c", "#/$defs/b/properties/a")
GROUPS = ("type", "enum", "const", "number", "string", "array", "object")
COMBINING = ("allOf", "anyOf", "oneOf", "$ref")


def odd_schema(number: int) -> dict[str, Any]:
    """The schema of a number."""
    maker = _Maker(random.Random(f"odd {number}"))
    made = maker.schema(3)
    inner = {"type": "object", "properties": {"a": maker.schema(2)}}
    definitions = {"a": maker.schema(2), "b": inner}
    definitions["c"] = {"$anchor": "c", "anyOf": [{"type": "null"}, maker.schema(2)]}
    return {**(made if isinstance(made, dict) else {}), "$defs": definitions}


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def schema(self, depth: int) -> Any:
        rng = self.rng
        if depth <= 0 and rng.random() < 0.5:
            simple = {"type": rng.choice(TYPES[:5])}
            return rng.choice([{}, True, simple, {"const": self.value(1)}])
        made: dict[str, Any] = {}
        for group in rng.sample((*GROUPS, *COMBINING, "note"), rng.choice((1, 1, 2, 2, 3))):
            made |= self.group(group, depth)
        return made

    def value(self, depth: int) -> Any:
        rng = self.rng
        kind = rng.randrange(8 if depth else 5)
        if kind < 2:
            return rng.choice(WORDS)
        if kind < 4:
            return rng.choice(NUMBERS)
        if kind == 4:
            return rng.choice((None, True, False))
        inner = [self.value(depth - 1) for _ in range(rng.randint(0, 2))]
        return inner if kind < 6 else {rng.choice(NAMES): one for one in inner}

    def group(self, group: str, depth: int) -> dict[str, Any]:
        rng = self.rng
        match group:
            case "type":
                return {"type": rng.choice([*TYPES, ["string", "null"], ["integer", "array"]])}
            case "enum":
                return {"enum": [self.value(2) for _ in range(rng.randint(1, 4))]}
            case "const":
                return {"const": self.value(2)}
            case "$ref":
                return {"$ref": rng.choice(REFERENCES)}
            case "allOf" | "anyOf" | "oneOf":
                return {group: [self.schema(depth - 1) for _ in range(rng.randint(1, 3))]}
            case "note":
                return {rng.choice(("title", "discriminator", "x-y", "readOnly")): "n"}
        keywords = rng.sample(list(KEYWORDS[group]), rng.randint(1, 3))
        made = {keyword: self.keyword(keyword, depth - 1) for keyword in keywords}
        return {"type": group, **made} if rng.random() < 0.7 else made

    def keyword(self, keyword: str, depth: int) -> Any:
        rng = self.rng
        match keyword:
            case "pattern":
                return rng.choice(PATTERNS)
            case "format":
                return rng.choice(FORMATS)
            case "multipleOf":
                return rng.choice(STEPS)
            case "uniqueItems":
                return rng.random() < 0.3
            case "required":
                return rng.sample(NAMES, rng.randint(0, 2))
            case "properties":
                return {name: self.schema(depth) for name in rng.sample(NAMES, rng.randint(0, 3))}
            case "patternProperties":
                return {rng.choice(PATTERNS): self.schema(depth) for _ in range(rng.randint(1, 2))}
            case "propertyNames":
                names = {"enum": rng.sample(NAMES, 2)}
                return rng.choice([{"pattern": rng.choice(PATTERNS)}, names, {"maxLength": 3}])
            case "prefixItems":
                return [self.schema(depth) for _ in range(rng.randint(1, 2))]
            case "items" | "additionalProperties":
                return rng.choice([self.schema(depth), False])
            case "minLength" | "maxLength" | "minItems" | "maxItems":
                return rng.choice((0, 1, 2, 3.0, 5, 20))
            case "minProperties" | "maxProperties":
                return rng.randint(0, 3)
        return rng.choice(NUMBERS)


KEYWORDS = {
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "array": ("items", "items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "object": (
        *("properties", "properties", "required", "additionalProperties", "propertyNames"),
        *("patternProperties", "minProperties", "maxProperties"),
    ),
}
