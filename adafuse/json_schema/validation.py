"""Whether a schema accepts a value, and whether two options have no value in common.

Both are careful: where they cannot tell, the one says what its caller needs to be safe, and the
other says no. Knows no grammar.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from adafuse.json_schema.alternatives import Option, Place, Reader
from adafuse.json_schema.intersection import Meaning, Names, identity
from adafuse.json_schema.regex_search import found

__all__ = ["accepts", "apart", "matches"]

_DEEPEST = 4  # levels of properties by which options may be told apart


def accepts(reader: Reader, value: Any, place: Place, *, surely: bool) -> bool:
    """Whether a value matches some schemas.

    Args:
        surely: whether to say no where a format is narrower here than its standard.
    """
    return any(matches(reader, value, option, surely=surely) for option in reader.options(place))


def apart(reader: Reader, one: Option, other: Option, depth: int = 0) -> bool:
    """Whether no value that may be written for one option matches the other, and vice versa."""
    return _excludes(reader, one, other, depth) and _excludes(reader, other, one, depth)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if value == int(value) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def matches(reader: Reader, value: Any, option: Option, *, surely: bool) -> bool:
    """Whether a value matches one option; as `accepts`."""
    meaning = Meaning.of(reader, option)
    kind = _type(value)
    if meaning.types is not None and kind not in meaning.types:
        return False
    if meaning.values is not None and identity(value) not in meaning.identities:
        return False
    match kind:
        case "integer" | "number":
            return _number_matches(value, meaning)
        case "string":
            return _text_matches(value, meaning, surely)
        case "array":
            return _items_match(reader, value, meaning, surely)
        case "object":
            return _names_match(reader, value, meaning, surely)
    return True


def _number_matches(value: int | float, meaning: Meaning) -> bool:
    limits = meaning.number(whole=isinstance(value, int))
    exact = Decimal(repr(value))
    low = limits.low is None or exact >= limits.low
    high = limits.high is None or exact <= limits.high
    return low and high and (limits.step is None or not Fraction(exact) % limits.step)


def _text_matches(value: str, meaning: Meaning, surely: bool) -> bool:
    text = meaning.text()
    if not _fits(len(value), text.least, text.most):
        return False
    patterns = [*text.patterns, *(text.formats if surely else ())]
    return all(found(pattern, value) for pattern, _ in patterns)


def _items_match(reader: Reader, value: list[Any], meaning: Meaning, surely: bool) -> bool:
    items = meaning.items()
    keys = [identity(one) for one in value]
    if any(unique for _, unique in meaning.given("uniqueItems")) and len(set(keys)) < len(keys):
        return False
    places = [*items.first, *[items.rest or ()] * len(value)]
    each = zip(value, places, strict=False)
    return _fits(len(value), items.least, items.most) and all(
        accepts(reader, one, place, surely=surely) for one, place in each
    )


def _names_match(reader: Reader, value: dict[str, Any], meaning: Meaning, surely: bool) -> bool:
    names = meaning.names()
    if not _fits(len(value), names.least, names.most) or not names.required <= value.keys():
        return False
    return all(
        accepts(reader, one, _place_of(names, name), surely=surely)
        and accepts(reader, name, names.each, surely=surely)
        for name, one in value.items()
    )


def _place_of(names: Names, name: str) -> Place:
    if name in names.names:
        return names.names[name]
    matching = [place for pattern, place in names.patterns.items() if found(pattern, name)]
    places = matching or [names.rest or ()]
    return tuple(dict.fromkeys(pointer for place in places for pointer in place))


def _fits(count: int, least: int, most: int | None) -> bool:
    return count >= least and (most is None or count <= most)


def _excludes(reader: Reader, written: Option, other: Option, depth: int) -> bool:
    """Whether no value that may be written for the first option matches the second."""
    one, two = Meaning.of(reader, written), Meaning.of(reader, other)
    if one.values is not None and two.values is not None:
        return not one.identities & two.identities
    for values, option in ((one.values, other), (two.values, written)):
        if values is not None:
            return not any(matches(reader, value, option, surely=False) for value in values)
    mine = _written_types(one)
    theirs = mine if two.types is None else two.types
    for kind in {"number" if kind == "integer" else kind for kind in mine & theirs}:
        if not _kind_excludes(reader, kind, one, two, depth):
            return False
    return True


def _written_types(meaning: Meaning) -> set[str]:
    everything = {"null", "boolean", "integer", "number", "string", "array", "object"}
    about = meaning.about | ({"integer"} if "number" in meaning.about else set())
    return meaning.types if meaning.types is not None else about or everything


def _kind_excludes(reader: Reader, kind: str, one: Meaning, two: Meaning, depth: int) -> bool:
    match kind:
        case "number":
            first, second = one.number(whole=False), two.number(whole=False)
            return _above(first.low, second.high) or _above(second.low, first.high)
        case "string":
            text, text2 = one.text(), two.text()
            return _above(text.least, text2.most) or _above(text2.least, text.most)
        case "array":
            return _items_exclude(reader, one, two, depth)
        case "object":
            return _names_exclude(reader, one.names(), two.names(), depth)
    return False


def _above(low: Any, high: Any) -> bool:
    return low is not None and high is not None and bool(low > high)


def _items_exclude(reader: Reader, one: Meaning, two: Meaning, depth: int) -> bool:
    first, second = one.items(), two.items()
    if _above(first.least, second.most) or _above(second.least, first.most):
        return True
    for at in range(min(max(first.least, second.least), len(first.first) + len(second.first) + 1)):
        mine = first.first[at] if at < len(first.first) else first.rest or ()
        theirs = second.first[at] if at < len(second.first) else second.rest or ()
        if _places_exclude(reader, mine, theirs, depth):
            return True
    return False


def _names_exclude(reader: Reader, one: Names, two: Names, depth: int) -> bool:
    """Whether a property that one of them must have cannot be right for the other."""
    for name in dict.fromkeys((*sorted(one.required), *sorted(two.required))):
        closed = one.rest is None and (one.names or one.patterns)  # by what is written
        matched = any(found(pattern, name) for pattern in one.patterns)
        if closed and name not in one.names and not matched and name in two.required:
            return True
        if _places_exclude(reader, _place_of(one, name), _place_of(two, name), depth):
            return True
    return False


def _places_exclude(reader: Reader, one: Place, two: Place, depth: int) -> bool:
    return depth < _DEEPEST and all(
        _excludes(reader, first, second, depth + 1)
        for first in reader.options(one)
        for second in reader.options(two)
    )
