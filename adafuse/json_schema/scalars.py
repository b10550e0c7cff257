"""What is left of strings, numbers and listed values once they have an end.

Whatever they let through, every reader reads back as what was meant. Knows no grammar.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from adafuse.json_schema.document import EmptySchemaError, SchemaError
from adafuse.json_schema.formats import FORMATS, UNENFORCEABLE
from adafuse.json_schema.keywords import LISTING
from adafuse.json_schema.numeric_bounds import (
    EXACT,
    is_exact,
    is_readable,
    lower_bound,
    plain,
    upper_bound,
)
from adafuse.json_schema.regexes import PatternError, found, read_pattern

__all__ = [
    "MOST_COUNT",
    "check_counts",
    "check_value",
    "listed",
    "number",
    "regex_of",
    "string",
    "whole",
]

MOST_COUNT = 10**6
"""Characters, items or properties; no answer has more."""

_LARGEST = 10**15 - 1  # of a number without a bound: exact as a float
_FEW = 64  # characters that a string with a pattern or format may always have
_DEEPEST = 64  # levels of a listed value
_WRITABLE = "\b\t\n\f\r"  # control characters that have a short escape


def string(schema: dict[str, Any], pointer: str) -> dict[str, Any]:
    """A string; "maxLength" is -n - 1 if it has no end, and must be allowed n characters."""
    regexes = [regex_of("pattern", schema["pattern"], pointer)] if "pattern" in schema else []
    name = schema.get("format")
    if name in UNENFORCEABLE:
        raise SchemaError("format", pointer, f"{name!r} cannot be enforced; leave it out")
    if name in FORMATS:
        regexes.append(regex_of("format", FORMATS[name], pointer))
    least = int(schema.get("minLength", 0))
    made: dict[str, Any] = {"minLength": least} if least else {}
    if regexes:
        made["pattern"] = regexes[0]
    if len(regexes) > 1:
        made["allOf"] = [{"pattern": regexes[1]}]
    if "maxLength" in schema:
        most = min(int(schema["maxLength"]), MOST_COUNT)
        check_counts(least, most, pointer, ("minLength", "maxLength"))
        return {**made, "maxLength": most}
    check_counts(least, MOST_COUNT, pointer, ("minLength", "maxLength"))
    counts = re.findall(r"\{(\d+)", schema.get("pattern", ""))
    room = len(schema.get("pattern", "")) + sum(map(int, counts))
    return {**made, "maxLength": -1 - max(least, min(room, 4096), _FEW if name in FORMATS else 0)}


def regex_of(keyword: str, pattern: str, pointer: str) -> str:
    """A regex for the grammar."""
    try:
        return read_pattern(pattern)
    except PatternError as error:
        why = f"has {_shown(pattern)}, which cannot be enforced: it holds {error}"
        raise SchemaError(keyword, pointer, why) from None


def check_counts(least: int, most: int, pointer: str, keywords: tuple[str, str]) -> None:
    """Refuse counts between which there is none."""
    if least > most:
        why = f"asks for at least {least}, which is more than there may be ({most})"
        raise EmptySchemaError(keywords[0], pointer, why)


def number(schema: dict[str, Any], pointer: str, kind: str) -> dict[str, Any]:
    """A number; `kind` is "number" or "integer"."""
    is_whole = kind == "integer"
    lows = [
        lower_bound(schema[name], exclusive=name != "minimum", whole=is_whole)
        for name in ("minimum", "exclusiveMinimum")
        if name in schema
    ]
    highs = [
        upper_bound(schema[name], exclusive=name != "maximum", whole=is_whole)
        for name in ("maximum", "exclusiveMaximum")
        if name in schema
    ]
    low, high = max(lows, default=None), min(highs, default=None)
    if low is None:
        low = Decimal(-_LARGEST) if high is None else min(Decimal(-_LARGEST), high - _LARGEST)
    if high is None:
        high = max(Decimal(_LARGEST), low + _LARGEST)
    low, high = max(low, Decimal(-EXACT)), min(high, Decimal(EXACT))
    if low > high:
        names = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
        keyword = next(name for name in names if name in schema)
        why = "leaves no number that all readers take alike: of 15 digits, and up to 2**53"
        raise EmptySchemaError(keyword, pointer, why)
    made = {"minimum": plain(low), "maximum": plain(high)}
    if "multipleOf" in schema:
        step = Fraction(repr(schema["multipleOf"]))
        step = Fraction(step.numerator) if is_whole else step
        if not is_readable(step):
            why = "cannot be enforced; use one of at most three digits"
            raise SchemaError("multipleOf", pointer, why)
        if math.ceil(Fraction(low) / step) * step > Fraction(high):
            raise EmptySchemaError("multipleOf", pointer, "has no multiple within the bounds")
        made["multipleOf"] = plain(Decimal(step.numerator) / step.denominator)
    return made


def listed(schema: dict[str, Any], pointer: str) -> list[Any]:
    """The values that a schema lists, of those that have its format."""
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    keyword = next(name for name in LISTING if name in schema)
    for value in values:
        check_value(value, keyword, pointer)
    regex = FORMATS.get(schema.get("format", ""))
    return [
        value
        for value in values
        if regex is None or not isinstance(value, str) or found(regex, value)
    ]


def check_value(value: Any, keyword: str, pointer: str, levels: int = _DEEPEST) -> None:
    """Refuse a value that cannot be written so that every reader reads it back."""
    problem = None
    if isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" for char in value):
            problem = "half a surrogate pair"
        elif any((char < " " and char not in _WRITABLE) or char == "\x7f" for char in value):
            problem = "a control character"
    elif isinstance(value, int | float) and not isinstance(value, bool) and not is_exact(value):
        problem = "a number of more than 15 digits"
    elif isinstance(value, dict | list) and not levels:
        problem = f"over {_DEEPEST} levels"
    if problem:
        why = f"holds {problem} ({_shown(value)}), which cannot be written"
        raise SchemaError(keyword, pointer, why)
    if isinstance(value, dict | list):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            check_value(inner, keyword, pointer, levels - 1)


def whole(value: Any) -> Any:
    """A value with integers for floats that are whole."""
    if isinstance(value, dict):
        return {name: whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(value: Any) -> str:
    line = ascii(value)
    return line if len(line) <= 60 else f"{line[:57]}..."
