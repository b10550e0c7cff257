"""A schema as the grammar library shall have it: every part narrowed so that its values end.

Parts are narrowed each for itself, and the library merges them: what is narrower in each part is
narrower in all. A part that leads back to itself becomes a row of definitions, so that no answer
nests without end. Knows what the library refuses, not how it reads.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

from adafuse.json_schema import OWN_BOUNDS
from adafuse.json_schema.arrays_objects import FREE_NAME, MOST_ITEMS, array_of, object_of
from adafuse.json_schema.document import Document, EmptySchemaError, SchemaError
from adafuse.json_schema.keywords import COMBINING, KINDS, LISTING, refuse, says_nothing, types_of
from adafuse.json_schema.scalars import listed, number, string, whole
from adafuse.json_schema.structure import ITEMS, depth_of, distinct, names_of, sketch_of, ways_of
from adafuse.json_schema.validation import Validation

__all__ = ["OVERLAPPING", "Narrower"]

OVERLAPPING = (
    "has options that may both hold; use 'anyOf', or a required property with another "
    "'const' in each"
)

_LEVELS_OF_ANYTHING = 3
_MOST_PARTS = 8000
_MOST_COMBINATIONS = 500
_SHORTEST_LIMIT = 32  # characters that every string may have
_SHALLOW = 8  # after as many values within each other one gets a name: readers have limits
_ORDER = ("string", "number", "integer", "boolean", "null", "array", "object")
_OWN = {keyword for keywords in KINDS.values() for keyword in keywords}
_SUSPECT = (
    *("pattern", "format", "patternProperties", "minProperties", "maxProperties"),
    *("multipleOf", "minItems", "maxItems", "properties"),
)

Schema = dict[str, Any] | bool


class Narrower:
    """Narrows one schema.

    Args:
        document: the schema.
        targets: of its references, as `targets_of` gives them.
        characters: that all strings without an end may have together.
        levels: of a value whose schema leads back to itself.

    Attributes:
        schema: the narrowed one, with its definitions.
        suspects: parts of it that the grammar library may still refuse, each with the keyword and
            the pointer that are to blame then.

    Raises:
        SchemaError: a keyword cannot be enforced, or nothing matches the schema.
    """

    def __init__(
        self, document: Document, targets: tuple[list[Any], list[Any]], characters: int, levels: int
    ) -> None:
        self._document = document
        self._validation = Validation(document)
        self._open: list[dict[str, Any]] = []  # strings without an end
        self._strings: set[int] = set()  # parts of the document that they come from
        self._made: dict[tuple[int, int], Any] = {}
        self._parts = 0
        self._around = 0  # values around the one that is narrowed
        self._depths: dict[str, int] = {}
        self._anythings: dict[int, dict[str, Any]] = {}
        self.definitions: dict[str, dict[str, Any]] = {}
        self.proofs: list[tuple[dict[str, Any], str]] = []
        self.suspects: list[tuple[dict[str, Any], str, str]] = []
        plain, circular = targets
        self._circular = {id(target) for target in circular}
        self._levels = levels
        for target in plain:
            self._define(target, 0, 0)
        for level in reversed(range(self._levels)):
            for target in circular:
                self._define(target, level, level + 1)
        made = self._value(document.root, 0, "")
        share = max(characters // max(len(self._strings), 1), _SHORTEST_LIMIT)
        for schema in self._open:
            schema["maxLength"] = max(share, -1 - schema["maxLength"])
            if schema["maxLength"] > schema.get("minLength", 0):
                schema[OWN_BOUNDS] = [*schema.get(OWN_BOUNDS, ()), "maxLength"]
        self.schema = {**made, "$defs": self.definitions}
        self.depth = depth_of(made, self._depths)

    def _define(self, target: dict[str, Any], level: int, inner: int) -> None:
        try:
            made: Any = self._named(self._value(target, inner, ""))
        except EmptySchemaError as empty:
            made = empty
        self._made[id(target), level] = made

    def _named(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return schema
        name = str(len(self.definitions))
        self.definitions[name] = schema
        reference = {"$ref": f"#/$defs/{name}"}
        self._depths[reference["$ref"]] = depth_of(schema, self._depths)
        return reference

    def _value(self, part: Schema | None, level: int, around: str) -> dict[str, Any]:
        """The schema of a value of which no other part says anything; None: nothing is said."""
        if part is False:
            raise EmptySchemaError("false", around, "allows nothing")
        if part is None or says_nothing(part):
            return self._anything(_LEVELS_OF_ANYTHING - (part is None))
        self._around += 1
        try:
            made = self._narrow(part, level, None)
        finally:
            self._around -= 1
        return self._named(made) if self._around % _SHALLOW == _SHALLOW - 1 else made

    def _narrow(self, part: Schema, level: int, names: Counter[str] | None) -> Any:
        """The schema of a part.

        Args:
            names: those that the other parts of the same value list; None if there are none.
        """
        if isinstance(part, bool):
            return {} if part else self._value(part, level, "")
        pointer = self._document.pointer(part)
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise RecursionError(pointer)
        refuse(part, pointer)
        if part.keys() & set(LISTING):
            return self._listed(part, pointer)
        own = [keyword for keyword in part if keyword == "type" or keyword in _OWN]
        others = [keyword for keyword in part if keyword in COMBINING or keyword == "$ref"]
        count = bool(own) + sum(len(part[name]) if name == "allOf" else 1 for name in others)
        if names is None and count > 1:
            names = names_of(self._document, part)
        made: list[Any] = []
        for keyword in part:
            if keyword == "$ref":
                made.append(self._reference(part, level, names))
            elif keyword == "allOf":
                made += [self._narrow(inner, level, names) for inner in distinct(part["allOf"])]
            elif keyword in COMBINING:
                made.append(self._choice(part, keyword, level, names))
            elif own and keyword == own[0]:
                made.append(self._own(part, level, names))
        return self._joined(made, [*others, *own][0] if others or own else "", pointer)

    def _joined(self, made: list[Any], keyword: str, pointer: str) -> Any:
        """Parts of one value as one schema."""
        made = distinct([schema for schema in made if schema])
        if len(made) < 2:
            return made[0] if made else {}
        joined = {"allOf": made}
        if ways_of(joined) > _MOST_COMBINATIONS:
            why = f"makes over {_MOST_COMBINATIONS} combinations; choose less"
            raise SchemaError(keyword, pointer, why)
        self.suspects.append((joined, keyword, pointer))
        return joined

    def _reference(self, part: dict[str, Any], level: int, names: Counter[str] | None) -> Any:
        pointer = self._document.pointer(part)
        target = self._document.target(part)
        is_circular = id(target) in self._circular
        if is_circular and level >= self._levels:
            why = "leads back to itself without end; let something be null or left out"
            raise EmptySchemaError("$ref", pointer, why)
        if names is not None:
            return self._narrow(target, level + is_circular, names)
        if isinstance(target, bool):
            return self._value(target, level, pointer)
        made = self._made[id(target), level if is_circular else 0]
        if isinstance(made, EmptySchemaError):
            raise made
        return made

    def _choice(
        self, part: dict[str, Any], keyword: str, level: int, names: Counter[str] | None
    ) -> Any:
        options = part[keyword] if keyword == "oneOf" else distinct(part[keyword])
        pointer = self._document.pointer(part)
        inner = [names_of(self._document, option) for option in options if names is not None]
        others = Counter[str]() if names is None else names - sum(inner, Counter())
        if keyword == "oneOf":
            self._prove_apart(options, pointer)
        made: list[Any] = []
        problem = None
        for at, option in enumerate(options):
            try:
                if names is None:
                    made.append(self._value(option, level, pointer))
                else:
                    schema = self._narrow(option, level, others + inner[at])
                    made.append(schema or self._anything(_LEVELS_OF_ANYTHING))
            except EmptySchemaError as empty:
                problem = empty
        made = distinct(made)
        if problem and not made:
            raise problem
        return made[0] if len(made) == 1 else {"anyOf": made}

    def _prove_apart(self, options: list[Schema], pointer: str) -> None:
        """Have it proved that no value fits two options: from sketches, which accept more."""
        sketches = [sketch_of(self._document, option) for option in options]
        listings: list[list[Any]] = [sketch.get("enum", []) for sketch in sketches]
        if all(listings):
            values = [json.dumps(value) for value in itertools.chain(*map(distinct, listings))]
            if len(values) > len(set(values)):
                raise SchemaError("oneOf", pointer, OVERLAPPING)
        else:
            self.proofs.append(({"oneOf": sketches}, pointer))

    def _listed(self, part: dict[str, Any], pointer: str) -> dict[str, Any]:
        values = [value for value in listed(part, pointer) if self._validation.accepts(part, value)]
        if values:
            return {"enum": [whole(value) for value in values]}
        keyword = next(name for name in LISTING if name in part)
        raise EmptySchemaError(keyword, pointer, "has no value that the other keywords allow")

    def _own(self, part: dict[str, Any], level: int, names: Counter[str] | None) -> dict[str, Any]:
        """What a part says of the value itself."""
        pointer = self._document.pointer(part)
        types = types_of(part, guessed=True) or set()
        made: dict[str, Any] = {}
        kinds, problem = [], None
        for kind in _ORDER:
            if kind not in types or (kind == "integer" and "number" in types):
                continue
            try:
                kept = self._kind(kind, part, pointer, level, names)
                own = [*made.get(OWN_BOUNDS, ()), *kept.get(OWN_BOUNDS, ())]
                made |= kept | ({OWN_BOUNDS: own} if own else {})
                kinds.append(kind)
            except EmptySchemaError as empty:
                problem = empty
        if problem and not kinds:
            raise problem
        made["type"] = kinds[0] if len(kinds) == 1 else kinds
        if made.get("maxLength", 0) < 0:
            self._open.append(made)
            self._strings.add(id(part))
        if suspect := [keyword for keyword in _SUSPECT if keyword in part]:
            self.suspects.append((made, suspect[0], pointer))
        return made

    def _kind(
        self, kind: str, part: dict[str, Any], pointer: str, level: int, names: Counter[str] | None
    ) -> dict[str, Any]:
        def write(inner: Schema | None) -> dict[str, Any]:
            return self._value(inner, level, pointer)

        match kind:
            case "string":
                return string(part, pointer)
            case "number" | "integer":
                return number(part, pointer, kind)
            case "array":
                return array_of(part, pointer, write, alone=not (names and names[ITEMS]))
            case "object":
                if isinstance(bound := part.get("propertyNames"), dict) and "$ref" in bound:
                    part = {**part, "propertyNames": self._document.target(bound)}
                others = None if names is None else [name for name in names if name != ITEMS]
                if others and not part.keys() & set(KINDS["object"]):
                    return {}  # the other parts say what it is
                return object_of(part, pointer, write, self._validation.accepts, others)
        return {}

    def _anything(self, levels: int) -> dict[str, Any]:
        """Any JSON value of at most so many levels."""
        if levels not in self._anythings:
            text = {"type": "string", "maxLength": -1}
            self._open.append(text)
            self._strings.add(-levels)
            simple = {"type": ["number", "boolean", "null"], **number({}, "", "number")}
            options = [text, simple]
            if levels > 1:
                inner = self._anything(levels - 1)
                lists = {"type": "array", "items": inner, "maxItems": MOST_ITEMS}
                lists[OWN_BOUNDS] = ["maxItems"]
                names = {"patternProperties": {FREE_NAME: inner}, "maxProperties": MOST_ITEMS}
                names[OWN_BOUNDS] = ["maxProperties"]
                options += [lists, {"type": "object", **names, "additionalProperties": False}]
            self._anythings[levels] = self._named({"anyOf": options})
        return self._anythings[levels]
