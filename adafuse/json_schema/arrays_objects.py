"""What is left of lists and objects once they have an end.

Objects hold the names that are listed, and others only where the schema speaks of them: a free name
may be written twice, and then the last one counts. Knows no grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal

from adafuse.json_schema import OWN_BOUNDS
from adafuse.json_schema.document import EmptySchemaError, SchemaError
from adafuse.json_schema.formats import FORMATS
from adafuse.json_schema.keywords import LISTING, says_nothing
from adafuse.json_schema.regexes import found
from adafuse.json_schema.scalars import MOST_COUNT, check_counts, check_value, regex_of

__all__ = ["FREE_NAME", "MOST_ITEMS", "array_of", "object_of"]

Schema = dict[str, Any] | bool
Write = Callable[[Schema | None], dict[str, Any]]
"""Writes the schema of a value, of which nothing is said where it is None."""

MOST_ITEMS = 16  # of a list, or an object of free names, that has no end of its own
_LONGEST_NAME = 40
_NAME = r'^[^"\\\x00-\x1f\x7f]{%d,%d}$'  # nothing that needs an escape
_ANY_NAME = _NAME % (1, _LONGEST_NAME)
FREE_NAME = regex_of("pattern", _ANY_NAME, "")
"""What the name of a property may be of which nothing is said."""


def array_of(schema: dict[str, Any], pointer: str, write: Write, *, alone: bool) -> dict[str, Any]:
    """A list.

    Args:
        alone: whether no other part of the schema says what its items are.
    """
    least = int(schema.get("minItems", 0))
    first = [_attempt(write, part) for part in schema.get("prefixItems", ())]
    rest = _attempt(write, schema.get("items"))
    most = min(int(schema.get("maxItems", max(MOST_ITEMS, least, len(first)))), MOST_COUNT)
    check_counts(least, most, pointer, ("minItems", "maxItems"))
    for at, part in enumerate([*first, rest][:most]):
        if isinstance(part, EmptySchemaError):
            if least > at:
                raise part
            most = at
            break
    made: dict[str, Any] = {"minItems": least, "maxItems": most}
    if "maxItems" not in schema and most > max(least, len(first)):
        made[OWN_BOUNDS] = ["maxItems"]
    if first[:most]:
        made["prefixItems"] = first[:most]
    if most <= len(first):
        return {**made, "items": False}
    return {**made, "items": rest} if "items" in schema or alone else made


def object_of(
    schema: dict[str, Any],
    pointer: str,
    write: Write,
    accepts: Callable[[Schema, str], bool],
    names: Collection[str] | None,
) -> dict[str, Any]:
    """An object.

    Args:
        accepts: whether a schema accepts a name.
        names: that other parts of the schema list; None if there are no other parts.
    """
    for regex in schema.get("patternProperties", ()):
        regex_of("patternProperties", regex, pointer)
    listed, patterns, rest = _parts_of(schema, names)
    required = list(dict.fromkeys(schema.get("required", ())))
    for name in {*listed, *required}:
        check_value(name, "required" if name in required else "properties", pointer)
    if "propertyNames" in schema:
        patterns, rest = _bound_names(schema, pointer, accepts, listed, rest)
    properties: dict[str, Any] = {}
    for name, part in listed.items():
        is_bound = any(found(regex, name) for regex in patterns)  # the library takes both
        silent = part is None or says_nothing(part)
        properties[name] = True if silent and is_bound else _attempt(write, part)
        if isinstance(properties[name], EmptySchemaError):
            if name in required:
                raise properties[name]
            properties[name] = False
    free = {regex_of("patternProperties", regex, pointer): part for regex, part in patterns.items()}
    free = {regex: _attempt(write, part) for regex, part in free.items()}
    free = {regex: False if isinstance(part, SchemaError) else part for regex, part in free.items()}
    if rest is False and "additionalProperties" in schema:
        _check_required(required, listed, patterns, pointer)
    others = False if rest is False else _attempt(write, rest)
    others = False if isinstance(others, EmptySchemaError) else others
    if others is not False and not properties and not free and not names:
        free, others = {FREE_NAME: others}, False
    if others is False and not any(part is not False for part in free.values()):
        properties = {name: part for name, part in properties.items() if part is not False}
        free = {}
    if "additionalProperties" not in schema:
        bound = schema.get("propertyNames", True)
        more = [name for name in names or () if name not in schema.get("properties", ())]
        properties |= {name: True for name in more if accepts(bound, name)}
    made = {"properties": properties, "additionalProperties": others}
    if free:
        made["patternProperties"] = free
    return {**made, **_counts(made, required, schema, pointer)}


def _check_required(
    required: list[str], listed: Collection[str], patterns: Collection[str], pointer: str
) -> None:
    """Refuse names that must be there and cannot."""
    for name in required:
        if name not in listed and not any(found(regex, name) for regex in patterns):
            why = f"names {name!r}, which 'properties' does not have; list it in both, or none"
            raise EmptySchemaError("required", pointer, why)


def _attempt(write: Write, part: Schema | None) -> Any:
    """What is written, or why nothing is."""
    try:
        return write(part)
    except EmptySchemaError as empty:
        return empty


def _parts_of(schema: dict[str, Any], names: Collection[str] | None) -> tuple[Any, Any, Any]:
    """The properties that are named, those whose name has a regex, and the others."""
    listed = dict(schema.get("properties", {}))
    patterns = dict(schema.get("patternProperties", {}))
    if "additionalProperties" in schema:
        return listed, patterns, schema["additionalProperties"]
    if "propertyNames" in schema and not listed:
        return listed, patterns, None
    if not patterns:
        lacking = [name for name in schema.get("required", ()) if name not in (names or ())]
        listed |= {name: None for name in lacking if name not in listed}
    if not (patterns or listed or names or "properties" in schema):
        patterns = {_ANY_NAME: None}
    return listed, patterns, False


def _bound_names(
    schema: dict[str, Any],
    pointer: str,
    accepts: Callable[[Schema, str], bool],
    listed: dict[str, Schema | None],
    rest: Schema | None,
) -> tuple[dict[str, Schema | None], Literal[False]]:
    """Leave out what "propertyNames" refuses."""
    bound = schema["propertyNames"]
    if "patternProperties" in schema:
        why = "cannot be enforced beside 'patternProperties'"
        raise SchemaError("propertyNames", pointer, why)
    if lacking := [name for name in schema.get("required", ()) if not accepts(bound, name)]:
        why = f"refuses the required name {lacking[0]!r}"
        raise EmptySchemaError("propertyNames", pointer, why)
    for name in [name for name in listed if not accepts(bound, name)]:
        del listed[name]
    if "properties" in schema or rest is False or bound is False:
        return {}, False
    if isinstance(bound, dict) and bound.keys() & set(LISTING):
        values = bound["enum"] if "enum" in bound else [bound["const"]]
        listed |= {name: rest for name in values if isinstance(name, str) and accepts(bound, name)}
        return {}, False
    return {_regex_of_names({} if bound is True else bound, pointer): rest}, False


def _regex_of_names(bound: dict[str, Any], pointer: str) -> str:
    regexes = [bound["pattern"]] if "pattern" in bound else []
    if bound.get("format") in FORMATS:
        regexes.append(FORMATS[bound["format"]])
    if bound.keys() & {"minLength", "maxLength"} or not regexes:
        least = int(bound.get("minLength", 0))
        most = min(int(bound.get("maxLength", max(least, _LONGEST_NAME))), MOST_COUNT)
        check_counts(least, most, pointer, ("propertyNames", "propertyNames"))
        regexes.append(_NAME % (least, most))
    if len(regexes) > 1 or bound.keys() & {"allOf", "anyOf", "oneOf", "$ref"}:
        why = "cannot be enforced; use 'enum', one 'pattern' or lengths, and no 'properties'"
        raise SchemaError("propertyNames", pointer, why)
    return str(regexes[0])


def _counts(
    made: dict[str, Any], required: list[str], schema: dict[str, Any], pointer: str
) -> dict[str, Any]:
    """Which names are required, and bounds on how many there are: the grammar counts to one."""
    least, count = int(schema.get("minProperties", 0)), len(required)
    most = min(int(schema.get("maxProperties", MOST_COUNT)), MOST_COUNT)
    check_counts(max(least, count), most, pointer, ("minProperties", "maxProperties"))
    is_free = "patternProperties" in made or made["additionalProperties"] is not False
    if is_free and len(made["properties"]) > count and most < MOST_COUNT:
        made.pop("patternProperties", None)  # they could not be counted
        made["additionalProperties"] = is_free = False
    bounds = _bounds_of_free if is_free else _bounds_of_listed
    return {"required": required, **bounds(made, required, least, most, pointer)}


def _bounds_of_free(
    made: dict[str, Any], required: list[str], least: int, most: int, pointer: str
) -> dict[str, Any]:
    count = len(required)
    optional = any(name not in required for name in made["properties"])
    bounds: dict[str, Any] = {"minProperties": least} if least > count else {}
    if bounds and (optional or least > count + 1):
        # A name may come twice, and then counts once.
        why = "cannot be enforced for free names; list them as 'required'"
        raise SchemaError("minProperties", pointer, why)
    if optional:
        return bounds
    bounds["maxProperties"] = limit = max(least, min(most, count + MOST_ITEMS))
    return {**bounds, OWN_BOUNDS: ["maxProperties"]} if max(least, count) < limit < most else bounds


def _bounds_of_listed(
    made: dict[str, Any], required: list[str], least: int, most: int, pointer: str
) -> dict[str, Any]:
    properties, count = made["properties"], len(required)
    if least > len(properties):
        why = "asks for more properties than may be there"
        raise EmptySchemaError("minProperties", pointer, why)
    if least == len(properties):
        return {"required": list(properties)}
    if most == count:
        return {"properties": {name: properties[name] for name in required if name in properties}}
    bounds = {"minProperties": least} if least > count else {}
    if most < len(properties):
        bounds["maxProperties"] = most
    for keyword, bound in bounds.items():
        if bound > count + 1:
            why = "cannot be enforced; list more of the names as 'required'"
            raise SchemaError(keyword, pointer, why)
    return bounds
