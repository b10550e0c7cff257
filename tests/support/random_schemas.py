"""Random JSON schemas of the keywords that can be enforced, each with a value that it accepts.

A schema and its example are made together, so that every schema can be satisfied. The same number
gives the same schema in every process. This module knows neither models nor grammars.
"""

import functools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

__all__ = ["ROOTS", "Case", "case"]

Made = tuple[Any, Any]  # a schema and a value that it accepts

PLAIN = ["name", "id", "a", "b", "type", "enum", "items", "$ref", "1", "-1", "null"]
FOREIGN = ["価格", "имя", "اسم", "naïve", "e\u0301tat", "😀", "👩\u200d🔬", "日本語", "\u00a0"]
ODD = ["", " ", "two words", 'qu"ote', "back\\slash", "new\nline", "tab\t", "a: b, c", "a/b", "{"]
NAMES = [*PLAIN, *FOREIGN, *ODD, "</s>", "<|im_end|>", "<tool_call>"]
WORDS = ["red", "green", "x", "", "né", "赤", "🙂", 'a "b"', "C:\\", "1", "true", "l1\nl2", "<eos>"]
VALUES = [0, -7, 3.25, 1e3, 0.1, None, True, [], {}, [1, "x", None], {"é": [{"k": False}]}]
CONSTANTS = [*WORDS, *VALUES]
PATTERNS = {
    "^[a-z]{1,8}$": "a",
    "[aeiou]": "e",
    "x$": "x",
    "^a|b$": "a",
    "^$": "",
    "^[一-龥]{1,4}$": "漢",
    '^"[^"]*"$': '""',
    r"^\d{3}-\d{4}$": "555-0123",
    "^(red|green|blue)$": "red",
    r"^(?:[01]\d|2[0-3]):[0-5]\d$": "09:30",
    r"^\s*x": "x",
    "^.{2,3}$": "ab",
    r"^\w+@\w+\.(com|org)$": "a@b.com",
    r"^[^\s\\]+$": "y",
    "^(ab)*c?$": "",
}
FORMATS = {
    "date": "2024-02-29",
    "date-time": "2024-02-29T23:59:59Z",
    "time": "23:59:59Z",
    "duration": "P1D",
    "email": "a@b",
    "hostname": "a",
    "ipv4": "1.1.1.1",
    "ipv6": "::",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "uri": "a:",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A schema and a value that it accepts."""

    schema: dict[str, Any]
    example: Any

    @property
    def size(self) -> int:
        """Bytes of the example as JSON: a short answer, if not the shortest."""
        return len(json.dumps(self.example, ensure_ascii=False).encode())


@functools.cache
def case(seed: int) -> Case:
    """The schema of a number; the ways to make its outermost part take turns."""
    maker = _Maker(random.Random(f"schema {seed}"))
    schema, example = maker.noted(ROOTS[seed % len(ROOTS)](maker, 2))
    if maker.definitions:
        schema = {**schema, "$defs": maker.definitions}
    if maker.chance(0.2):
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return Case(schema, example)


class _Maker:
    """Makes the parts of one schema; `depth` is how many levels may still come below a part."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.definitions: dict[str, Any] = {}

    def chance(self, of: float) -> bool:
        return self.rng.random() < of

    def value(self, depth: int) -> Made:
        kinds = LEAVES if depth < 0 else LEAVES + NESTED
        return self.noted(self.rng.choice(kinds)(self, depth))

    def noted(self, made: Made) -> Made:
        """The same, now and then with keywords that say nothing about values."""
        schema, example = made
        notes = {"title": "T", "description": 'say "é"', "default": example, "examples": [example]}
        notes |= {"$comment": "c", "deprecated": False, "readOnly": True, "x-note": {"not": {}}}
        kept = self.rng.sample(list(notes), 2) if self.chance(0.3) else []
        return {**{name: notes[name] for name in kept}, **schema}, example

    def simple(self, _: int) -> Made:
        return self.rng.choice([({"type": "null"}, None), ({"type": "boolean"}, False)])

    def anything(self, _: int) -> Made:
        return {}, None

    def integer(self, _: int) -> Made:
        step = self.rng.choice((1, 1, 1, 2, 3, 7, 10, 100))
        value = step * self.rng.randint(-50, 50)
        low, high = (self.rng.randint(1, 9) for _ in range(2))
        lows = [{}, {"minimum": value}, {"exclusiveMinimum": value - low}]
        highs = [{}, {"maximum": value}, {"exclusiveMaximum": value + high}]
        steps = {"multipleOf": step} if step > 1 else {}
        return {"type": "integer", **steps, **self._one(lows), **self._one(highs)}, value

    def number(self, _: int) -> Made:
        step = self.rng.choice(("0.01", "0.1", "0.25", "0.5", "1", "3"))
        value = float(Decimal(step) * self.rng.randint(-300, 300))
        low, high = (self.rng.choice((0.25, 0.5, 1, 2.75, 40)) for _ in range(2))
        lows = [{}, {"minimum": value}, {"exclusiveMinimum": round(value - low, 2)}]
        highs = [{}, {"maximum": value}, {"exclusiveMaximum": round(value + high, 2)}]
        if self.chance(0.3):  # as floats, bounds and step need not fit exactly
            return {"type": "number", "multipleOf": float(step), **lows[2], **highs[2]}, value
        return {"type": "number", **self._one(lows), **self._one(highs)}, value

    def _one(self, keywords: list[dict[str, Any]]) -> dict[str, Any]:
        return self.rng.choice(keywords)

    def string(self, _: int) -> Made:
        about = self.rng.choice(("length", "pattern", "format"))
        if about == "length":
            least = self.rng.choice((0, 0, 1, 3))
            most = {"maxLength": least + self.rng.choice((0, 1, 20))} if self.chance(0.5) else {}
            return {"type": "string", "minLength": least, **most}, "é" * least
        if about == "pattern":
            pattern, example = self.rng.choice(list(PATTERNS.items()))
            most = {"maxLength": len(example) + 5} if self.chance(0.4) else {}
            return {"type": "string", "pattern": pattern, **most}, example
        form, example = self.rng.choice(list(FORMATS.items()))
        return {"type": "string", "format": form}, example

    def enum(self, _: int) -> Made:
        if self.chance(0.3):
            values: list[Any] = self.rng.sample(WORDS, 3)
            return {"type": "string", "enum": values}, min(values, key=len)
        values = self.rng.sample(CONSTANTS, self.rng.randint(1, 5))
        return {"enum": values}, min(values, key=_size)

    def const(self, _: int) -> Made:
        value = self.rng.choice(CONSTANTS)
        return {"const": value}, value

    def array(self, depth: int) -> Made:
        if self.chance(0.1):
            return {"type": "array"}, []
        items, item = self.value(depth - 1)
        least = self.rng.choice((0, 1, 1, 2, 3))
        most = {"maxItems": least + self.rng.randint(0, 3)} if self.chance(0.5) else {}
        return {"type": "array", "items": items, "minItems": least, **most}, [item] * least

    def tuple(self, depth: int) -> Made:
        made = [self.value(depth - 1) for _ in range(self.rng.randint(1, 3))]
        least = self.rng.choice((0, len(made), len(made)))
        rest = self._one([{}, {"items": False}, {"items": self.value(-1)[0]}])
        most = {"maxItems": len(made) + 1} if self.chance(0.5) else {}
        first = {"prefixItems": [one for one, _ in made], "minItems": least}
        return {"type": "array", **first, **rest, **most}, [value for _, value in made[:least]]

    def object(self, depth: int) -> Made:
        names = self.rng.sample(NAMES, self.rng.randint(1, 5))
        made = {name: self.value(depth - 1) for name in names}
        required = [name for name in names if self.chance(0.6)]
        schema = {"type": "object", "properties": {name: one for name, (one, _) in made.items()}}
        example = {name: made[name][1] for name in required}
        more, value = self.value(-1)
        closed = {"additionalProperties": False}
        rest = self._one([closed, closed, {}, {"additionalProperties": more}])
        if more in rest.values() and self.chance(0.3):
            required, example = [*required, "unlisted"], {**example, "unlisted": value}
        return {**schema, **({"required": required} if required else {}), **rest}, example

    def counted(self, depth: int) -> Made:
        """Objects with bounds on how many properties they have."""
        one, value = self.value(depth - 1)
        schema: dict[str, Any] = {"type": "object", "minProperties": self.rng.randint(0, 1)}
        example = {"": value} if schema["minProperties"] else {}
        if self.chance(0.5):
            most = {"maxProperties": self.rng.randint(1, 3)} if self.chance(0.5) else {}
            return {**schema, "additionalProperties": one, **most}, example
        listed = {"properties": dict.fromkeys(("", "é", "f"), one), "additionalProperties": False}
        most = {"maxProperties": 1} if not example or self.chance(0.5) else {}
        return {**schema, **listed, **most}, example

    def patterned(self, depth: int) -> Made:
        one, value = self.value(depth - 1)
        patterns = {"^x_": one, "^[0-9]+$": {"type": "null"}}
        schema = {"type": "object", "patternProperties": patterns}
        rest = self._one([{}, {"additionalProperties": False}, {"additionalProperties": one}])
        if self.chance(0.5):
            return {**schema, **rest}, {}
        named = {"properties": {"x_é": {}}, "required": ["x_é"]}
        return {**named, **schema, **rest}, {"x_é": value}

    def type_list(self, _: int) -> Made:
        about = {"maximum": 9, "maxLength": 3, "minItems": 1, "items": {"type": "boolean"}}
        examples = {"null": None, "integer": 0, "boolean": True, "string": "", "array": [True]}
        types = self.rng.sample(list(examples), 2)
        return {"type": types, **about}, examples[types[0]]

    def any_of(self, depth: int) -> Made:
        made = [self.value(depth - 1) for _ in range(self.rng.randint(1, 3))]
        made += [({"type": "null"}, None)] if len(made) == 1 or self.chance(0.2) else []
        return {"anyOf": [one for one, _ in made]}, min((value for _, value in made), key=_size)

    def one_of(self, depth: int) -> Made:
        """Options of which no value fits two: by their types, or by a property that tells."""
        if self.chance(0.4):
            made = [self._tagged(kind, depth) for kind in self.rng.sample(["cat", "dog", "🐟"], 2)]
        else:
            kinds = (_Maker.simple, _Maker.string, _Maker.integer, _Maker.array, _Maker.object)
            made = [kind(self, depth - 1) for kind in self.rng.sample(kinds, 3)]
        return {"oneOf": [one for one, _ in made]}, min((value for _, value in made), key=_size)

    def _tagged(self, kind: str, depth: int) -> Made:
        one, value = self.value(depth - 1)
        properties = {"kind": {"const": kind}, "value": one}
        schema = {"type": "object", "properties": properties, "required": ["kind", "value"]}
        return {**schema, "additionalProperties": False}, {"kind": kind, "value": value}

    def all_of(self, depth: int) -> Made:
        (one, first), (two, second) = self.value(depth - 1), self.value(depth - 1)
        with_p = {"properties": {"p": one}, "required": ["p"]}
        with_q = {"properties": {"q": two}, "required": ["q"]}
        word = [{"type": "string", "maxLength": 4}, {"minLength": 1, "pattern": "^[xy]*$"}]
        made: list[Made] = [
            ({"type": "object", "allOf": [with_p, {"properties": {"q": two}}]}, {"p": first}),
            ({"allOf": [{"type": "object", **with_p}, with_q]}, {"p": first, "q": second}),
            ({"allOf": [{"type": "array", "items": two}, {"minItems": 1}]}, [second]),
            ({"allOf": word}, "x"),
            ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 7}], "multipleOf": 2}, 4),
        ]
        return self.rng.choice(made)

    def reference(self, depth: int) -> Made:
        one, value = self.value(depth - 1)
        names = {"d": "d", "a/b": "a~1b", "ü": "%C3%BC", "m~n": "m~0n"}
        name, pointer = self.rng.choice(list(names.items()))
        number = len(self.definitions)
        self.definitions[f"{name}{number}"] = one
        return {"$ref": f"#/$defs/{pointer}{number}"}, value

    def recursive(self, _: int) -> Made:
        one, value = self.value(-1)
        name = f"node{len(self.definitions)}"
        again = {"$ref": f"#/$defs/{name}"}
        below = {"anyOf": [again, {"type": "null"}]}
        ways: dict[str, Made] = {
            "chain": ({"値": one, "next": below}, {"値": value, "next": None}),
            "tree": (
                {"値": one, "sub": {"type": "array", "items": again}},
                {"値": value, "sub": []},
            ),
            "optional": ({"値": one, "sub": again}, {"値": value}),
        }
        if self.chance(0.25):
            self.definitions[name] = {"anyOf": [one, {"type": "array", "items": again}]}
            return again, min(value, [], key=_size)
        properties, example = self.rng.choice(list(ways.values()))
        schema = {"type": "object", "properties": properties, "required": list(example)}
        self.definitions[name] = {**schema, "additionalProperties": False}
        return again, example

    def deep(self, _: int) -> Made:
        """Five levels, each of which has to be there."""
        one, value = self.value(-1)
        for name in self.rng.sample(NAMES, 5):
            if self.chance(0.4):
                one, value = {"type": "array", "items": one, "minItems": 1}, [value]
            else:
                one, value = {"properties": {name: one}, "required": [name]}, {name: value}
                one = {"type": "object", **one}
        return one, value


def _size(value: Any) -> int:
    return len(json.dumps(value))


Kind = Callable[[_Maker, int], Made]
_M = _Maker
LEAVES: tuple[Kind, ...] = (_M.simple, _M.integer, _M.number, _M.string, _M.string, _M.enum)
LEAVES += (_M.const, _M.type_list)
ROOTS: tuple[Kind, ...] = (_M.object, _M.array, _M.any_of, _M.one_of, _M.all_of, _M.tuple)
ROOTS += (_M.counted, _M.patterned, _M.reference, _M.recursive, _M.deep)
NESTED: tuple[Kind, ...] = (*ROOTS[:-1], _M.object, _M.array, _M.anything)
ROOTS += (_M.object, _M.value)
