"""The forms of strings, numbers and listed values.

Whatever they let through, every reader reads back as what was meant. Knows no grammar.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from adafuse.json_schema.alternatives import Reader
from adafuse.json_schema.intersection import Meaning, whole
from adafuse.json_schema.nodes import EmptyFormError, Leaf, blamed, capped
from adafuse.json_schema.numeric_bounds import EXACT, is_exact, is_readable, plain
from adafuse.json_schema.pointers import SchemaError
from adafuse.json_schema.regex_translation import PatternError, read_pattern
from adafuse.json_schema.validation import matches

__all__ = ["LARGEST", "engine_regex", "listed_form", "number_form", "refuse_halves", "string_form"]

LARGEST = 10**15 - 1
"""Of a number without a bound: exact as a float, so every reader agrees on it."""

_FEW = 64  # characters: a regex that keeps a string below needs no other end
_DEEPEST = 64  # levels of a listed value
_WRITABLE = "\b\t\n\f\r"  # control characters that have a short escape


def string_form(meaning: Meaning) -> Leaf:
    """The form of a string.

    Raises:
        SchemaError: a regex or a format that cannot be enforced.
        EmptyFormError: nothing is as long as it should be.
    """
    text = meaning.text()
    regexes = [("pattern", *one) for one in text.patterns]
    regexes += [("format", *one) for one in text.formats]
    read = [engine_regex(*one) for one in regexes]
    most = capped(text.least, text.most, meaning, ("minLength", "maxLength"))
    longest = min((length for _, _, length in read), default=math.inf)
    shortest = max((length for _, length, _ in read), default=0)
    if shortest > (math.inf if most is None else most) or text.least > longest:
        blame = blamed(meaning, "maxLength", "minLength", "pattern")
        raise EmptyFormError(blame, "leaves no length that the pattern or format has")
    schema: dict[str, Any] = {"type": "string"}
    if text.least:
        schema["minLength"] = text.least
    if most is not None:
        schema["maxLength"] = most
    schema |= {"pattern": read[0][0]} if read else {}
    if len(read) > 1:
        schema["allOf"] = [{"pattern": engine} for engine, _, _ in read[1:]]
    if most is not None or longest <= _FEW:
        return Leaf(schema, None, regexes)
    room = max(text.least, sum(length for _, length, _ in read), _FEW if text.formats else 0)
    return Leaf(schema, room, regexes)


def engine_regex(keyword: str, regex: str, pointer: str) -> tuple[str, int, float]:
    """A regex for the grammar, and the lengths of the shortest and longest text that has it."""
    try:
        read = read_pattern(regex)
    except PatternError as error:
        why = f"has {_shown(regex)}, which cannot be enforced: it holds {error}"
        raise SchemaError(keyword, pointer, why) from None
    return read.text, read.shortest, read.longest


def number_form(meaning: Meaning, kind: str) -> Leaf:
    """The form of a number.

    Args:
        kind: "number" or "integer".

    Raises:
        SchemaError: a "multipleOf" that cannot be enforced.
        EmptyFormError: no number is within the bounds.
    """
    limits = meaning.number(whole=kind == "integer")
    low, high, step = limits.low, limits.high, limits.step
    if low is None:
        low = Decimal(-LARGEST) if high is None else min(Decimal(-LARGEST), high - LARGEST)
    if high is None:
        high = max(Decimal(LARGEST), low + LARGEST)
    low, high = max(low, Decimal(-EXACT)), min(high, Decimal(EXACT))
    if low > high:
        blame = blamed(meaning, "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
        why = "leaves no number that all readers take alike: of 15 digits, and up to 2**53"
        raise EmptyFormError(blame, why)
    schema = {"type": kind, "minimum": plain(low), "maximum": plain(high)}
    if step is not None:
        blame = blamed(meaning, "multipleOf")
        if not is_readable(step):
            raise SchemaError(*blame, "cannot be enforced; use one of at most three digits")
        if math.ceil(Fraction(low) / step) * step > Fraction(high):
            raise EmptyFormError(blame, "has no multiple within the bounds")
        schema["multipleOf"] = plain(Decimal(step.numerator) / step.denominator)
    return Leaf(schema)


def listed_form(reader: Reader, meaning: Meaning) -> Leaf:
    """The form of a value that is listed ("enum", "const").

    Raises:
        SchemaError: one of them cannot be written.
        EmptyFormError: the other keywords allow none of them.
    """
    blame = blamed(meaning, "const", "enum")
    values = meaning.values or []
    for value in values:
        _check_value(value, blame, _DEEPEST)
    allowed = [value for value in values if matches(reader, value, meaning.option, surely=True)]
    if not allowed:
        raise EmptyFormError(blame, "has no value that the other keywords allow")
    return Leaf({"enum": [whole(value) for value in allowed]})


def refuse_halves(text: str, blame: tuple[str, str]) -> None:
    """Raise SchemaError for half a surrogate pair, which no text holds."""
    if any("\ud800" <= one <= "\udfff" for one in text):
        raise SchemaError(*blame, f"holds half a surrogate pair ({_shown(text)}); leave it out")


def _check_value(value: Any, blame: tuple[str, str], levels: int) -> None:
    """Refuse a value that cannot be written so that every reader reads it back."""
    problem = None
    if isinstance(value, str):
        refuse_halves(value, blame)
        if any((one < " " and one not in _WRITABLE) or one == "\x7f" for one in value):
            problem = "a control character"
    elif isinstance(value, int | float) and not isinstance(value, bool) and not is_exact(value):
        problem = "a number of more than 15 digits"
    elif isinstance(value, dict | list) and not levels:
        problem = f"over {_DEEPEST} levels"
    if problem:
        raise SchemaError(*blame, f"holds {problem} ({_shown(value)}), which cannot be written")
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_value(one, blame, levels - 1)
        for name in value if isinstance(value, dict) else ():
            refuse_halves(name, blame)


def _shown(value: Any) -> str:
    line = ascii(value)
    return line if len(line) <= 60 else f"{line[:57]}..."
